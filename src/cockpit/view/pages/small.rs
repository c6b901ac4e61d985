//! What is shown when nothing else fits.

use crate::app::state::{MIN_COLUMNS, MIN_ROWS};
use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Says that the terminal is too small, in words that fit.
pub(in crate::view) fn draw(ctx: &Ctx<'_>, area: Rect, buf: &mut Buffer) {
    let lines =
        ["too small".to_owned(), format!("{}×{}, needs", area.width, area.height), format!("{MIN_COLUMNS}×{MIN_ROWS}")];
    let top = area.height.saturating_sub(3) / 2;
    for (row, line) in (0..).zip(&lines) {
        let text = crate::view::format::width(line);
        let scope = if row == 0 { Scope::ToneWarn } else { Scope::Dim };
        let mut pen = Pen::new(buf, area, top + row);
        pen.skip(area.width.saturating_sub(text) / 2).put(line, ctx.style(scope));
    }
}
