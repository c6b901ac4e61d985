//! Alerts on the Deck and on an opened rollout.

use super::world::rollout;
use super::*;
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::sync::Arc;

fn alert(fingerprint: &str, name: &str, service: &str, severity: AlertSeverity, state: AlertState) -> Entity {
    Entity::Alert(Arc::new(Alert {
        source: "am".into(),
        fingerprint: fingerprint.to_owned(),
        name: name.to_owned(),
        severity,
        summary: "10 % of the requests to shop/checkout fail".to_owned(),
        labels: BTreeMap::from([("alertname".to_owned(), name.to_owned()), ("team".to_owned(), "shop".to_owned())]),
        since: ago(240),
        url: Some("https://prometheus.example/graph".to_owned()),
        state,
        about: AlertAbout {
            service: Some(service.into()),
            environment: Some("production".into()),
            ..AlertAbout::default()
        },
    }))
}

fn alerted(columns: u16, rows: u16) -> State {
    let mut state = empty(columns, rows);
    connect(&mut state, 0, "local", true);
    let mut moving = rollout("local", "checkout", "production", "1.9.0", "1.10.0", 25);
    moving.phase = Phase::Paused;
    moving.waits = vec![Wait::Human { what: "promote to 50 %".into(), who: None, since: ago(60) }];
    let quiet = settled("local", "search", "production", "2.0");
    let calm = settled("local", "till", "production", "3.1");
    let entities = [moving, quiet, calm].map(|row| Entity::Rollout(Arc::new(row)));
    Hub::new(0, "local").snapshot(&mut state, entities.into());
    let made = Some(MadeSilence { command: "c-1".into(), run: None });
    let silence = Silence {
        source: "am".into(),
        id: "8c1c".into(),
        matches: String::new(),
        owner: "carol".to_owned(),
        reason: "the canary fails as expected".to_owned(),
        since: ago(60),
        until: now() + SignedDuration::from_mins(59),
        made,
    };
    let silenced = || AlertState::Silenced { by: vec!["8c1c".into()] };
    let (critical, warning, firing) = (AlertSeverity::Critical, AlertSeverity::Warning, AlertState::Firing);
    let mut am = Hub::new(0, "am");
    for row in [
        alert("a", "PodSetHighErrorRate", "checkout", critical, firing.clone()),
        alert("b", "DeploymentGenerationBehind", "checkout", warning, firing),
        alert("c", "Noise", "checkout", warning, silenced()),
        alert("d", "Noise", "search", critical, silenced()),
        Entity::Silence(Box::new(silence)),
    ] {
        am.upsert(&mut state, row);
    }
    am.send(&mut state, Body::Link(LinkState::live(now())));
    tell(&mut state, Event::Wake);
    state
}

#[test]
fn alerts_stand_at_their_rows() {
    every_size("deck_alerts", alerted);
    let drawn = screen(&alerted(120, 36));
    let is_row = |line: &&str| line.contains("⏸ paused") || line.contains("✓ healthy");
    let row = |service: &str| drawn.lines().filter(is_row).find(|line| line.contains(service)).unwrap().to_owned();
    assert!(row("checkout").contains("crit 1 +1"), "{}", row("checkout"));
    assert!(row("search").contains("quiet 1"), "{}", row("search"));
    assert!(!row("till").contains("quiet"), "{}", row("till"));
    // Told by words, with or without colours.
    let plain = text(&buffer(&alerted(120, 36), "dark", false));
    assert_eq!(plain, drawn);
}

#[test]
fn an_opened_rollout_lists_its_alerts() {
    every_size("rollout_alerts", |columns, rows| {
        let mut state = alerted(columns, rows);
        press(&mut state, "enter");
        state.rollout.as_mut().unwrap().panel = flightdeck::cockpit::app::state::RolloutPanel::Alerts;
        state
    });
}

#[test]
fn who_would_give_a_candidate_more_traffic_reads_its_alerts_first() {
    let promoting = |change: &dyn Fn(&mut State)| {
        let mut state = alerted(120, 36);
        change(&mut state);
        press(&mut state, "p");
        screen(&state)
    };
    let shown = promoting(&|_| {});
    let first = "alerts    ✗ critical PodSetHighErrorRate for 4 m: 10 % of the requests to";
    assert!(shown.contains(first) && shown.contains("alerts    1 more"), "{shown}");
    // Whoever can't be asked is no reason for silence.
    let unseen = promoting(&|state| {
        let stale = LinkState::stale(now(), "401 Unauthorized".to_owned());
        Hub::new(0, "am").send_of(state, Scope::ALERTS_PART, Body::Link(stale));
    });
    assert!(unseen.contains("? not known: am: stale for 0 s: 401 Unauthorized"), "{unseen}");
}
