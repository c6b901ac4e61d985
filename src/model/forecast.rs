//! What a command would do, and what its confirmation asks for.

use super::{Action, Direction, Pin, Refusal, RollbackPath, Subject};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// How much a confirmation asks of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Friction {
    /// Done at once.
    None,
    /// `y`.
    Yes,
    /// Type this text, which names the target and changes with it.
    Challenge(String),
    /// Type this text and give a reason.
    ChallengeAndReason(String),
}

impl Friction {
    /// Is this what the person must type? An arrow may be typed as `->`, since no key has it.
    #[must_use]
    pub fn accepts(&self, typed: &str) -> bool {
        let plain = |text: &str| text.replace('→', "->").split_whitespace().collect::<Vec<_>>().join(" ");
        match self {
            Friction::None | Friction::Yes => true,
            Friction::Challenge(text) | Friction::ChallengeAndReason(text) => plain(typed) == plain(text),
        }
    }
}

/// What governance says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Decision {
    /// Yes, after this much friction.
    Allow { friction: Friction },
    /// Not yet: these kinds of evidence are missing.
    Needs(Vec<String>),
    /// No.
    Refuse(Refusal),
}

/// What a yes does next, said beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Forecast {
    /// Sentences, most important first: route, capacity, gates ahead, way back.
    pub lines: Vec<String>,
    /// What to be warned of: stable too small to carry all traffic, a step that can't be undone.
    pub warnings: Vec<String>,
    /// The step that the run will be at, where that is known.
    pub step: Option<u32>,
    /// How long until it is effective, where that can be said.
    pub takes: Option<SignedDuration>,
    pub path: Option<RollbackPath>,
    /// Why what it was made from may be old, such as `stale for 41 s: connection refused`; `None`: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
}

impl Forecast {
    /// All that there is to be warned of in words, that it may be old included.
    pub fn all_warnings(&self) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
        let stale = self.stale.iter().map(|why| format!("what is shown may be old: {why}").into());
        self.warnings.iter().map(|warning| warning.as_str().into()).chain(stale)
    }

    /// Takes over what a backend says of its own way, and keeps the warnings that are known besides.
    pub fn take_over(&mut self, own: Forecast) {
        let (warnings, stale) = (std::mem::take(&mut self.warnings), self.stale.take());
        *self = Forecast { stale, ..own };
        // The general warning tells of hidden characters, whatever the backend says.
        self.warnings.extend(warnings.into_iter().filter(|warning| warning.starts_with("its name")));
    }
}

/// The answer to [`Query::Prepare`](super::Query::Prepare).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    pub action: Action,
    pub subject: Subject,
    /// May the caller, and how.
    pub decision: Decision,
    /// Which way it moves exposure here; a backend may say that an abort is none.
    pub direction: Direction,
    /// What a command must carry.
    pub pin: Option<Pin>,
    /// What would happen.
    pub forecast: Forecast,
}
