//! Writes finished frames to the terminal: only the cells that changed, in one piece, and nothing
//! at all when none did.
//!
//! ratatui's own backend ends every frame with resets and a cursor command, 25 bytes even when
//! nothing changed, and it does not bracket a frame. This one keeps the terminal's cursor and style
//! in mind from frame to frame and wraps each frame that has bytes in a synchronized update
//! (DEC private mode 2026), so that the terminal never shows half of it.

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};
use std::io::{self, Write};

const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// The look that the terminal gives to the next character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

const PLAIN: Look = Look { fg: Color::Reset, bg: Color::Reset, modifier: Modifier::empty() };

/// A ratatui backend over any writer.
#[derive(Debug)]
pub struct Screen<W: Write> {
    out: W,
    size: Size,
    /// Bytes of the frame that is being built.
    frame: Vec<u8>,
    /// Where the terminal's cursor is, if that is known.
    at: Option<Position>,
    look: Look,
    /// Is the cursor visible? `None`: not known.
    shown: Option<bool>,
}

impl<W: Write> Screen<W> {
    /// A screen of that size; the terminal's state is unknown until the first frame.
    pub fn new(out: W, size: Size) -> Screen<W> {
        Screen { out, size, frame: Vec::with_capacity(16 * 1024), at: None, look: PLAIN, shown: None }
    }

    /// The terminal has this size now.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
        self.at = None;
    }

    /// Somebody else wrote to the terminal: nothing is known of cursor and style any more.
    pub fn forget(&mut self) {
        self.at = None;
        self.shown = None;
        self.look = PLAIN;
        self.frame.extend_from_slice(b"\x1b[m");
    }

    /// Sends bytes that are no part of a frame, such as a bell.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    fn move_to(&mut self, to: Position) {
        match self.at {
            Some(at) if at == to => {}
            Some(at) if at.y == to.y && to.x > at.x => self.push(format_args!("\x1b[{}C", to.x - at.x)),
            Some(at) if to.x == 0 && to.y == at.y + 1 => self.frame.extend_from_slice(b"\r\n"),
            _ => self.push(format_args!("\x1b[{};{}H", to.y + 1, to.x + 1)),
        }
        self.at = Some(to);
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a vector can't fail.
        let _ = self.frame.write_fmt(text);
    }

    fn wear(&mut self, look: Look) {
        if look == self.look {
            return;
        }
        let mut codes: Vec<String> = Vec::new();
        let mut from = self.look;
        // Taking a modifier away is done by starting anew: bold and dim share their "off" code.
        if !look.modifier.contains(from.modifier) || look == PLAIN {
            codes.push(String::new());
            from = PLAIN;
        }
        for (flag, code) in MODIFIERS {
            if look.modifier.contains(flag) && !from.modifier.contains(flag) {
                codes.push(code.to_owned());
            }
        }
        if look.fg != from.fg {
            codes.push(color(look.fg, 30));
        }
        if look.bg != from.bg {
            codes.push(color(look.bg, 40));
        }
        self.push(format_args!("\x1b[{}m", codes.join(";")));
        self.look = look;
    }
}

const MODIFIERS: [(Modifier, &str); 8] = [
    (Modifier::BOLD, "1"),
    (Modifier::DIM, "2"),
    (Modifier::ITALIC, "3"),
    (Modifier::UNDERLINED, "4"),
    (Modifier::SLOW_BLINK, "5"),
    (Modifier::REVERSED, "7"),
    (Modifier::HIDDEN, "8"),
    (Modifier::CROSSED_OUT, "9"),
];

/// The SGR code of a colour; `base` is 30 for the foreground, 40 for the background (ECMA-48 8.3.117).
fn color(color: Color, base: u8) -> String {
    let indexed = |index: u8| match index {
        0..=7 => (base + index).to_string(),
        8..=15 => (base + 52 + index).to_string(),
        _ => format!("{};5;{index}", base + 8),
    };
    match color {
        Color::Reset => (base + 9).to_string(),
        Color::Black => indexed(0),
        Color::Red => indexed(1),
        Color::Green => indexed(2),
        Color::Yellow => indexed(3),
        Color::Blue => indexed(4),
        Color::Magenta => indexed(5),
        Color::Cyan => indexed(6),
        Color::Gray => indexed(7),
        Color::DarkGray => indexed(8),
        Color::LightRed => indexed(9),
        Color::LightGreen => indexed(10),
        Color::LightYellow => indexed(11),
        Color::LightBlue => indexed(12),
        Color::LightMagenta => indexed(13),
        Color::LightCyan => indexed(14),
        Color::White => indexed(15),
        Color::Indexed(index) => indexed(index),
        Color::Rgb(r, g, b) => format!("{};2;{r};{g};{b}", base + 8),
    }
}

impl<W: Write> Backend for Screen<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        for (x, y, cell) in content {
            self.move_to(Position { x, y });
            self.wear(Look { fg: cell.fg, bg: cell.bg, modifier: cell.modifier });
            let symbol = cell.symbol();
            self.frame.extend_from_slice(symbol.as_bytes());
            let width = u16::try_from(unicode_width::UnicodeWidthStr::width(symbol)).unwrap_or(1).max(1);
            // In the last column a terminal keeps the cursor in a pending-wrap state, and terminals
            // do not agree on the width of everything that is not ASCII.
            let after = x.saturating_add(width);
            self.at = (after < self.size.width && trusted(symbol)).then_some(Position { x: after, y });
        }
        Ok(())
    }

    fn append_lines(&mut self, _lines: u16) -> io::Result<()> {
        Ok(()) // only inline viewports need it
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        if self.shown != Some(false) {
            self.frame.extend_from_slice(b"\x1b[?25l");
            self.shown = Some(false);
        }
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        if self.shown != Some(true) {
            self.frame.extend_from_slice(b"\x1b[?25h");
            self.shown = Some(true);
        }
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.at.unwrap_or_default())
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.move_to(position.into());
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, clear_type: ClearType) -> io::Result<()> {
        self.wear(PLAIN);
        self.frame.extend_from_slice(match clear_type {
            ClearType::All => b"\x1b[2J",
            ClearType::AfterCursor => b"\x1b[0J",
            ClearType::BeforeCursor => b"\x1b[1J",
            ClearType::CurrentLine => b"\x1b[2K",
            ClearType::UntilNewLine => b"\x1b[0K",
        });
        Ok(())
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(BEGIN.len() + self.frame.len() + END.len());
        bytes.extend_from_slice(BEGIN);
        bytes.append(&mut self.frame);
        bytes.extend_from_slice(END);
        self.send(&bytes)
    }
}

/// Do all terminals agree how far this symbol moves the cursor?
fn trusted(symbol: &str) -> bool {
    symbol.chars().all(|c| c.is_ascii() || matches!(c, '─'..='╿' | '▀'..='▟' | '·' | '…'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::text::Line;
    use std::num::NonZero;

    fn terminal() -> Terminal<Screen<Vec<u8>>> {
        Terminal::new(Screen::new(Vec::new(), Size::new(20, 3))).unwrap()
    }

    fn draw(terminal: &mut Terminal<Screen<Vec<u8>>>, text: &str) -> String {
        terminal.draw(|frame| frame.render_widget(Line::from(text), frame.area())).unwrap();
        String::from_utf8(std::mem::take(&mut terminal.backend_mut().out)).unwrap()
    }

    #[test]
    fn an_unchanged_frame_writes_nothing_and_a_changed_cell_little() {
        let mut terminal = terminal();
        let first = draw(&mut terminal, "step 2 of 6");
        assert!(first.starts_with("\x1b[?2026h") && first.ends_with("\x1b[?2026l"), "{first:?}");
        assert_eq!(draw(&mut terminal, "step 2 of 6"), "");
        assert_eq!(draw(&mut terminal, "step 3 of 6"), "\x1b[?2026h\x1b[1;6H3\x1b[?2026l");
    }

    #[test]
    fn the_screen_that_a_terminal_shows_is_the_buffer() {
        use ratatui::style::{Style, Stylize as _};
        let mut terminal = Terminal::new(Screen::new(Vec::new(), Size::new(24, 4))).unwrap();
        let mut parser = vt100::Parser::new(NonZero::new(4).unwrap(), NonZero::new(24).unwrap(), 0);
        let lines = [
            vec!["checkout".bold().red(), " 漢字 ✓ ".into(), "1.9.0".dim()],
            vec!["██░░ 25 %".green().on_blue(), "│ ".into(), "paused".italic()],
            vec!["full width, last column!".underlined()],
        ];
        for turn in 0..6 {
            let mut expected = Vec::new();
            terminal
                .draw(|frame| {
                    for row in 0..4_u16 {
                        let line = Line::from(lines[(turn + usize::from(row)) % 3].clone()).style(Style::default());
                        frame.render_widget(line, ratatui::layout::Rect::new(row % 2, row, 24 - row % 2, 1));
                    }
                    expected = (0..4).map(|y| row_text(frame.buffer_mut(), y)).collect();
                })
                .unwrap();
            parser.process(&std::mem::take(&mut terminal.backend_mut().out));
            let shown: Vec<_> = parser.screen().rows(0, 24).map(|row| row.trim_end().to_owned()).collect();
            assert_eq!(shown, expected, "turn {turn}");
        }
        let bold = parser.screen().cell(1, 1).unwrap();
        assert!(bold.bold() && bold.fgcolor() == vt100::Color::Idx(1), "{bold:?}");
    }

    fn row_text(buffer: &ratatui::buffer::Buffer, y: u16) -> String {
        let mut text = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            text.push_str(symbol);
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol)).unwrap().max(1);
        }
        text.trim_end().to_owned()
    }
}
