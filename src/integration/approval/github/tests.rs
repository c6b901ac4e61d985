use super::pending::{At, Id, waits};
use super::wire::{DeploymentState, HistoryEntry, Pending, Review, WorkflowRun, deployed, review};
use crate::approval::gate::Standing;
use flightdeck_model::Verdict;
use jiff::Timestamp;
use serde_json::json;

/// A run as GitHub answers it, shortened.
const RUN: &str = r#"{
  "id": 30433642, "name": "Build and\ndeploy", "node_id": "MDEyOldvcmtmbG93IFJ1bjI2OTI4OQ==", "head_branch": "main",
  "head_sha": "acb5820ced9479c074f688cc328bf03f341a511d", "path": ".github/workflows/build.yml@main",
  "run_number": 562, "event": "push", "status": "waiting", "conclusion": null, "workflow_id": 159038,
  "html_url": "https://github.com/octo-org/octo-repo/actions/runs/30433642", "display_title": "Update \u001b[31mREADME",
  "created_at": "2020-01-22T19:33:08Z", "updated_at": "2020-01-22T19:43:08Z", "run_attempt": 1,
  "run_started_at": "2020-01-22T19:33:08Z", "actor": {"login": "octocat", "id": 1},
  "triggering_actor": {"login": "hubot", "id": 2}
}"#;

const PENDING: &str = r#"{
  "environment": {"id": 161088068, "node_id": "MDExOkVudmlyb25tZW50MTYxMDg4MDY4", "name": "staging",
    "url": "https://api.github.com/repos/x/y/environments/staging", "html_url": "https://github.com/x"},
  "wait_timer": 30, "wait_timer_started_at": "2020-11-23T22:00:40Z", "current_user_can_approve": true,
  "reviewers": [{"type": "User", "reviewer": {"login": "octocat", "id": 1}},
    {"type": "Team", "reviewer": {"id": 1, "name": "Justice League", "slug": "justice-league"}}]
}"#;

const AT: At<'_> = At { repository: "octo-org/octo-repo", login: Some("octocat") };

fn told() -> (WorkflowRun, Pending) {
    (serde_json::from_str(RUN).unwrap(), serde_json::from_str(PENDING).unwrap())
}

#[test]
fn what_github_writes_is_shown_harmless() {
    let (run, pending) = told();
    let gate = waits(AT, &run, &pending, None, Some(563));
    assert_eq!(
        gate.what,
        "Update \u{fffd}[31mREADME (Build and deploy #562 of main, push), 30 min after its start at the earliest"
    );
    assert_eq!(gate.name, "Build and deploy 562 staging");
    assert_eq!(Id::of(&gate.key.uid), Some(Id { run: 30_433_642, environment: 161_088_068 }));
    assert_eq!((gate.author.as_deref(), gate.service.as_str()), (Some("hubot"), "octo-repo"));
    assert_eq!(gate.reviewers, ["octocat", "team justice-league"]);
    assert_eq!(gate.newer.as_deref(), Some("run #563"));
    assert_eq!(gate.until(), Some("2020-11-23T22:30:40Z".parse::<Timestamp>().unwrap()));
    assert_eq!(gate.standing(), Standing::Asks);
}

#[test]
fn the_last_word_on_an_environment_counts_and_a_comment_is_none() {
    let entry = |id: u64, state: &str| json!({"state": state, "environments": [{"id": id, "name": "x"}], "user": null});
    let history: Vec<HistoryEntry> = serde_json::from_value(json!([
        entry(1, "rejected"),
        entry(1, "approved"),
        entry(2, "rejected"),
        entry(1, "pending")
    ]))
    .unwrap();
    assert_eq!(review(&history, 1).map(|review| review.verdict), Some(Verdict::Approved));
    assert_eq!(review(&history, 2).map(|review| review.verdict), Some(Verdict::Rejected));
    assert_eq!(review(&history, 3), None);
}

#[test]
fn a_deployment_is_that_of_the_run_whose_log_it_names() {
    let of = |log: &str| {
        let statuses = json!([{"state": "in_progress", "log_url": log}, {"state": "queued"}]);
        deployed(&serde_json::from_value::<Vec<_>>(statuses).unwrap(), 42)
    };
    assert_eq!(of("https://github.com/o/r/actions/runs/42/job/7"), Some(DeploymentState::InProgress));
    assert_eq!(of("https://github.com/o/r/actions/runs/421/job/7"), None);
    assert_eq!(of(""), Some(DeploymentState::InProgress));
    assert_eq!(deployed(&[], 42), None);
}

#[test]
fn why_not_you_is_said_by_what_github_tells() {
    let why = |can: bool, reviewers: &[&str], login: Option<&str>| {
        let (run, mut pending) = told();
        pending.current_user_can_approve = can;
        let of = |name: &&str| json!({"type": "User", "reviewer": {"login": name}});
        pending.reviewers = reviewers.iter().map(|name| serde_json::from_value(of(name)).unwrap()).collect();
        let gate = waits(At { login, ..AT }, &run, &pending, None::<Review>, None);
        gate.denied().unwrap_or_default().to_owned()
    };
    assert_eq!(why(true, &["alice"], Some("octocat")), "");
    assert!(
        why(false, &["alice"], Some("octocat"))
            .contains("does not count octocat among the reviewers of staging: alice")
    );
    assert!(why(false, &["hubot"], Some("hubot")).contains("hubot started this run"));
    assert!(why(false, &["octocat"], Some("octocat")).contains("takes no review of staging from octocat now"));
    assert!(why(false, &["alice"], None).contains("this token's account"));
}
