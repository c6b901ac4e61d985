//! Waiting deployments of GitLab on a stub of it, and what goes wrong on the way there.

pub mod stub;

use crate::support::desk::Desk;
use crate::support::fault::Fault;
use flightdeck::board::Board;
use flightdeck::integration::approval::Approvals;
use flightdeck::integration::approval::gitlab::{Settings, waiting_deployments};
use flightdeck::model::*;
use flightdeck::port::{Executor, NotDone};
use serde_json::{Value, json};
use std::time::Duration;
use stub::{Deployment, LOGIN, Stub, TOKEN};

pub const PROJECT: &str = "acme/team/shop";

/// Looked at all the time, so that nothing waits long.
pub fn open(stub: &Stub, token: &str) -> Approvals {
    let settings = Settings {
        url: stub.url(),
        token: "env:UNUSED".into(),
        projects: vec![PROJECT.into()],
        every: Duration::from_millis(50),
        environments: Vec::new(),
    };
    waiting_deployments("gitlab".into(), false, settings, token).unwrap()
}

type GitLabDesk = Desk<Stub>;

impl Desk<Stub> {
    fn new(deployments: Vec<Deployment>) -> GitLabDesk {
        let stub = Stub::start();
        stub.world().deployments = deployments;
        let source = open(&stub, TOKEN);
        Desk::of(stub, source)
    }

    fn changes(&self) -> Vec<String> {
        assert_eq!(self.stub.world().wrong, Vec::<String>::new());
        self.stub.world().changes.clone()
    }
}

const APPROVAL: &str = "POST /projects/acme%2Fteam%2Fshop/deployments/42/approval";
const PLAY: &str = "POST /projects/acme%2Fteam%2Fshop/jobs/1042/play {}";

fn body(change: &str) -> Value {
    serde_json::from_str(change.strip_prefix(APPROVAL).unwrap()).unwrap()
}

#[tokio::test]
async fn a_yes_starts_the_job_that_it_lets_through_and_is_followed_to_its_end() {
    let mut desk = GitLabDesk::new(vec![Deployment::waiting(PROJECT, 42)]);
    let approval = desk.asked().await;
    assert_eq!(approval.run.target.to_string(), "gitlab/acme/team/shop/deploy-42-production");
    assert_eq!(approval.reviewers.as_ref().unwrap().login.as_deref(), Some(LOGIN));
    let forecast = desk.forecast(Action::Approve, &approval);
    assert!(forecast.lines[0].contains("its job for production is started"), "{forecast:?}");
    let (note, stage) = desk.does(Action::Approve, &approval).await;
    assert_eq!(note.as_deref(), Some("approved, and its job was started"));
    assert!(matches!(&stage, Stage::Effective { proof } if proof.text.contains("deployed to production")), "{stage:?}");
    let changes = desk.changes();
    assert_eq!(body(&changes[0]), json!({"status": "approved", "comment": "looks good (alice with flightdeck)"}));
    assert_eq!(changes[1..], [PLAY]);
}

#[tokio::test]
async fn a_no_ends_it_and_starts_nothing() {
    let mut desk = GitLabDesk::new(vec![Deployment::waiting(PROJECT, 42)]);
    let approval = desk.asked().await;
    let (_, stage) = desk.does(Action::Reject, &approval).await;
    assert!(matches!(&stage, Stage::Effective { proof } if proof.text.contains("nothing was deployed")), "{stage:?}");
    let changes = desk.changes();
    assert_eq!((changes.len(), &body(&changes[0])["status"]), (1, &json!("rejected")));
}

#[tokio::test]
async fn one_yes_of_two_is_counted_and_a_second_one_is_not_taken() {
    let mut desk = GitLabDesk::new(vec![Deployment { required: Some(2), ..Deployment::waiting(PROJECT, 42) }]);
    let approval = desk.asked().await;
    assert_eq!(approval.requirement.count, 2);
    let (note, stage) = desk.does(Action::Approve, &approval).await;
    assert_eq!(note.as_deref(), Some("approved; so many more are asked for: 1"));
    assert!(matches!(&stage, Stage::Effective { proof } if proof.text.contains("1 so far")), "{stage:?}");
    assert_eq!(desk.changes().len(), 1, "nothing was started");
    let again = desk.asked().await;
    let refused = desk.refused(Action::Approve, &again).await;
    assert!(refused.contains("octo has had a say already"), "{refused}");
    desk.stub.world().deployment(42).say("bert", "approved", &Value::Null);
    // The start of its job is still to come, and whoever may gives it.
    desk.until("only its start is missing", |board| {
        board.approvals().find(|of| of.what.contains("the start of its job")).map(drop)
    })
    .await;
    let start = desk.asked().await;
    let (note, stage) = desk.does(Action::Approve, &start).await;
    assert_eq!(note.as_deref(), Some("its job was started"));
    assert!(matches!(stage, Stage::Effective { .. }), "{stage:?}");
    assert_eq!(desk.changes().last().map(String::as_str), Some(PLAY));
}

#[tokio::test]
async fn a_job_that_only_has_to_be_started_is_started_and_cannot_be_rejected() {
    let mut desk = GitLabDesk::new(vec![Deployment { required: None, ..Deployment::waiting(PROJECT, 42) }]);
    let approval = desk.asked().await;
    assert!(approval.what.ends_with("the start of its job"), "{}", approval.what);
    let refused = desk.source.execute(&desk.command(Action::Reject, &approval)).await.unwrap_err();
    assert!(refused.to_string().contains("cancel its pipeline"), "{refused}");
    let forecast = desk.forecast(Action::Approve, &approval);
    assert_eq!(forecast.lines[0], "GitLab starts its job for production in the name of octo");
    let (_, stage) = desk.does(Action::Approve, &approval).await;
    assert!(matches!(&stage, Stage::Effective { proof } if proof.text.starts_with("approved by octo")), "{stage:?}");
    assert_eq!(desk.changes(), [PLAY]);
}

#[tokio::test]
async fn a_yes_stands_though_its_job_may_not_be_started() {
    let mut desk = GitLabDesk::new(vec![Deployment::waiting(PROJECT, 42)]);
    desk.stub.world().may_not_play = true;
    let approval = desk.asked().await;
    let accepted = desk.source.execute(&desk.command(Action::Approve, &approval)).await.unwrap();
    let note = accepted.note.unwrap();
    assert!(note.starts_with("approved; its job was not started: the token may not do this"), "{note}");
    desk.until("its start is asked for", |board| {
        board.approvals().find(|of| of.what.contains("the start of its job") && of.votes.len() == 1).map(drop)
    })
    .await;
}

#[tokio::test]
async fn what_a_newer_deployment_has_is_nobodys_to_decide() {
    let newer = Deployment { status: "running", job: "running", ..Deployment::waiting(PROJECT, 43) };
    let mut desk = GitLabDesk::new(vec![Deployment::waiting(PROJECT, 42), newer]);
    let superseded = |board: &Board| {
        board
            .approvals()
            .find(|of| matches!(&of.state, ApprovalState::Superseded { by } if by == "deployment 43, which has it all"))
            .cloned()
    };
    let approval = desk.until("it is superseded", superseded).await;
    desk.until("it is live", |board| matches!(board.link(&"gitlab".into()), LinkState::Live { .. }).then_some(()))
        .await;
    let why = desk.refused(Action::Approve, &approval).await;
    assert!(why.contains("deployment 43"), "{why}");
    assert_eq!(desk.changes(), [""; 0]);
    // Of another branch it is about something else, and what was given up will not come.
    desk.stub.world().deployment(43).branch = "hotfix".into();
    desk.asked().await;
    {
        let mut world = desk.stub.world();
        let newer = world.deployment(43);
        (newer.branch, newer.status) = ("main".into(), "failed");
    }
    desk.asked().await;
}

#[tokio::test]
async fn what_goes_wrong_is_a_sentence_and_nothing_is_believed() {
    let later = vec![("retry-after", "30".to_owned())];
    for (fault, what) in [
        (Fault::status(401, "401 Unauthorized"), "GitLab does not take the token"),
        (Fault::status(403, "403 Forbidden"), "docs/gitlab.md names the rights"),
        (Fault::status(404, "404 Project Not Found"), "docs/gitlab.md names the rights"),
        (Fault::Instead(429, later, "Retry later".into()), "GitLab's rate limit is used up until"),
        (Fault::status(503, "down"), "GitLab answers 503"),
        (Fault::page(200, &[]), "not what its documentation says"),
        (Fault::Truncated, "127.0.0.1"),
        (Fault::Drop, "127.0.0.1"),
    ] {
        let stub = Stub::start();
        stub.world().deployments = vec![Deployment::waiting(PROJECT, 42)];
        stub.world().faults.always("GET /projects", fault.clone());
        let source = open(&stub, TOKEN);
        let mut desk = Desk::of(stub, source);
        let link = desk.unread().await;
        assert!(link.contains(what), "{fault:?}: {link}");
        assert_eq!(desk.board.approvals().count(), 0);
    }
}

#[tokio::test]
async fn what_became_of_a_yes_is_looked_for_and_it_is_not_sent_again() {
    for (fault, unknown) in [(Fault::Drop, true), (Fault::status(400, "already approved"), false)] {
        let mut desk = GitLabDesk::new(vec![Deployment::waiting(PROJECT, 42)]);
        let approval = desk.asked().await;
        desk.stub.world().faults.once("POST", fault.clone());
        let error = desk.source.execute(&desk.command(Action::Approve, &approval)).await.unwrap_err();
        assert_eq!(matches!(error, NotDone::Unknown { .. }), unknown, "{fault:?}: {error}");
        assert_eq!(desk.changes(), [""; 0], "it is not sent again");
    }
    // The answer is lost, and the yes is there: its job is started, once.
    let mut desk = GitLabDesk::new(vec![Deployment::waiting(PROJECT, 42)]);
    let approval = desk.asked().await;
    desk.stub.world().faults.once("POST", Fault::Cut);
    let (note, stage) = desk.does(Action::Approve, &approval).await;
    assert_eq!(note.as_deref(), Some("approved, and its job was started"));
    assert!(matches!(stage, Stage::Effective { .. }), "{stage:?}");
    assert_eq!((desk.changes().len(), desk.changes()[1].as_str()), (2, PLAY));
}
