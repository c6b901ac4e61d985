//! Lines around things. Panels of a page share their lines, so that a row of the screen is not
//! spent twice.

use super::pen::Pen;
use crate::view::{Scope, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Which line of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::view) enum Edge {
    Top,
    Between,
    Bottom,
}

/// What stands in a line: at its left the panel's name, at its right how it is shown.
#[derive(Debug, Clone, Default)]
pub(in crate::view) struct Title {
    pub(in crate::view) left: String,
    pub(in crate::view) right: String,
    /// Does the panel below take the keys?
    pub(in crate::view) focus: bool,
}

/// A horizontal line over the whole width of `area`'s row `y`.
pub(in crate::view) fn edge(buf: &mut Buffer, area: Rect, y: u16, edge: Edge, title: &Title, theme: &Theme) {
    if y >= buf.area.bottom() || area.width < 2 {
        return;
    }
    let (start, end) = match edge {
        Edge::Top => ("┌", "┐"),
        Edge::Between => ("├", "┤"),
        Edge::Bottom => ("└", "┘"),
    };
    let (line, name) = if title.focus {
        (theme.style(Scope::BorderFocus), theme.style(Scope::TitleFocus))
    } else {
        (theme.style(Scope::Border), theme.style(Scope::Title))
    };
    let row = Rect { y, height: 1, ..area };
    let inner = usize::from(area.width.saturating_sub(2));
    Pen::new(buf, row, 0).put(&format!("{start}{}{end}", "─".repeat(inner)), line);
    let inner = Rect { x: area.x + 2, width: area.width.saturating_sub(4), ..row };
    let mut pen = Pen::new(buf, inner, 0);
    if !title.left.is_empty() {
        pen.put(&format!(" {} ", title.left), name);
    }
    if !title.right.is_empty() && pen.left() > crate::view::format::width(&title.right) + 3 {
        pen.tail(&format!(" {} ", title.right), theme.style(Scope::Title));
    }
}

/// The lines at both sides of an area whose rows lie inside a frame.
pub(in crate::view) fn sides(buf: &mut Buffer, frame: Rect, theme: &Theme) {
    let style = theme.style(Scope::Border);
    for y in frame.y..frame.bottom().min(buf.area.bottom()) {
        for x in [frame.x, frame.right().saturating_sub(1)] {
            if x < buf.area.right() {
                buf.set_string(x, y, "│", style);
            }
        }
    }
}

/// A frame of its own over whatever lies there, with a name; gives what is inside.
pub(in crate::view) fn window(buf: &mut Buffer, area: Rect, title: &Title, scope: Scope, theme: &Theme) -> Rect {
    use ratatui::widgets::{Block, BorderType, Clear, Widget as _};
    // One column of air around it: what lies below does not run into it.
    let left = area.x.saturating_sub(1).max(buf.area.x);
    let right = (area.right() + 1).min(buf.area.right());
    Clear.render(Rect { x: left, width: right - left, ..area }, buf);
    let style = theme.style(scope);
    let mut block = Block::bordered().border_type(BorderType::Rounded).border_style(style);
    if !title.left.is_empty() {
        block = block.title_top(ratatui::text::Line::styled(format!(" {} ", title.left), style));
    }
    if !title.right.is_empty() {
        let right = ratatui::text::Line::styled(format!(" {} ", title.right), theme.style(Scope::Dim));
        block = block.title_bottom(right.right_aligned());
    }
    let inner = block.inner(area);
    block.render(area, buf);
    // One column of air at both sides.
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

/// A rectangle in the middle of another, no larger than it.
pub(in crate::view) fn centered(area: Rect, columns: u16, rows: u16) -> Rect {
    let (width, height) = (columns.min(area.width), rows.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}
