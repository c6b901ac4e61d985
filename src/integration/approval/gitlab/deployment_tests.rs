use super::super::wire::Deployment;
use super::*;
use crate::approval::gate::Standing;
use serde_json::{Value, json};

/// As docs.gitlab.com/api/deployments shows one, shortened; `more` is laid over it.
fn told(more: &Value) -> Deployment {
    let mut all = json!({
        "id": 42, "iid": 2, "ref": "main", "sha": "a91957a858320c0e17f3a0eca7cfacbff50ea29a", "status": "blocked",
        "created_at": "2016-08-11T11:32:35.444Z", "updated_at": "2016-08-11T11:34:01.123Z",
        "user": {"id": 1, "username": "root", "name": "Administrator"},
        "environment": {"id": 9, "name": "production", "external_url": null},
        "deployable": {
            "id": 664, "status": "manual", "stage": "deploy", "name": "deploy\u{1b}[31m", "ref": "main", "tag": false,
            "commit": {"id": "a91957a8", "short_id": "a91957a8", "title": "Rename README\r", "author_name": "A"},
            "pipeline": {"id": 37, "created_at": "2016-08-11T07:43:52.143Z", "status": "manual",
                "web_url": "http://gitlab.dev/root/project/pipelines/13"},
        },
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn said(who: &str, status: &str) -> Value {
    json!({"user": {"username": who}, "status": status, "created_at": "2022-02-24T20:22:30.097Z", "comment": "fine"})
}

fn of(more: &Value, login: &str) -> Gate {
    gate("acme/team/shop", &told(more), Some(login), None)
}

#[test]
fn what_gitlab_writes_is_shown_harmless() {
    let gate = of(&json!({"pending_approval_count": 1, "approvals": []}), "anna");
    assert_eq!(gate.what, "Rename README (deploy\u{fffd}[31m of main, pipeline 37)");
    assert_eq!(
        (gate.service.as_str(), gate.environment.as_str(), gate.version.as_str()),
        ("shop", "production", "a91957a8")
    );
    assert_eq!(gate.url, "http://gitlab.dev/root/project/pipelines/13");
    assert_eq!(gate.reviewers, ["whoever may approve deployments to production"]);
}

#[test]
fn where_a_deployment_stands() {
    let one = |count: u32, all: &[Value]| json!({"pending_approval_count": count, "approvals": all});
    let with = |mut of: Value, status: &str| {
        of["status"] = json!(status);
        of
    };
    for (expected, required, told) in [
        (Standing::Asks, 1, one(1, &[])),
        (Standing::Asks, 2, one(1, &[said("anna", "approved")])),
        // All yes are there, and GitLab starts no job by itself: its start is one more that is asked for.
        (Standing::Asks, 2, one(0, &[said("anna", "approved")])),
        // Without a licence for approvals, or where none are asked for.
        (Standing::Asks, 1, json!({})),
        (Standing::Deploying, 1, with(one(0, &[said("anna", "approved")]), "running")),
        (Standing::Deployed, 1, with(one(0, &[said("anna", "approved")]), "success")),
        (Standing::Failed, 1, with(one(0, &[said("anna", "approved")]), "failed")),
        (Standing::Stopped, 1, with(one(1, &[said("anna", "rejected")]), "failed")),
        (Standing::Ended, 1, with(one(0, &[]), "canceled")),
        (Standing::Unreviewed, 1, with(one(0, &[]), "created")),
    ] {
        let gate = of(&told, "bert");
        assert_eq!(gate.standing(), expected, "{told}");
        assert_eq!(gate.required, required, "{told}");
    }
}

#[test]
fn rules_name_whom_they_ask_and_a_yes_that_counts_for_two_is_one() {
    let rules = json!({"approval_summary": {"rules": [
        {"access_level_description": "qa-group", "required_approvals": 1, "deployment_approvals": [said("anna", "approved")]},
        {"access_level_description": "security", "required_approvals": 2, "deployment_approvals": [said("anna", "approved")]},
    ]}});
    let gate = of(&rules, "anna");
    assert_eq!(gate.reviewers, ["1 of qa-group", "2 of security"]);
    assert_eq!((gate.reviews.len(), gate.required), (1, 2), "one yes is missing");
    assert_eq!(gate.denied(), Some("anna has had a say already, and GitLab counts one of each"));
    assert_eq!(of(&rules, "bert").denied(), None);
    // Who said yes may start the job.
    let start = of(&json!({"pending_approval_count": 0, "approvals": [said("anna", "approved")]}), "anna");
    assert_eq!(
        (start.denied(), start.reviewers.as_slice()),
        (None, &["whoever may deploy to production".to_owned()][..])
    );
}

#[test]
fn whoever_started_the_job_had_the_last_word() {
    let waits = of(&json!({}), "anna");
    let started = |who: &Value| {
        let mut told = told(&json!({"status": "running"}));
        let job = json!({"id": 664, "status": "running", "name": "deploy", "user": who});
        told.deployable = serde_json::from_value(job).unwrap();
        let now = gate("acme/team/shop", &told, Some("anna"), None);
        // What was seen once is kept, whoever looks again.
        let gate = gone_on(now.clone(), &gone_on(now, &waits, &told), &told);
        (gate.standing(), gate.reviews[0].who.clone(), gate.reviewers == waits.reviewers)
    };
    assert_eq!(started(&json!({"username": "bert"})), (Standing::Deploying, "bert".to_owned(), true));
    assert_eq!(started(&Value::Null), (Standing::Deploying, "somebody".to_owned(), true));
}

#[test]
fn words_of_a_newer_gitlab_are_read() {
    let gate = of(&json!({"status": "paused", "approvals": [said("anna", "abstained")], "new": {"x": 1}}), "anna");
    assert!(gate.reviews.is_empty() && gate.standing() == Standing::Unreviewed);
}

#[test]
fn only_what_waits_is_superseded() {
    let standing = |status: &str| {
        let told = told(&json!({"pending_approval_count": 1, "approvals": [], "status": status}));
        let gate = gate("acme/team/shop", &told, Some("anna"), Some(43));
        (gate.standing(), gate.newer)
    };
    assert_eq!(standing("blocked"), (Standing::Asks, Some("deployment 43".to_owned())));
    assert_eq!(standing("running"), (Standing::Deploying, None), "what runs is not stopped by a later one");
}
