//! Approval jobs of CircleCI on a stub of it, and what goes wrong on the way there.

pub mod stub;

use crate::support::desk::Desk;
use crate::support::fault::Fault;
use flightdeck::board::Board;
use flightdeck::integration::approval::Approvals;
use flightdeck::integration::approval::circleci::{ApprovalEnvironment, Settings, waiting_approvals};
use flightdeck::model::*;
use flightdeck::port::{Executor, NotDone};
use std::time::Duration;
use stub::{OCTO, Pipeline, Stub, TOKEN};

pub const PROJECT: &str = "gh/acme/shop";

/// Looked at all the time, so that nothing waits long.
pub fn open(stub: &Stub, token: &str) -> Approvals {
    with(stub, token, |_| {})
}

fn with(stub: &Stub, token: &str, change: impl FnOnce(&mut Settings)) -> Approvals {
    let mut settings = Settings {
        url: stub.url(),
        token: "env:UNUSED".into(),
        projects: vec![PROJECT.into()],
        branches: Vec::new(),
        environment: "production".into(),
        approvals: Vec::new(),
        every: Duration::from_millis(50),
    };
    change(&mut settings);
    waiting_approvals("circleci".into(), false, settings, token).unwrap()
}

type CircleDesk = Desk<Stub>;

impl Desk<Stub> {
    fn new(pipelines: Vec<Pipeline>) -> CircleDesk {
        let stub = Stub::start();
        stub.world().pipelines = pipelines;
        let source = open(&stub, TOKEN);
        Desk::of(stub, source)
    }

    fn changes(&self) -> Vec<String> {
        assert_eq!(self.stub.world().wrong, Vec::<String>::new());
        self.stub.world().changes.clone()
    }

    async fn row(&mut self, what: &str) -> Rollout {
        let says = |board: &Board| board.rollouts().find(|row| row.message.contains(what)).cloned();
        self.until(what, says).await
    }
}

const APPROVE: &str = "POST /workflow/w-42/approve/a-1 ";
const CANCEL: &str = "POST /workflow/w-42/cancel ";

fn proof(stage: &Stage) -> &str {
    match stage {
        Stage::Effective { proof } => &proof.text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_yes_is_effective_once_a_job_behind_it_has_begun() {
    let mut desk = CircleDesk::new(vec![Pipeline::waiting(42)]);
    let approval = desk.asked().await;
    assert_eq!(approval.run.target.to_string(), "circleci/gh/acme/shop/release-42-hold-w-42");
    assert_eq!((approval.service.as_str(), approval.author.as_str()), ("shop", "mona"));
    let (note, stage) = desk.does(Action::Approve, &approval).await;
    assert_eq!(note.as_deref(), Some("Accepted."));
    assert!(proof(&stage).starts_with("approved by this token's account; its run goes on"), "{stage:?}");
    desk.stub.world().pipeline(42).ends("success");
    let row = desk.row("its run ended: success").await;
    assert_eq!(row.phase, Phase::Healthy);
    assert_eq!(desk.changes(), [APPROVE]);
}

#[tokio::test]
async fn a_no_cancels_the_whole_workflow_and_says_so_first() {
    let mut desk = CircleDesk::new(vec![Pipeline::waiting(42)]);
    let approval = desk.asked().await;
    let forecast = desk.forecast(Action::Reject, &approval);
    assert!(forecast.lines[0].contains("the whole workflow is cancelled"), "{forecast:?}");
    let (_, stage) = desk.does(Action::Reject, &approval).await;
    assert!(proof(&stage).starts_with("rejected by this token's account; its run ended: canceled"), "{stage:?}");
    assert_eq!(desk.changes(), [CANCEL]);
}

#[tokio::test]
async fn only_named_branches_are_asked_for_and_a_job_may_let_through_to_elsewhere() {
    let stub = Stub::start();
    stub.world().pipelines = vec![Pipeline { branch: "hotfix", ..Pipeline::waiting(43) }, Pipeline::waiting(42)];
    stub.world().more = true;
    let source = with(&stub, TOKEN, |settings| {
        settings.branches = vec!["main".into()];
        settings.approvals = vec![ApprovalEnvironment { name: "hold".into(), environment: "staging".into() }];
    });
    let mut desk = Desk::of(stub, source);
    desk.asked().await;
    let all: Vec<_> =
        desk.board.approvals().map(|of| (of.run.target.name.clone(), of.environment.to_string())).collect();
    assert_eq!(all, [("release-42-hold-w-42".to_owned(), "staging".to_owned())]);
    let link = desk.board.link(&"circleci".into());
    assert!(
        matches!(&link, LinkState::Live { only: Some(only), .. } if only.contains("newest 1 pipelines")),
        "{link:?}"
    );
}

#[tokio::test]
async fn what_somebody_decides_at_circleci_is_nobodys_to_decide_any_more() {
    for (change, what) in [
        ((|one| one.approved("bert-id")) as fn(&mut Pipeline), "approved by bert-id; its run goes on"),
        (|one| one.ends("canceled"), "CircleCI does not tell who said what; its run ended: canceled"),
        (|one| one.ends("failed"), "CircleCI does not tell who said what; its run ended: failed"),
    ] {
        let mut desk = CircleDesk::new(vec![Pipeline::waiting(42)]);
        let approval = desk.asked().await;
        let pinned = desk.command(Action::Approve, &approval);
        change(desk.stub.world().pipeline(42));
        let error = desk.source.execute(&pinned).await.unwrap_err();
        assert!(matches!(&error, NotDone::Refused(refusal) if refusal.kind == RefusalKind::PinChanged), "{error}");
        desk.row(what).await;
        assert_eq!(desk.changes(), [""; 0]);
    }
}

#[tokio::test]
async fn what_goes_wrong_is_a_sentence_and_nothing_is_believed() {
    let later = vec![("retry-after", "30".to_owned())];
    for (fault, what) in [
        (Fault::status(401, "You must log in first."), "CircleCI does not take the token"),
        (Fault::status(403, "Permission denied"), "docs/circleci.md names the rights"),
        (Fault::status(404, "Project not found"), "docs/circleci.md names the rights"),
        (Fault::Instead(429, later, "Retry later".into()), "CircleCI's rate limit is used up until"),
        (Fault::status(503, "down"), "CircleCI answers 503"),
        (Fault::page(200, &[]), "not what its documentation says"),
        (Fault::Truncated, "127.0.0.1"),
        (Fault::Drop, "127.0.0.1"),
    ] {
        let stub = Stub::start();
        stub.world().pipelines = vec![Pipeline::waiting(42)];
        stub.world().faults.always("GET /project", fault.clone());
        let source = open(&stub, TOKEN);
        let mut desk = Desk::of(stub, source);
        let link = desk.unread().await;
        assert!(link.contains(what), "{fault:?}: {link}");
        assert_eq!(desk.board.approvals().count(), 0);
    }
}

#[tokio::test]
async fn what_is_refused_or_lost_is_not_sent_again() {
    for (fault, unknown, what) in [
        (Fault::status(400, "The job is not on hold."), false, "The job is not on hold."),
        (Fault::status(403, "Permission denied"), false, "Permission denied"),
        (Fault::page(200, &[]), true, "not what its documentation says"),
        (Fault::status(500, "down"), true, "CircleCI answers 500"),
        (Fault::Drop, true, "127.0.0.1"),
    ] {
        let mut desk = CircleDesk::new(vec![Pipeline::waiting(42)]);
        let approval = desk.asked().await;
        desk.stub.world().faults.once("POST", fault.clone());
        let error = desk.source.execute(&desk.command(Action::Approve, &approval)).await.unwrap_err();
        assert_eq!(matches!(error, NotDone::Unknown { .. }), unknown, "{fault:?}: {error}");
        assert!(error.to_string().contains(what), "{fault:?}: {error}");
        assert_eq!(desk.changes(), [""; 0], "it is not sent again");
    }
    // The answer is lost, and what was decided is there.
    for (action, change, what) in [
        (Action::Approve, APPROVE, format!("approved by {OCTO}; its run goes on")),
        (Action::Reject, CANCEL, "its run ended: canceled".to_owned()),
    ] {
        let mut desk = CircleDesk::new(vec![Pipeline::waiting(42)]);
        let approval = desk.asked().await;
        let command = desk.command(action, &approval);
        desk.stub.world().faults.once("POST", Fault::Cut);
        let error = desk.source.execute(&command).await.unwrap_err();
        assert!(matches!(error, NotDone::Unknown { .. }), "{error}");
        let stage = desk.ends(&command, &approval, None).await;
        assert!(proof(&stage).contains(&what), "{stage:?}");
        assert_eq!(desk.changes(), [change]);
    }
}
