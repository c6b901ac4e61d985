//! Facts and pins: what a person saw when they said yes.
//!
//! A pin is readable on purpose: its token carries the facts themselves, so that a refusal can name
//! each one that changed: `promote:revision=r-12,step=2,generation=31`.

use super::Action;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// One kind of fact about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The target's uid.
    Workload,
    /// The run's revision.
    Revision,
    /// The step index.
    Step,
    /// Counts every change of plan, pause, hold or step; never reused within a workload.
    Generation,
    /// Digest or template hash of the candidate.
    Candidate,
    /// Digest or template hash of stable.
    Stable,
    /// An approval's id.
    Approval,
    /// Digest of a configuration.
    Config,
    /// What the run stands still for: by whom or since when; a pause that ended and began anew is another.
    Pause,
    /// When its instances were replaced on request; with ` pending` behind it until all are. No pin binds it.
    Restart,
    /// Revisions within which the backend takes going back for a promotion in full. No pin binds it.
    Window,
    /// There while its controller has yet to take up the newest change: the generation of what it is told,
    /// as far as that is counted. Until then what its status says is about the time before. No pin binds it.
    Unobserved,
}

impl Fact {
    const ALL: [Fact; 12] = [
        Fact::Workload,
        Fact::Revision,
        Fact::Step,
        Fact::Generation,
        Fact::Candidate,
        Fact::Stable,
        Fact::Approval,
        Fact::Config,
        Fact::Pause,
        Fact::Restart,
        Fact::Window,
        Fact::Unobserved,
    ];

    /// The word used in tokens and refusals.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Fact::Workload => "workload",
            Fact::Revision => "revision",
            Fact::Step => "step",
            Fact::Generation => "generation",
            Fact::Candidate => "candidate",
            Fact::Stable => "stable",
            Fact::Approval => "approval",
            Fact::Config => "config",
            Fact::Pause => "pause",
            Fact::Restart => "restart",
            Fact::Window => "window",
            Fact::Unobserved => "unobserved",
        }
    }

    fn from_word(word: &str) -> Option<Fact> {
        Self::ALL.into_iter().find(|fact| fact.word() == word)
    }

    /// Does a pin for that action bind this fact? Raising exposure binds everything; reducing it
    /// binds only who is meant, so that a moving step never voids an abort.
    #[must_use]
    pub const fn counts_for(self, action: Action) -> bool {
        if matches!(self, Fact::Restart | Fact::Window | Fact::Unobserved) {
            return false;
        }
        match action.direction() {
            super::Direction::Raises | super::Direction::Neutral => true,
            super::Direction::Reduces => {
                matches!(self, Fact::Workload | Fact::Candidate | Fact::Approval)
                    || matches!((self, action), (Fact::Revision, Action::Rollback))
            }
        }
    }
}

/// What is true of a run now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(pub BTreeMap<Fact, String>);

impl Facts {
    /// Builder style: sets one fact.
    #[must_use]
    pub fn with(mut self, fact: Fact, value: impl Into<String>) -> Self {
        self.0.insert(fact, value.into());
        self
    }

    /// The pin for an action on what has these facts.
    #[must_use]
    pub fn pin(&self, action: Action) -> Pin {
        Pin {
            action,
            facts: self.0.iter().filter(|(fact, _)| fact.counts_for(action)).map(|(k, v)| (*k, v.clone())).collect(),
        }
    }
}

/// A fact that is no longer what the person saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactChange {
    pub fact: Fact,
    pub pinned: String,
    /// As it is; `None` if it no longer exists.
    pub current: Option<String>,
}

impl fmt::Display for FactChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {}, is {}", self.fact.word(), self.pinned, self.current.as_deref().unwrap_or("gone"))
    }
}

/// What a person saw, bound to the action they chose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pin {
    /// The only action that it is good for.
    pub action: Action,
    /// The facts that must still hold.
    pub facts: BTreeMap<Fact, String>,
}

impl Pin {
    /// The pinned facts that no longer hold; empty means that the pin is good.
    #[must_use]
    pub fn changes(&self, current: &Facts) -> Vec<FactChange> {
        self.facts
            .iter()
            .filter(|(fact, pinned)| current.0.get(fact) != Some(pinned))
            .map(|(fact, pinned)| FactChange {
                fact: *fact,
                pinned: pinned.clone(),
                current: current.0.get(fact).cloned(),
            })
            .collect()
    }

    /// Facts that a pin for this action must carry but this one lacks: a forged or truncated token.
    #[must_use]
    pub fn missing(&self, current: &Facts) -> Vec<Fact> {
        current
            .0
            .keys()
            .copied()
            .filter(|fact| fact.counts_for(self.action) && !self.facts.contains_key(fact))
            .collect()
    }
}

/// A token that is not a pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a pin: {0}; expected ACTION:fact=value,… as printed by `flightdeck get rollouts -o json`")]
pub struct PinError(String);

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '%' | ',' | '=' | ':' => {
                let _ = write!(out, "%{:02X}", u32::from(c)); // writing to a String can't fail
            }
            c => out.push(c),
        }
    }
    out
}

fn unescape(value: &str) -> String {
    value.replace("%3A", ":").replace("%3D", "=").replace("%2C", ",").replace("%25", "%")
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts: Vec<_> = self.facts.iter().map(|(k, v)| format!("{}={}", k.word(), escape(v))).collect();
        write!(f, "{}:{}", self.action.name(), facts.join(","))
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let (action, facts) = text.split_once(':').ok_or_else(|| PinError("no action before a colon".into()))?;
        let action = Action::from_name(action).ok_or_else(|| PinError(format!("unknown action {action:?}")))?;
        let facts = facts
            .split(',')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (fact, value) = pair.split_once('=').ok_or_else(|| PinError(format!("{pair:?} has no =")))?;
                let fact = Fact::from_word(fact).ok_or_else(|| PinError(format!("unknown fact {fact:?}")))?;
                Ok((fact, unescape(value)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Pin { action, facts })
    }
}

impl TryFrom<String> for Pin {
    type Error = PinError;
    fn try_from(text: String) -> Result<Self, PinError> {
        text.parse()
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> String {
        pin.to_string()
    }
}
