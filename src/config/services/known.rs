//! What the parts of a file know of each other and of the machine, and how each reads an optional value.

use crate::reader::{Table, Value};
use flightdeck_model::{CertificateFiles, ConfigName, InForce, RunAs, SecretRef, UnfitCertificate};
use jiff::SignedDuration;
use std::collections::BTreeSet;
use std::path::Path;

pub(super) const MILLISECOND: SignedDuration = SignedDuration::from_millis(1);
pub(super) const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// What a configuration comes into. `Default` knows of nothing.
#[derive(Default)]
pub struct Surroundings<'a> {
    /// What it is called where its text does not say.
    pub name: ConfigName,
    /// The machine that is to run it, which is asked about what the file refers to there. Only somebody who may
    /// apply is to get the answers: they tell of files that the server can see.
    pub machine: Option<&'a dyn Machine>,
    /// The configurations that are in force beside it.
    pub beside: &'a [InForce],
}

/// What only the machine that runs the services knows.
pub trait Machine {
    /// Can a secret be read there? Placeholders are filled in.
    ///
    /// # Errors
    /// Why not, as a sentence without the secret.
    fn secret(&self, reference: &SecretRef) -> Result<(), String>;

    /// Can a certificate and its key be used there now? Gives the DNS names that it is for.
    ///
    /// # Errors
    /// Which of the two files is wrong, and why.
    fn certificate(&self, files: &CertificateFiles) -> Result<Vec<String>, UnfitCertificate>;
    /// Can the server start something as that user?
    ///
    /// # Errors
    /// Why not, as a sentence.
    fn user(&self, run_as: &RunAs) -> Result<(), String>;

    /// Is there a person or a group of that name, whose yes could count?
    ///
    /// # Errors
    /// Why not, as a sentence.
    fn approver(&self, name: &str) -> Result<(), String>;
}

/// What the parts of a file need to know of each other.
pub(super) struct Known<'d> {
    pub(super) environments: BTreeSet<&'d str>,
    pub(super) services: BTreeSet<&'d str>,
    pub(super) analyses: BTreeSet<&'d str>,
    pub(super) folder: Option<&'d Path>,
    pub(super) machine: Option<&'d dyn Machine>,
    pub(super) beside: &'d [InForce],
}

/// Reads every entry, so that all problems are noted; `None` if one of them is wrong.
pub(super) fn each<'d, T>(
    section: Vec<(&'d str, Value<'d>)>,
    mut read: impl FnMut(&'d str, Value<'d>) -> Option<T>,
) -> Option<Vec<(String, T)>> {
    let all: Vec<_> = section
        .into_iter()
        .map(|(name, value)| {
            let named = is_name(name);
            if !named {
                value.wrong_key(&format!("expected {NAME}"), None);
            }
            read(name, value).filter(|_| named).map(|value| (name.to_owned(), value))
        })
        .collect();
    all.into_iter().collect()
}

/// What [`is_name`] asks for.
pub(crate) const NAME: &str =
    "a name of lower-case letters, digits, \"-\" and \"_\" that starts with a letter or digit, at most 63 characters";

/// Names become parts of paths, labels and `service@environment`.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63 && name.starts_with(plain) && name.chars().all(|c| plain(c) || matches!(c, '-' | '_'))
}

/// An optional value: `Some(default)` if it is absent, `None` (noted) if it is wrong.
pub(crate) fn or<'d, T>(
    table: &Table<'d>,
    key: &str,
    default: T,
    read: impl FnOnce(Value<'d>) -> Option<T>,
) -> Option<T> {
    table.get(key).map_or(Some(default), read)
}
