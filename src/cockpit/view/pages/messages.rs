//! What the footer said, in full.

use super::history::record_line;
use crate::app::pages::messages;
use crate::view::widgets::panel::{Edge, Title, edge, sides};
use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope, rect};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the lines that are in sight.
pub(in crate::view) fn draw(ctx: &Ctx<'_>, buf: &mut Buffer) {
    let list = rect(ctx.layout.list);
    let lines = messages::lines(ctx.state);
    let frame = Rect { x: 0, y: list.y - 1, width: ctx.state.columns, height: list.height + 2 };
    let title = Title { left: "Messages".to_owned(), right: "newest first".to_owned(), focus: true };
    sides(buf, frame, ctx.theme);
    edge(buf, frame, frame.y, Edge::Top, &title, ctx.theme);
    edge(buf, frame, frame.bottom() - 1, Edge::Bottom, &Title::default(), ctx.theme);
    if lines.is_empty() {
        Pen::new(buf, list, 0).skip(1).put("nothing was said yet", ctx.style(Scope::Dim));
    }
    for (row, line) in (0..list.height).zip(lines.iter().skip(messages::top(ctx.state))) {
        record_line(ctx, line, "none", list, row, buf);
    }
}
