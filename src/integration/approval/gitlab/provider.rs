//! The kind `gitlab` in the registry of systems.

use super::settings::Settings;
use super::{Deployments, client, waiting_deployments};
use crate::approval::provider::{Places, check_every, is_name, looked, wrong};
use crate::secret;
use async_trait::async_trait;
use flightdeck_port::{Checked, Configured, Provider, RawSettings, Section, System, WrongSetting, schema_of, typed};
use schemars::Schema;
use std::sync::Arc;

/// The kind `gitlab`.
#[derive(Debug)]
pub struct GitLab;

/// A group, groups in it, and the project.
fn is_project(text: &str) -> bool {
    text.contains('/') && text.split('/').all(is_name)
}

fn checked(settings: &Settings) -> Result<(), WrongSetting> {
    let places = Places {
        key: "projects",
        names: &settings.projects,
        what: "a project",
        form: "GROUP/PROJECT",
        example: "acme/shop",
        is_one: is_project,
    };
    places.check()?;
    secret::check("token", &settings.token)?;
    check_every(settings.every)
}

#[async_trait]
impl Provider for GitLab {
    fn kind(&self) -> &'static str {
        "gitlab"
    }

    fn about(&self) -> &'static str {
        "waiting deployments of GitLab: protected environments with approvals, jobs that somebody has to start"
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
        format!("waiting deployments of {} at {url}", projects.join(", "))
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let settings: Settings = typed(&configured.settings)?;
        checked(&settings)?;
        let token = secret::read("token", &settings.token).await?;
        let source = waiting_deployments(configured.name.clone(), configured.read_only, settings, &token)?;
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
                looked(&Deployments { settings, client }, &url).await
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
        let mut all = json!({ "token": "env:GITLAB_TOKEN", "projects": ["acme/team/shop"] });
        let (all, serde_json::Value::Object(more)) = (all.as_object_mut().unwrap(), more) else { panic!() };
        all.extend(more);
        all.clone()
    }

    #[test]
    fn each_mistake_is_named_at_its_key() {
        assert_eq!(GitLab.check(&settings(json!({ "url": "https://git.example/api/v4" }))), Ok(()));
        for (more, key, what) in [
            (json!({ "projects": [] }), Some("projects"), "expected at least one, such as \"acme/shop\""),
            (json!({ "projects": ["42"] }), Some("projects"), "expected GROUP/PROJECT, found \"42\""),
            (json!({ "projects": ["acme/../shop"] }), Some("projects"), "expected GROUP/PROJECT"),
            (json!({ "projects": ["acme/shop?x"] }), Some("projects"), "expected GROUP/PROJECT"),
            (json!({ "projects": ["acme/shop", "Acme/Shop"] }), Some("projects"), "a project is named twice"),
            (json!({ "every": "4s" }), Some("every"), "from 5s to 1h"),
            (json!({ "token": "glpat-s3cret" }), Some("token"), "a secret never stands in this file"),
            (json!({ "repositories": ["acme/shop"] }), None, "unknown field"),
        ] {
            let wrong = GitLab.check(&settings(more.clone())).expect_err(&more.to_string());
            assert_eq!(wrong.key, key, "{more}");
            assert!(wrong.what.contains(what) && !wrong.what.contains("s3cret"), "{more}: {}", wrong.what);
        }
        let described = GitLab.describe(&settings(json!({})));
        assert_eq!(described, "waiting deployments of acme/team/shop at https://gitlab.com/api/v4");
    }
}
