//! Writes one row of the screen from left to right.

use crate::view::format::{clip, width};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A place on a row. Nothing is ever written past the row's end; what is cut ends in `…`.
pub(in crate::view) struct Pen<'b> {
    pub(in crate::view) buf: &'b mut Buffer,
    x: u16,
    y: u16,
    end: u16,
}

impl<'b> Pen<'b> {
    /// At the start of a row of an area; rows below it take nothing.
    pub(in crate::view) fn new(buf: &'b mut Buffer, area: Rect, row: u16) -> Pen<'b> {
        let inside = row < area.height && area.y + row < buf.area.bottom();
        let end = if inside { area.right().min(buf.area.right()) } else { area.x };
        let y = if inside { area.y + row } else { buf.area.y };
        Pen { buf, x: area.x, y, end }
    }

    /// Columns that are left.
    pub(in crate::view) const fn left(&self) -> u16 {
        self.end.saturating_sub(self.x)
    }

    /// Where it is.
    pub(in crate::view) const fn x(&self) -> u16 {
        self.x
    }

    /// Leaves columns as they are.
    pub(in crate::view) fn skip(&mut self, columns: u16) -> &mut Self {
        self.x = self.x.saturating_add(columns).min(self.end);
        self
    }

    /// Writes a text.
    pub(in crate::view) fn put(&mut self, text: &str, style: Style) -> &mut Self {
        let left = self.left();
        if left == 0 || text.is_empty() {
            return self;
        }
        let text = clip(text, left);
        self.buf.set_stringn(self.x, self.y, &text, usize::from(left), style);
        self.skip(width(&text))
    }

    /// Writes a text into so many columns, at their left.
    pub(in crate::view) fn cell(&mut self, text: &str, columns: u16, style: Style) -> &mut Self {
        let columns = columns.min(self.left());
        let text = clip(text, columns);
        let rest = columns.saturating_sub(width(&text));
        self.put(&text, style).skip(rest)
    }

    /// Writes a text into so many columns, at their right.
    pub(in crate::view) fn right(&mut self, text: &str, columns: u16, style: Style) -> &mut Self {
        let columns = columns.min(self.left());
        let text = clip(text, columns);
        let rest = columns.saturating_sub(width(&text));
        self.skip(rest).put(&text, style)
    }

    /// Writes a text at the row's end, and ends the row before it.
    pub(in crate::view) fn tail(&mut self, text: &str, style: Style) -> &mut Self {
        let text = clip(text, self.left());
        let start = self.end.saturating_sub(width(&text));
        self.buf.set_stringn(start, self.y, &text, usize::from(self.end - start), style);
        self.end = start;
        self
    }
}
