//! Error budgets: what burns too fast stands against what promotes, where the environment asks for it.

use super::*;
use flightdeck::control::{awaits_budget, budget_warnings};
use flightdeck::model::{BurnLimit, Counted, ObjectiveStatus, OnBurn, Tally, WindowStatus};

fn window(requests: f64, bad: f64) -> WindowStatus {
    let tally = Tally { requests, bad, covers: None };
    WindowStatus { counted: Some(Counted { tally, at: at(90), of_now_until: at(200) }), why: None }
}

/// 99.9 %; both burn windows with so many failures of a thousand.
fn promised(on_burn: OnBurn, long: WindowStatus, short: WindowStatus) -> Rollout {
    let mut one = rollout("checkout", "production");
    let hours = SignedDuration::from_hours;
    let objective = Objective {
        name: "availability".to_owned(),
        indicator: Indicator::Availability,
        target: Ppm(999_000),
        window: hours(720),
        burn: BurnLimit { rate: 14.4, long: hours(1), short: SignedDuration::from_mins(5) },
    };
    let (budget, burning_since) = (window(1e6, 880.0), Some(at(40)));
    one.objectives = vec![ObjectiveStatus { objective, on_burn, budget, long, short, burning_since }];
    one
}

fn burning(on_burn: OnBurn) -> Rollout {
    promised(on_burn, window(1000.0, 16.0), window(1000.0, 22.0))
}

fn verdict(policy: &Policy, row: &Rollout, action: Action, who: &str, reason: Option<&str>) -> Result<(), Refusal> {
    let board = board([super::row(row.clone())]);
    let command = Command { reason: reason.map(str::to_owned), ..pinned(row, action) };
    decide(policy, &board, &actor(who, &[]), &command, at(100)).map(|_| ())
}

#[test]
fn what_promotes_is_refused_while_a_budget_burns_and_the_way_back_is_not() {
    let one = burning(OnBurn::Refuse);
    for action in OF_A_RUN {
        let refused = verdict(&Policy::default(), &one, action, "alice", Some("I want to")).err();
        let promotes = matches!(action, Action::Promote | Action::PromoteFull | Action::Resume | Action::Retry);
        assert_eq!(refused.as_ref().map(|refusal| refusal.kind), promotes.then_some(Denied), "{action:?}");
    }
    let why = verdict(&Policy::default(), &one, Action::Promote, "alice", None).unwrap_err().why;
    assert_eq!(
        why,
        "production asks that nothing is promoted while an error budget burns too fast, as that of checkout does: \
         availability: 99.9 % without failure over 30 d; 12 % of the budget left; burns 16× over 1 h and 22× over 5 m, \
         too fast since 60 s; abort, pause and roll back go through"
    );
    let board = board([row(one.clone())]);
    assert!(matches!(prepared(&board, Action::Promote, &run(&one)).decision, Decision::Refuse(_)));
    assert!(matches!(prepared(&board, Action::Abort, &run(&one)).decision, Decision::Allow { .. }));
    // What was read live knows of no budgets: the hub's own row does.
    let live = rollout("checkout", "production");
    let command = pinned(&live, Action::Promote);
    let refused = decide_live(&Policy::default(), &board, &live, &actor("alice", &[]), &command, at(100));
    assert_eq!(refused.unwrap_err().kind, Denied);
}

#[test]
fn whom_the_settings_name_may_go_on_with_a_reason() {
    let one = burning(OnBurn::Refuse);
    let policy = Policy { admins: vec!["user:root".to_owned()], ..Policy::default() };
    let of = |who, reason| verdict(&policy, &one, Action::Promote, who, reason).map_err(|refusal| refusal.kind);
    assert_eq!(of("root", Some("it mends the errors")), Ok(()));
    assert_eq!([of("root", None), of("root", Some(" "))], [Err(Invalid), Err(Invalid)]);
    assert_eq!(of("alice", Some("it mends the errors")), Err(Denied));
    let why = verdict(&policy, &one, Action::Promote, "alice", None).unwrap_err().why;
    assert!(why.ends_with("; user:root may, with a reason"), "{why}");
    let board = board([row(one.clone())]);
    let decision = prepare(&policy, &board, &actor("root", &[]), Action::Promote, &run(&one), at(100)).decision;
    assert_eq!(decision, Decision::Allow { friction: Friction::ChallengeAndReason("checkout 50".into()) });
}

#[test]
fn what_is_not_known_or_not_asked_for_refuses_nothing_and_is_said() {
    let none = || WindowStatus { counted: None, why: Some("401 Unauthorized".to_owned()) };
    let known = || window(1000.0, 16.0);
    let slow = || window(1000.0, 1.0);
    for (row, warned) in [
        (burning(OnBurn::Notify), "its error budget burns too fast: availability"),
        (
            promised(OnBurn::Refuse, known(), none()),
            "production asks that nothing is promoted while an error budget burns too fast, and whether it does is not \
             known: availability",
        ),
        (promised(OnBurn::Notify, none(), none()), "whether its error budget burns too fast is not known"),
        (promised(OnBurn::Refuse, slow(), known()), ""),
    ] {
        assert_eq!(verdict(&Policy::default(), &row, Action::Promote, "alice", None), Ok(()), "{warned}");
        let board = board([super::row(row.clone())]);
        let warnings = budget_warnings(&board, Action::Promote, &run(&row), at(100));
        assert!(warnings.first().map_or("", String::as_str).starts_with(warned), "{warnings:?}");
        assert_eq!(warnings.is_empty(), warned.is_empty(), "{warnings:?}");
        assert!(budget_warnings(&board, Action::Abort, &run(&row), at(100)).is_empty());
    }
    // Numbers that are old are not known.
    let old = burning(OnBurn::Refuse);
    let board = board([row(old.clone())]);
    let decision = decide(&Policy::default(), &board, &actor("alice", &[]), &pinned(&old, Action::Promote), at(201));
    assert!(decision.is_ok());
}

#[test]
fn only_what_nobody_was_asked_yet_is_waited_for() {
    let unasked = WindowStatus::default;
    let failed = || WindowStatus { counted: None, why: Some("401 Unauthorized".to_owned()) };
    for (row, waits) in [
        (promised(OnBurn::Refuse, unasked(), unasked()), true),
        (promised(OnBurn::Notify, unasked(), unasked()), false),
        (promised(OnBurn::Refuse, failed(), failed()), false),
        (burning(OnBurn::Refuse), false),
    ] {
        let board = board([super::row(row.clone())]);
        assert_eq!(awaits_budget(&board, Action::Promote, &run(&row), at(100)), waits, "{row:?}");
        assert!(!awaits_budget(&board, Action::Abort, &run(&row), at(100)));
    }
}
