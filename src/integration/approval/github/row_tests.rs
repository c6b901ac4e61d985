use super::super::wire::{DeploymentState, HistoryEntry, Pending, WorkflowRun, deployed, review};
use super::*;
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

fn gate() -> Gate {
    let run: WorkflowRun = serde_json::from_str(RUN).unwrap();
    let pending: Pending = serde_json::from_str(PENDING).unwrap();
    Gate {
        repository: "octo-org/octo-repo".into(),
        attempt: 1,
        place: pending.environment.clone(),
        asked: run.updated_at,
        reviewers: pending.reviewers.iter().map(super::super::wire::Asked::name).collect(),
        since: run.updated_at,
        pending: Some(pending),
        review: None,
        reviewed: None,
        deployment: None,
        newer: None,
        run,
    }
}

fn said(state: &str) -> Option<super::super::wire::Review> {
    let entry = json!([{
        "state": state, "comment": "Ship it!", "user": {"login": "octocat"},
        "environments": [{"id": 161_088_068, "name": "staging", "created_at": "2020-11-23T22:00:40Z"}],
    }]);
    review(&serde_json::from_value::<Vec<HistoryEntry>>(entry).unwrap(), 161_088_068)
}

fn context(source: &SourceId) -> Context<'_> {
    Context { source, read_only: false, login: Some("octocat") }
}

#[test]
fn what_github_writes_is_shown_harmless() {
    let source = SourceId::from("github");
    let approval = approval(context(&source), &gate(), std::iter::empty()).unwrap();
    assert_eq!(
        approval.what,
        "Update \u{fffd}[31mREADME (Build and deploy #562 of main, push), 30 min after its start at the earliest"
    );
    assert_eq!(approval.run.target.to_string(), "github/octo-org/octo-repo/Build-and-deploy-562-staging");
    assert_eq!((approval.author.as_str(), approval.service.as_str()), ("hubot", "octo-repo"));
    assert_eq!(approval.reviewers.unwrap().names, ["octocat", "team justice-league"]);
}

/// Everything that GitHub can say, and where it stands then.
fn standings() -> Vec<(Standing, Gate)> {
    let waits = gate();
    let gone = Gate { pending: None, ..gate() };
    let with = |deployment, word| Gate { deployment, review: said(word), ..gone.clone() };
    let ended = |gate: &Gate, conclusion: &str| {
        let run =
            WorkflowRun { status: Some("completed".into()), conclusion: Some(conclusion.into()), ..gate.run.clone() };
        Gate { run, ..gate.clone() }
    };
    let rerun = Gate { run: WorkflowRun { run_attempt: 2, ..waits.run.clone() }, ..waits.clone() };
    vec![
        (Standing::Timer, Gate { reviewers: Vec::new(), ..waits.clone() }),
        (Standing::Held, Gate { review: said("approved"), ..waits.clone() }),
        (Standing::Asks, waits),
        (Standing::Rerun, rerun),
        (Standing::Unreviewed, gone.clone()),
        (Standing::Ended, ended(&gone, "cancelled")),
        (Standing::Approved, with(None, "approved")),
        (Standing::Approved, with(Some(DeploymentState::Queued), "approved")),
        (Standing::Deploying, with(Some(DeploymentState::InProgress), "approved")),
        (Standing::Deployed, with(Some(DeploymentState::Success), "approved")),
        (Standing::Deployed, with(Some(DeploymentState::Inactive), "approved")),
        (Standing::Failed, with(Some(DeploymentState::Failure), "approved")),
        (Standing::Failed, ended(&with(None, "approved"), "failure")),
        (Standing::Deployed, ended(&with(None, "approved"), "success")),
        (Standing::Rejected, with(None, "rejected")),
        (Standing::Stopped, with(Some(DeploymentState::Error), "rejected")),
        (Standing::Stopped, ended(&with(None, "rejected"), "failure")),
        // Let go on by somebody who needs no review.
        (Standing::Deploying, Gate { deployment: Some(DeploymentState::InProgress), ..gone }),
    ]
}

#[test]
fn a_row_says_where_its_gate_stands_and_whether_people_had_a_word() {
    let source = SourceId::from("github");
    for (expected, gate) in standings() {
        assert_eq!(gate.standing(), expected, "{gate:?}");
        let row = rollout(context(&source), &gate);
        let asked = expected == Standing::Asks || gate.review.is_some();
        // An attempt that has not come to the gate yet has no steps.
        let asked = asked && expected != Standing::Rerun;
        assert_eq!(standing(&row), Some((expected, asked)), "{:?} {:?}", row.phase, row.step);
        assert_eq!(row.in_flight(), !expected.is_over(), "{expected:?}");
    }
}

#[test]
fn only_what_waits_for_people_is_pending() {
    let source = SourceId::from("github");
    for (expected, gate) in standings() {
        let approval = approval(context(&source), &gate, std::iter::empty());
        let state = approval.map(|approval| approval.state);
        let pending = state == Some(ApprovalState::Pending);
        assert_eq!(pending, expected == Standing::Asks, "{expected:?} {state:?}");
        let pinned = facts(context(&source), &gate).0.contains_key(&Fact::Approval);
        assert_eq!(pinned, pending, "the pending deployment is a fact only while it pends: {expected:?}");
    }
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
    let gate = |can: bool, reviewers: &[&str]| {
        let mut gate = gate();
        gate.pending.iter_mut().for_each(|pending| pending.current_user_can_approve = can);
        Gate { reviewers: reviewers.iter().map(ToString::to_string).collect(), ..gate }
    };
    let why = |can, reviewers: &[&str], login| gate(can, reviewers).denied(login).unwrap_or_default();
    assert_eq!(why(true, &["alice"], Some("octocat")), "");
    assert!(
        why(false, &["alice"], Some("octocat"))
            .contains("does not count octocat among the reviewers of staging: alice")
    );
    assert!(why(false, &["hubot"], Some("hubot")).contains("hubot started this run"));
    assert!(why(false, &["octocat"], Some("octocat")).contains("takes no review of staging from octocat now"));
    assert!(why(false, &["alice"], None).contains("this token's account"));
}

/// How far a yes and a no are, by each row.
#[test]
fn a_review_is_followed_by_the_row_of_its_run() {
    use super::super::progress::progress;
    use flightdeck_model::{Command, Subject};
    use flightdeck_port::Followed;
    let source = SourceId::from("github");
    let words = |action: Action, gate: &Gate| {
        let row = rollout(context(&source), gate);
        let run = run(context(&source), gate, gate.attempt);
        let subject = Subject::Approval { id: approval_id(&source, gate), run };
        let command = Command { id: "c".into(), action, subject, pin: None, reason: None };
        let now = gate.asked;
        let of = Followed {
            command: &command,
            created: None,
            left: None,
            before: None,
            current: Some(&row),
            ended: None,
            now,
        };
        progress(&of).word()
    };
    for (standing, gate) in standings() {
        let reviewed = gate.review.is_some();
        let (yes, no) = match standing {
            Standing::Asks | Standing::Timer | Standing::Unreviewed => ("accepted", "accepted"),
            Standing::Held | Standing::Approved => ("observed", "superseded"),
            Standing::Deploying | Standing::Deployed if reviewed => ("effective", "superseded"),
            Standing::Failed => ("failed", "superseded"),
            Standing::Rejected => ("superseded", "observed"),
            Standing::Stopped => ("superseded", "effective"),
            Standing::Deploying | Standing::Deployed | Standing::Ended | Standing::Rerun => {
                ("superseded", "superseded")
            }
        };
        assert_eq!((words(Action::Approve, &gate), words(Action::Reject, &gate)), (yes, no), "{standing:?}");
    }
}

#[test]
fn what_a_later_run_has_is_nobodys_to_decide() {
    let source = SourceId::from("github");
    let gate = Gate { newer: Some(563), ..gate() };
    let row = rollout(context(&source), &gate);
    assert!(!row.awaits_human(), "{:?}", row.waits);
    assert!(row.message.starts_with("superseded by run #563"), "{}", row.message);
}

#[test]
fn the_attempts_of_a_run_share_the_row_of_the_last_one() {
    let source = SourceId::from("github");
    let run = WorkflowRun { run_attempt: 2, ..gate().run };
    let (before, again) = (Gate { run: run.clone(), ..gate() }, Gate { run, attempt: 2, ..gate() });
    let gates = BTreeMap::from([(before.key(), before), (again.key(), again)]);
    let (mut shown, mut states) = (Vec::new(), Vec::new());
    for row in rows(context(&source), &gates) {
        match row {
            Entity::Rollout(row) => shown.push((row.run.revision.clone(), row.phase)),
            Entity::Approval(asked) => states.push((asked.run.revision.clone(), asked.state)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shown, [("2".to_owned(), Phase::Paused)]);
    let superseded = ApprovalState::Superseded { by: "attempt 2".into() };
    assert_eq!(states, [("1".to_owned(), superseded), ("2".to_owned(), ApprovalState::Pending)]);
}
