//! Its table in the settings.

use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Inputs that builds of pipelines wait for on Jenkins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its address, with the path that it is served below if there is one.
    #[schemars(title = "url = \"https://jenkins.example\"")]
    pub url: String,
    /// The user whom the token belongs to. What is said goes out in this name.
    #[schemars(title = "user = \"flightdeck\"")]
    pub user: String,
    /// Where an API token of that user is kept: `file:PATH`, `env:NAME` or `command:PROGRAM ARGS`. A password is not
    /// enough.
    #[schemars(title = "token = \"file:/path/to/token\"")]
    pub token: String,
    /// Pipelines, each by its whole path: folders, the multibranch project and the branch, as Jenkins names them.
    #[schemars(title = "jobs = [\"shop/deploy\"]")]
    pub jobs: Vec<String>,
    /// The environment that a yes deploys to; Jenkins knows of none.
    #[schemars(title = "environment = \"production\"")]
    pub environment: String,
    /// Inputs that let through to another one, by the `id` that the pipeline gives them:
    /// `[{ id = "Staging", environment = "staging" }]`.
    #[serde(default)]
    pub inputs: Vec<InputEnvironment>,
    /// How often they are looked at; 5 s to 1 h.
    #[serde(default = "every", with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub every: Duration,
}

/// What one input lets through to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputEnvironment {
    /// As the pipeline gives it; Jenkins writes its first letter large.
    #[schemars(title = "id = \"Staging\"")]
    pub id: String,
    /// Where that deploys to.
    #[schemars(title = "environment = \"staging\"")]
    pub environment: String,
}

impl Settings {
    /// Of an input.
    pub(super) fn environment_of(&self, id: &str) -> &str {
        let named = self.inputs.iter().find(|input| super::wire::id(&input.id) == super::wire::id(id));
        named.map_or(&self.environment, |input| &input.environment)
    }
}

fn every() -> Duration {
    Duration::from_secs(15)
}
