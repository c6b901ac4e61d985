//! Its table in the settings.

use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Waiting deployments of projects on GitLab.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the REST API; of a GitLab of one's own `https://HOST/api/v4`.
    #[serde(default = "api")]
    pub url: String,
    /// Where the token is kept: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`. What is said goes out in the name
    /// of its owner.
    #[schemars(title = "token = \"file:/path/to/token\"")]
    pub token: String,
    /// Projects, each by its whole path: `GROUP/PROJECT`.
    #[schemars(title = "projects = [\"acme/shop\"]")]
    pub projects: Vec<String>,
    /// How often they are looked at; 5 s to 1 h.
    #[serde(default = "every", with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub every: Duration,
    /// Only these environments; all without any.
    #[serde(default)]
    pub environments: Vec<String>,
}

fn api() -> String {
    "https://gitlab.com/api/v4".to_owned()
}

fn every() -> Duration {
    Duration::from_secs(15)
}
