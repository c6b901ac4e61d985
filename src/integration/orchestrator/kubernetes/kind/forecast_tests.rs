use super::forecast;
use flightdeck_model::{
    Action, Arm, ArmRole, Denied, Fact, Facts, ManagedBy, Phase, Ppm, Replicas, RollbackPath, Rollout, Run, Step,
    Strategy, Target, Traffic, TrafficSource, Version, Wait,
};
use std::sync::Arc;

fn side(role: ArmRole, version: &str, (ready, desired): (u32, u32), percent: u32, how: TrafficSource) -> Arm {
    let share = Ppm::percent(percent);
    Arm {
        role,
        version: Version(version.into()),
        digest: None,
        replicas: Replicas { ready, desired },
        traffic: Traffic { desired: share, actual: Some(share), how },
        pods: None,
        service: None,
    }
}

fn of_kind(kind: &str, strategy: Strategy, arms: Vec<Arm>) -> Rollout {
    let target = Target {
        source: "east".into(),
        kind: kind.into(),
        namespace: Some("shop".into()),
        name: "checkout".into(),
        uid: "u1".into(),
        first_name: None,
    };
    let steps = if strategy == Strategy::Canary {
        vec![Step::SetWeight(Ppm::percent(20)), Step::Pause { duration: None }]
    } else {
        vec![]
    };
    let at = jiff::Timestamp::UNIX_EPOCH;
    let denied: Arc<[Denied]> = Arc::default();
    Rollout {
        strategy,
        step: Some(1).filter(|_| !steps.is_empty()),
        steps: steps.into(),
        arms,
        phase: Phase::Progressing,
        offers: [].into_iter().collect(),
        denied,
        ..Rollout::bare(Run { target, revision: "2".into() }, "checkout".into(), "east".into(), at)
    }
}

fn canary(stable: (u32, u32), how: TrafficSource) -> Rollout {
    let arms = vec![side(ArmRole::Stable, "1.9", stable, 80, how), side(ArmRole::Candidate, "1.10", (1, 1), 20, how)];
    of_kind("Rollout", Strategy::Canary, arms)
}

fn settled(kind: &str, strategy: Strategy) -> Rollout {
    of_kind(kind, strategy, vec![side(ArmRole::Stable, "1.10", (5, 5), 100, TrafficSource::Replicas)])
}

fn said(action: Action, row: &Rollout) -> String {
    let forecast = forecast(action, row).expect("a forecast of its own");
    [forecast.lines, forecast.warnings].concat().join(" | ")
}

#[test]
fn an_undo_says_that_a_settled_rollout_is_promoted_in_full_and_one_in_flight_takes_no_steps() {
    let row = settled("Rollout", Strategy::Canary);
    let text = said(Action::Rollback, &row);
    assert!(text.contains("gets all traffic as soon as its pods are ready: the 2 steps are skipped"), "{text}");
    assert!(text.contains("only begins by its steps, and promote full lets it through"), "{text}");
    let windowed = Rollout { facts: Facts::default().with(Fact::Window, "3"), ..row };
    assert!(said(Action::Rollback, &windowed).contains("within it all steps are skipped"));
    let text = said(Action::Rollback, &canary((4, 4), TrafficSource::Replicas));
    assert!(text.contains("back to 1.9, which is stable: no steps are taken"), "{text}");
    let of = forecast(Action::Rollback, &canary((4, 4), TrafficSource::Replicas)).unwrap();
    assert_eq!(of.path, Some(RollbackPath::Warm));
}

#[test]
fn issue_2235_an_abort_warns_of_a_stable_that_can_not_carry_it_all() {
    let small = canary((1, 1), TrafficSource::Declared);
    let mut small = small;
    small.arms[1].replicas = Replicas { ready: 4, desired: 4 };
    let text = said(Action::Abort, &small);
    assert!(text.contains("carries everything with 1 of up to 4 pods"), "{text}");
    assert!(!said(Action::Abort, &canary((4, 4), TrafficSource::Replicas)).contains("carries everything"));
}

#[test]
fn an_abort_says_that_it_leaves_the_description_and_what_takes_it_back() {
    let mut row = canary((4, 4), TrafficSource::Replicas);
    assert!(said(Action::Abort, &row).contains("the description still names 1.10"));
    assert!(!said(Action::Abort, &row).contains("takes the abort back"));
    row.facts = Facts::default().with(Fact::Window, "2");
    assert!(said(Action::Abort, &row).contains("its controller takes the abort back"));
    row.waits = vec![Wait::Hold("H-1".into())];
    assert!(said(Action::Abort, &row).contains("the pause or hold ends too"));
}

#[test]
fn issue_4612_promote_full_warns_of_a_share_that_its_pods_were_not_made_for() {
    let mut row = canary((20, 20), TrafficSource::Declared);
    row.arms[1].traffic.desired = Ppm::percent(70);
    let text = said(Action::PromoteFull, &row);
    assert!(text.contains("1.10 has 1 of 1 pods ready for 70 % of traffic: that share would take about 14"), "{text}");
}

#[test]
fn what_owns_a_template_reverts_an_undo_and_the_place_to_revert_it_is_named() {
    for (tool, name, words) in [
        ("Argo CD", "application shop", "revert the commit in its Git repository"),
        ("Flux", "Kustomization shop", "revert the commit in its Git repository"),
        ("Flux", "HelmRelease shop", "revert the chart version"),
        ("Helm", "release shop", "`helm rollback`"),
    ] {
        for kind in ["Rollout", "Deployment", "StatefulSet", "DaemonSet"] {
            let mut row = settled(kind, Strategy::Rolling);
            row.managed_by = Some(Box::new(ManagedBy { tool: tool.into(), name: name.into() }));
            let text = said(Action::Rollback, &row);
            assert!(text.contains(tool) && text.contains(words), "{kind}: {text}");
        }
    }
}

#[test]
fn what_is_the_same_everywhere_is_left_to_the_general_forecast() {
    assert_eq!(forecast(Action::Promote, &canary((4, 4), TrafficSource::Replicas)), None);
    assert_eq!(forecast(Action::Resume, &canary((4, 4), TrafficSource::Replicas)), None);
}

#[test]
fn a_hold_or_pause_that_freezes_the_scaling_says_so() {
    let row = canary((4, 4), TrafficSource::Replicas);
    for action in [Action::Hold, Action::Pause] {
        assert!(said(action, &row).contains("checkout is not scaled while it stands still"), "{action:?}");
    }
    let set = settled("StatefulSet", Strategy::Rolling);
    assert!(said(Action::Hold, &set).contains("checkout is a StatefulSet, which can't be paused: it goes on"));
    assert!(forecast(Action::Hold, &settled("Deployment", Strategy::Rolling)).is_none(), "it is scaled all the same");
}
