//! How keys came.

use crate::app::Key;
use jiff::Timestamp;

/// How the last keys came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typing {
    /// When the last one came.
    pub(crate) last: Option<Timestamp>,
    /// A key that sends a command or ends the program, until it is clear that nothing follows it at once.
    pub(crate) withheld: Option<(Key, Timestamp)>,
}

impl Typing {
    /// When the key that is withheld counts.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.withheld.as_ref().map(|(_, due)| *due)
    }
}
