//! The modes of the terminal that the cockpit draws on, and how they are given back.

use super::screen::Screen;
use ratatui::Terminal;
use ratatui::layout::Size;
use std::io::{self, IsTerminal as _, Stdout, Write as _};

/// Everything that [`Tty::enter`] may have switched on, switched off again. Harmless where it was
/// not on. Leaving the alternate screen comes last, so that the rest is not seen.
pub(super) const LEAVE: &str =
    "\x1b[?2026l\x1b[?1006l\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?2004l\x1b[m\x1b[?25h\x1b[?1049l";
/// Alternate screen, bracketed paste.
const ENTER: &str = "\x1b[?1049h\x1b[?2004h\x1b[2J";
/// Buttons and wheel with SGR coordinates; motion is not asked for: it would be a flood.
const MOUSE: &str = "\x1b[?1000h\x1b[?1006h";

/// The terminal in the cockpit's modes. Dropping it gives the terminal back.
pub(super) struct Tty {
    pub(super) screen: Terminal<Screen<Stdout>>,
    mouse: bool,
    entered: bool,
}

impl Tty {
    /// Takes over the terminal on standard input and output.
    pub(super) fn enter(mouse: bool) -> io::Result<Tty> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "standard input and output must be a terminal"));
        }
        let screen = Terminal::new(Screen::new(io::stdout(), size()?))?;
        let mut tty = Tty { screen, mouse, entered: false };
        tty.resume()?;
        Ok(tty)
    }

    /// Into the cockpit's modes; everything will be drawn again. The order matters to the guardian:
    /// raw mode is first on and last off, so it tells whether anything has to be put right.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        crossterm::terminal::enable_raw_mode()?;
        self.entered = true;
        let backend = self.screen.backend_mut();
        backend.send(ENTER.as_bytes())?;
        if self.mouse {
            backend.send(MOUSE.as_bytes())?;
        }
        backend.forget();
        let size = size()?;
        self.resize(size)
    }

    /// The window changed. Clears, so that the next frame is written whole.
    pub(super) fn resize(&mut self, size: Size) -> io::Result<()> {
        self.screen.backend_mut().resize(size);
        self.screen.resize(ratatui::layout::Rect::new(0, 0, size.width, size.height))
    }

    /// Gives the terminal back; [`Tty::resume`] takes it again.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.entered) {
            return Ok(());
        }
        let left = self.screen.backend_mut().send(LEAVE.as_bytes());
        crossterm::terminal::disable_raw_mode()?;
        left
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // Nobody is left to tell when even this fails; the guardian looks at the terminal anyway.
        let _ = self.leave();
    }
}

/// Size of the terminal in cells.
pub(super) fn size() -> io::Result<Size> {
    let (width, height) = crossterm::terminal::size()?;
    Ok(Size { width, height })
}

/// Gives the terminal back from wherever a panic happens, without knowing the [`Tty`].
pub(super) fn leave_in_panic() {
    let mut out = io::stdout();
    // The panic itself is what has to be told; a terminal that is gone can't be put right.
    let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    let _ = crossterm::terminal::disable_raw_mode();
}
