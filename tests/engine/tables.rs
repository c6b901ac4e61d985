//! The core's rules, one story each: given, input, then.

use super::world::*;
use flightdeck::engine::core::{Effect, Input, InstanceEvent, InstanceStage, Progress, State, Watched, diff};
use flightdeck::model::*;
use jiff::SignedDuration;

/// A canary at its first weight, waiting for a promotion.
fn at_ten() -> Story {
    let mut story = Story::serving(spec(&canary_steps()));
    story.deploy("production", "1.1").unwrap();
    assert_eq!(story.traffic(), parts(&[("1.0", 90), ("1.1", 10)]));
    story
}

pub fn parts(of: &[(&str, u32)]) -> Vec<(String, u32)> {
    of.iter().map(|(version, share)| ((*version).to_owned(), *share)).collect()
}

pub fn all_at(version: &str) -> Vec<(String, u32)> {
    parts(&[(version, 100)])
}

#[test]
fn the_first_version_comes_up_without_steps_and_the_next_goes_through_them() {
    let mut story = at_ten();
    assert_eq!(story.row().phase, Phase::Paused);
    story.act(Action::Promote).unwrap();
    assert_eq!(story.traffic(), parts(&[("1.0", 50), ("1.1", 50)]));
    assert!(story.row().waits.iter().any(|wait| *wait == Wait::Until { at: story.now + seconds(5) }));
    story.pass(6);
    assert_eq!(story.row().phase, Phase::Healthy, "{}", story.row().message);
    assert_eq!(story.traffic(), all_at("1.1"));
}

#[test]
fn a_candidate_is_scaled_before_its_weight_and_stable_stays_at_full_size() {
    let mut story = at_ten();
    assert_eq!((story.ready_of("1.0").len(), story.ready_of("1.1").len()), (3, 1));
    story.ready = false;
    story.act(Action::Promote).unwrap();
    assert_eq!(story.traffic(), parts(&[("1.0", 90), ("1.1", 10)]), "50 % needs a second instance first");
    assert_eq!(story.row().candidate().unwrap().replicas, Replicas { ready: 1, desired: 2 });
    let late = story.started.last().unwrap().clone();
    story.event(&late, InstanceEvent::Ready);
    assert_eq!(story.traffic(), parts(&[("1.0", 50), ("1.1", 50)]));
    assert_eq!(story.ready_of("1.0").len(), 3);
}

/// Every way to interleave an abort with a promotion to the end: routes are acknowledged before or
/// after it, and the abort comes after each input.
#[test]
fn an_abort_beats_a_promotion_at_each_interleaving() {
    for action in [Action::Promote, Action::PromoteFull] {
        for acked in [false, true] {
            for late_ready in [false, true] {
                for abort_first in [false, true] {
                    let mut story = at_ten();
                    let run = story.row().run;
                    let promote = story.row().facts.pin(action);
                    let abort = story.row().facts.pin(Action::Abort);
                    story.routes = acked && !late_ready;
                    story.ready = !late_ready;
                    let mut order = vec![(action, promote), (Action::Abort, abort)];
                    if abort_first {
                        order.reverse();
                    }
                    for (action, pin) in order {
                        let done = story.command_as("bob", action, Subject::Run(run.clone()), Some(pin));
                        let over = action != Action::Abort && abort_first;
                        let ended = action == Action::Abort
                            && story.progress() == Progress::Ended(DeploymentOutcome::Succeeded);
                        assert_eq!(done.is_err(), over || ended, "{action:?} {done:?}");
                    }
                    story.routes = true;
                    story.flush();
                    for id in story.started.clone() {
                        story.event(&id, InstanceEvent::Ready);
                    }
                    story.pass(30);
                    let case = format!("{action:?} acked {acked} late {late_ready} abort first {abort_first}");
                    let done = action == Action::PromoteFull && acked && !late_ready && !abort_first;
                    let expected = if done { ("1.1", Phase::Healthy) } else { ("1.0", Phase::Aborted) };
                    assert_eq!((story.traffic(), story.row().phase), (all_at(expected.0), expected.1), "{case}");
                }
            }
        }
    }
}

#[test]
fn an_abort_works_on_what_is_paused_held_queued_or_promoting_full() {
    type Prepare = fn(&mut Story);
    let cases: [(&str, Prepare); 4] = [
        ("paused", |story| drop(story.act(Action::Pause))),
        ("held", |story| drop(story.hold("eve"))),
        ("promoting full", |story| {
            story.ready = false;
            story.act(Action::PromoteFull).unwrap();
        }),
        ("route under way", |story| {
            story.routes = false;
            story.act(Action::PromoteFull).unwrap();
        }),
    ];
    for (name, prepare) in cases {
        let mut story = at_ten();
        prepare(&mut story);
        let outcome = story.act(Action::Abort).unwrap();
        let lowers = outcome.effects.iter().find_map(|of| match &of.effect {
            Effect::Route { lowers_exposure, .. } => Some(*lowers_exposure),
            _ => None,
        });
        assert_eq!(lowers, Some(true), "{name}");
        story.routes = true;
        story.flush();
        assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Aborted), "{name}");
        assert_eq!(story.ready_of("1.1"), Vec::<String>::new(), "{name}");
        let again = story.act(Action::Abort).unwrap_err();
        assert_eq!(again.kind, RefusalKind::NotApplicable, "{name}: {again}");
    }
}

#[test]
fn an_abort_gives_stable_what_it_can_carry_and_the_rest_as_it_scales() {
    let mut story = at_ten();
    story.act(Action::Promote).unwrap();
    let lost = story.ready_of("1.0").into_iter().take(2).collect::<Vec<_>>();
    for id in &lost {
        story.event(id, InstanceEvent::Unhealthy { why: "HTTP 500".to_owned(), diagnosis: None });
    }
    story.act(Action::Abort).unwrap();
    assert_eq!(
        story.traffic().first().map(|of| of.1),
        Some(50),
        "one of three carries a third; the candidate keeps no more than its half"
    );
    assert_eq!(story.row().phase, Phase::RollingBack);
    for id in &lost {
        story.event(id, InstanceEvent::Ready);
    }
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Aborted));
}

#[test]
fn a_pin_that_no_longer_holds_changes_nothing() {
    let mut story = at_ten();
    let row = story.row();
    story.act(Action::Promote).unwrap();
    let before = story.state.clone();
    let stale = [row.facts.pin(Action::Promote), row.facts.pin(Action::PromoteFull), row.facts.pin(Action::Resume)];
    for pin in stale {
        let action = pin.action;
        let refused = story.command_as("bob", action, Subject::Run(row.run.clone()), Some(pin)).unwrap_err();
        assert_eq!(refused.kind, RefusalKind::PinChanged);
        assert!(refused.why.contains("step was 1, is 3") && refused.why.contains("generation"), "{refused}");
    }
    let other = story.row().facts.pin(Action::Pause);
    let refused = story.command_as("bob", Action::Abort, Subject::Run(row.run.clone()), Some(other)).unwrap_err();
    assert!(refused.why.contains("the pin is for pause"), "{refused}");
    let mut short = story.row().facts.pin(Action::Promote);
    short.facts.remove(&Fact::Generation);
    let refused = story.command_as("bob", Action::Promote, Subject::Run(row.run.clone()), Some(short)).unwrap_err();
    assert!(refused.why.contains("generation was not pinned"), "{refused}");
    let mut after = story.state.clone();
    after.commands.clone_from(&before.commands);
    assert_eq!(after, before);
    // An abort's pin binds who is meant, not the step.
    let run = Subject::Run(row.run.clone());
    story.command_as("bob", Action::Abort, run, Some(row.facts.pin(Action::Abort))).unwrap();
}

#[test]
fn the_same_command_twice_is_carried_out_once() {
    let mut story = at_ten();
    let command = Command {
        id: "same".into(),
        action: Action::Promote,
        subject: Subject::Run(story.row().run),
        pin: None,
        reason: None,
    };
    let input = Input::Command { command, actor: actor("bob"), decided: story.now };
    assert_eq!(story.input(&input).refused, None);
    let before = (story.row().step, story.state.slots.clone());
    let again = story.input(&input);
    assert_eq!((again.refused, again.effects.len()), (None, 0));
    assert_eq!((story.row().step, story.state.slots.clone()), before);
}

#[test]
fn time_that_jumps_or_goes_backwards_promotes_nothing() {
    let mut story = at_ten();
    story.act(Action::Promote).unwrap();
    for jump in [3600, -3600, 86_400, -7200] {
        story.now += seconds(jump);
        story.input(&Input::Tick);
    }
    // Two jumps forward count two seconds each of the five.
    assert_eq!(story.traffic(), parts(&[("1.0", 50), ("1.1", 50)]));
    assert_eq!(story.slot().run.unwrap().elapsed, seconds(4));
    story.pass(1);
    assert_eq!(story.traffic(), all_at("1.1"));
}

#[test]
fn a_lapsed_lease_aborts_and_an_old_one_does_not() {
    let mut story = at_ten();
    let route = story.proxy["shop@production"].clone();
    assert_eq!(route.fallback, story.slot().stable);
    let lapse = |story: &Story, version| Input::LeaseLapsed { slot: key("shop", "production"), version, at: story.now };
    let old = lapse(&story, route.version - 1);
    story.input(&old);
    assert_eq!(story.row().phase, Phase::Paused);
    story.routes = false;
    let now = lapse(&story, route.version);
    story.input(&now);
    let row = story.row();
    assert_eq!(row.candidate().unwrap().traffic.actual, Some(Ppm::ZERO), "the proxy did it by itself");
    assert!(row.message.starts_with("lease lapsed"), "{}", row.message);
    story.routes = true;
    story.flush();
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Aborted));
    story.pass(300);
    assert_eq!(story.traffic(), all_at("1.0"), "nothing goes on by itself");
}

#[test]
fn after_a_reboot_stable_comes_up_first_and_then_what_is_kept_warm() {
    let mut story = at_ten();
    story.act(Action::PromoteFull).unwrap();
    let (warm, stable) = (story.ready_of("1.0"), story.ready_of("1.1"));
    assert_eq!((warm.len(), stable.len()), (3, 3));
    // Nothing of the boot before runs, and what is started is not ready yet.
    story.ready = false;
    for id in warm.iter().chain(&stable) {
        story.event(id, InstanceEvent::Exited { why: "it is gone".into(), diagnosis: None });
    }
    let started = story.started.len();
    story.pass(5);
    assert_eq!(sorted(&story.started[started..]), sorted(&stable), "nothing else, however long it takes");
    for id in &stable[..2] {
        story.event(id, InstanceEvent::Ready);
    }
    story.pass(5);
    assert_eq!(story.started.len(), started + 3, "one of stable lacks");
    story.event(&stable[2], InstanceEvent::Ready);
    story.pass(2);
    assert_eq!(sorted(&story.started[started + 3..]), sorted(&warm));
}

fn sorted(ids: &[String]) -> Vec<String> {
    let mut ids = ids.to_vec();
    ids.sort();
    ids
}

#[test]
fn a_rollback_to_what_is_warm_is_one_switch_and_to_what_is_cold_starts_it_first() {
    for (warm, wait) in [(true, 10), (false, 130)] {
        let mut story = at_ten();
        story.act(Action::PromoteFull).unwrap();
        assert_eq!(story.traffic(), all_at("1.1"));
        story.pass(wait);
        assert_eq!(story.ready_of("1.0").len(), if warm { 3 } else { 0 });
        story.ready = false;
        story.act(Action::Rollback).unwrap();
        if !warm {
            assert_eq!((story.traffic(), story.row().phase), (all_at("1.1"), Phase::RollingBack));
            let starting: Vec<_> = story.started.iter().rev().take(3).cloned().collect();
            story.event(&starting[0], InstanceEvent::Ready);
            assert_eq!(story.traffic(), parts(&[("1.0", 33), ("1.1", 66)]), "as far as it can carry");
            for id in &starting {
                story.event(id, InstanceEvent::Ready);
            }
        }
        assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Healthy), "warm {warm}");
        let last = story.ended.last().unwrap();
        assert_eq!((last.outcome, last.to.as_str()), (DeploymentOutcome::RolledBack, "1.0"));
        assert!(!story.row().offers.contains(Action::Rollback), "never back to the bad one");
        assert_eq!(story.ready_of("1.1"), Vec::<String>::new());
    }
}

#[test]
fn a_rollback_that_cannot_come_up_leaves_what_serves() {
    let mut story = at_ten();
    story.act(Action::PromoteFull).unwrap();
    story.pass(130);
    story.ready = false;
    story.act(Action::Rollback).unwrap();
    story.pass(70);
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.1"), Phase::Failed), "{}", story.row().message);
    assert_eq!(story.slot().pools.len(), 1);
}

#[test]
fn a_newer_one_supersedes_or_queues_as_configured() {
    let mut story = at_ten();
    let old = story.row().run;
    story.routes = false;
    story.deploy("production", "1.2").unwrap();
    assert_eq!(story.row().phase, Phase::RollingBack, "the newer one waits until the candidate has no traffic");
    story.routes = true;
    story.flush();
    assert_eq!(story.traffic(), parts(&[("1.0", 90), ("1.2", 10)]));
    let ended = story.ended.last().unwrap();
    assert_eq!((&ended.run, ended.outcome), (&old, DeploymentOutcome::Superseded));
    assert!(ended.cause.contains("1.2"), "{}", ended.cause);
    let gone = story.command_as("bob", Action::Promote, Subject::Run(old), None).unwrap_err();
    assert!(gone.kind == RefusalKind::NotApplicable && gone.why.contains("superseded"), "{gone}");

    let mut queued = spec(&canary_steps());
    queued.services.get_mut(&"shop".into()).unwrap().placements.get_mut(&"production".into()).unwrap().concurrency =
        Concurrency::Queue;
    let mut story = Story::serving(queued);
    story.deploy("production", "1.1").unwrap();
    story.deploy("production", "1.2").unwrap();
    assert_eq!(story.traffic(), parts(&[("1.0", 90), ("1.1", 10)]));
    assert!(story.row().message.contains("1 rollout in line"), "{}", story.row().message);
    story.act(Action::PromoteFull).unwrap();
    assert_eq!(story.traffic(), parts(&[("1.1", 90), ("1.2", 10)]));
}

#[test]
fn an_environment_takes_so_many_rollouts_at_once() {
    let mut limited = spec(&canary_steps());
    limited.environments.get_mut(&"production".into()).unwrap().concurrent_rollouts = Some(1);
    let mut cart = limited.services[&ServiceName::from("shop")].clone();
    cart.placements.values_mut().enumerate().for_each(|(at, of)| of.listen = Some(address(10 + at as u64)));
    limited.services.insert("cart".into(), cart);
    let mut story = Story::serving(limited);
    story.input(&Input::ReleaseAdded(release("cart", "1.0")));
    story.deploy("production", "1.1").unwrap();
    let subject = deployment("cart", "production", "1.0");
    story.command_as("ann", Action::Deploy, subject, None).unwrap();
    let cart = |story: &Story| story.state.slots[&key("cart", "production")].shown_phase();
    assert_eq!(cart(&story), Phase::Queued);
    story.act(Action::Abort).unwrap();
    assert_eq!(cart(&story), Phase::Healthy);
}

trait Shown {
    fn shown_phase(&self) -> Phase;
}

impl Shown for flightdeck::engine::core::Slot {
    fn shown_phase(&self) -> Phase {
        self.queue.front().or(self.run.as_ref()).unwrap().phase
    }
}

#[test]
fn a_hold_stops_all_and_its_release_frees_only_what_it_held() {
    let mut story = at_ten();
    story.act(Action::Pause).unwrap();
    let first = story.hold("eve");
    assert_eq!(story.hold("eve"), first, "the same owner and scope");
    let second = story.hold("ann");
    assert_ne!(first, second);
    for (action, word) in [(Action::Promote, "held by"), (Action::PromoteFull, "held by"), (Action::Resume, "held by")]
    {
        let refused = story.act(action).unwrap_err();
        assert!(refused.why.contains(word) && refused.why.contains(first.as_str()), "{refused}");
    }
    story.deploy("staging", "1.1").unwrap();
    assert_eq!(story.row_of("staging").phase, Phase::Queued);
    story.release_hold(&first).unwrap();
    assert_eq!(story.row().waits.iter().filter(|wait| matches!(wait, Wait::Hold(_))).count(), 1);
    story.release_hold(&second).unwrap();
    assert_eq!(story.row().phase, Phase::Paused, "bob's pause stays");
    assert_eq!(story.row_of("staging").phase, Phase::Healthy, "what only the holds kept goes on");
    assert!(story.act(Action::Promote).unwrap_err().why.contains("paused by bob"));
    story.act(Action::Resume).unwrap();
    story.act(Action::Promote).unwrap();
    assert_eq!(story.traffic(), parts(&[("1.0", 50), ("1.1", 50)]));
    assert_eq!(story.release_hold(&first).unwrap_err().kind, RefusalKind::NotFound);
}

#[test]
fn one_is_let_through_with_a_reason_while_the_rest_stays_held() {
    let mut story = at_ten();
    let id = story.hold("eve");
    story.deploy("staging", "1.2").unwrap();
    let by = |story: &Story, environment: &str| story.row_of(environment).held_by().cloned();
    assert_eq!((by(&story, "staging"), by(&story, "production")), (Some(id.clone()), Some(id.clone())));
    assert!(story.row().offers.contains(Action::LetThrough));
    let run = story.row().run;
    let refused = story.command_as("ann", Action::LetThrough, Subject::Run(run.clone()), None).unwrap_err();
    assert!(refused.why.contains("needs a reason"), "{refused}");
    story.reason = Some("the fix".to_owned());
    story.act(Action::LetThrough).unwrap();
    assert_eq!((by(&story, "staging"), by(&story, "production")), (Some(id.clone()), None));
    let hold = story.rows().into_iter().find_map(|row| if let Entity::Hold(hold) = row { Some(hold) } else { None });
    let hold = hold.unwrap();
    let notes: Vec<_> = hold.targets.iter().map(|target| (target.held, target.note.as_str())).collect();
    assert!(notes.contains(&(true, "held")) && notes.contains(&(false, "let through by bob: the fix")), "{notes:?}");
    assert!(story.act(Action::LetThrough).unwrap_err().why.contains("is not held"));
    // Held once more, it stands still again; released, all of it goes on.
    assert_eq!(story.hold("eve"), id);
    assert_eq!(by(&story, "production"), Some(id.clone()));
    story.release_hold(&id).unwrap();
    assert_eq!((by(&story, "staging"), by(&story, "production")), (None, None));
}

#[test]
fn a_hold_has_the_id_that_it_was_given_and_none_that_is_taken() {
    let mut story = at_ten();
    let given = |id: &str| Subject::Scope { selector: Selector::default(), frozen: Vec::new(), hold: Some(id.into()) };
    story.command_as("eve", Action::Hold, given("H-7K3PQ2"), None).unwrap();
    assert_eq!(story.row().held_by(), Some(&HoldId::from("H-7K3PQ2")));
    for id in ["H-7K3PQ2", "H-", "everything", "H-a b"] {
        let refused = story.command_as("ann", Action::Hold, given(id), None).unwrap_err();
        assert_eq!(refused.kind, RefusalKind::Invalid, "{id}: {refused}");
    }
    assert_eq!(story.state.holds.len(), 1);
}

#[test]
fn a_hold_does_not_keep_users_from_going_back() {
    let mut story = at_ten();
    story.routes = false;
    story.act(Action::Abort).unwrap();
    let hold = story.hold("eve");
    let target = &story.state.holds.iter().find(|of| of.id == hold).unwrap().targets[0];
    assert!(!target.held && target.note.contains("on its way back"), "{target:?}");
    story.routes = true;
    story.flush();
    assert_eq!(story.row().phase, Phase::Aborted);
}

fn approval_story(count: u32, allow_self: bool) -> Story {
    let steps = [
        Step::SetWeight(Ppm::percent(10)),
        Step::Approval { count, from: vec!["users".to_owned()], expires: Some(seconds(600)) },
        Step::SetWeight(Ppm::percent(50)),
        Step::Pause { duration: None },
    ];
    let mut spec = spec(&steps);
    spec.environments.get_mut(&"production".into()).unwrap().allow_self = allow_self;
    let mut story = Story::serving(spec);
    story.deploy("production", "1.1").unwrap();
    assert_eq!(story.approval().what, "step 2 of 4: then 50 % of traffic");
    story
}

#[test]
fn an_approval_takes_different_people_and_not_the_author() {
    let mut story = approval_story(2, false);
    assert_eq!(story.vote("ann", Action::Approve).unwrap_err().kind, RefusalKind::Denied);
    story.vote("bob", Action::Approve).unwrap();
    assert!(story.vote("bob", Action::Approve).unwrap_err().why.contains("has said so already"));
    for action in [Action::Promote, Action::PromoteFull] {
        let refused = story.act(action).unwrap_err();
        assert!(refused.why.contains("approval"), "{refused}");
    }
    assert_eq!(story.traffic(), parts(&[("1.0", 90), ("1.1", 10)]));
    story.vote("eve", Action::Approve).unwrap();
    assert_eq!(story.traffic(), parts(&[("1.0", 50), ("1.1", 50)]));
    assert!(story.vote("dan", Action::Approve).unwrap_err().why.contains("approved already"));
    let mut story = approval_story(1, true);
    story.vote("ann", Action::Approve).unwrap();
    assert_eq!(story.traffic(), parts(&[("1.0", 50), ("1.1", 50)]));
}

#[test]
fn a_no_or_no_answer_aborts_and_a_newer_rollout_replaces_the_request() {
    let mut story = approval_story(2, false);
    story.vote("bob", Action::Approve).unwrap();
    story.vote("eve", Action::Reject).unwrap();
    assert_eq!((story.traffic(), story.row().phase), (all_at("1.0"), Phase::Aborted));
    assert_eq!(story.approval().state, ApprovalState::Rejected);

    let mut story = approval_story(1, false);
    story.pass(599);
    assert_eq!(story.approval().state, ApprovalState::Pending);
    story.pass(1);
    assert_eq!((story.approval().state, story.row().phase), (ApprovalState::Expired, Phase::Aborted));

    let mut story = approval_story(1, false);
    let old = story.approval();
    story.deploy("production", "1.2").unwrap();
    let asked = story.state.approvals.iter().find(|asked| asked.approval.id == old.id).unwrap();
    let ApprovalState::Superseded { by } = &asked.approval.state else { panic!("{asked:?}") };
    assert!(by.contains("1.2"), "{by}");
}

fn analysed(steps: &[Step], background: bool, missing: Missing) -> Story {
    analysed_by(golden(missing), steps, background)
}

fn analysed_by(template: AnalysisTemplate, steps: &[Step], background: bool) -> Story {
    let mut spec = spec(steps);
    spec.analyses.insert("golden".to_owned(), template);
    let placement = spec.services.get_mut(&"shop".into()).unwrap().placements.get_mut(&"production".into()).unwrap();
    placement.background_analysis = background.then(|| "golden".to_owned());
    let mut story = Story::serving(spec);
    story.deploy("production", "1.1").unwrap();
    story
}

#[test]
fn an_analysis_step_passes_fails_or_waits_for_data() {
    let steps = [
        Step::SetWeight(Ppm::percent(10)),
        Step::Analysis { name: "golden".to_owned(), duration: seconds(10) },
        Step::Pause { duration: None },
    ];
    let mut story = analysed(&steps, false, Missing::Pause);
    story.pass_with(11, 100, 0);
    assert_eq!(story.row().step, Some(2), "{}", story.row().message);
    assert!(story.slot().evidence.back().unwrap().summary.starts_with("passed"));

    // So bad that the rest of the span can't mend it.
    let mut story = analysed(&steps, false, Missing::Pause);
    story.pass_with(2, 100, 30);
    assert_eq!((story.row().phase, story.traffic()), (Phase::Aborted, all_at("1.0")));
    assert!(story.row().message.contains("errors 30 % against 0.1 % at stable, limit 1 %"), "{}", story.row().message);

    let mut story = analysed(&steps, false, Missing::Pause);
    story.pass_with(60, 1, 0);
    let row = story.row();
    assert_eq!((row.phase, row.step), (Phase::Paused, Some(1)));
    assert!(row.message.contains("no data"), "{}", row.message);
    assert!(row.waits.iter().any(|wait| matches!(wait, Wait::Human { what, .. } if what.starts_with("no data"))));
    story.act(Action::Resume).unwrap();
    story.pass_with(11, 100, 0);
    assert_eq!(story.row().step, Some(2), "measured anew");

    let mut story = analysed(&steps, false, Missing::Fail);
    story.pass_with(12, 1, 0);
    assert_eq!(story.row().phase, Phase::Aborted);
}

#[test]
fn a_background_analysis_rolls_back_even_what_a_person_paused_and_pauses_without_data() {
    let mut story = analysed(&canary_steps(), true, Missing::Pause);
    story.act(Action::Pause).unwrap();
    story.pass_with(12, 100, 5);
    assert_eq!((story.row().phase, story.traffic()), (Phase::Aborted, all_at("1.0")));
    let notes: Vec<_> = story.slot().notes.into_iter().map(|note| note.text).collect();
    assert!(notes.iter().any(|text| text.contains("this ends the pause by bob")), "{notes:?}");
    assert!(story.slot().evidence.back().unwrap().summary.contains("errors 5 %"));

    let mut story = analysed(&canary_steps(), true, Missing::Pause);
    story.act(Action::Promote).unwrap();
    for _ in 0..3 {
        story.input(&Input::WindowMissing);
        story.pass(1);
    }
    assert_eq!(story.row().phase, Phase::Progressing, "not a whole window yet");

    let mut slow = canary_steps();
    slow[3] = Step::Pause { duration: Some(seconds(100)) };
    let mut story = analysed(&slow, true, Missing::Pause);
    story.act(Action::Promote).unwrap();
    story.pass_with(20, 100, 0);
    assert_eq!(story.row().phase, Phase::Progressing, "{}", story.row().message);
    story.pass(15);
    assert_eq!(story.row().phase, Phase::Paused, "its samples were cut off");
    assert_eq!(story.traffic(), parts(&[("1.0", 50), ("1.1", 50)]));
}

#[test]
fn a_ratio_beyond_its_limit_fails_by_the_plain_rule_and_not_while_it_may_be_chance() {
    for (judge, phase) in [(Judge::Sequential, Phase::Paused), (Judge::Threshold, Phase::Aborted)] {
        let mut story = analysed_by(AnalysisTemplate { judge, ..golden(Missing::Pause) }, &canary_steps(), true);
        // 1.5 % of 2,400 requests, with a limit of 1 %.
        story.pass_with(12, 200, 3);
        assert_eq!(story.row().phase, phase, "{judge:?}: {}", story.row().message);
    }
    // At its end an analysis step says that it can't tell, and asks.
    let steps = [
        Step::SetWeight(Ppm::percent(10)),
        Step::Analysis { name: "golden".to_owned(), duration: seconds(10) },
        Step::Pause { duration: None },
    ];
    let mut story = analysed(&steps, false, Missing::Pause);
    story.pass_with(12, 200, 3);
    let row = story.row();
    assert_eq!((row.phase, row.step), (Phase::Paused, Some(1)));
    assert!(row.message.contains("inconclusive") && row.message.contains("can be by chance"), "{}", row.message);
}

#[test]
fn what_speaks_against_a_candidate_survives_a_restart() {
    let mut story = analysed(&canary_steps(), true, Missing::Pause);
    let mut seconds = [0; 2];
    for (restarts, seconds) in [false, true].into_iter().zip(&mut seconds) {
        story = analysed(&canary_steps(), true, Missing::Pause);
        while story.row().phase != Phase::Aborted {
            *seconds += 1;
            story.pass_with(1, 50, 2);
            if restarts {
                let text = serde_json::to_string(&story.state).unwrap();
                story.state = serde_json::from_str(&text).unwrap();
            }
        }
    }
    assert_eq!(seconds[0], seconds[1]);
    assert!(story.row().message.contains("errors 4 % against 0.1 % at stable, limit 1 %"), "{}", story.row().message);
}

#[test]
fn a_candidate_that_does_not_come_up_fails_with_its_reason() {
    let cases: [(&str, InstanceEvent, i64, &str); 3] = [
        (
            "health",
            InstanceEvent::Unhealthy { why: "connection refused".to_owned(), diagnosis: None },
            61,
            "connection refused",
        ),
        ("crash loop", InstanceEvent::Exited { why: "exit status 3".to_owned(), diagnosis: None }, 61, "exit status 3"),
        (
            "no such command",
            InstanceEvent::StartFailed { why: "bin/app: no such file".to_owned(), permanent: true, diagnosis: None },
            0,
            "bin/app: no such file",
        ),
    ];
    for (name, event, wait, reason) in cases {
        let mut story = Story::serving(spec(&canary_steps()));
        story.ready = false;
        story.deploy("production", "1.1").unwrap();
        let id = story.started.last().unwrap().clone();
        story.event(&id, event);
        story.pass(wait);
        let row = story.row();
        assert_eq!((row.phase, story.traffic()), (Phase::Failed, all_at("1.0")), "{name}: {}", row.message);
        assert!(row.message.contains(reason), "{name}: {}", row.message);
        assert_eq!(story.slot().pools.len(), 1, "{name}: the candidate is gone");
    }
}

#[test]
fn a_first_version_on_a_port_in_use_fails_with_that_reason() {
    let mut story = Story::new(spec(&[]));
    story.routes = false;
    story.deploy("production", "1.0").unwrap();
    for _ in 0..3 {
        let version = story.slot().routing.version;
        let why = "127.0.0.1:20002: address in use".to_owned();
        story.input(&Input::RouteRefused {
            slot: key("shop", "production"),
            preview: false,
            version,
            newer: None,
            why,
        });
        story.pass(2);
    }
    story.routes = true;
    story.flush();
    let row = story.row();
    assert_eq!(row.phase, Phase::Failed);
    assert!(row.message.contains("address in use"), "{}", row.message);
    let listening = story.slot().listening(address(2));
    assert!(matches!(&listening, Listening::Refused { why } if why.contains("address in use")), "{listening:?}");
}

#[test]
fn a_route_that_the_journal_lost_is_overtaken_and_ends_nothing_that_may_be_in_it() {
    let mut story = Story::serving(spec(&[]));
    let (slot, before) = (key("shop", "production"), story.slot());
    let version = before.routing.acked.as_ref().unwrap().version;
    story.routes = false;
    let why = "route 2 of shop@production is stale".to_owned();
    story.input(&Input::RouteRefused { slot, preview: false, version, newer: Some(version + 5), why });
    story.pass(2);
    let after = story.slot();
    assert_eq!(after.routing.acked, before.routing.acked, "its instances may get requests");
    assert_eq!(after.routing.sent.iter().map(|sent| sent.version).collect::<Vec<_>>(), [version + 6]);
}

#[test]
fn a_crashed_stable_instance_leaves_the_route_and_starts_again_later_each_time() {
    let mut story = Story::serving(spec(&[]));
    let id = story.ready_of("1.0")[0].clone();
    for (attempt, back_off) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30)] {
        story.event(&id, InstanceEvent::Exited { why: "exit status 1".to_owned(), diagnosis: None });
        let endpoints = &story.proxy["shop@production"].pools[0].endpoints;
        assert_eq!((endpoints.len(), story.row().phase), (2, Phase::Degraded));
        story.pass(back_off - 1);
        assert_eq!(story.ready_of("1.0").len(), 2, "attempt {attempt} waits {back_off} s");
        story.pass(1);
        assert_eq!((story.ready_of("1.0").len(), story.row().phase), (3, Phase::Healthy));
    }
    story.event(&id, InstanceEvent::Unhealthy { why: "timeout".to_owned(), diagnosis: None });
    assert_eq!(story.proxy["shop@production"].pools[0].endpoints.len(), 2);
    story.pass(6);
    assert_eq!(story.ready_of("1.0").len(), 3, "stopped and started anew");
}

#[test]
fn a_restart_replaces_one_instance_after_the_other() {
    let mut story = Story::serving(spec(&[]));
    let old = story.ready_of("1.0");
    story.ready = false;
    story.act(Action::Restart).unwrap();
    for done in 0..3 {
        assert_eq!(story.ready_of("1.0").len(), 3, "never fewer");
        let new = story.started.last().unwrap().clone();
        story.event(&new, InstanceEvent::Ready);
        let left = story.ready_of("1.0").into_iter().filter(|id| old.contains(id)).count();
        assert_eq!(left, 2 - done);
    }
    assert_eq!(story.row().phase, Phase::Healthy, "{}", story.row().message);
}

#[test]
fn a_retry_is_a_new_run_from_the_first_step() {
    let mut story = at_ten();
    let first = story.row().run;
    story.act(Action::Abort).unwrap();
    assert_eq!(story.row().candidate().unwrap().version.as_str(), "1.1");
    story.act(Action::Retry).unwrap();
    let row = story.row();
    assert_ne!(row.run, first);
    assert_eq!((row.step, story.traffic()), (Some(1), parts(&[("1.0", 90), ("1.1", 10)])));
    assert_eq!(story.act(Action::Retry).unwrap_err().kind, RefusalKind::NotApplicable);
}

#[test]
fn what_succeeded_elsewhere_is_deployed_by_its_digest_only() {
    let mut story = at_ten();
    story.act(Action::Abort).unwrap();
    let from = |version: Option<&str>| Subject::NewRollout {
        source: "local".into(),
        service: "shop".into(),
        environment: "production".into(),
        version: version.map(Version::from),
        from: Some("staging".into()),
    };
    story.deploy("staging", "1.2").unwrap();
    let refused = story.command_as("ann", Action::Deploy, from(Some("1.1")), None).unwrap_err();
    assert!(refused.why.contains("what succeeded in staging is 1.2"), "{refused}");
    story.command_as("ann", Action::Deploy, from(None), None).unwrap();
    assert_eq!(story.traffic(), parts(&[("1.0", 90), ("1.2", 10)]));
    let mut other = release("shop", "1.2");
    other.artifacts[0].digest = "sha256:other".to_owned();
    let refused = story.input(&Input::ReleaseAdded(other)).refused.unwrap();
    assert!(refused.why.contains("a version never changes"), "{refused}");
    for version in ["1.0", "1.2"] {
        let removed = Input::ReleaseRemoved { service: "shop".into(), version: version.into() };
        assert!(story.input(&removed).refused.is_some(), "{version} is needed");
    }
}

#[test]
fn a_configuration_is_put_into_force_whole_or_refused_whole() {
    let mut story = at_ten();
    let before = story.state.configuration(&ConfigName::default());
    let mut wrong = before.clone();
    wrong.analyses.clear();
    let shop = wrong.services.get_mut(&"shop".into()).unwrap();
    shop.placements.get_mut(&"production".into()).unwrap().background_analysis = Some("golden".to_owned());
    assert!(story.apply(wrong).unwrap_err().why.contains("there is no analysis golden"));
    let mut gone = before.clone();
    gone.services.get_mut(&"shop".into()).unwrap().placements.remove(&"production".into());
    assert!(story.apply(gone.clone()).unwrap_err().why.contains("is in flight there"));
    assert_eq!(story.state.configuration(&ConfigName::default()), before);

    story.act(Action::Abort).unwrap();
    let mut bigger = before.clone();
    let production = bigger.services.get_mut(&"shop".into()).unwrap().placements.get_mut(&"production".into()).unwrap();
    production.replicas = 4;
    production.listen = Some(address(77));
    assert_eq!(
        diff(&story.state, &bigger),
        ["~ shop in production: replicas 3 → 4, listen 127.0.0.1:20002 → 127.0.0.1:20077"]
    );
    story.apply(bigger).unwrap();
    assert_eq!((story.ready_of("1.0").len(), story.proxy["shop@production"].listen), (4, address(77)));
    story.apply(gone).unwrap();
    assert!(
        !story.state.slots.contains_key(&key("shop", "production")) && !story.proxy.contains_key("shop@production")
    );
    assert_eq!(story.running.len(), 3, "staging's");
    assert!(story.state.pending.is_empty(), "{:?}", story.state.pending);
}

/// A state as it was written before what analyses have seen was kept.
fn before_sequential(text: &str) -> State {
    fn strip(value: &mut serde_json::Value) {
        if let serde_json::Value::Object(fields) = value {
            fields.remove("watched");
            fields.remove("sequential");
            fields.remove("judge");
            fields.values_mut().for_each(strip);
        }
    }
    let mut state = serde_json::from_str(text).unwrap();
    strip(&mut state);
    serde_json::from_value(state).unwrap()
}

#[test]
fn what_was_not_answered_is_carried_out_again_after_a_crash() {
    let mut story = at_ten();
    story.routes = false;
    story.ready = true;
    story.act(Action::Promote).unwrap();
    let text = serde_json::to_string(&story.state).unwrap();
    let restored: State = serde_json::from_str(&text).unwrap();
    let mut expected = story.state.clone();
    for slot in expected.slots.values_mut().filter_map(|slot| slot.run.as_mut()) {
        slot.watched = Watched { sequential: slot.watched.sequential.clone(), ..Watched::default() };
    }
    assert_eq!(restored, expected);
    assert_eq!(before_sequential(&text), expected, "a journal that knows nothing of sequential judgements");
    let again: Vec<_> = flightdeck::engine::core::pending(&restored).cloned().collect();
    assert_eq!(again.len(), 1);
    assert!(matches!(&again[0].effect, Effect::Route { route, .. } if route.version == story.slot().routing.version));
    story.state = restored;
    story.held_back.clear();
    story.routes = true;
    for effect in &again {
        story.carry_out(&effect.effect);
    }
    assert_eq!(story.traffic(), parts(&[("1.0", 50), ("1.1", 50)]));
    // Adopted: the same process, still ready.
    let id = story.ready_of("1.1")[0].clone();
    let record = story.slot().pools.values().find_map(|pool| pool.instances.get(&id).cloned()).unwrap();
    story.event(
        &id,
        InstanceEvent::Started { pid: record.pid.unwrap(), address: record.address.unwrap(), limits: Vec::new() },
    );
    assert!(story.ready_of("1.1").contains(&id));
    story.event(&id, InstanceEvent::Started { pid: 99, address: record.address.unwrap(), limits: Vec::new() });
    let stage = story.slot().pools.values().find_map(|pool| pool.instances.get(&id).map(|of| of.stage.clone()));
    assert_eq!(stage, Some(InstanceStage::Starting), "another process is not ready because the old one was");
}

#[test]
fn a_quiet_tick_need_not_be_journalled() {
    let mut story = at_ten();
    story.now += SignedDuration::from_millis(900);
    let outcome = story.input(&Input::Tick);
    assert!(!outcome.changed && outcome.effects.is_empty());
}
