//! What is wrong with a file, said so that a person can mend it.

use flightdeck_model::sanitize_line;
use std::fmt;
use std::path::Path;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file as the person named it, or where else the value came from.
    pub file: String,
    /// Line and column, both from 1; `None` where the value has no place in a file.
    pub place: Option<(usize, usize)>,
    /// Path of the key, such as `service.checkout.health.path`; empty for the file as a whole.
    pub key: String,
    /// What was expected and what was found.
    pub what: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean {suggestion}?"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong, in the order of the file. One line each; harmless for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// One problem that has no place in a file.
    pub(super) fn of_file(file: &Path, what: &str) -> ConfigError {
        let (file, what) = (sanitize_line(&file.display().to_string()), sanitize_line(what));
        ConfigError { problems: vec![Problem { file, place: None, key: String::new(), what, suggestion: None }] }
    }
}

/// Longest word, in bytes, that is compared with others: comparing takes the product of two lengths.
const COMPARED: usize = 100;

/// The known word that looks most like an unknown one, if one does.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .filter(|candidate| word.len().max(candidate.len()) <= COMPARED)
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
