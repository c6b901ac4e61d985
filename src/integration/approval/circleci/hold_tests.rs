use super::*;
use crate::approval::gate::Standing;
use serde_json::{Value, json};

fn pipeline(more: &Value) -> Pipeline {
    let mut all = json!({
        "id": "p-1", "number": 42, "project_slug": "gh/acme/shop", "state": "created", "created_at": "2026-02-24T20:20:00Z",
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn workflow(status: &str) -> Workflow {
    serde_json::from_value(json!({ "id": "5034460f-c7c4", "name": "release\u{1b}[31m", "status": status })).unwrap()
}

fn jobs(hold: &str, deploy: &str) -> Vec<Job> {
    let all = json!([
        { "id": "j-1", "name": "hold-prod", "type": "approval", "status": hold, "approval_request_id": "j-1", "dependencies": [] },
        { "id": "j-2", "name": "deploy", "type": "build", "status": deploy, "dependencies": ["j-1"], "job_number": 7 },
        { "id": "j-3", "name": "test", "type": "build", "status": "success" },
    ]);
    serde_json::from_value(all).unwrap()
}

fn gate(more: &Value) -> Gate {
    let (pipeline, workflow) = (pipeline(more), workflow("on_hold"));
    let now = Timestamp::from_second(1_772_000_100).unwrap();
    let at = At { project: "gh/acme/shop", pipeline: &pipeline, workflow: &workflow, environment: "production", now };
    let job = &jobs("on_hold", "blocked")[0];
    waits(at, job, job.request().unwrap())
}

#[test]
fn what_circleci_writes_is_shown_harmless() {
    let told = gate(&json!({
        "trigger": { "type": "webhook", "actor": { "login": "mona" } },
        "vcs": { "branch": "main", "revision": "a91957a858320c0e17f3a0eca7cfacbff50ea29a" },
    }));
    assert_eq!(told.what, "hold-prod (release\u{fffd}[31m #42 of main)");
    assert_eq!(
        (told.service.as_str(), told.version.as_str(), told.author.as_deref()),
        ("shop", "a91957a", Some("mona"))
    );
    assert_eq!(told.standing(), Standing::Asks);
    // Of a pipeline that somebody else triggered neither is told.
    let bare = gate(&json!({ "trigger": null, "vcs": null }));
    assert_eq!((bare.commit.as_str(), bare.version.as_str(), bare.author), ("#42", "#42", None));
}

#[test]
fn where_an_approval_job_stands() {
    let before = gate(&json!({}));
    for (expected, workflow_is, hold, deploy) in [
        (Standing::Asks, "on_hold", "on_hold", "blocked"),
        // Something else of it failed, and it waits all the same.
        (Standing::Asks, "failing", "on_hold", "blocked"),
        (Standing::Approved, "running", "success", "queued"),
        (Standing::Deploying, "running", "success", "running"),
        (Standing::Deploying, "running", "success", "success"),
        (Standing::Deployed, "success", "success", "success"),
        (Standing::Failed, "failed", "success", "failed"),
        (Standing::Failed, "unauthorized", "success", "unauthorized"),
        (Standing::Stopped, "canceled", "on_hold", "blocked"),
        (Standing::Ended, "failed", "on_hold", "blocked"),
        (Standing::Unreviewed, "a new word", "another", "blocked"),
    ] {
        let jobs = jobs(hold, deploy);
        let after = later(&before, &workflow(workflow_is), &jobs[0], &jobs);
        assert_eq!(after.standing(), expected, "{workflow_is}: {hold}, {deploy}");
    }
}
