//! The kind `github` in the registry of systems.

use super::settings::Settings;
use super::{WaitingDeployments, client, waiting_deployments};
use crate::approval::provider::{Places, check_every, is_name, looked, wrong};
use crate::secret;
use async_trait::async_trait;
use flightdeck_port::{Checked, Configured, Provider, RawSettings, Section, System, WrongSetting, schema_of, typed};
use schemars::Schema;
use std::sync::Arc;

/// The kind `github`.
#[derive(Debug)]
pub struct GitHub;

fn is_repository(text: &str) -> bool {
    text.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name))
}

fn checked(settings: &Settings) -> Result<(), WrongSetting> {
    let places = Places {
        key: "repositories",
        names: &settings.repositories,
        what: "a repository",
        form: "OWNER/NAME",
        example: "acme/shop",
        is_one: is_repository,
    };
    places.check()?;
    secret::check("token", &settings.token)?;
    check_every(settings.every)
}

#[async_trait]
impl Provider for GitHub {
    fn kind(&self) -> &'static str {
        "github"
    }

    fn about(&self) -> &'static str {
        "waiting deployments of GitHub Actions: environments with required reviewers"
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
        let Ok(Settings { url, repositories, .. }) = typed(settings) else { return self.about().to_owned() };
        format!("waiting deployments of {} at {url}", repositories.join(", "))
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
                looked(&WaitingDeployments { settings, client }, &url).await
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
        let mut all = json!({ "token": "env:GITHUB_TOKEN", "repositories": ["acme/shop"] });
        let (all, serde_json::Value::Object(more)) = (all.as_object_mut().unwrap(), more) else { panic!() };
        all.extend(more);
        all.clone()
    }

    #[test]
    fn each_mistake_is_named_at_its_key_and_never_with_a_secret() {
        assert_eq!(GitHub.check(&settings(json!({}))), Ok(()));
        assert_eq!(GitHub.check(&settings(json!({ "every": "1m", "url": "https://ghe/api/v3" }))), Ok(()));
        for (more, key, what) in [
            (json!({ "repositories": [] }), Some("repositories"), "expected at least one"),
            (json!({ "repositories": ["shop"] }), Some("repositories"), "expected OWNER/NAME, found \"shop\""),
            (json!({ "repositories": ["acme/shop/x"] }), Some("repositories"), "expected OWNER/NAME"),
            (json!({ "repositories": ["acme/.."] }), Some("repositories"), "expected OWNER/NAME"),
            (json!({ "repositories": ["acme/shop", "Acme/Shop"] }), Some("repositories"), "named twice"),
            (json!({ "every": "4s" }), Some("every"), "from 5s to 1h"),
            (json!({ "url": "github" }), Some("url"), "expected an address"),
            (json!({ "token": "ghp_s3cret" }), Some("token"), "a secret never stands in this file"),
            (json!({ "owner": "acme" }), None, "unknown field"),
        ] {
            let wrong = GitHub.check(&settings(more.clone())).expect_err(&more.to_string());
            assert_eq!(wrong.key, key, "{more}");
            assert!(wrong.what.contains(what) && !wrong.what.contains("s3cret"), "{more}: {}", wrong.what);
        }
        let described = GitHub.describe(&settings(json!({})));
        assert_eq!(described, "waiting deployments of acme/shop at https://api.github.com");
        let schema = serde_json::to_value(GitHub.schema()).unwrap();
        assert_eq!(schema["required"], json!(["token", "repositories"]));
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_read_is_told_at_its_key() {
        let settings = settings(json!({ "token": "env:FLIGHTDECK_NO_SUCH_TOKEN" }));
        let configured = Configured { name: "github".into(), read_only: false, for_others: false, settings };
        let Err(wrong) = GitHub.open(&configured).await else { panic!("there is no token") };
        assert_eq!(wrong.key, Some("token"));
        assert!(wrong.what.contains("no variable FLIGHTDECK_NO_SUCH_TOKEN"), "{}", wrong.what);
        assert!(matches!(GitHub.doctor(&configured).await, Checked::Bad { what, .. } if what == wrong.what));
    }
}
