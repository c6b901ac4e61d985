//! An instance's output, followed.

use crate::view::widgets::panel::{Edge, Title, edge, sides};
use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope, format, rect};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the lines that are in sight.
pub(in crate::view) fn draw(ctx: &Ctx<'_>, buf: &mut Buffer) {
    let Some(page) = &ctx.state.output else { return };
    let list = rect(ctx.layout.list);
    let height = usize::from(list.height);
    let first = if page.follow {
        page.lines.len().saturating_sub(height)
    } else {
        usize::try_from(page.top.saturating_sub(page.dropped)).unwrap_or(usize::MAX)
    };
    let right = match (&page.ended, page.follow) {
        (Some(why), _) => format!("ended: {why}"),
        (None, true) => "following".to_owned(),
        (None, false) => "stopped; G follows".to_owned(),
    };
    let title = Title { left: page.title.clone(), right, focus: true };
    let shown = page.lines.len().min(first + height);
    let total = u64::try_from(page.lines.len()).unwrap_or(u64::MAX) + page.dropped;
    let counted = Title {
        right: format!("line {} of {total}", u64::try_from(shown).unwrap_or(u64::MAX) + page.dropped),
        ..Title::default()
    };
    let frame = Rect { x: 0, y: list.y - 1, width: ctx.state.columns, height: list.height + 2 };
    sides(buf, frame, ctx.theme);
    edge(buf, frame, frame.y, Edge::Top, &title, ctx.theme);
    edge(buf, frame, frame.bottom() - 1, Edge::Bottom, &counted, ctx.theme);
    if page.lines.is_empty() && page.ended.is_none() {
        Pen::new(buf, list, 0).skip(1).put("nothing was written yet", ctx.style(Scope::Dim));
    }
    for (row, line) in (0..list.height).zip(page.lines.iter().skip(first)) {
        Pen::new(buf, list, row).skip(1).put(format::right_of(line, ctx.state.shift), ctx.style(Scope::Text));
    }
}
