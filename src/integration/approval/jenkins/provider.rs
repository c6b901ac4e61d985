//! The kind `jenkins` in the registry of systems.

use super::settings::Settings;
use super::{Inputs, client, waiting_inputs};
use crate::approval::provider::{Places, check_every, looked, wrong};
use crate::secret;
use async_trait::async_trait;
use flightdeck_port::{Checked, Configured, Provider, RawSettings, Section, System, WrongSetting, schema_of, typed};
use schemars::Schema;
use std::sync::Arc;

/// The kind `jenkins`.
#[derive(Debug)]
pub struct Jenkins;

/// Folders and the job in them. The rest is what Jenkins takes in no name; `%` stands in that of a branch.
fn is_job(text: &str) -> bool {
    let is_name = |name: &str| {
        let dots = name.chars().all(|c| c == '.');
        !dots && !name.chars().any(|c| c.is_control() || r"?*\!@#$^&|<>[]:;".contains(c))
    };
    text.split('/').all(is_name)
}

fn checked(settings: &Settings) -> Result<(), WrongSetting> {
    let places = Places {
        key: "jobs",
        names: &settings.jobs,
        what: "a job",
        form: "FOLDER/JOB",
        example: "shop/deploy",
        is_one: is_job,
    };
    places.check()?;
    if settings.user.contains(':') {
        return Err(WrongSetting::at("user", "expected the name of a user, without \":\""));
    }
    secret::check("token", &settings.token)?;
    check_every(settings.every)
}

#[async_trait]
impl Provider for Jenkins {
    fn kind(&self) -> &'static str {
        "jenkins"
    }

    fn about(&self) -> &'static str {
        "inputs that builds of Jenkins pipelines wait for"
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
        client(&settings, "token").map(drop)
    }

    fn describe(&self, settings: &RawSettings) -> String {
        let Ok(Settings { url, jobs, .. }) = typed(settings) else { return self.about().to_owned() };
        format!("inputs of {} at {url}", jobs.join(", "))
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        let settings: Settings = typed(&configured.settings)?;
        checked(&settings)?;
        let token = secret::read("token", &settings.token).await?;
        let source = waiting_inputs(configured.name.clone(), configured.read_only, settings, &token)?;
        Ok(System::Executor(Arc::new(source)))
    }

    async fn doctor(&self, configured: &Configured) -> Checked {
        let settings: Settings = match typed(&configured.settings) {
            Ok(settings) => settings,
            Err(error) => return wrong(configured, error),
        };
        let token = secret::read("token", &settings.token).await;
        match token.and_then(|token| client(&settings, &token)) {
            Ok(client) => {
                let url = settings.url.clone();
                looked(&Inputs { settings, client }, &url).await
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
            "url": "https://jenkins.example", "user": "octo", "token": "env:JENKINS_TOKEN",
            "jobs": ["team/shop/feature%2Flogin"], "environment": "production",
        });
        let (all, serde_json::Value::Object(more)) = (all.as_object_mut().unwrap(), more) else { panic!() };
        all.extend(more);
        all.clone()
    }

    #[test]
    fn each_mistake_is_named_at_its_key() {
        let staging = json!({ "inputs": [{ "id": "qa", "environment": "staging" }], "jobs": ["deploy shop"] });
        assert_eq!(Jenkins.check(&settings(staging)), Ok(()));
        for (more, key, what) in [
            (json!({ "jobs": [] }), Some("jobs"), "expected at least one, such as \"shop/deploy\""),
            (json!({ "jobs": ["/job/shop"] }), Some("jobs"), "expected FOLDER/JOB, found \"/job/shop\""),
            (json!({ "jobs": ["shop/.."] }), Some("jobs"), "expected FOLDER/JOB"),
            (json!({ "jobs": ["https://jenkins.example/job/shop"] }), Some("jobs"), "expected FOLDER/JOB"),
            (json!({ "jobs": ["shop?x"] }), Some("jobs"), "expected FOLDER/JOB"),
            (json!({ "jobs": ["shop/main", "Shop/Main"] }), Some("jobs"), "a job is named twice"),
            (json!({ "user": "octo:s3cret" }), Some("user"), "without \":\""),
            (json!({ "url": "jenkins" }), Some("url"), "expected an address"),
            (json!({ "every": "4s" }), Some("every"), "from 5s to 1h"),
            (json!({ "token": "11s3cret" }), Some("token"), "a secret never stands in this file"),
            (json!({ "environments": ["production"] }), None, "unknown field"),
        ] {
            let wrong = Jenkins.check(&settings(more.clone())).expect_err(&more.to_string());
            assert_eq!(wrong.key, key, "{more}");
            assert!(wrong.what.contains(what) && !wrong.what.contains("s3cret"), "{more}: {}", wrong.what);
        }
        let described = Jenkins.describe(&settings(json!({})));
        assert_eq!(described, "inputs of team/shop/feature%2Flogin at https://jenkins.example");
    }

    #[test]
    fn an_input_deploys_to_where_its_id_says() {
        let told = settings(json!({ "inputs": [{ "id": "qa", "environment": "staging" }] }));
        let settings: Settings = typed(&told).unwrap();
        assert_eq!((settings.environment_of("Qa"), settings.environment_of("Go")), ("staging", "production"));
    }
}
