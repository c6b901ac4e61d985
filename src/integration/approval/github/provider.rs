//! The kind `github` in the registry of systems.

use super::WaitingDeployments;
use super::client::{Cache, Client, Problem};
use super::settings::Settings;
use super::wire::{Account, Runs};
use crate::secret;
use async_trait::async_trait;
use flightdeck_port::{Checked, Configured, Provider, RawSettings, Section, System, WrongSetting, schema_of, typed};
use schemars::Schema;
use std::sync::Arc;
use std::time::Duration;

/// More often than this nothing is asked: each look is a request a repository and one a waiting run.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_hours(1);

/// The kind `github`.
#[derive(Debug)]
pub struct GitHub;

/// `owner/name`, of what GitHub lets such names be made of.
fn is_repository(text: &str) -> bool {
    let letters = |part: &str| {
        let dots = part.chars().all(|c| c == '.');
        !dots && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    text.split_once('/').is_some_and(|(owner, name)| letters(owner) && letters(name))
}

fn checked(settings: &Settings) -> Result<(), WrongSetting> {
    if settings.repositories.is_empty() {
        return Err(WrongSetting::at("repositories", "expected at least one, such as \"acme/shop\""));
    }
    if let Some(wrong) = settings.repositories.iter().find(|name| !is_repository(name)) {
        return Err(WrongSetting::at("repositories", format!("expected OWNER/NAME, found {wrong:?}")));
    }
    secret::check("token", &settings.token)?;
    let mut names: Vec<String> = settings.repositories.iter().map(|name| name.to_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() < settings.repositories.len() {
        return Err(WrongSetting::at("repositories", "a repository is named twice"));
    }
    if !(SOONEST..=LATEST).contains(&settings.every) {
        return Err(WrongSetting::at(
            "every",
            format!("expected a duration from 5s to 1h, found {:?}", settings.every),
        ));
    }
    Ok(())
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
        Client::new(&settings.url, "token").map(drop)
    }

    fn describe(&self, settings: &RawSettings) -> String {
        let Ok(Settings { url, repositories, .. }) = typed(settings) else { return self.about().to_owned() };
        format!("waiting deployments of {} at {url}", repositories.join(", "))
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let settings: Settings = typed(&configured.settings)?;
        checked(&settings)?;
        let token = secret::read("token", &settings.token).await?;
        let source = WaitingDeployments::new(configured.name.clone(), configured.read_only, settings, &token)?;
        Ok(System::Executor(Arc::new(source)))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        let wrong = |error: WrongSetting| Checked::Bad {
            what: error.what,
            todo: format!("correct [sources.{}] in config.toml", configured.name),
        };
        let settings: Settings = match typed(&configured.settings) {
            Ok(settings) => settings,
            Err(error) => return wrong(error),
        };
        let client =
            match secret::read("token", &settings.token).await.and_then(|token| Client::new(&settings.url, &token)) {
                Ok(client) => client,
                Err(error) => return wrong(error),
            };
        looked(&client, &settings).await
    }
}

/// Asks who it is, and each repository what waits there.
async fn looked(client: &Client, settings: &Settings) -> Checked {
    let cache = &mut Cache::default();
    let login = match client.get::<Account>(cache, "user", &[]).await {
        Ok(account) => account.login,
        Err(problem) => return bad(&problem, &settings.url),
    };
    let (mut waiting, mut unread) = (0, Vec::new());
    for repository in &settings.repositories {
        let query = [("status", "waiting"), ("per_page", "100")];
        match client.get::<Runs>(cache, &format!("repos/{repository}/actions/runs"), &query).await {
            Ok(runs) => waiting += runs.workflow_runs.len(),
            Err(problem) => unread.push(format!("{repository}: {}", problem.sentence())),
        }
    }
    if !unread.is_empty() {
        let todo = "give the token the rights that docs/github.md names on each repository".to_owned();
        return Checked::Bad { what: unread.join("; "), todo };
    }
    let many = settings.repositories.len();
    Checked::Good(format!(
        "as {login}, {waiting} runs wait in {many} repositories; the right to review shows with each"
    ))
}

fn bad(problem: &Problem, url: &str) -> Checked {
    let todo = match problem {
        Problem::Unauthorized(_) => "make a new token, and put it where its reference points to".to_owned(),
        Problem::Limited(_) => "wait, or look less often (every)".to_owned(),
        _ => format!("see whether {url} is the address of its REST API, and reachable from here"),
    };
    Checked::Bad { what: problem.sentence(), todo }
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
