//! Alerts at the rollouts that they concern, and their silences.

use super::world::*;
use flightdeck::cockpit::app::command::Bound;
use flightdeck::cockpit::app::state::RolloutPanel as P;
use flightdeck::cockpit::app::{hints, record};
use flightdeck::model::*;
use std::collections::BTreeMap;
use std::sync::Arc;

pub fn alert(fingerprint: &str, service: &str, severity: AlertSeverity) -> Alert {
    Alert {
        source: "am".into(),
        fingerprint: fingerprint.to_owned(),
        name: "HighErrors".to_owned(),
        severity,
        summary: "5 % of requests fail".to_owned(),
        labels: BTreeMap::from([("alertname".to_owned(), "HighErrors".to_owned())]),
        since: start(),
        url: None,
        state: AlertState::Firing,
        about: AlertAbout {
            service: Some(service.into()),
            environment: Some("production".into()),
            ..AlertAbout::default()
        },
    }
}

fn told(desk: &mut Desk, body: Body) {
    desk.body(0, "am", Scope::ALERTS_PART, body);
}

fn fires(desk: &mut Desk, alert: Alert) {
    told(desk, Body::Upsert(Entity::Alert(Arc::new(alert))));
}

/// Of a rollout on its way that is opened, with its alerts.
fn opened(desk: &mut Desk, service: &str) {
    desk.select(service);
    desk.key("enter");
    desk.state.rollout.as_mut().unwrap().panel = P::Alerts;
    desk.did();
}

fn silence(id: &str, made: Option<MadeSilence>) -> Silence {
    Silence {
        source: "am".into(),
        id: id.into(),
        matches: String::new(),
        owner: "carol".to_owned(),
        reason: "known".to_owned(),
        since: start(),
        until: start() + USUAL_SILENCE,
        made,
    }
}

#[test]
fn a_critical_alert_of_a_rollout_on_its_way_needs_somebody_and_others_do_not() {
    let mut desk = Desk::new();
    let needs = |desk: &Desk| -> Vec<(String, String)> {
        flightdeck::board::rank(&desk.state.board, desk.now).into_iter().map(|of| (of.name, of.sentence)).collect()
    };
    let before = needs(&desk);
    fires(&mut desk, alert("w", "checkout", AlertSeverity::Warning));
    fires(&mut desk, alert("s", "search", AlertSeverity::Critical));
    assert_eq!(needs(&desk), before, "a warning, and one of what has settled");
    fires(&mut desk, alert("c", "checkout", AlertSeverity::Critical));
    let said = ("checkout".to_owned(), "HighErrors: 5 % of requests fail".to_owned());
    assert_eq!(needs(&desk)[0], said, "before what merely waits");
    let silenced = AlertState::Silenced { by: vec!["q".into()] };
    fires(&mut desk, Alert { state: silenced, ..alert("c", "checkout", AlertSeverity::Critical) });
    assert_eq!(needs(&desk), before);
    // What waits for a person says so first, and what is critical with it.
    fires(&mut desk, alert("p", "payments", AlertSeverity::Critical));
    let payments = needs(&desk).into_iter().find(|(name, _)| name == "payments").unwrap().1;
    assert!(payments.starts_with("HighErrors: "), "{payments}");
}

#[test]
fn an_alert_is_silenced_for_its_rollout_and_never_without_a_reason() {
    let mut desk = Desk::new();
    desk.keys("m");
    assert_eq!(desk.notice(), "silence: open a rollout and select one of its alerts (Tab)");
    fires(&mut desk, alert("c", "checkout", AlertSeverity::Critical));
    opened(&mut desk, "checkout");
    let on_footer = |desk: &Desk, action: Action| {
        hints::footer(&desk.state).into_iter().any(|hint| hint.bound == Bound::Act(action))
    };
    assert!(on_footer(&desk, Action::Silence) && !on_footer(&desk, Action::Unsilence), "what it takes stands there");
    desk.state.rollout.as_mut().unwrap().panel = P::Timeline;
    assert!(!on_footer(&desk, Action::Silence));
    desk.state.rollout.as_mut().unwrap().panel = P::Alerts;
    desk.keys("m");
    assert_eq!(desk.dialog().items[0].target, "HighErrors (am)");
    desk.allow(&Friction::Yes);
    desk.wait(400);
    desk.key("enter");
    assert!(desk.said().contains("give a reason"), "{}", desk.said());
    desk.type_text("known");
    desk.key("enter");
    let (_, sent) = desk.submitted().pop().unwrap();
    let subject = Subject::Alert {
        source: "am".into(),
        fingerprint: "c".to_owned(),
        run: Some(run("checkout")),
        lasts: USUAL_SILENCE,
    };
    assert_eq!((sent.action, sent.subject, sent.reason.as_deref()), (Action::Silence, subject, Some("known")));
}

#[test]
fn of_what_has_settled_an_alert_is_silenced_for_a_while_only() {
    let mut desk = Desk::new();
    fires(&mut desk, alert("c", "search", AlertSeverity::Critical));
    opened(&mut desk, "search");
    desk.keys("m");
    let Subject::Alert { run, .. } = &desk.dialog().items[0].subject else { panic!("{:?}", desk.dialog().items) };
    assert_eq!(*run, None);
}

#[test]
fn only_a_silence_of_ones_own_kind_is_ended() {
    let mut desk = Desk::new();
    let by = |id: &str| AlertState::Silenced { by: vec![id.into()] };
    fires(&mut desk, Alert { state: by("theirs"), ..alert("c", "checkout", AlertSeverity::Critical) });
    told(&mut desk, Body::Upsert(Entity::Silence(Box::new(silence("theirs", None)))));
    opened(&mut desk, "checkout");
    desk.keys("U");
    assert_eq!(desk.notice(), "end a silence: no silence of it was made with flightdeck");
    let made = Some(MadeSilence { command: "c-1".into(), run: None });
    told(&mut desk, Body::Upsert(Entity::Silence(Box::new(silence("ours", made)))));
    fires(&mut desk, Alert { state: by("ours"), ..alert("c", "checkout", AlertSeverity::Critical) });
    desk.keys("U");
    let subject = Subject::Silence { source: "am".into(), id: "ours".into() };
    assert_eq!(desk.dialog().items[0].subject, subject);
    desk.keys("esc");
    let lines = format!("{:?}", record::shown(&desk.state));
    assert!(lines.contains("carol: known") && lines.contains("silenced"), "{lines}");
}

#[test]
fn a_column_comes_with_the_first_alert_that_concerns_a_row_and_goes_with_the_last() {
    let mut desk = Desk::new();
    assert!(!desk.state.filled().alerts());
    fires(&mut desk, alert("x", "nothing", AlertSeverity::Critical));
    assert!(!desk.state.filled().alerts(), "it concerns no row");
    fires(&mut desk, alert("c", "checkout", AlertSeverity::Warning));
    assert!(desk.state.filled().alerts());
    told(&mut desk, Body::Remove(EntityRef::Alert("am".into(), "c".to_owned())));
    assert!(!desk.state.filled().alerts());
    // A row that comes later than its alert.
    desk.upsert(rollout("nothing", Phase::Progressing));
    assert!(desk.state.filled().alerts());
}
