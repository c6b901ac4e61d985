//! The keys that every source of alerts has in `[sources.NAME]`.

use super::labels::Naming;
use crate::credentials::Credentials;
use crate::http::{self, Http};
use flightdeck_port::WrongSetting;
use jiff::SignedDuration;
use std::time::Duration;

/// More often than that a rule has nothing new to say.
const SHORTEST: SignedDuration = SignedDuration::from_secs(5);
/// Asked less often than that, what is shown is no help to whoever watches a rollout.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
const EVERY: SignedDuration = SignedDuration::from_secs(15);

/// Where it answers, and by which right it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    url: String,
    credentials: Credentials,
}

impl Access {
    /// Reads no secret.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn new(url: String, credentials: Credentials) -> Result<Access, WrongSetting> {
        http::url_of("url", &url)?;
        Ok(Access { credentials: credentials.checked(&url)?, url })
    }

    /// A client for its address, with its secrets as they are now.
    pub async fn client(&self) -> Result<Http, WrongSetting> {
        self.credentials.client(&self.url).await
    }

    /// Host and port, for people.
    pub fn host(&self) -> String {
        http::url_of("url", &self.url).map_or_else(|wrong| wrong.what, |url| http::host_of(&url))
    }
}

/// `15s`, `1m`.
pub(super) fn every(written: Option<&str>) -> Result<Duration, WrongSetting> {
    let span: SignedDuration = match written {
        None => EVERY,
        Some(text) => text
            .parse()
            .map_err(|_| WrongSetting::at("every", format!("expected a span such as \"15s\", found {text:?}")))?,
    };
    if !(SHORTEST..=LONGEST).contains(&span) {
        return Err(WrongSetting::at("every", format!("expected \"5s\" to \"5m\", found {span:#}")));
    }
    Duration::try_from(span).map_err(|error| WrongSetting::at("every", error.to_string()))
}

/// Which labels name what, as they are written.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    pub namespace: Option<String>,
    pub workload: Option<String>,
    pub service: Option<String>,
    pub environment: Option<String>,
    pub sources: Vec<String>,
}

impl Labels {
    /// The labels to look at: those that are written, else the usual ones.
    ///
    /// # Errors
    /// The first that can't be a label's name.
    pub fn naming(self) -> Result<Naming, WrongSetting> {
        let names = |key, written: Option<String>, usual: &[&str]| match written {
            Some(label) if !is_label(&label) => {
                Err(WrongSetting::at(key, format!("expected a label's name, found {label:?}")))
            }
            Some(label) => Ok(vec![label]),
            None => Ok(usual.iter().map(|label| (*label).to_owned()).collect()),
        };
        Ok(Naming {
            namespace: names("namespace_label", self.namespace, &["namespace"])?,
            workload: names(
                "workload_label",
                self.workload,
                &["workload", "rollout", "deployment", "statefulset", "daemonset"],
            )?,
            pod_set: vec!["replicaset".to_owned()],
            pod: vec!["pod".to_owned()],
            service: names("service_label", self.service, &["service", "app", "app_kubernetes_io_name"])?,
            environment: names("environment_label", self.environment, &["environment", "env"])?,
            sources: self.sources.into_iter().map(Into::into).collect(),
        })
    }
}

/// Can it be a label's name?
fn is_label(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
