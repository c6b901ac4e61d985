//! Case by backend.

use super::{Case, Stop};
use crate::model::sanitize_line;
use serde::Serialize;
use std::fmt::Write as _;

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Outcome {
    /// As it must be.
    Passed,
    /// Not as it must be, and why.
    Failed(String),
    /// It can't apply, and why.
    NotApplicable(String),
}

impl From<Stop> for Outcome {
    fn from(stop: Stop) -> Outcome {
        match stop {
            Stop::NotApplicable(why) => Outcome::NotApplicable(sanitize_line(&why)),
            Stop::Failed(why) => Outcome::Failed(sanitize_line(&why)),
        }
    }
}

impl Outcome {
    /// The word in the table.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed(_) => "FAILED",
            Outcome::NotApplicable(_) => "n/a",
        }
    }

    /// Why, where it did not pass.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Outcome::Passed => None,
            Outcome::Failed(why) | Outcome::NotApplicable(why) => Some(why),
        }
    }
}

/// The results of one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    pub backend: String,
    /// Each case, in the order in which they were given.
    pub cells: Vec<(Case, Outcome)>,
}

impl Column {
    /// The cases that failed, each with why.
    pub fn failed(&self) -> impl Iterator<Item = (Case, &str)> {
        self.cells.iter().filter_map(|(case, outcome)| match outcome {
            Outcome::Failed(why) => Some((*case, why.as_str())),
            _ => None,
        })
    }
}

/// A table of all columns in Markdown; below it each cell that did not pass, with its reason.
#[must_use]
pub fn matrix(columns: &[Column]) -> String {
    let mut out = String::from("| case |");
    let mut line = String::from("|---|");
    for column in columns {
        let _ = write!(out, " {} |", column.backend); // writing to a String can't fail
        line.push_str("---|");
    }
    let _ = write!(out, "\n{line}\n"); // as above
    let cases = columns.first().map(|column| column.cells.iter().map(|(case, _)| *case)).into_iter().flatten();
    for case in cases {
        let _ = write!(out, "| {} |", case.words()); // as above
        for column in columns {
            let cell = column.cells.iter().find(|(of, _)| *of == case);
            let _ = write!(out, " {} |", cell.map_or("not run", |(_, outcome)| outcome.word())); // as above
        }
        out.push('\n');
    }
    for column in columns {
        for (case, outcome) in &column.cells {
            if let Some(why) = outcome.why() {
                let (backend, words, word) = (&column.backend, case.words(), outcome.word());
                let _ = write!(out, "\n{backend}, {words}: {word}: {why}"); // as above
            }
        }
    }
    out.push('\n');
    out
}
