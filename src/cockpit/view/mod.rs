//! Draws the state; cannot change it. Only rows that are on the screen are built.

mod chrome;
mod format;
mod glyph;
mod overlay;
mod pages;
mod sweep;
pub mod theme;
mod weigh;
mod widgets;

pub use theme::{Scope, Theme, ThemeError, Themes};

use super::app::State;
use super::app::dispatch::layout;
use super::app::layout::{Area, Layout};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// What every part of a frame needs.
struct Ctx<'a> {
    state: &'a State,
    now: Timestamp,
    zone: &'a TimeZone,
    theme: &'a Theme,
    layout: Layout,
}

impl Ctx<'_> {
    fn style(&self, scope: Scope) -> Style {
        self.theme.style(scope)
    }
}

/// The cells of an area.
fn rect(area: Area) -> Rect {
    Rect { x: area.x, y: area.y, width: area.width, height: area.height }
}

/// Draws everything. `now` also says in which time zone clocks are shown.
pub fn draw(state: &State, now: &Zoned, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buf = frame.buffer_mut();
    let ctx = Ctx { state, now: now.timestamp(), zone: now.time_zone(), theme, layout: layout(state) };
    buf.set_style(area, ctx.style(Scope::Text));
    // The state may be a step behind a window that just shrank.
    if state.too_small() || area.width < state.columns || area.height < state.rows {
        pages::small::draw(&ctx, area, buf);
    } else {
        page(&ctx, area, buf);
    }
    sweep::sweep(buf);
}

fn page(ctx: &Ctx<'_>, area: Rect, buf: &mut Buffer) {
    chrome::header(ctx, buf);
    if pages::empty::applies(ctx.state) {
        pages::empty::draw(ctx, area, buf);
    } else {
        pages::draw(ctx, buf);
    }
    chrome::footer(ctx, buf);
    overlay::draw(ctx, area, buf);
}
