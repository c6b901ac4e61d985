//! A kind of system that the settings can name: what it is called, which keys it has, how it is made.

use crate::{Executor, Probe, Sink};
use async_trait::async_trait;
use flightdeck_model::SourceId;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The keys of one table of the settings, but for those that every table has.
pub type RawSettings = Map<String, Value>;

/// In which table of `config.toml` systems of a kind stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `[sources.NAME]`: it is looked at.
    Sources,
    /// `[notify.NAME]`: it is told.
    Notify,
}

/// What is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongSetting {
    /// At which key; without one in the table as a whole.
    pub key: Option<&'static str>,
    /// What was expected and what was found. Never a secret.
    pub what: String,
}

impl WrongSetting {
    /// At a key.
    #[must_use]
    pub fn at(key: &'static str, what: impl Into<String>) -> WrongSetting {
        WrongSetting { key: Some(key), what: what.into() }
    }
}

/// One table of the settings, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The name of its table.
    pub name: SourceId,
    /// Nothing may be changed through it.
    pub read_only: bool,
    /// Commands come from other people than whose account it has: a server opens it.
    pub for_others: bool,
    /// Its own keys.
    pub settings: RawSettings,
}

/// A system that was made; nothing is connected yet.
#[derive(Clone)]
pub enum System {
    /// Shows rows and carries out commands.
    Executor(Arc<dyn Executor>),
    /// Has numbers of rows.
    Probe(Arc<dyn Probe>),
    /// Is told what happened.
    Sink(Arc<dyn Sink>),
}

/// What a look at a system found, for `flightdeck doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// As it should be.
    Good(String),
    /// It works in part, or it is not known whether it does.
    Doubtful {
        /// What was found.
        what: String,
        /// What to do.
        todo: String,
    },
    /// It does not work.
    Bad {
        /// What was found.
        what: String,
        /// What to do.
        todo: String,
    },
}

/// A kind of system. There is one of each in the registry of the integrations.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The word of `kind` in the settings.
    fn kind(&self) -> &'static str;
    /// What it is, in one line for people.
    fn about(&self) -> &'static str;
    /// Where its tables stand.
    fn section(&self) -> Section;
    /// The key that tells this kind from its section's others where `kind` is left out.
    fn implied_by(&self) -> Option<&'static str> {
        None
    }
    /// Can it send a command in the name of the person that asks for it? What a server opens and can't is only looked at.
    fn acts_as_people(&self) -> bool {
        false
    }
    /// It has no rows of its own but numbers of others', so it is looked at with whichever source is.
    fn measures_others(&self) -> bool {
        false
    }
    /// It has no rollouts of its own but alerts that concern others', so it is looked at with whichever source is.
    fn tells_alerts(&self) -> bool {
        false
    }
    /// Its keys with their types and what they mean; [`schema_of`] makes it of a struct.
    fn schema(&self) -> Schema;
    /// What is wrong with settings whose types are right. Looks at nothing but them.
    fn check(&self, settings: &RawSettings) -> Result<(), WrongSetting>;
    /// What it looks at, in words.
    fn describe(&self, settings: &RawSettings) -> String;
    /// Makes it. Reads secrets, connects nothing.
    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting>;
    /// Does it answer, to whom, and what may they not do there? Within a time limit of its own.
    async fn doctor(&self, configured: &Configured) -> Checked;
}

/// The schema of a struct of settings.
#[must_use]
pub fn schema_of<T: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}

/// Settings as their struct. Their types were checked before, with the place of each key.
///
/// # Errors
/// They do not fit all the same.
pub fn typed<T: DeserializeOwned>(settings: &RawSettings) -> Result<T, WrongSetting> {
    serde_json::from_value(Value::Object(settings.clone()))
        .map_err(|error| WrongSetting { key: None, what: error.to_string() })
}
