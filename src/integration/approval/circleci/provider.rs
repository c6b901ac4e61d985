//! The kind `circleci` in the registry of systems.

use super::settings::Settings;
use super::{Holds, client, waiting_approvals};
use crate::approval::provider::{Places, check_every, is_name, looked, wrong};
use crate::secret;
use async_trait::async_trait;
use flightdeck_port::{Checked, Configured, Provider, RawSettings, Section, System, WrongSetting, schema_of, typed};
use schemars::Schema;
use std::sync::Arc;

/// The kind `circleci`.
#[derive(Debug)]
pub struct CircleCi;

/// A host, an organisation and a project. What stands in it is the host's affair.
fn is_project(text: &str) -> bool {
    text.split('/').count() == 3 && text.split('/').all(is_name)
}

fn checked(settings: &Settings) -> Result<(), WrongSetting> {
    let places = Places {
        key: "projects",
        names: &settings.projects,
        what: "a project",
        form: "HOST/ORG/PROJECT",
        example: "gh/acme/shop",
        is_one: is_project,
    };
    places.check()?;
    secret::check("token", &settings.token)?;
    check_every(settings.every)
}

#[async_trait]
impl Provider for CircleCi {
    fn kind(&self) -> &'static str {
        "circleci"
    }

    fn about(&self) -> &'static str {
        "approval jobs that workflows of CircleCI wait for"
    }

    fn section(&self) -> Section {
        Section::Sources
    }

    fn schema(&self) -> Schema {
        schema_of::<Settings>()
    }

    fn check(&self, settings: &RawSettings) -> Result<(), WrongSetting> {
        let settings: Settings = typed(settings)?;
        checked(&settings)?;
        // Whether the address is one shows when a client is made of it.
        client(&settings.url, "token").map(drop)
    }

    fn describe(&self, settings: &RawSettings) -> String {
        let Ok(Settings { url, projects, .. }) = typed(settings) else { return self.about().to_owned() };
        format!("approval jobs of {} at {url}", projects.join(", "))
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let settings: Settings = typed(&configured.settings)?;
        checked(&settings)?;
        let token = secret::read("token", &settings.token).await?;
        let source = waiting_approvals(configured.name.clone(), configured.read_only, settings, &token)?;
        Ok(System::Executor(Arc::new(source)))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        let settings: Settings = match typed(&configured.settings) {
            Ok(settings) => settings,
            Err(error) => return wrong(configured, error),
        };
        let token = secret::read("token", &settings.token).await;
        match token.and_then(|token| client(&settings.url, &token)) {
            Ok(client) => {
                let url = settings.url.clone();
                looked(&Holds { settings, client }, &url).await
            }
            Err(error) => wrong(configured, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(more: serde_json::Value) -> RawSettings {
        let mut all = json!({
            "token": "env:CIRCLECI_TOKEN", "projects": ["gh/acme/shop"], "environment": "production",
        });
        let (all, serde_json::Value::Object(more)) = (all.as_object_mut().unwrap(), more) else { panic!() };
        all.extend(more);
        all.clone()
    }

    #[test]
    fn each_mistake_is_named_at_its_key() {
        let staging = json!({ "approvals": [{ "name": "qa", "environment": "staging" }], "branches": ["main"] });
        assert_eq!(CircleCi.check(&settings(staging)), Ok(()));
        for (more, key, what) in [
            (json!({ "projects": [] }), Some("projects"), "expected at least one, such as \"gh/acme/shop\""),
            (json!({ "projects": ["acme/shop"] }), Some("projects"), "expected HOST/ORG/PROJECT, found \"acme/shop\""),
            (json!({ "projects": ["gh/acme/.."] }), Some("projects"), "expected HOST/ORG/PROJECT"),
            (json!({ "projects": ["gh/acme/shop", "gh/Acme/Shop"] }), Some("projects"), "a project is named twice"),
            (json!({ "url": "circleci" }), Some("url"), "expected an address"),
            (json!({ "every": "4s" }), Some("every"), "from 5s to 1h"),
            (json!({ "token": "CCIPAT_s3cret" }), Some("token"), "a secret never stands in this file"),
            (json!({ "jobs": ["hold"] }), None, "unknown field"),
        ] {
            let wrong = CircleCi.check(&settings(more.clone())).expect_err(&more.to_string());
            assert_eq!(wrong.key, key, "{more}");
            assert!(wrong.what.contains(what) && !wrong.what.contains("s3cret"), "{more}: {}", wrong.what);
        }
        let described = CircleCi.describe(&settings(json!({})));
        assert_eq!(described, "approval jobs of gh/acme/shop at https://circleci.com/api/v2");
    }
}
