//! One file a page.

mod approvals;
mod budget;
mod columns;
mod deck;
mod deck_columns;
pub(super) mod empty;
mod fit;
mod history;
mod logs;
mod messages;
mod output;
mod phase;
mod rollout;
mod run_live;
mod run_panels;
pub(super) mod small;

use super::Ctx;
use crate::app::Page;
use crate::app::pages::pages;
use ratatui::buffer::Buffer;

macro_rules! draws {
    ($($page:ident $file:ident $row:ident $doc:literal;)*) => {
        /// Draws the page that is shown.
        pub(super) fn draw(ctx: &Ctx<'_>, buf: &mut Buffer) {
            match ctx.state.page {
                $(Page::$page => $file::draw(ctx, buf),)*
            }
        }
    };
}
pages!(draws);
