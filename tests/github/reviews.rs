//! What is shown, what a review posts, and how far it is followed.

use super::*;
use flightdeck::port::NotDone;

#[tokio::test]
async fn a_waiting_deployment_is_a_row_and_an_approval() {
    let mut bench = Bench::new();
    let approval = bench.asked().await;
    let run = StubRun::waiting(REPOSITORY, 42);
    assert_eq!(approval.id.as_str(), format!("github/acme/shop/{}.1/161088068", run.id));
    assert_eq!((approval.service.as_str(), approval.environment.as_str()), ("shop", "production"));
    assert_eq!(approval.what, "Round prices once (Deploy #42 of main, push)");
    assert_eq!((approval.to.version.as_str(), &approval.to.digest), ("42ceb02", &run.sha));
    assert_eq!(approval.author, "mona");
    let reviewers = approval.reviewers.unwrap();
    assert_eq!(reviewers.names, ["octo", "team release"]);
    assert_eq!((reviewers.login.as_deref(), &reviewers.denied), (Some(LOGIN), &None));
    let row = bench.board.rollout(&approval.run.target).unwrap();
    assert_eq!((row.phase, row.step, row.author.as_deref()), (Phase::Paused, Some(0), Some("mona")));
    let url = format!("https://github.com/acme/shop/actions/runs/{}", run.id);
    assert_eq!(row.message, format!("waits for a review by octo or team release; {url}"));
    assert_eq!(row.run.target.to_string(), "github/acme/shop/Deploy-42-production");
    let live = bench.source.read(&row.run).await.unwrap();
    assert_eq!((&live.facts, live.phase), (&row.facts, row.phase));
    assert_eq!(bench.source.inspect(&row.run).await.unwrap().raw["head_sha"], run.sha.as_str());
    bench.nothing_wrong();
}

#[tokio::test]
async fn a_yes_is_posted_with_its_reason_and_effective_once_the_job_runs() {
    let mut bench = Bench::new();
    bench.stub.world().runner = Duration::from_hours(1);
    let approval = bench.asked().await;
    let yes = bench.command(Action::Approve, &approval, Some("canary is fine"));
    assert_eq!(bench.stage(&yes), Stage::Accepted);
    bench.source.execute(&yes).await.unwrap();
    let expected = serde_json::json!({
        "environment_ids": [161_088_068], "state": "approved", "comment": "canary is fine (alice with flightdeck)",
    });
    assert_eq!(bench.posted(), [expected]);
    bench.reaches(&yes, "observed").await;
    bench.state(&approval, ApprovalState::Approved).await;
    let voted = bench.board.approval(&approval.id).unwrap();
    assert_eq!((voted.votes.len(), voted.votes[0].who.as_str()), (1, LOGIN));
    bench.stub.world().runner = Duration::ZERO;
    let proof = bench.reaches(&yes, "effective").await;
    assert!(proof.starts_with("approved by octo; its job deploys to production"), "{proof}");
    bench.stub.world().run(run_id()).gates[0].ended = Some("success");
    bench.until("it is done", |board| board.rollouts().all(|row| row.phase == Phase::Healthy)).await;
    bench.nothing_wrong();
}

#[tokio::test]
async fn a_job_that_fails_undoes_the_yes_and_its_row_says_so() {
    let mut bench = Bench::new();
    let approval = bench.asked().await;
    let yes = bench.command(Action::Approve, &approval, None);
    bench.source.execute(&yes).await.unwrap();
    bench.reaches(&yes, "effective").await;
    bench.stub.world().run(run_id()).gates[0].ended = Some("failure");
    bench.until("it failed", |board| board.rollouts().all(|row| row.phase == Phase::Failed)).await;
    assert!(bench.reaches(&yes, "failed").await.contains("its deployment to production failed"));
}

#[tokio::test]
async fn a_no_is_effective_once_nothing_can_be_deployed() {
    let mut bench = Bench::new();
    let approval = bench.asked().await;
    let no = bench.command(Action::Reject, &approval, None);
    bench.source.execute(&no).await.unwrap();
    let posted = bench.posted();
    assert_eq!((&posted[0]["state"], &posted[0]["comment"]), (&"rejected".into(), &"alice with flightdeck".into()));
    let proof = bench.reaches(&no, "effective").await;
    assert!(proof.starts_with("rejected by octo; nothing was deployed to production"), "{proof}");
    bench.state(&approval, ApprovalState::Rejected).await;
}

#[tokio::test]
async fn what_was_started_again_takes_no_review_of_the_attempt_before() {
    let mut bench = Bench::new();
    let approval = bench.asked().await;
    let yes = bench.command(Action::Approve, &approval, None);
    bench.stub.world().run(run_id()).rerun();
    let Err(NotDone::Refused(refusal)) = bench.source.execute(&yes).await else { panic!("it is another attempt") };
    assert_eq!(refusal.kind, RefusalKind::PinChanged);
    assert!(refusal.why.contains("revision was 1, is 2"), "{refusal}");
    assert!(bench.posted().is_empty());
    assert!(bench.reaches(&yes, "superseded").await.contains("attempt 2"));
    bench.state(&approval, ApprovalState::Superseded { by: "attempt 2".into() }).await;
    let again = bench.asked().await;
    assert_eq!((again.run.target, again.run.revision.as_str()), (approval.run.target, "2"));
}

#[tokio::test]
async fn a_later_push_supersedes_the_run_before_and_a_run_that_a_person_started_does_not() {
    let mut bench = Bench::new();
    let approval = bench.asked().await;
    let yes = bench.command(Action::Approve, &approval, None);
    let by_hand = StubRun { event: "workflow_dispatch".into(), ..StubRun::waiting(REPOSITORY, 43) };
    bench.stub.world().runs.push(by_hand);
    bench.until("both wait", |board| board.approvals().count() == 2).await;
    assert!(bench.board.approvals().all(|of| of.state == ApprovalState::Pending));
    assert_eq!(bench.board.approval(&approval.id).unwrap().behind, ["Deploy #43"]);
    // It was let through already: the one before must not follow it.
    let newer = StubRun { gates: Vec::new(), conclusion: Some("success"), ..StubRun::waiting(REPOSITORY, 44) };
    bench.stub.world().runs.push(newer);
    bench.state(&approval, ApprovalState::Superseded { by: "run #44, which has it all".into() }).await;
    let Err(NotDone::Refused(refusal)) = bench.source.execute(&yes).await else { panic!("a newer one is there") };
    assert!(refusal.why.contains("run #44"), "{refusal}");
    assert!(bench.posted().is_empty());
    bench.nothing_wrong();
}

#[tokio::test]
async fn who_may_not_is_told_why_and_nothing_is_posted() {
    let mut bench = Bench::new();
    let approval = bench.asked().await;
    let yes = bench.command(Action::Approve, &approval, None);
    bench.stub.world().run(run_id()).gates[0].can_approve = false;
    bench.stub.world().run(run_id()).gates[0].reviewers = vec![("User", "mona".into())];
    let Err(NotDone::Refused(refusal)) = bench.source.execute(&yes).await else { panic!("it may not") };
    assert_eq!(refusal.kind, RefusalKind::Denied);
    let why = "GitHub does not count octo among the reviewers of production: mona can";
    assert_eq!(refusal.why, why);
    let denied = |of: &Approval| of.reviewers.as_ref().is_some_and(|of| of.denied.as_deref() == Some(why));
    bench.until("its row says so", |board| board.approvals().all(denied)).await;
    let subject = Subject::Approval { id: approval.id.clone(), run: approval.run.clone() };
    let alice = Actor { name: "alice".into(), uid: Some(1), roles: vec![] };
    let command = yes.command();
    let decided = decide(&Policy::default(), &bench.board, &alice, command, Timestamp::now());
    assert!(decided.is_err_and(|refusal| refusal.why == why), "{subject:?}");
    assert!(bench.posted().is_empty());
}

#[tokio::test]
async fn what_waits_for_a_timer_alone_asks_nobody_and_a_yes_before_a_timer_is_seen() {
    let mut bench = Bench::new();
    {
        let mut world = bench.stub.world();
        let run = world.run(run_id());
        run.gates[0].wait_timer = 30;
        let timer = stub::Gate {
            id: 9,
            name: "soak".into(),
            reviewers: Vec::new(),
            can_approve: false,
            ..run.gates[0].clone()
        };
        run.gates.push(timer);
    }
    let approval = bench.asked().await;
    assert_eq!(bench.board.approvals().count(), 1);
    let soak = bench.board.rollouts().find(|row| row.environment.as_str() == "soak").unwrap();
    assert!(soak.waits.iter().any(|wait| matches!(wait, Wait::Until { .. })), "{:?}", soak.waits);
    let yes = bench.command(Action::Approve, &approval, None);
    bench.source.execute(&yes).await.unwrap();
    {
        // GitHub still holds it: the timer has not run out.
        let mut world = bench.stub.world();
        let gate = &mut world.run(run_id()).gates[0];
        (gate.pending, gate.can_approve) = (true, false);
    }
    bench.reaches(&yes, "observed").await;
    let row = bench.board.rollout(&approval.run.target).unwrap();
    assert!(row.message.starts_with("approved by octo; its wait timer runs until"), "{}", row.message);
}

#[tokio::test]
async fn a_run_that_ends_without_a_review_takes_its_question_along() {
    let mut bench = Bench::new();
    let approval = bench.asked().await;
    let yes = bench.command(Action::Approve, &approval, None);
    {
        let mut world = bench.stub.world();
        let run = world.run(run_id());
        (run.gates[0].pending, run.conclusion) = (false, Some("cancelled"));
    }
    let settled = |board: &Board| board.approvals().all(|of| of.state != ApprovalState::Pending);
    bench.until("nothing waits", settled).await;
    assert!(bench.reaches(&yes, "superseded").await.contains("its run ended without a review: cancelled"));
    let Err(NotDone::Refused(refusal)) = bench.source.execute(&yes).await else { panic!("it waits no more") };
    assert_eq!(refusal.kind, RefusalKind::PinChanged);
    assert!(bench.posted().is_empty());
}
