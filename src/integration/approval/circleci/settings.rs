//! Its table in the settings.

use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Approval jobs that workflows of projects wait for on CircleCI.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the API; of a CircleCI server `https://HOST/api/v2`.
    #[serde(default = "api")]
    pub url: String,
    /// Where a personal token is kept: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`. What is said goes out in the
    /// name of its owner.
    #[schemars(title = "token = \"file:/path/to/token\"")]
    pub token: String,
    /// Projects, each by its slug, as it stands in the project's settings: `gh/ORG/REPO`, `circleci/ORG/PROJECT`.
    #[schemars(title = "projects = [\"gh/acme/shop\"]")]
    pub projects: Vec<String>,
    /// Only pipelines of these branches; all without any.
    #[serde(default)]
    pub branches: Vec<String>,
    /// The environment that a yes deploys to; CircleCI does not tell.
    #[schemars(title = "environment = \"production\"")]
    pub environment: String,
    /// Approval jobs that let through to another one, by their name: `[{ name = "hold-qa", environment = "staging" }]`.
    #[serde(default)]
    pub approvals: Vec<ApprovalEnvironment>,
    /// How often they are looked at; 5 s to 1 h. A look asks for each of the newest pipelines.
    #[serde(default = "every", with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub every: Duration,
}

/// What one approval job lets through to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalEnvironment {
    /// As the workflow names it.
    #[schemars(title = "name = \"hold-qa\"")]
    pub name: String,
    /// Where that deploys to.
    #[schemars(title = "environment = \"staging\"")]
    pub environment: String,
}

impl Settings {
    /// Of an approval job.
    pub(super) fn environment_of(&self, name: &str) -> &str {
        let named = self.approvals.iter().find(|approval| approval.name == name);
        named.map_or(&self.environment, |approval| &approval.environment)
    }
}

fn api() -> String {
    "https://circleci.com/api/v2".to_owned()
}

fn every() -> Duration {
    Duration::from_mins(1)
}
