//! Inputs that builds of Jenkins wait for, on a stub of it, and what goes wrong on the way there.

pub mod stub;

use crate::support::desk::Desk;
use crate::support::fault::Fault;
use flightdeck::board::Board;
use flightdeck::integration::approval::Approvals;
use flightdeck::integration::approval::jenkins::{InputEnvironment, Settings, waiting_inputs};
use flightdeck::model::*;
use flightdeck::port::{Executor, NotDone};
use std::time::Duration;
use stub::{AT, Build, LOGIN, Stub, TOKEN, input};

pub const JOB: &str = "team/shop/feature%2Flogin";

/// Looked at all the time, so that nothing waits long.
pub fn open(stub: &Stub, token: &str) -> Approvals {
    let settings = Settings {
        url: stub.url(),
        user: LOGIN.into(),
        token: "env:UNUSED".into(),
        jobs: vec![JOB.into()],
        environment: "production".into(),
        inputs: vec![InputEnvironment { id: "qa".into(), environment: "staging".into() }],
        every: Duration::from_millis(50),
    };
    waiting_inputs("jenkins".into(), false, settings, token).unwrap()
}

type JenkinsDesk = Desk<Stub>;

impl Desk<Stub> {
    fn new(builds: Vec<Build>) -> JenkinsDesk {
        let stub = Stub::start();
        stub.world().builds = builds;
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

fn sent(word: &str) -> [String; 1] {
    [format!("POST {AT}42/input/Prod/{word} ")]
}

fn proof(stage: &Stage) -> &str {
    match stage {
        Stage::Effective { proof } => &proof.text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_yes_lets_the_build_go_on_and_its_end_is_shown() {
    let mut desk = JenkinsDesk::new(vec![Build::waiting(42)]);
    desk.stub.world().runs = true;
    let approval = desk.asked().await;
    assert_eq!(approval.run.target.to_string(), format!("jenkins/{JOB}/feature%2Flogin-42-Prod"));
    assert_eq!((approval.service.as_str(), approval.environment.as_str()), ("shop", "production"));
    let reviewers = approval.reviewers.as_ref().unwrap();
    assert!(reviewers.login.as_deref() == Some(LOGIN) && reviewers.untold, "{reviewers:?}");
    let forecast = desk.forecast(Action::Approve, &approval);
    assert!(forecast.lines.iter().any(|line| line.contains("Jenkins takes no comment")), "{forecast:?}");
    let (_, stage) = desk.does(Action::Approve, &approval).await;
    assert!(proof(&stage).starts_with("approved by octo; its run goes on"), "{stage:?}");
    desk.stub.world().build(42).answered(Some("SUCCESS"));
    let row = desk.row("approved by octo; its run ended: SUCCESS").await;
    assert_eq!(row.phase, Phase::Healthy);
    let vote = desk.board.approvals().find(|of| of.state == ApprovalState::Approved).unwrap().votes[0].clone();
    assert_eq!((vote.who.as_str(), vote.reason.as_deref()), (LOGIN, Some("looks good (alice with flightdeck)")));
    assert_eq!(desk.changes(), sent("proceedEmpty"));
}

#[tokio::test]
async fn a_no_is_effective_once_the_build_has_ended() {
    let mut desk = JenkinsDesk::new(vec![Build::waiting(42)]);
    desk.stub.world().runs = true;
    let approval = desk.asked().await;
    let forecast = desk.forecast(Action::Reject, &approval);
    assert!(forecast.lines[1].contains("unless its pipeline catches that"), "{forecast:?}");
    let no = desk.command(Action::Reject, &approval);
    let left = desk.source.execute(&no).await.unwrap().left;
    let row = desk.row("rejected by octo; its run has not ended").await;
    assert_eq!(row.phase, Phase::Progressing, "it goes on for a moment, and nobody said yes");
    desk.stub.world().build(42).answered(Some("ABORTED"));
    let stage = desk.ends(&no, &approval, Some(&left)).await;
    assert!(proof(&stage).starts_with("rejected by octo; its run ended: ABORTED"), "{stage:?}");
    assert_eq!(desk.changes(), sent("abort"));
}

#[tokio::test]
async fn a_build_that_fails_after_a_yes_is_no_success() {
    let mut desk = JenkinsDesk::new(vec![Build::waiting(42)]);
    desk.stub.world().runs = true;
    let approval = desk.asked().await;
    let yes = desk.command(Action::Approve, &approval);
    let left = desk.source.execute(&yes).await.unwrap().left;
    desk.stub.world().build(42).answered(Some("FAILURE"));
    desk.row("approved by octo; its run ended: FAILURE").await;
    let stage = desk.ends(&yes, &approval, Some(&left)).await;
    assert!(matches!(&stage, Stage::Failed { why } if why.contains("FAILURE")), "{stage:?}");
}

#[tokio::test]
async fn what_asks_for_parameters_is_proceeded_with_in_jenkins_alone() {
    let asks = Build { inputs: vec![input("Prod", &["VERSION", "REGION"])], ..Build::waiting(42) };
    let mut desk = JenkinsDesk::new(vec![asks]);
    let approval = desk.asked().await;
    assert!(approval.what.ends_with("asks for VERSION, REGION"), "{}", approval.what);
    let why = "asks for parameters (VERSION, REGION): say yes at https://jenkins.example/ci/job";
    let forecast = desk.forecast(Action::Approve, &approval);
    assert!(forecast.warnings.iter().any(|warning| warning.contains(why)), "{forecast:?}");
    let refused = desk.refused(Action::Approve, &approval).await;
    assert!(refused.contains(why), "{refused}");
    assert_eq!(desk.changes(), [""; 0]);
    assert_eq!(desk.forecast(Action::Reject, &approval).warnings, [""; 0]);
    let (_, stage) = desk.does(Action::Reject, &approval).await;
    proof(&stage);
    assert_eq!(desk.changes(), sent("abort"));
}

#[tokio::test]
async fn inputs_that_jenkins_does_not_tell_apart_are_decided_there() {
    let twins = Build { inputs: vec![input("Prod", &[]), input("Prod", &[])], ..Build::waiting(42) };
    let mut desk = JenkinsDesk::new(vec![twins]);
    let approval = desk.asked().await;
    for action in [Action::Approve, Action::Reject] {
        let refused = desk.refused(action, &approval).await;
        assert!(refused.contains("several inputs with the id Prod"), "{refused}");
    }
    assert_eq!(desk.changes(), [""; 0]);
}

#[tokio::test]
async fn an_input_may_let_through_to_another_environment() {
    let two = Build { inputs: vec![input("qa", &[]), input("Prod", &[])], ..Build::waiting(42) };
    let mut desk = JenkinsDesk::new(vec![two]);
    desk.asked().await;
    let mut places: Vec<_> = desk.board.approvals().map(|of| of.environment.to_string()).collect();
    places.sort();
    assert_eq!(places, ["production", "staging"]);
}

#[tokio::test]
async fn what_somebody_answers_in_jenkins_is_nobodys_to_decide_any_more() {
    for result in [None, Some("SUCCESS"), Some("FAILURE"), Some("ABORTED")] {
        let mut desk = JenkinsDesk::new(vec![Build::waiting(42)]);
        let approval = desk.asked().await;
        let pinned = desk.command(Action::Approve, &approval);
        desk.stub.world().build(42).answered(result);
        let error = desk.source.execute(&pinned).await.unwrap_err();
        assert!(matches!(&error, NotDone::Refused(refusal) if refusal.kind == RefusalKind::PinChanged), "{error}");
        let settled = |board: &Board| {
            let settled = |of: &&Approval| matches!(&of.state, ApprovalState::Superseded { .. });
            board.approvals().find(settled).cloned()
        };
        let approval = desk.until("it is settled", settled).await;
        assert_eq!(approval.votes.len(), 0, "nobody knows who said what");
        let message = desk.row("Jenkins does not tell who said what").await.message;
        assert!(message.contains(result.unwrap_or("goes on")), "{message}");
        assert_eq!(desk.changes(), [""; 0]);
    }
}

#[tokio::test]
async fn more_builds_than_are_looked_through_are_said_to_be() {
    let mut builds: Vec<_> = (1..=20).map(Build::waiting).collect();
    builds[..19].iter_mut().for_each(|build| build.answered(Some("SUCCESS")));
    let mut desk = JenkinsDesk::new(builds);
    let only = |board: &Board| match board.link(&"jenkins".into()) {
        LinkState::Live { only, .. } => Some(only.clone()),
        _ => None,
    };
    let only = desk.until("it is live", only).await;
    assert_eq!(only.as_deref(), Some("the newest 20 builds of team/shop/feature%2Flogin"));
}

#[tokio::test]
async fn what_goes_wrong_is_a_sentence_and_nothing_is_believed() {
    let later = vec![("retry-after", "30".to_owned())];
    for (fault, what) in [
        (Fault::page(401, &[]), "Jenkins does not take the token"),
        (
            Fault::page(403, &[("x-error", "octo is missing the Job/Read permission")]),
            "missing the Job/Read permission",
        ),
        (Fault::page(404, &[]), "docs/jenkins.md names the rights"),
        (Fault::Instead(429, later, "Retry later".into()), "Jenkins's rate limit is used up until"),
        (Fault::page(503, &[]), "Jenkins answers 503"),
        (Fault::page(200, &[]), "not what its documentation says"),
        (Fault::Instead(200, Vec::new(), "{}".into()), "not what its documentation says"),
        (Fault::Truncated, "127.0.0.1"),
        (Fault::Drop, "127.0.0.1"),
    ] {
        let stub = Stub::start();
        stub.world().builds = vec![Build::waiting(42)];
        stub.world().faults.always("GET", fault.clone());
        let source = open(&stub, TOKEN);
        let mut desk = Desk::of(stub, source);
        let link = desk.unread().await;
        assert!(link.contains(what), "{fault:?}: {link}");
        assert_eq!(desk.board.approvals().count(), 0);
    }
    let stub = Stub::start();
    let source = open(&stub, "another");
    let link = Desk::of(stub, source).unread().await;
    assert!(link.contains("does not take the token"), "{link}");
}

#[tokio::test]
async fn what_is_refused_is_told_in_the_words_of_jenkins_and_not_sent_again() {
    let forbidden = [("x-error", "You need to be bert to submit this.")];
    for (fault, unknown, what) in [
        (Fault::page(400, &forbidden), false, "You need to be bert to submit this."),
        (Fault::page(403, &[]), false, "the token may not do this (403 Forbidden)"),
        (Fault::page(500, &[]), true, "Jenkins answers 500"),
        (Fault::page(200, &[]), true, "it should be empty; it came as text/html"),
        (Fault::Drop, true, "127.0.0.1"),
    ] {
        let mut desk = JenkinsDesk::new(vec![Build::waiting(42)]);
        let approval = desk.asked().await;
        desk.stub.world().faults.once("POST", fault.clone());
        let error = desk.source.execute(&desk.command(Action::Approve, &approval)).await.unwrap_err();
        assert_eq!(matches!(error, NotDone::Unknown { .. }), unknown, "{fault:?}: {error}");
        assert!(error.to_string().contains(what), "{fault:?}: {error}");
        assert_eq!(desk.changes(), [""; 0], "it is not sent again");
    }
}

#[tokio::test]
async fn what_became_of_a_lost_answer_is_read_and_only_the_end_of_the_build_counts() {
    let lost = async |desk: &mut JenkinsDesk, action| {
        desk.stub.world().runs = true;
        let approval = desk.asked().await;
        let command = desk.command(action, &approval);
        desk.stub.world().faults.once("POST", Fault::Cut);
        let error = desk.source.execute(&command).await.unwrap_err();
        assert!(matches!(error, NotDone::Unknown { .. }), "{error}");
        desk.row("Jenkins does not tell who said what; its run goes on").await;
        (approval, command)
    };
    for (action, end, effective) in [
        (Action::Approve, "SUCCESS", true),
        (Action::Approve, "ABORTED", false),
        (Action::Approve, "FAILURE", false),
        (Action::Reject, "ABORTED", true),
        (Action::Reject, "SUCCESS", false),
        (Action::Reject, "FAILURE", false),
    ] {
        let mut desk = JenkinsDesk::new(vec![Build::waiting(42)]);
        let (approval, command) = lost(&mut desk, action).await;
        desk.stub.world().build(42).answered(Some(end));
        let stage = desk.ends(&command, &approval, None).await;
        let so = matches!(&stage, Stage::Effective { proof } if proof.text.contains(end));
        assert_eq!(so, effective, "{action:?} {end}: {stage:?}");
        assert_eq!(desk.changes().len(), 1, "it is not sent again");
    }
}
