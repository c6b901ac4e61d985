//! What Jenkins answers, as far as it is used, and each text made harmless where it comes in.
//!
//! The remote access API of Jenkins (`api/json`), and the plugin Pipeline: REST API (`wfapi`).

use crate::approval::text::{line, optional};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is asked of a build.
pub(super) const BUILD: &str = "number,building,url,result,timestamp,displayName";

/// `GET /job/X/api/json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Job {
    /// Newest first.
    pub builds: Vec<Build>,
}

/// One of them, and `GET /job/X/N/api/json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Build {
    pub number: u64,
    /// Its pipeline has not ended; one that waits for an input has not.
    pub building: bool,
    #[serde(deserialize_with = "line")]
    pub url: String,
    /// Once it has ended: `SUCCESS`, `UNSTABLE`, `FAILURE`, `NOT_BUILT`, `ABORTED`.
    #[serde(default, deserialize_with = "optional")]
    pub result: Option<String>,
    /// When it began.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub timestamp: Timestamp,
    /// `#42`, where nobody named it otherwise.
    #[serde(default, deserialize_with = "optional")]
    display_name: Option<String>,
}

/// One of `GET /job/X/N/wfapi/pendingInputActions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Input {
    #[serde(deserialize_with = "line")]
    pub id: String,
    #[serde(deserialize_with = "line")]
    pub message: String,
    /// What it asks for; not there: it is not told whether it asks for something.
    #[serde(default)]
    pub inputs: Option<Vec<Parameter>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parameter {
    #[serde(deserialize_with = "line")]
    pub name: String,
}

impl Build {
    pub fn name(&self) -> String {
        self.display_name.clone().unwrap_or_else(|| format!("#{}", self.number))
    }
}

/// The id of an input as it stands in addresses: with a large first letter.
pub(super) fn id(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}
