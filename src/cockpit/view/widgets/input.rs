//! A line of text that is being typed.

use super::pen::Pen;
use crate::app::input::Input;
use crate::view::format::width;
use crate::view::{Scope, Theme};
use ratatui::style::Modifier;

/// Draws it with a cursor of our own: the terminal's stays hidden, so that nothing blinks. Long
/// text scrolls so that the cursor is in sight.
pub(in crate::view) fn draw(pen: &mut Pen<'_>, input: &Input, columns: u16, focus: bool, theme: &Theme) {
    let columns = columns.min(pen.left());
    let style = theme.style(Scope::Input);
    let (before, after) = input.text.split_at_checked(input.cursor).unwrap_or((&input.text, ""));
    let room = columns.saturating_sub(1);
    let mut start = 0;
    while width(before.get(start..).unwrap_or("")) > room {
        start += before.get(start..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
    }
    let from = pen.x();
    pen.put(before.get(start..).unwrap_or(""), style);
    let mut rest = after.chars();
    if focus {
        let under = rest.next().map_or_else(|| " ".to_owned(), String::from);
        pen.put(&under, style.add_modifier(Modifier::REVERSED));
    }
    let left = columns.saturating_sub(pen.x() - from);
    pen.cell(rest.as_str(), left, style);
}
