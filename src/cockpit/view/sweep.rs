//! The last look at a finished frame: nothing that a terminal would obey or hide leaves it. Text is
//! made harmless where it comes in; this catches what slipped past.

use flightdeck_model::{has_hidden, sanitize_line};
use ratatui::buffer::Buffer;
use unicode_width::UnicodeWidthStr as _;

/// What stands for a cell whose text would take another width without what was hidden in it.
const PLACEHOLDER: &str = "\u{fffd}";

/// Replaces hidden characters in every cell.
pub(super) fn sweep(buf: &mut Buffer) {
    for cell in &mut buf.content {
        let symbol = cell.symbol();
        // Nearly every cell is one printable character.
        if matches!(symbol.as_bytes(), [b' '..=b'~']) || (symbol.chars().nth(1).is_none() && !has_hidden(symbol)) {
            continue;
        }
        // The terminal would move all that follows in the row where a cell became wider than it was.
        let clean = sanitize_line(symbol);
        let fits = clean.width() == symbol.width().max(1);
        cell.set_symbol(if fits { &clean } else { PLACEHOLDER });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    #[test]
    fn hidden_characters_become_visible() {
        let mut buf = Buffer::empty(Rect::new(0, 0, 4, 1));
        for (x, symbol) in ["\u{1b}[2J", "a\u{202e}", "✓", "\u{200b}"].iter().enumerate() {
            buf[(u16::try_from(x).unwrap(), 0)].set_symbol(symbol);
        }
        sweep(&mut buf);
        let shown: Vec<_> = buf.content.iter().map(|cell| cell.symbol().to_owned()).collect();
        assert_eq!(shown, ["\u{fffd}[2J", "\u{fffd}", "✓", "\u{fffd}"], "and no cell became wider");
    }
}
