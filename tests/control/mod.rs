//! Decisions, friction and forecasts: given, command, now → decision.

mod budgets;
mod data;

use crate::board::kit::*;
use flightdeck::board::Board;
use flightdeck::control::{Blast, Policy, decide, decide_live, direction, friction, grade, prepare};
use flightdeck::model::DeploymentKind;
use flightdeck::model::DeploymentOutcome::{Aborted, RolledBack, Succeeded};
use flightdeck::model::RefusalKind::{Denied, Invalid, NotApplicable, NotFound};
use flightdeck::model::*;
use jiff::SignedDuration;
use std::sync::Arc;

fn run(rollout: &Rollout) -> Subject {
    Subject::Run(rollout.run.clone())
}

fn ask(board: &Board, command: &Command) -> Result<Command, RefusalKind> {
    ask_as(board, command, &actor("alice", &[]))
}

fn ask_as(board: &Board, command: &Command, who: &Actor) -> Result<Command, RefusalKind> {
    let decision = decide(&Policy::default(), board, who, command, at(100));
    decision.map(|authorized| authorized.command().clone()).map_err(|refusal| refusal.kind)
}

fn pinned(rollout: &Rollout, action: Action) -> Command {
    command("c", action, run(rollout), Some(rollout.facts.pin(action)))
}

const OF_A_RUN: [Action; 8] = [
    Action::Promote,
    Action::PromoteFull,
    Action::Pause,
    Action::Resume,
    Action::Abort,
    Action::Rollback,
    Action::Retry,
    Action::Restart,
];

#[test]
fn raising_exposure_needs_a_pin_and_reducing_it_never_does() {
    let one = rollout("checkout", "production");
    let board = board([row(one.clone())]);
    for action in OF_A_RUN {
        let raises = action.direction() == Direction::Raises;
        assert_eq!(
            ask(&board, &command("c", action, run(&one), None)).err(),
            raises.then_some(Invalid),
            "{action:?} without a pin"
        );
        let authorized = ask(&board, &pinned(&one, action)).unwrap();
        assert_eq!(authorized.pin, Some(one.facts.pin(action)), "{action:?}");
    }
    let abort = ask(&board, &command("c", Action::Abort, run(&one), None)).unwrap();
    assert_eq!(abort.pin, Some(one.facts.pin(Action::Abort)), "the hub pins what it sees itself");
    let why =
        decide(&Policy::default(), &board, &actor("a", &[]), &command("c", Action::Promote, run(&one), None), at(1));
    assert!(why.unwrap_err().why.contains("flightdeck get rollouts -o json"));
}

#[test]
fn a_pin_that_no_longer_holds_names_each_fact_that_changed() {
    let seen = rollout("checkout", "production");
    let mut moved = seen.clone();
    moved.facts = moved.facts.with(Fact::Step, "2").with(Fact::Generation, "8");
    let board = board([row(moved.clone())]);
    let refusal =
        decide(&Policy::default(), &board, &actor("alice", &[]), &pinned(&seen, Action::Promote), at(1)).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::PinChanged);
    let facts: Vec<_> = refusal.changes.iter().map(|change| change.fact).collect();
    assert_eq!(facts, [Fact::Step, Fact::Generation]);
    assert!(refusal.why.contains("step was 1, is 2") && refusal.why.contains("generation was 7, is 8"), "{refusal}");
    assert!(ask(&board, &pinned(&seen, Action::Abort)).is_ok(), "a moving step never voids an abort");

    let mut other = seen.clone();
    other.facts = other.facts.with(Fact::Candidate, "sha256:other");
    let board = crate::board::kit::board([row(other)]);
    assert_eq!(ask(&board, &pinned(&seen, Action::Abort)).unwrap_err(), RefusalKind::PinChanged);
}

#[test]
fn a_pin_is_good_for_one_action_and_must_be_whole() {
    let one = rollout("checkout", "production");
    let board = board([row(one.clone())]);
    let foreign = command("c", Action::PromoteFull, run(&one), Some(one.facts.pin(Action::Promote)));
    assert_eq!(ask(&board, &foreign).unwrap_err(), Invalid);
    let mut short = pinned(&one, Action::Promote);
    short.pin.as_mut().unwrap().facts.remove(&Fact::Generation);
    assert_eq!(ask(&board, &short).unwrap_err(), Invalid);
}

#[test]
fn a_run_that_was_replaced_is_not_confused_with_its_successor() {
    let old = rollout("checkout", "production");
    let mut new = old.clone();
    new.run.revision = "r-3".into();
    let board = board([row(new)]);
    let refusal =
        decide(&Policy::default(), &board, &actor("alice", &[]), &command("c", Action::Abort, run(&old), None), at(1));
    assert_eq!(refusal.unwrap_err().changes[0].fact, Fact::Revision);
    let gone = rollout("nowhere", "production");
    assert_eq!(ask(&board, &command("c", Action::Abort, run(&gone), None)).unwrap_err(), NotFound);
}

#[test]
fn a_stale_source_takes_only_what_reduces_exposure() {
    let one = rollout("checkout", "production");
    let asked = approval(&one);
    let mut board = board([row(one.clone()), Entity::Approval(Box::new(asked.clone()))]);
    for link in [
        LinkState::stale(at(59), "connection refused".into()),
        LinkState::Connecting,
        LinkState::Denied { verb: "list".into(), resource: "rollouts".into() },
    ] {
        apply(&mut board, Body::Link(link.clone()));
        for action in OF_A_RUN {
            let expected = (action.direction() == Direction::Raises).then_some(RefusalKind::Stale);
            assert_eq!(ask(&board, &pinned(&one, action)).err(), expected, "{action:?} while {link:?}");
        }
        let voter = actor("rita", &["release-managers"]);
        let subject = Subject::Approval { id: asked.id.clone(), run: one.run.clone() };
        let vote = |action| command("c", action, subject.clone(), Some(asked.facts.pin(action)));
        assert_eq!(ask_as(&board, &vote(Action::Approve), &voter).unwrap_err(), RefusalKind::Stale);
        assert!(ask_as(&board, &vote(Action::Reject), &voter).is_ok());
        let hold = Subject::Scope { selector: Selector::default(), frozen: Vec::new(), hold: None };
        assert!(ask(&board, &command("c", Action::Hold, hold, None)).is_ok());
    }
    // What the row does not offer any more may still be right on a stale row: the backend knows better.
    let mut done = one.clone();
    done.offers = ActionSet::EMPTY;
    apply(&mut board, Body::Upsert(row(done.clone())));
    assert!(ask(&board, &command("c", Action::Abort, run(&done), None)).is_ok());
    apply(&mut board, Body::Link(LinkState::live(at(99))));
    assert_eq!(ask(&board, &command("c", Action::Abort, run(&done), None)).unwrap_err(), NotApplicable);
}

#[test]
fn a_forecast_says_apart_that_it_may_be_old() {
    let one = rollout("checkout", "production");
    let mut board = board([row(one.clone())]);
    let who = actor("alice", &[]);
    let forecast =
        |board: &Board| prepare(&Policy::default(), board, &who, Action::Abort, &run(&one), at(100)).forecast;
    apply(&mut board, Body::Link(LinkState::live(at(99))));
    assert_eq!(forecast(&board).stale, None);
    apply(&mut board, Body::Link(LinkState::stale(at(59), "connection refused".into())));
    let mut said = forecast(&board);
    assert_eq!(said.stale.as_deref(), Some("stale for 41 s: connection refused"));
    assert!(!said.warnings.iter().any(|warning| warning.contains("stale")), "{said:?}");
    let words = |said: &Forecast| said.all_warnings().any(|line| line.starts_with("what is shown may be old: stale"));
    assert!(words(&said), "in words it is one of the warnings: {said:?}");
    said.take_over(Forecast::default());
    assert!(words(&said), "whatever the backend says of its own way");
}

#[test]
fn the_live_row_decides_where_it_was_read() {
    let seen = rollout("checkout", "production");
    let mut live = seen.clone();
    live.facts = live.facts.with(Fact::Generation, "9");
    let board = board([row(seen.clone())]);
    let who = actor("alice", &[]);
    let decide_at = |command: &Command| decide_live(&Policy::default(), &board, &live, &who, command, at(1));
    assert_eq!(decide_at(&pinned(&seen, Action::Promote)).unwrap_err().kind, RefusalKind::PinChanged);
    assert!(decide_at(&pinned(&live, Action::Promote)).is_ok());
}

#[test]
fn names_that_hide_characters_can_not_be_confirmed() {
    for hide in [
        |rollout: &mut Rollout| rollout.service = "che\u{200b}ckout".into(),
        |rollout: &mut Rollout| rollout.run.target.name = "pay\u{fffd}ments".into(),
        |rollout: &mut Rollout| rollout.arms[1].version = "1.10\u{202e}0".into(),
    ] {
        let mut one = rollout("checkout", "production");
        hide(&mut one);
        let board = board([row(one.clone())]);
        assert_eq!(ask(&board, &pinned(&one, Action::Promote)).unwrap_err(), Invalid);
        assert!(ask(&board, &pinned(&one, Action::Abort)).is_ok(), "stopping is never locked out");
        let who = actor("alice", &[]);
        let prepared = prepare(&Policy::default(), &board, &who, Action::Abort, &run(&one), at(1));
        assert!(prepared.forecast.warnings.iter().any(|warning| warning.contains("can't be seen")));
    }
}

#[test]
fn policy_says_who_may_act() {
    let one = rollout("checkout", "production");
    let board = board([row(one.clone())]);
    let abort = pinned(&one, Action::Abort);
    let config = Subject::Config {
        name: ConfigName::default(),
        text: String::new(),
        path: "flightdeck.toml".into(),
        remove: Vec::new(),
    };
    let put = command("c", Action::Apply, config, None);
    let operators = Policy { operators: vec!["ops".into(), "carol".into()], ..Policy::default() };
    let admins = Policy { admins: vec!["root".into()], ..Policy::default() };
    let read_only = Policy { read_only: true, ..Policy::default() };
    let exactly = Policy { operators: vec!["group:ops".into(), "user:carol".into()], ..Policy::default() };
    let may = |policy: &Policy, who: &Actor, command: &Command| decide(policy, &board, who, command, at(1)).is_ok();
    for (policy, name, roles, aborts, applies) in [
        (&Policy::default(), "alice", &[][..], true, true),
        (&operators, "alice", &[][..], false, false),
        (&operators, "alice", &["ops"][..], true, true),
        (&operators, "carol", &[][..], true, true),
        (&admins, "alice", &["ops"][..], true, false),
        (&admins, "root", &[][..], true, true),
        (&read_only, "root", &["ops"][..], false, false),
        (&exactly, "alice", &["ops"][..], true, true),
        (&exactly, "ops", &[][..], false, false),
        (&exactly, "carol", &[][..], true, true),
        (&exactly, "alice", &["carol"][..], false, false),
    ] {
        let who = actor(name, roles);
        assert_eq!(may(policy, &who, &abort), aborts, "{name} {roles:?} {policy:?}");
        assert_eq!(may(policy, &who, &put), applies, "{name} {roles:?} {policy:?}");
    }
    assert!(may(&operators, &Actor::system("demo"), &abort));
    assert!(!may(&operators, &actor("system:demo", &[]), &abort), "a login of that name is no part of the program");
}

#[test]
fn a_team_may_apply_its_own_configuration_and_no_other() {
    let board = board([]);
    let put = |name: &str| {
        let (name, text, path, remove) = (name.into(), String::new(), "flightdeck.toml".into(), Vec::new());
        command("c", Action::Apply, Subject::Config { name, text, path, remove }, None)
    };
    let teams = || [("shop".into(), vec!["ann".into(), "group:web".into()]), ("find".into(), vec!["bob".into()])];
    let policy = Policy { apply: teams().into(), admins: vec!["root".into()], ..Policy::default() };
    let nobody = Policy { apply: teams().into(), ..Policy::default() };
    let operators = Policy { operators: vec!["bob".into()], ..policy.clone() };
    let only_ann = "carl may not apply the configuration shop: only ann, group:web, root may";
    for (policy, name, roles, config, why) in [
        (&policy, "ann", &[][..], "shop", None),
        (&policy, "carl", &["web"][..], "shop", None),
        (&policy, "root", &[][..], "shop", None),
        (&policy, "root", &[][..], "default", None),
        (&policy, "carl", &["users"][..], "shop", Some(only_ann)),
        (&policy, "ann", &[][..], "find", Some("ann may not apply the configuration find: only bob, root may")),
        (&policy, "ann", &[][..], "default", Some("ann may not apply the configuration default: only root may")),
        (&policy, "ann", &[][..], "new", Some("ann may not apply the configuration new: only root may")),
        (&nobody, "ann", &[][..], "shop", None),
        (
            &nobody,
            "ann",
            &[][..],
            "default",
            Some(
                "ann may not apply the configuration default: nobody may, since serve.apply does not name default and \
                 serve.admins is empty",
            ),
        ),
        (&operators, "bob", &[][..], "find", None),
        (&operators, "ann", &[][..], "shop", Some("ann may not apply: only bob may act here")),
        (&Policy::default(), "ann", &[][..], "new", None),
    ] {
        let refused = decide(policy, &board, &actor(name, roles), &put(config), at(1)).err();
        assert_eq!(refused.as_ref().map(|refusal| refusal.why.as_str()), why, "{name} {roles:?} {config}");
        assert!(refused.is_none_or(|refusal| refusal.kind == Denied));
    }
    assert!(decide(&policy, &board, &Actor::system("demo"), &put("shop"), at(1)).is_ok());
    let remove = Subject::Release { source: source(), service: "shop".into(), version: "1.0".into() };
    let refused =
        decide(&policy, &board, &actor("ann", &[]), &command("c", Action::RemoveRelease, remove, None), at(1));
    assert_eq!(refused.unwrap_err().why, "ann may not release-rm: only root may", "that is as it was");
}

#[test]
fn an_approval_counts_only_from_whom_it_asks() {
    let one = rollout("checkout", "production");
    let board_with = |change: &dyn Fn(&mut Approval)| {
        let mut asked = approval(&one);
        change(&mut asked);
        (board([row(one.clone()), Entity::Approval(Box::new(asked.clone()))]), asked)
    };
    let vote = |who: &str, verdict| Vote { who: who.into(), verdict, at: at(1), reason: None };
    let check = |change: &dyn Fn(&mut Approval), name: &str, roles: &[&str]| {
        let (board, asked) = board_with(change);
        let subject = Subject::Approval { id: asked.id.clone(), run: one.run.clone() };
        let say = |action| {
            ask_as(&board, &command("c", action, subject.clone(), Some(asked.facts.pin(action))), &actor(name, roles))
                .err()
        };
        (say(Action::Approve), say(Action::Reject))
    };
    let manager = &["release-managers"][..];
    let nothing: &dyn Fn(&mut Approval) = &|_| {};
    assert_eq!(check(nothing, "rita", manager), (None, None));
    assert_eq!(check(&|a| a.requirement.from = vec!["rita".into()], "rita", &[]), (None, None), "by name");
    assert_eq!(check(nothing, "eve", &[]), (Some(Denied), Some(Denied)));
    assert_eq!(check(&|a| a.requirement.from.clear(), "eve", &[]), (None, None), "anybody who may act");
    assert_eq!(check(nothing, "dora", manager), (Some(Denied), None), "the author may only withdraw");
    assert_eq!(check(&|a| a.requirement.allow_self = true, "dora", manager), (None, None));
    assert_eq!(
        check(&|a| a.votes = vec![vote("rita", Verdict::Approved)], "rita", manager),
        (Some(NotApplicable), None)
    );
    assert_eq!(check(&|a| a.votes = vec![vote("rob", Verdict::Approved)], "rita", manager), (None, None));
    let both = (Some(NotApplicable), Some(NotApplicable));
    assert_eq!(check(&|a| a.expires = Some(at(100)), "rita", manager), both, "expired at this very moment");
    assert_eq!(check(&|a| a.expires = Some(at(101)), "rita", manager), (None, None));
    for state in [
        ApprovalState::Approved,
        ApprovalState::Rejected,
        ApprovalState::Expired,
        ApprovalState::Superseded { by: "1.11.0".into() },
    ] {
        assert_eq!(check(&|a| a.state = state.clone(), "rita", manager), both, "{state:?}");
    }
    let (board, asked) = board_with(nothing);
    let mut other = one.run.clone();
    other.revision = "r-1".into();
    let wrong = Subject::Approval { id: asked.id.clone(), run: other };
    let wrong = command("c", Action::Approve, wrong, Some(asked.facts.pin(Action::Approve)));
    assert_eq!(ask_as(&board, &wrong, &actor("rita", manager)).unwrap_err(), NotFound);
}

#[test]
fn friction_follows_the_direction_then_the_blast_radius() {
    let yes = || Friction::Yes;
    let challenge = |text: &str| Friction::Challenge(text.into());
    for (environment, action, expected) in [
        ("production", Action::Pause, Friction::None),
        ("production", Action::Abort, yes()),
        ("production", Action::Rollback, yes()),
        ("production", Action::Promote, challenge("checkout 50")),
        ("production", Action::PromoteFull, challenge("checkout 25→100")),
        ("production", Action::Resume, yes()),
        ("production", Action::Retry, challenge("checkout retry 1.10.0")),
        ("production", Action::Restart, challenge("checkout restart 1.10.0")),
        ("staging", Action::Promote, yes()),
        ("staging", Action::PromoteFull, challenge("checkout 25→100")),
        ("staging", Action::Retry, yes()),
        ("staging", Action::Restart, challenge("checkout restart 1.10.0")),
        ("dev", Action::Promote, yes()),
        ("dev", Action::Pause, Friction::None),
    ] {
        let one = rollout("checkout", environment);
        let board = board([row(one.clone())]);
        assert_eq!(friction(&board, action, &run(&one)), expected, "{action:?} in {environment}");
    }
    let one = rollout("checkout", "production");
    let asked = approval(&one);
    let subject = Subject::Approval { id: asked.id.clone(), run: one.run.clone() };
    let board = board([row(one), Entity::Approval(Box::new(asked))]);
    assert_eq!(friction(&board, Action::Approve, &subject), challenge("checkout 50"));
    assert_eq!(friction(&board, Action::Reject, &subject), Friction::Yes);
    let deploy = |environment: &str| Subject::NewRollout {
        source: "local".into(),
        service: "checkout".into(),
        environment: environment.into(),
        version: Some("1.11.0".into()),
        from: None,
    };
    assert_eq!(friction(&board, Action::Deploy, &deploy("production")), challenge("checkout production 1.11.0"));
    assert_eq!(friction(&board, Action::Deploy, &deploy("staging")), Friction::Yes);
    let scope = Subject::Scope { selector: Selector::default(), frozen: Vec::new(), hold: None };
    assert_eq!(friction(&board, Action::Hold, &scope), Friction::Yes);
}

#[test]
fn a_challenge_names_the_target_and_changes_with_the_facts() {
    let mut one = rollout("checkout", "production");
    let mut seen = Vec::new();
    for (step, percent) in [(1, 25), (3, 50), (4, 50)] {
        one.step = Some(step);
        one.arms[1] = arm(ArmRole::Candidate, "1.10.0", 3, 3, percent);
        let board = board([row(one.clone())]);
        let Friction::Challenge(text) = friction(&board, Action::Promote, &run(&one)) else { panic!("no challenge") };
        seen.push(text);
    }
    // Leaving the analysis moves no traffic: its steps are named instead.
    assert_eq!(seen, ["checkout 50", "checkout 5/5", "checkout 100"]);
    // Long names are there by their end, so that it stands whole on a narrow screen.
    one.service = "shop-eu-west-1/payments-gateway-worker".into();
    one.arms[1].version = "sha256:0123456789abcdef0123456789abcdef".into();
    let board = board([row(one.clone())]);
    for (action, expected) in [
        (Action::Promote, "worker 100"),
        (Action::PromoteFull, "gateway-worker 50→100"),
        (Action::Restart, "gateway-worker restart 0123456789"),
    ] {
        let Friction::Challenge(text) = friction(&board, action, &run(&one)) else { panic!("no challenge") };
        assert!(text == expected && text.chars().count() <= 40, "{text}");
    }
    let challenge = Friction::Challenge("checkout 25→50".into());
    for (typed, good) in [
        ("checkout 25→50", true),
        ("checkout 25->50", true),
        (" checkout  25->50 ", true),
        ("checkout 2550", false),
        ("", false),
        ("search 25→50", false),
    ] {
        assert_eq!(challenge.accepts(typed), good, "{typed:?}");
    }
}

#[test]
fn a_rollback_reduces_exposure_unless_the_version_before_was_taken_back() {
    let mut one = rollout("checkout", "production");
    one.phase = Phase::Healthy;
    one.arms = vec![arm(ArmRole::Stable, "1.10.0", 3, 3, 100)];
    let deployment = |revision: &str, from: &str, to: &str, seconds, outcome| RolloutRecord {
        run: Run { revision: revision.into(), ..one.run.clone() },
        from: Some(from.into()),
        to: to.into(),
        ended: at(seconds),
        ..ended(&one, outcome)
    };
    let cases = [
        (vec![deployment("r-2", "1.9.0", "1.10.0", 9, Succeeded)], Direction::Reduces),
        (
            vec![deployment("r-1", "1.8.0", "1.9.0", 5, Succeeded), deployment("r-2", "1.9.0", "1.10.0", 9, Succeeded)],
            Direction::Reduces,
        ),
        (
            vec![
                deployment("r-1", "1.8.0", "1.9.0", 5, RolledBack),
                deployment("r-2", "1.9.0", "1.10.0", 9, Succeeded),
            ],
            Direction::Raises,
        ),
        (
            // What a rollback returned to is good, though its outcome is called rolled back.
            vec![
                deployment("r-0", "1.8.0", "1.9.0", 3, Succeeded),
                RolloutRecord { kind: DeploymentKind::Rollback, ..deployment("r-1", "1.9.5", "1.9.0", 5, RolledBack) },
                deployment("r-2", "1.9.0", "1.10.0", 9, Succeeded),
            ],
            Direction::Reduces,
        ),
        (
            // What it left is not.
            vec![
                deployment("r-0", "1.8.0", "1.9.0", 3, Succeeded),
                RolloutRecord { kind: DeploymentKind::Rollback, ..deployment("r-1", "1.9.0", "1.8.0", 5, RolledBack) },
                deployment("r-2", "1.9.0", "1.10.0", 9, Succeeded),
            ],
            Direction::Raises,
        ),
        (
            // It failed once and succeeded later.
            vec![
                deployment("r-0", "1.8.0", "1.9.0", 3, Aborted),
                deployment("r-1", "1.8.0", "1.9.0", 5, Succeeded),
                deployment("r-2", "1.9.0", "1.10.0", 9, Succeeded),
            ],
            Direction::Reduces,
        ),
        (Vec::new(), Direction::Reduces),
    ];
    for (history, expected) in cases {
        let rows = history.iter().map(|deployment| Entity::RolloutRecord(Arc::new(deployment.clone())));
        let board = board(rows.chain([row(one.clone())]));
        assert_eq!(direction(&board, Action::Rollback, &run(&one)), expected, "{history:?}");
        let needs_pin = ask(&board, &command("c", Action::Rollback, run(&one), None)).is_err();
        assert_eq!(needs_pin, expected == Direction::Raises);
    }
}

#[test]
fn an_action_that_is_not_offered_says_why_in_a_sentence() {
    let mut texts = std::collections::BTreeSet::new();
    let phases = [
        Phase::Unknown,
        Phase::Initializing,
        Phase::Queued,
        Phase::Progressing,
        Phase::Paused,
        Phase::Degraded,
        Phase::Failed,
        Phase::Aborted,
        Phase::RollingBack,
        Phase::Superseded,
        Phase::Healthy,
    ];
    for phase in phases {
        for action in OF_A_RUN {
            let mut one = rollout("checkout", "production");
            one.phase = phase;
            one.offers = ActionSet::EMPTY;
            let why = flightdeck::board::why_not(&one, action);
            assert!(why.contains("checkout in production") && why.len() > 30, "{phase:?} {action:?}: {why}");
            assert_eq!(ask(&board([row(one.clone())]), &pinned(&one, action)).unwrap_err(), NotApplicable);
            texts.insert(why);
        }
    }
    assert!(texts.len() > 25, "most of them say something of their own: {}", texts.len());
    let mut held = rollout("checkout", "production");
    held.waits = vec![Wait::Hold("H-3".into())];
    assert!(flightdeck::board::why_not(&held, Action::Promote).contains("H-3"));
    let mut healthy = rollout("checkout", "production");
    healthy.phase = Phase::Healthy;
    assert!(flightdeck::board::why_not(&healthy, Action::Abort).contains("roll back"));
}

fn prepared(board: &Board, action: Action, subject: &Subject) -> Prepared {
    prepare(&Policy::default(), board, &actor("alice", &["release-managers"]), action, subject, at(100))
}

#[test]
fn an_abort_says_when_stable_can_not_carry_everything() {
    let mut one = rollout("checkout", "production");
    one.arms = vec![arm(ArmRole::Stable, "1.9.0", 2, 2, 0), arm(ArmRole::Candidate, "1.10.0", 7, 7, 100)];
    let small = board([row(one.clone())]);
    let forecast = prepared(&small, Action::Abort, &run(&one)).forecast;
    assert!(forecast.warnings[0].starts_with("stable 2 of 7 ready: it will carry 29 % of the traffic"), "{forecast:?}");
    assert_eq!(forecast.takes, None);
    let whole = rollout("checkout", "production");
    let forecast = prepared(&board([row(whole.clone())]), Action::Abort, &run(&whole)).forecast;
    assert_eq!((forecast.warnings.len(), forecast.takes), (0, Some(SignedDuration::from_secs(2))));
    let mut first = rollout("checkout", "production");
    first.arms.remove(0);
    let forecast = prepared(&board([row(first.clone())]), Action::Abort, &run(&first)).forecast;
    assert!(forecast.warnings[0].contains("nothing will serve"));
}

#[test]
fn a_forecast_says_what_comes_next_and_the_way_back() {
    let one = rollout("checkout", "production");
    let promote = prepared(&board([row(one.clone())]), Action::Promote, &run(&one));
    assert_eq!(
        promote.forecast.lines,
        [
            "1.10.0 goes from 25 % to 50 % of traffic",
            "then step 4 of 5: analysis golden for 2 m",
            "still ahead: approval by 1 of release-managers",
            "way back: abort sends all traffic to 1.9.0 (3 of 3 ready)",
        ]
    );
    assert_eq!(promote.forecast.step, Some(2));
    assert_eq!(promote.pin, Some(one.facts.pin(Action::Promote)));
    assert_eq!(promote.decision, Decision::Allow { friction: Friction::Challenge("checkout 50".into()) });
    let full = prepared(&board([row(one.clone())]), Action::PromoteFull, &run(&one));
    assert_eq!(
        full.forecast.warnings,
        ["skips pause until promoted, analysis golden for 2 m, approval by 1 of release-managers"]
    );
    let pause = prepared(&board([row(one.clone())]), Action::Pause, &run(&one));
    assert!(pause.forecast.lines[0].contains("step 2 of 5") && pause.forecast.lines[0].contains("25 %"));
    assert_eq!(pause.direction, Direction::Reduces);
}

/// A way back that was measured three times.
fn planned(rto: i64) -> RollbackPlan {
    RollbackPlan {
        kind: ServiceKind::Http,
        path: RollbackPath::Start,
        to: "1.9.0".into(),
        steps: vec!["1.9.0 is started: 3 instances".into(), "all traffic goes to it".into()],
        estimate: Some(SignedDuration::from_secs(12)),
        measured: 3,
        cannot_undo: vec!["migrate drops a column".into()],
        rto: Some(SignedDuration::from_secs(rto)),
        drilled: None,
    }
}

#[test]
fn a_backend_s_own_plan_is_what_a_rollback_says() {
    let mut one = rollout("checkout", "production");
    one.phase = Phase::Healthy;
    one.arms = vec![arm(ArmRole::Stable, "1.10.0", 3, 3, 100)];
    one.rollback_plan = Some(planned(30).into());
    let forecast = prepared(&board([row(one.clone())]), Action::Rollback, &run(&one)).forecast;
    assert_eq!(
        forecast.lines,
        [
            "1.9.0 is started first; what serves now serves until it is ready",
            "1. 1.9.0 is started: 3 instances",
            "2. all traffic goes to it",
            "time: traffic back in about 12 s (n 3)",
            "RTO 30 s: met",
        ]
    );
    assert_eq!((forecast.takes, forecast.path), (Some(SignedDuration::from_secs(12)), Some(RollbackPath::Start)));
    assert_eq!(forecast.warnings, ["not taken back: migrate drops a column"]);
    // An objective that is missed is a warning, and so is a time without anything that serves.
    one.rollback_plan = Some(RollbackPlan { path: RollbackPath::Recreate, ..planned(10) }.into());
    let forecast = prepared(&board([row(one.clone())]), Action::Rollback, &run(&one)).forecast;
    assert_eq!(forecast.warnings[1..], ["nothing serves until 1.9.0 is ready", "RTO 10 s: missed, it takes 12 s"]);
    // In flight it is an abort first, whose own warnings stay.
    let mut flying = rollout("checkout", "production");
    flying.arms[0].replicas.ready = 1;
    flying.rollback_plan = Some(RollbackPlan { estimate: None, measured: 0, ..planned(30) }.into());
    let forecast = prepared(&board([row(flying.clone())]), Action::Rollback, &run(&flying)).forecast;
    assert!(forecast.lines[0].starts_with("all traffic goes to 1.9.0"), "{forecast:?}");
    assert!(forecast.lines.contains(&"time: never measured: try `flightdeck drill`".to_owned()), "{forecast:?}");
    assert!(forecast.warnings[0].starts_with("stable 1 of 3 ready"), "{forecast:?}");
}

#[test]
fn an_abort_tells_its_time_and_what_is_more_than_a_switch() {
    let mut one = rollout("checkout", "production");
    let said = |one: &Rollout| prepared(&board([row(one.clone())]), Action::Abort, &run(one)).forecast;
    let without = said(&one);
    let mut way = planned(30);
    way.path = RollbackPath::Warm;
    way.estimate = Some(SignedDuration::from_millis(300));
    way.cannot_undo.clear();
    one.rollback_plan = Some(way.clone().into());
    let switch = said(&one);
    assert_eq!((&switch.lines, switch.takes), (&without.lines, Some(SignedDuration::from_millis(300))));
    assert_eq!(switch.warnings, without.warnings);
    way.steps.insert(1, "migration add-column is taken back".into());
    way.cannot_undo = vec!["migrate drops a column".into()];
    one.rollback_plan = Some(way.into());
    let more = said(&one);
    assert!(more.lines.contains(&"2. migration add-column is taken back".to_owned()), "{more:?}");
    assert_eq!(more.warnings, ["not taken back: migrate drops a column"]);
}

#[test]
fn a_drill_is_for_environments_whose_users_can_bear_it() {
    let drill = |environment: &str| {
        let mut one = rollout("checkout", environment);
        one.phase = Phase::Healthy;
        one.arms = vec![arm(ArmRole::Stable, "1.10.0", 3, 3, 100)];
        one.rollback_plan = Some(planned(30).into());
        one.offers = [Action::Drill].into_iter().collect();
        prepared(&board([row(one.clone())]), Action::Drill, &run(&one))
    };
    let Decision::Refuse(refusal) = drill("production").decision else { panic!("drilled on customers") };
    assert!(refusal.kind == Denied && refusal.why.starts_with("production is critical"), "{refusal}");
    let staging = drill("staging");
    assert_eq!(staging.decision, Decision::Allow { friction: Friction::Challenge("checkout drill 1.10.0".into()) });
    assert!(staging.forecast.lines[0].starts_with("staging meets 1.9.0 for a while, then 1.10.0 again"));
    assert!(
        staging.forecast.lines.contains(&"time: traffic back in about 12 s (n 3)".to_owned()),
        "{:?}",
        staging.forecast
    );
}

#[test]
fn a_rollback_says_its_path() {
    let mut one = rollout("checkout", "production");
    one.phase = Phase::Healthy;
    one.arms = vec![arm(ArmRole::Stable, "1.10.0", 3, 3, 100)];
    let history = ended(&one, Succeeded);
    let rows = || [row(one.clone()), Entity::RolloutRecord(Arc::new(history.clone()))];
    let cold = prepared(&board(rows()), Action::Rollback, &run(&one)).forecast;
    assert_eq!((cold.path, cold.takes), (Some(RollbackPath::Start), None));
    assert!(cold.lines[0].contains("1.9.0 is started first"));
    let instance = Instance {
        id: "i-1".into(),
        target: one.run.target.clone(),
        role: ArmRole::Stable,
        version: "1.9.0".into(),
        state: InstanceState::Ready,
        pid: None,
        address: None,
        restarts: 0,
        started: None,
        logs: None,
        draining: None,
        limits: Vec::new(),
    };
    let warm = board(rows().into_iter().chain([Entity::Instance(Box::new(instance))]));
    let warm = prepared(&warm, Action::Rollback, &run(&one)).forecast;
    assert_eq!(warm.path, Some(RollbackPath::Warm));
    assert!(warm.lines[0].contains("one switch"));
}

#[test]
fn a_hold_names_what_it_stops_and_a_release_what_goes_on() {
    let (a, mut b) = (rollout("a", "production"), rollout("b", "production"));
    b.phase = Phase::Healthy;
    let hold = Hold {
        id: "H-3".into(),
        source: source(),
        selector: Selector::default(),
        owner: "bob".into(),
        reason: Some("errors".into()),
        since: at(1),
        targets: vec![
            HoldTarget { run: a.run.clone(), held: true, note: String::new(), undone: false },
            HoldTarget { run: b.run.clone(), held: true, note: String::new(), undone: false },
        ],
    };
    let board = board([row(a), row(b), Entity::Hold(hold)]);
    let scope = Subject::Scope { selector: Selector::default(), frozen: Vec::new(), hold: None };
    let forecast = prepared(&board, Action::Hold, &scope).forecast;
    assert_eq!(forecast.lines[0], "1 rollout stands still: a in production");
    let release =
        prepared(&board, Action::ReleaseHold, &Subject::Hold { source: Some("local".into()), id: "H-3".into() });
    assert_eq!(release.decision, Decision::Allow { friction: Friction::Challenge("release H-3 of 2".into()) });
    assert_eq!(release.forecast.lines, ["bob held everything: errors", "a in production goes on at 25 %"]);
    assert_eq!(release.forecast.warnings, ["local/production/b#r-2 has ended meanwhile"]);
    let missing =
        prepared(&board, Action::ReleaseHold, &Subject::Hold { source: Some("local".into()), id: "H-9".into() })
            .decision;
    let other =
        prepared(&board, Action::ReleaseHold, &Subject::Hold { source: Some("prod-eu".into()), id: "H-3".into() });
    let Decision::Refuse(elsewhere) = other.decision else { panic!("the H-3 of another source was taken for it") };
    assert_eq!(elsewhere.why, "there is no hold H-3 at prod-eu; none is in force");
    let Decision::Refuse(refusal) = missing else { panic!("{missing:?}") };
    assert_eq!((refusal.kind, refusal.why.as_str()), (NotFound, "there is no hold H-9 at local; in force: H-3"));
}

#[test]
fn a_worker_is_forecast_by_its_instances_and_never_by_traffic() {
    let mut one = rollout("mails", "production");
    one.strategy = Strategy::Rolling;
    one.steps = vec![
        Step::Batch { instances: 1, unavailable: 0 },
        Step::Pause { duration: None },
        Step::Batch { instances: 2, unavailable: 0 },
    ]
    .into();
    one.arms = vec![arm(ArmRole::Stable, "1.9.0", 1, 1, 50), arm(ArmRole::Candidate, "1.10.0", 1, 1, 50)];
    one.arms.iter_mut().for_each(|arm| arm.traffic.how = TrafficSource::Instances);
    let board = board([row(one.clone())]);
    for (action, says) in [
        (Action::Promote, "1.10.0 keeps 50 % of its instances"),
        (Action::PromoteFull, "1.10.0 goes from 50 % to 100 % of its instances and becomes stable"),
        (Action::Pause, "stands still at step 2 of 3: 1.10.0 keeps 50 % of its instances"),
        (Action::Abort, "1.10.0 is ended; 1.9.0 goes on working"),
        (Action::Restart, "the instance of 1.9.0 is replaced"),
        (Action::Retry, "1.10.0 starts again from its first step: 1 instance replaced"),
    ] {
        let forecast = prepared(&board, action, &run(&one)).forecast;
        assert_eq!(forecast.lines[0], says);
        let all = [forecast.lines.join("; "), forecast.all_warnings().collect::<Vec<_>>().join("; ")].concat();
        assert!(!all.contains("traffic"), "{action:?}: {all}");
    }
}

#[test]
fn a_command_that_is_run_asks_for_as_much_as_a_deployment() {
    let command = |environment: &str| Subject::Command {
        source: source(),
        service: "checkout".into(),
        environment: environment.into(),
        run: vec!["bin/console".into(), "a b".into()],
        timeout: Some(SignedDuration::from_mins(5)),
        job: None,
    };
    let places = |name: &str| EnvironmentName::from(name);
    let service = Entity::Service(Service {
        kind: None,
        configuration: None,
        source: source(),
        name: "checkout".into(),
        environments: ["staging", "production"].map(places).to_vec(),
        addresses: Vec::new(),
        places: Vec::new(),
    });
    let board = board([service]);
    let staging = prepared(&board, Action::Run, &command("staging"));
    assert_eq!(staging.decision, Decision::Allow { friction: Friction::Yes });
    assert_eq!(staging.forecast.lines[1], "\"bin/console\" \"a b\"");
    assert!(staging.forecast.lines[0].ends_with(", killed after 5 m"), "{:?}", staging.forecast.lines);
    let production = prepared(&board, Action::Run, &command("production"));
    let challenge = Friction::Challenge("checkout production console".to_owned());
    assert_eq!(production.decision, Decision::Allow { friction: challenge });
    let nowhere = prepared(&board, Action::Run, &command("dev")).decision;
    assert!(matches!(&nowhere, Decision::Refuse(refusal) if refusal.kind == NotFound), "{nowhere:?}");
    let policy = Policy { operators: vec!["user:bob".into()], ..Policy::default() };
    let command = Command {
        id: "c".to_owned().into(),
        action: Action::Run,
        subject: command("staging"),
        pin: None,
        reason: None,
    };
    assert_eq!(decide(&policy, &board, &actor("alice", &[]), &command, at(100)).unwrap_err().kind, Denied);
    let id = "job-1".to_owned();
    let end = Subject::OneOff { source: source(), service: "checkout".into(), environment: "production".into(), id };
    assert_eq!(prepared(&board, Action::EndRun, &end).decision, Decision::Allow { friction: Friction::Yes });
}

#[test]
fn a_deployment_must_name_what_exists() {
    let service = |name: &str, environments: &[&str]| {
        Entity::Service(Service {
            kind: None,
            source: source(),
            name: name.into(),
            configuration: None,
            environments: environments.iter().map(|name| EnvironmentName::from(*name)).collect(),
            addresses: Vec::new(),
            places: Vec::new(),
        })
    };
    let release = Entity::Release(Release {
        source: source(),
        service: "checkout".into(),
        version: "1.10.0".into(),
        artifacts: Vec::new(),
        commit: None,
        commit_at: None,
        pipeline_run: None,
        author: "dora".into(),
        added: at(0),
        migrations: None,
    });
    let board = board([service("checkout", &["dev", "staging"]), release]);
    let deploy = |service: &str, environment: &str, version: Option<&str>, from: Option<&str>| {
        let subject = Subject::NewRollout {
            source: "local".into(),
            service: service.into(),
            environment: environment.into(),
            version: version.map(Version::from),
            from: from.map(EnvironmentName::from),
        };
        ask(&board, &command("c", Action::Deploy, subject, None)).err()
    };
    assert_eq!(deploy("checkout", "dev", Some("1.10.0"), None), None);
    assert_eq!(deploy("checkout", "staging", None, Some("dev")), None);
    assert_eq!(deploy("chekout", "dev", Some("1.10.0"), None), Some(NotFound));
    assert_eq!(deploy("checkout", "production", Some("1.10.0"), None), Some(NotFound));
    assert_eq!(deploy("checkout", "dev", Some("1.11.0"), None), Some(NotFound));
    assert_eq!(deploy("checkout", "dev", None, None), Some(Invalid));
    assert_eq!(deploy("checkout", "dev", None, Some("dev")), Some(Invalid));
    assert_eq!(deploy("checkout", "dev", None, Some("nowhere")), Some(NotFound));
}

#[test]
fn an_action_needs_the_subject_that_goes_with_it() {
    let one = rollout("checkout", "production");
    let board = board([row(one.clone())]);
    let subjects = [
        run(&one),
        Subject::Approval { id: "A-1".into(), run: one.run.clone() },
        Subject::Scope { selector: Selector::default(), frozen: Vec::new(), hold: None },
        Subject::Hold { source: Some("local".into()), id: "H-1".into() },
        Subject::NewRollout {
            source: "local".into(),
            service: "a".into(),
            environment: "b".into(),
            version: None,
            from: None,
        },
        Subject::Release { source: "local".into(), service: "a".into(), version: "1".into() },
        Subject::Migrations {
            source: "local".into(),
            service: "a".into(),
            environment: "b".into(),
            names: Vec::new(),
            applied: true,
        },
        Subject::Command {
            source: "local".into(),
            service: "a".into(),
            environment: "b".into(),
            run: vec!["x".into()],
            timeout: None,
            job: None,
        },
        Subject::OneOff { source: "local".into(), service: "a".into(), environment: "b".into(), id: "job-1".into() },
        Subject::Receipt { id: ReceiptId("c-1".to_owned()) },
        Subject::Alert { source: "am".into(), fingerprint: "f".into(), run: None, lasts: USUAL_SILENCE },
        Subject::Silence { source: "am".into(), id: "s".into() },
        Subject::Config { name: ConfigName::default(), text: String::new(), path: String::new(), remove: Vec::new() },
    ];
    for row in Action::TABLE {
        let fitting = subjects.iter().filter(|subject| {
            let command = command("c", row.action, (*subject).clone(), Some(one.facts.pin(row.action)));
            let decision = decide(&Policy::default(), &board, &actor("alice", &[]), &command, at(1));
            let wrong = format!("{} needs a", row.name);
            !decision.is_err_and(|refusal| refusal.kind == Invalid && refusal.why.starts_with(&wrong))
        });
        assert_eq!(fitting.count(), 1, "{}", row.name);
    }
}

#[test]
fn the_radius_grows_with_share_tier_and_targets() {
    let blast = |percent, tier, targets| Blast { share: Ppm::percent(percent), tier, targets }.radius();
    assert!(blast(25, Tier::Critical, 1) > blast(25, Tier::Standard, 1));
    assert!(blast(25, Tier::Standard, 1) > blast(25, Tier::Low, 1));
    assert!(blast(50, Tier::Low, 1) > blast(25, Tier::Low, 1));
    assert!(blast(25, Tier::Low, 3) > blast(25, Tier::Low, 1));
}

#[test]
fn an_outcome_is_graded_against_what_was_said() {
    let one = rollout("checkout", "production");
    let forecast = prepared(&board([row(one.clone())]), Action::Promote, &run(&one)).forecast;
    let mut after = one.clone();
    after.step = Some(3);
    let quick = SignedDuration::from_millis(400);
    let good = grade(&forecast, Action::Promote, quick, Some(&after));
    assert_eq!((good.as_forecast, good.text.as_str()), (true, "as forecast, in 400 ms"));
    assert!(!grade(&forecast, Action::Promote, quick, Some(&one)).as_forecast, "it has not moved");
    assert!(!grade(&forecast, Action::Promote, SignedDuration::from_secs(60), Some(&after)).as_forecast, "too slow");
    let abort = prepared(&board([row(one.clone())]), Action::Abort, &run(&one)).forecast;
    let still = grade(&abort, Action::Abort, quick, Some(&one));
    assert_eq!(still.text, "1.10.0 still has 25 % of traffic");
}
