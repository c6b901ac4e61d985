use super::*;
use crate::approval::gate::{Ended, Job, Review, Waiting};

const WORDS: Words = Words {
    system: "GitHub",
    place: "project",
    kind: "workflow",
    says_who_may: true,
    tells_reviews: true,
    attempt: "attempt",
    rights: ("Actions", "docs"),
    no_hold: "no hold",
    begins: "a runner",
    job: "deployment",
};

fn gate() -> Gate {
    let at = |second| Timestamp::from_second(second).unwrap();
    Gate {
        key: Key { place: "octo-org/octo-repo".into(), uid: "42/7".into(), attempt: 1 },
        approval: "octo-org/octo-repo/42.1/7".into(),
        newest_attempt: 1,
        title: "Deploy #562".into(),
        name: "Build and deploy 562 staging".into(),
        service: "octo-repo".into(),
        environment: "staging".into(),
        commit: "acb5820ced9479c074f688cc328bf03f341a511d".into(),
        version: "acb5820".into(),
        url: "https://github.com/octo-org/octo-repo/actions/runs/42".into(),
        author: Some("hubot".into()),
        what: "Update README".into(),
        began: at(1000),
        asked: at(1010),
        sequence: 42,
        reviewers: vec!["octocat".into()],
        required: 1,
        reviews: Vec::new(),
        reviewed: None,
        waiting: Some(Waiting::default()),
        job: None,
        ended: None,
        unstarted: false,
        started_by: None,
        newer: None,
        since: at(1010),
        raw: serde_json::Value::Null,
    }
}

fn said(verdict: Verdict) -> Vec<Review> {
    vec![Review { verdict, who: "octocat".into(), comment: "Ship it!".into(), at: None }]
}

fn context(source: &SourceId) -> Context<'_> {
    Context { source, read_only: false, login: Some("octocat"), words: WORDS }
}

/// Everything that a system can say, and where it stands then.
fn standings() -> Vec<(Standing, Gate)> {
    let (yes, no) = (said(Verdict::Approved), said(Verdict::Rejected));
    let waits = gate();
    let gone = Gate { waiting: None, ..gate() };
    let with = |job, reviews: &Vec<Review>| Gate { job, reviews: reviews.clone(), ..gone.clone() };
    let ended = |gate: &Gate, conclusion: &str, well| Gate {
        ended: Some(Ended { conclusion: conclusion.into(), well, stopped: false }),
        ..gate.clone()
    };
    vec![
        (Standing::Timer, Gate { reviewers: Vec::new(), ..waits.clone() }),
        (Standing::Held, Gate { reviews: yes.clone(), ..waits.clone() }),
        (Standing::Asks, waits.clone()),
        // One yes of two.
        (Standing::Asks, Gate { reviews: yes.clone(), required: 2, ..waits.clone() }),
        (Standing::Rerun, Gate { newest_attempt: 2, ..waits }),
        (Standing::Unreviewed, gone.clone()),
        (Standing::Ended, ended(&gone, "cancelled", false)),
        (Standing::Approved, with(None, &yes)),
        (Standing::Approved, with(Some(Job::Queued), &yes)),
        (Standing::Deploying, with(Some(Job::Running), &yes)),
        (Standing::Deployed, with(Some(Job::Succeeded), &yes)),
        (Standing::Failed, with(Some(Job::Failed), &yes)),
        (Standing::Failed, ended(&with(None, &yes), "failure", false)),
        (Standing::Deployed, ended(&with(None, &yes), "success", true)),
        (Standing::Rejected, with(None, &no)),
        (Standing::Stopped, with(Some(Job::Failed), &no)),
        (Standing::Stopped, ended(&with(None, &no), "failure", false)),
        // Let go on by somebody who needs no review.
        (Standing::Deploying, Gate { job: Some(Job::Running), ..gone }),
    ]
}

#[test]
fn a_row_says_where_its_gate_stands_and_whether_people_had_a_word() {
    let source = SourceId::from("github");
    for (expected, gate) in standings() {
        assert_eq!(gate.standing(), expected, "{gate:?}");
        let row = rollout(context(&source), &gate);
        let asked = expected == Standing::Asks || !gate.reviews.is_empty();
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

/// How far a yes and a no are, by each row.
#[test]
fn a_review_is_followed_by_the_row_of_its_run() {
    use crate::approval::progress::progress;
    use flightdeck_model::{Command, Subject};
    use flightdeck_port::Followed;
    let source = SourceId::from("github");
    let words = |action: Action, gate: &Gate| {
        let row = rollout(context(&source), gate);
        let run = run(context(&source), gate, gate.key.attempt);
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
        progress(&of, true).word()
    };
    for (standing, gate) in standings() {
        let reviewed = !gate.reviews.is_empty();
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
    let gate = Gate { newer: Some("run #563".into()), ..gate() };
    let row = rollout(context(&source), &gate);
    assert!(!row.awaits_human(), "{:?}", row.waits);
    assert!(row.message.starts_with("superseded by run #563"), "{}", row.message);
}

#[test]
fn the_attempts_of_a_run_share_the_row_of_the_last_one() {
    let source = SourceId::from("github");
    let before = Gate { newest_attempt: 2, ..gate() };
    let again = Gate { key: Key { attempt: 2, ..gate().key }, ..before.clone() };
    let gates = BTreeMap::from([(before.key.clone(), before), (again.key.clone(), again)]);
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

#[test]
fn a_yes_of_several_is_effective_once_it_is_counted() {
    use crate::approval::progress::progress;
    use flightdeck_model::{Command, Stage, Subject};
    use flightdeck_port::Followed;
    let source = SourceId::from("gitlab");
    let (none, one) =
        (Gate { required: 2, ..gate() }, Gate { required: 2, reviews: said(Verdict::Approved), ..gate() });
    let row = |gate| rollout(context(&source), gate);
    let subject = Subject::Approval { id: approval_id(&source, &none), run: run(context(&source), &none, 1) };
    let command = Command { id: "c".into(), action: Action::Approve, subject, pin: None, reason: None };
    let stage = |before: &Rollout, current: &Rollout| {
        let (now, before, current) = (none.asked, Some(before), Some(current));
        progress(&Followed { command: &command, created: None, left: None, before, current, ended: None, now }, true)
    };
    assert_eq!(stage(&row(&none), &row(&none)), Stage::Accepted);
    assert_eq!(
        stage(&row(&none), &row(&one)),
        Stage::effective("waits for 2 yes by octocat, 1 so far; ".to_owned() + &none.url)
    );
    let approval = approval(context(&source), &one, std::iter::empty()).unwrap();
    assert_eq!((approval.requirement.count, approval.votes.len()), (2, 1));
    // Who saw it without that yes says it about another situation.
    assert_ne!(row(&none).facts.pin(Action::Approve), row(&one).facts.pin(Action::Approve));
}
