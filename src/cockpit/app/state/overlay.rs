//! What lies over a page, and the line that passes at the footer.

use crate::app::dialog::Dialog;
use crate::app::input::Input;
use jiff::Timestamp;

/// What lies over a page. It takes all keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    /// The keys of this page.
    Help {
        /// First line shown.
        top: usize,
    },
    /// `:`
    Palette(Palette),
    /// `/`: the page's filter, applied while typing.
    Filter {
        /// What is typed.
        input: Input,
        /// What Esc brings back.
        before: String,
    },
    /// A confirmation.
    Dialog(Box<Dialog>),
}

/// The palette.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Palette {
    /// What is typed.
    pub input: Input,
    /// What it could become, best first.
    pub completions: Vec<Completion>,
    /// Which of them Enter takes; `None`: the text as typed.
    pub selected: Option<usize>,
    /// Where in the history, counted from the newest; `None`: not in it.
    pub recalled: Option<usize>,
}

/// A line that the palette offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The whole text.
    pub text: String,
    /// One sentence, or why it can't be done now.
    pub help: String,
    /// Could it be done now?
    pub available: bool,
}

/// How a notice is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// For information.
    Plain,
    /// Seen to have worked.
    Good,
    /// Look at it.
    Warn,
    /// It did not work.
    Bad,
}

/// One line that passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    /// How it is meant; the view adds a glyph.
    pub tone: Tone,
    /// When it goes by itself; the next key takes it away as well.
    pub until: Timestamp,
}
