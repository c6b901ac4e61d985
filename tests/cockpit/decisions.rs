//! What is weighed before a yes: how the candidate does, what the yes replaces, who changed it meanwhile.

use super::world::*;
use flightdeck::board::health::Unknown;
use flightdeck::board::provenance::{self, Recorded};
use flightdeck::board::{Failing, Health};
use flightdeck::cockpit::app::dialog::{Field, ReasonFor};
use flightdeck::cockpit::app::run;
use flightdeck::cockpit::app::superseded::{Cause, cause};
use flightdeck::cockpit::app::{Event, Page, confirm};
use flightdeck::model::*;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// Requests and errors of ten seconds of both arms, the last of which ends now; `None`: no window at all.
fn numbers(desk: &mut Desk, service: &str, candidate: Option<(u64, u64)>, stable: Option<(u64, u64)>) {
    let at = desk.now;
    let of = |role, each: Option<(u64, u64)>| {
        let target = target(service);
        each.map(|(requests, errors)| ArmSample {
            target,
            role,
            version: "1".into(),
            at,
            window_ms: 10_000,
            requests,
            errors,
            p50_us: None,
            p95_us: (requests > 0).then_some(212_000),
            p99_us: None,
        })
    };
    let samples = [of(ArmRole::Candidate, candidate), of(ArmRole::Stable, stable)].into_iter().flatten().collect();
    desk.body(0, "local", "", Body::Samples(samples));
}

fn judgement(desk: &mut Desk, verdict: MetricVerdict) {
    let at = desk.now;
    desk.upsert(Entity::Evidence(Box::new(Evidence {
        id: format!("e-{at}"),
        run: run("checkout"),
        at,
        kind: "analysis".to_owned(),
        analysis: Some(AnalysisReport {
            template: "slo".to_owned(),
            from: at,
            to: at,
            candidate_requests: 100,
            stable_requests: 100,
            verdict,
            metrics: Vec::new(),
        }),
        summary: "slo: errors 18 % against 0.5 %".to_owned(),
    })));
}

fn promoting() -> Desk {
    let mut desk = Desk::new();
    desk.wait(1000);
    desk.select("checkout");
    desk.key("p");
    desk.allow(&Friction::Yes);
    desk.wait(400);
    desk
}

fn health(desk: &Desk) -> Option<Health> {
    confirm::health(&desk.state, desk.dialog(), &desk.dialog().items[0])
}

#[test]
fn who_was_not_measured_is_not_called_idle() {
    for (candidate, stable, expected) in [
        (None, Some((1000, 5)), vec![Unknown::CandidateUnmeasured, Unknown::NotJudged]),
        (Some((0, 0)), Some((1000, 5)), vec![Unknown::CandidateIdle, Unknown::NotJudged]),
        (Some((1000, 5)), None, vec![Unknown::StableUnmeasured, Unknown::NotJudged]),
        (Some((1000, 5)), Some((0, 0)), vec![Unknown::StableIdle, Unknown::NotJudged]),
    ] {
        let mut desk = promoting();
        numbers(&mut desk, "checkout", candidate, stable);
        let seen = health(&desk).unwrap();
        assert_eq!(seen.unknown, expected, "{candidate:?} against {stable:?}");
        assert_eq!(seen.of_now_until, Some(desk.now + SignedDuration::from_secs(30)));
    }
}

#[test]
fn what_raises_exposure_shows_candidate_against_stable_and_what_is_unknown() {
    let mut desk = promoting();
    let seen = health(&desk).unwrap();
    assert_eq!((seen.candidate, seen.stable, seen.as_of, seen.failing), (None, None, None, None));
    assert_eq!(seen.unknown, [Unknown::NoMetrics, Unknown::NotJudged], "nothing is good that was not seen");

    // Whatever page lies below.
    desk.state.page = Page::Logs;
    desk.state.visible_changed = false;
    numbers(&mut desk, "checkout", Some((40, 0)), None);
    assert!(desk.state.visible_changed, "numbers change what is on the screen");
    desk.state.page = Page::Deck;
    assert_eq!(health(&desk).unwrap().unknown, [Unknown::FewRequests, Unknown::StableUnmeasured, Unknown::NotJudged]);

    desk.wait(1000);
    numbers(&mut desk, "checkout", Some((160, 36)), Some((2000, 10)));
    let seen = health(&desk).unwrap();
    let (candidate, stable) = (seen.candidate.unwrap(), seen.stable.unwrap());
    assert_eq!((candidate.requests, candidate.errors, candidate.p95_ms), (200, 36, Some(212.0)), "both windows");
    assert_eq!((candidate.error_ratio(), candidate.per_second), (0.18, 10.0));
    assert_eq!((stable.error_ratio(), stable.per_second), (0.005, 200.0));
    assert_eq!((seen.as_of, seen.failing), (Some(desk.now), Some(Failing::Errors)));
    assert_eq!(seen.unknown, [Unknown::NotJudged]);

    // A minute on the candidate has none any more, and what it did before says nothing of now.
    desk.wait(61_000);
    numbers(&mut desk, "checkout", Some((0, 0)), Some((2000, 10)));
    let seen = health(&desk).unwrap();
    assert_eq!((seen.candidate, seen.failing), (None, None));
    assert_eq!(seen.unknown, [Unknown::CandidateIdle, Unknown::NotJudged]);

    judgement(&mut desk, MetricVerdict::Pass);
    let seen = health(&desk).unwrap();
    assert_eq!(seen.verdict.unwrap().verdict, MetricVerdict::Pass);
    assert_eq!((seen.unknown, seen.failing), (vec![Unknown::CandidateIdle], None));
    desk.wait(1);
    judgement(&mut desk, MetricVerdict::Fail);
    assert_eq!(health(&desk).unwrap().failing, Some(Failing::Verdict), "the newest counts");

    desk.keys("esc a");
    assert_eq!(health(&desk), None, "an abort has nothing to weigh");
}

#[test]
fn what_the_backends_own_analyses_say_counts_as_a_verdict() {
    let mut desk = promoting();
    let mut told = |analyses: &[(&str, Option<MetricVerdict>)]| {
        let of = |(phase, verdict): &(&str, Option<MetricVerdict>)| BackendAnalysis {
            name: "errors-1".to_owned(),
            phase: (*phase).to_owned(),
            verdict: *verdict,
            message: String::new(),
        };
        let row = row("checkout", Phase::Paused);
        desk.upsert(Entity::Rollout(Arc::new(Rollout { analyses: analyses.iter().map(of).collect(), ..row })));
        health(&desk).unwrap()
    };
    let running = ("Running", None);
    let seen = told(&[running]);
    assert_eq!((seen.verdict, seen.unknown), (None, vec![Unknown::NoMetrics, Unknown::BeingJudged]));
    let seen = told(&[("Inconclusive", Some(MetricVerdict::Missing)), ("Successful", Some(MetricVerdict::Pass))]);
    let judged = seen.verdict.unwrap();
    assert_eq!((judged.verdict, judged.at), (MetricVerdict::Missing, None), "the worst counts");
    assert_eq!((judged.summary.as_str(), seen.failing), ("errors-1 Inconclusive", None));
    assert_eq!(seen.unknown, [Unknown::NoMetrics]);
    assert_eq!(told(&[running, ("Failed", Some(MetricVerdict::Fail))]).failing, Some(Failing::Verdict));
}

#[test]
fn numbers_from_before_the_rollout_began_are_of_another_candidate() {
    let mut desk = promoting();
    numbers(&mut desk, "checkout", Some((100, 50)), Some((100, 0)));
    let mut newer = row("checkout", Phase::Progressing);
    newer.started = desk.now;
    desk.upsert(Entity::Rollout(Arc::new(newer)));
    assert_eq!(health(&desk).unwrap().unknown, [Unknown::NoNumbers, Unknown::NotJudged]);
}

#[test]
fn an_age_on_the_screen_ticks() {
    let mut desk = Desk::empty();
    desk.upsert(rollout("checkout", Phase::Progressing));
    desk.look();
    desk.select("checkout");
    desk.key("p");
    desk.allow(&Friction::Yes);
    desk.wait(1000);
    desk.send(Event::Wake);
    assert_eq!(desk.state.wake, None, "nothing else does");
    numbers(&mut desk, "checkout", Some((100, 0)), Some((100, 0)));
    desk.wait(1000);
    desk.send(Event::Wake);
    let wake = desk.state.wake.expect("the numbers get older");
    assert_eq!(wake, desk.now + SignedDuration::from_secs(1));
}

#[test]
fn a_yes_to_a_failing_candidate_needs_a_reason() {
    for by_verdict in [false, true] {
        let mut desk = promoting();
        if by_verdict {
            judgement(&mut desk, MetricVerdict::Fail);
        } else {
            numbers(&mut desk, "checkout", Some((100, 18)), Some((2000, 10)));
        }
        assert_eq!(confirm::reason_for(&desk.state, desk.dialog()), Some(ReasonFor::Failing));
        desk.key("y");
        assert!(desk.submitted().is_empty());
        assert_eq!(desk.said(), "to promote, give a reason: the candidate is failing");
        assert_eq!(desk.dialog().field, Field::Reason);
        desk.key("enter");
        assert!(desk.submitted().is_empty(), "an empty reason is none");
        desk.type_text("known, the mailer is down");
        desk.key("enter");
        assert_eq!(desk.submitted()[0].1.reason.as_deref(), Some("known, the mailer is down"));
    }
    let mut desk = promoting();
    numbers(&mut desk, "checkout", Some((100, 1)), Some((2000, 10)));
    desk.key("y");
    assert_eq!(desk.submitted().len(), 1, "a healthy one needs none");
    let mut desk = promoting();
    numbers(&mut desk, "checkout", Some((100, 18)), Some((2000, 10)));
    desk.keys("esc a y");
    assert_eq!(desk.submitted().len(), 1, "nobody is asked why a failing one is stopped");
}

#[test]
fn a_yes_says_what_it_replaces_who_brought_it_and_why() {
    let mut desk = Desk::new();
    let row = row("checkout", Phase::Progressing);
    let stable = |desk: &Desk| provenance::of_stable(&desk.state.board, &row).unwrap();
    let nothing = stable(&desk);
    assert_eq!((nothing.by, nothing.at), (Recorded::Missing, None));
    assert_eq!((nothing.commit, nothing.reason), (Recorded::NotKept, Recorded::NotKept), "no releases, no receipts");

    let began: Timestamp = "2026-02-20T09:00:00Z".parse().unwrap();
    let before = Run { revision: "r0".to_owned(), ..run("checkout") };
    desk.upsert(Entity::RolloutRecord(Arc::new(RolloutRecord {
        run: before.clone(),
        service: "checkout".into(),
        called: None,
        environment: "production".into(),
        from: None,
        to: "1.0.0".into(),
        author: Some("dana".to_owned()),
        writer: None,
        started: began,
        ended: began,
        outcome: DeploymentOutcome::Succeeded,
        cause: String::new(),
        kind: DeploymentKind::Deploy,
        digest: None,
        commit_at: None,
        reached: None,
        rollback: None,
        waited: None,
        manual_steps: 0,
        steps: None,
        diagnosis: None,
    })));
    assert_eq!(stable(&desk).reason, Recorded::Missing, "somebody brought it, and no reason is recorded");
    for (version, commit) in [("1.0.0", Some("3fa9c01b77")), ("1.1.0", None)] {
        desk.upsert(Entity::Release(Release {
            source: "local".into(),
            service: "checkout".into(),
            version: version.into(),
            artifacts: Vec::new(),
            commit: commit.map(str::to_owned),
            commit_at: None,
            author: "ci".to_owned(),
            added: began,
            migrations: None,
        }));
    }
    for (id, created, reason) in [("c1", &before, Some("spring sale")), ("c2", &row.run, None)] {
        let command = Command {
            id: id.into(),
            action: Action::Deploy,
            subject: Subject::Run(created.clone()),
            pin: None,
            reason: reason.map(str::to_owned),
        };
        let receipt = Receipt { created: Some(created.clone()), ..receipt(&command, &[Stage::Requested]) };
        desk.upsert(Entity::Receipt(Box::new(receipt)));
    }
    let known = |text: &str| Recorded::Known(text.to_owned());
    let was = stable(&desk);
    assert_eq!((was.version.0.as_str(), was.by, was.at), ("1.0.0", known("dana"), Some(began)));
    assert_eq!((was.commit, was.reason), (known("3fa9c01b77"), known("spring sale")));
    let new = provenance::of_candidate(&desk.state.board, &row).unwrap();
    assert_eq!((new.version.0.as_str(), new.by, new.at), ("1.1.0", known("bob"), Some(row.started)));
    assert_eq!((new.commit, new.reason), (Recorded::Missing, Recorded::Missing));
}

#[test]
fn a_dialog_says_as_of_when_it_is() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    let pressed = desk.now;
    assert_eq!(desk.dialog().items[0].seen, pressed);
    desk.wait(700);
    desk.allow(&Friction::Yes);
    assert_eq!(desk.dialog().items[0].seen, desk.now, "the live object was read for it");
    desk.keys("esc a");
    let pressed = desk.now;
    desk.wait(700);
    desk.allow(&Friction::Yes);
    assert_eq!(desk.dialog().items[0].seen, pressed, "an abort is bound to the row");
    desk.key("esc");
    desk.stale("local", "connection refused");
    let since = desk.now;
    desk.wait(40_000);
    desk.key("a");
    assert_eq!(desk.dialog().items[0].seen, since, "a row that may be old is as of the last word");
}

#[test]
fn a_reason_takes_pasted_text_as_one_line_of_bounded_length() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.keys("a tab");
    desk.send(Event::Paste("see INC-12:\r\n  \u{1b}errors at the edge\n".to_owned()));
    assert_eq!((desk.dialog().reason.text.as_str(), desk.said()), ("see INC-12: \u{fffd}errors at the edge", ""));
    desk.send(Event::Paste("x".repeat(2000)));
    assert_eq!(desk.said(), "pasted text was ignored: a reason has at most 1000 bytes");
    assert_eq!(desk.dialog().reason.text.len(), "see INC-12: \u{fffd}errors at the edge".len());
    desk.key("enter");
    let submitted = desk.submitted();
    assert_eq!(submitted[0].1.reason.as_deref(), Some("see INC-12: \u{fffd}errors at the edge"));
}

fn moved(desk: &mut Desk, step: u32, generation: u64) {
    let mut moved = row("checkout", Phase::Progressing);
    moved.facts = facts("checkout", step, generation);
    desk.upsert(Entity::Rollout(Arc::new(moved)));
}

fn blocked(desk: &Desk) -> String {
    confirm::blocked(&desk.state, desk.dialog()).unwrap()
}

fn note(desk: &mut Desk, id: &str, who: &str, text: &str) {
    let (at, who, text) = (desk.now, who.to_owned(), text.to_owned());
    desk.upsert(Entity::Note(Note { id: id.to_owned(), run: run("checkout"), at, who, text, kind: NoteKind::Event }));
}

#[test]
fn a_superseded_dialog_says_by_whom_and_what() {
    let mut desk = promoting();
    note(&mut desk, "n1", "system:engine", "step 2 of 6: 5 %");
    let mut desk = {
        desk.keys("esc p");
        desk.allow(&Friction::Yes);
        desk.wait(400);
        desk
    };
    moved(&mut desk, 2, 8);
    assert_eq!(blocked(&desk), "step was 1, is 2; ctrl-r opens it as it is now", "what was told before is no cause");
    note(&mut desk, "n2", "system:engine", "step 3 of 6: 25 %");
    assert_eq!(blocked(&desk), "system:engine: step 3 of 6: 25 %; step was 1, is 2; ctrl-r opens it as it is now");
    let command = Command {
        id: "c9".into(),
        action: Action::Promote,
        subject: Subject::Run(run("checkout")),
        pin: None,
        reason: Some("looks good".to_owned()),
    };
    let mut receipt = receipt(&command, &[Stage::Requested]);
    (receipt.actor.name, receipt.stages[0].at) = ("dana".to_owned(), desk.now);
    desk.upsert(Entity::Receipt(Box::new(receipt)));
    assert_eq!(blocked(&desk), "dana: promote, looks good; step was 1, is 2; ctrl-r opens it as it is now");

    let mut newer = row("checkout", Phase::Progressing);
    (newer.run.revision, newer.author) = ("r2".to_owned(), Some("erin".to_owned()));
    newer.arms[1].version = "1.2.0".into();
    newer.facts = facts("checkout", 0, 9).with(Fact::Revision, "r2").with(Fact::Candidate, "sha256:newer");
    desk.upsert(Entity::Rollout(Arc::new(newer)));
    let why = blocked(&desk);
    assert!(why.starts_with("erin began 1.2.0; revision was r1, is r2, step was 1, is 0, candidate was"), "{why}");
    desk.remove(EntityRef::Rollout(target("checkout")));
    assert_eq!(cause(&desk.state, &desk.dialog().items[0]), Cause::Gone);
}

#[test]
fn one_key_opens_a_superseded_dialog_anew_on_the_row_as_it_is() {
    let mut desk = promoting();
    desk.key("ctrl-r");
    assert_eq!(desk.said(), "`ctrl-r` does nothing here: y to promote, Esc to leave", "it is as it was");
    desk.key("tab");
    desk.type_text("budget is fine");
    moved(&mut desk, 2, 8);
    desk.key("ctrl-r");
    assert!(desk.dialog().is_asking(), "the server is asked anew");
    desk.allow(&Friction::Yes);
    assert_eq!(confirm::blocked(&desk.state, desk.dialog()), None);
    assert_eq!(desk.dialog().reason.text, "budget is fine", "what was written stays");
    desk.press("y", 100);
    assert!(desk.submitted().is_empty(), "it says something new: it has to be read first");
    desk.press("y", 300);
    let submitted = desk.submitted();
    assert_eq!(submitted[0].1.pin, Some(facts("checkout", 2, 8).pin(Action::Promote)));
    assert_eq!(submitted[0].1.reason.as_deref(), Some("budget is fine"));

    // What can't be done to the row as it is now stays superseded, and says why.
    let mut desk = promoting();
    let mut ended = row("checkout", Phase::Healthy);
    ended.facts = facts("checkout", 6, 9);
    desk.upsert(Entity::Rollout(Arc::new(ended)));
    desk.key("ctrl-r");
    assert_eq!(desk.said(), "promote: checkout in production has no rollout in flight: 1.0.0 serves");
    desk.key("y");
    assert!(desk.submitted().is_empty());
}

#[test]
fn an_approval_weighs_the_same_and_says_who_settled_it() {
    let mut desk = Desk::new();
    desk.wait(1000);
    desk.upsert(Entity::Approval(Box::new(approval("A-1", "checkout"))));
    numbers(&mut desk, "checkout", Some((100, 18)), Some((2000, 10)));
    desk.keys("2");
    desk.state.visible_changed = false;
    desk.wait(10);
    numbers(&mut desk, "checkout", Some((100, 18)), Some((2000, 10)));
    assert!(desk.state.visible_changed, "the page shows numbers of the selected one");
    assert_eq!(run::health(&desk.state, &run("checkout")).unwrap().failing, Some(Failing::Errors));
    desk.key("v");
    desk.allow(&Friction::Yes);
    desk.wait(400);
    assert_eq!(health(&desk).unwrap().failing, Some(Failing::Errors));
    desk.key("y");
    assert_eq!(desk.said(), "to approve, give a reason: the candidate is failing");
    let mut settled = approval("A-1", "checkout");
    settled.state = ApprovalState::Rejected;
    settled.votes = vec![Vote { who: "dana".to_owned(), verdict: Verdict::Rejected, at: desk.now, reason: None }];
    settled.facts = facts("checkout", 1, 8).with(Fact::Approval, "A-1");
    desk.upsert(Entity::Approval(Box::new(settled)));
    assert_eq!(blocked(&desk), "dana said no; generation was 7, is 8; ctrl-r opens it as it is now");
}
