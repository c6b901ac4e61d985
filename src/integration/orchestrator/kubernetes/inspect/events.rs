//! Events of a workload, its sets and pods as notes.

use super::super::json::{count, line, text, time, uid};
use super::super::mask::Masker;
use flightdeck_model::{Note, NoteKind, Run, sanitize_line};
use serde_json::Value;

/// Events that are shown, the newest.
const MAX_EVENTS: usize = 200;
/// Reasons of Argo Rollouts' controller for what moves a rollout or stops it.
const PROGRESS: [&str; 7] = [
    "RolloutUpdated",
    "RolloutStepCompleted",
    "RolloutPaused",
    "RolloutResumed",
    "RolloutAborted",
    "RolloutCompleted",
    "TrafficWeightUpdated",
];

/// Events as notes, oldest first.
pub(super) fn notes(run: &Run, events: &[Value]) -> Vec<Note> {
    let mut all: Vec<Note> = events.iter().filter_map(|event| note(run, event)).collect();
    all.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    all.dedup_by(|a, b| a.id == b.id);
    all.split_off(all.len().saturating_sub(MAX_EVENTS))
}

fn note(run: &Run, event: &Value) -> Option<Note> {
    // Old and new writers of events fill different fields.
    let times =
        ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/firstTimestamp", "/metadata/creationTimestamp"];
    let at = times.into_iter().find_map(|path| time(event, path))?;
    let who = match line(event, "/reportingComponent") {
        who if who.is_empty() => line(event, "/source/component"),
        who => who,
    };
    let kind = if PROGRESS.contains(&text(event, "/reason")) { NoteKind::Progress } else { NoteKind::Event };
    Some(Note { id: sanitize_line(uid(event)), run: run.clone(), at, who, text: sentence(run, event), kind })
}

/// `Warning BackOff, pod web-1: the message (12 times)`.
fn sentence(run: &Run, event: &Value) -> String {
    let kind = text(event, "/involvedObject/kind");
    let mut words = line(event, "/reason");
    if text(event, "/type") == "Warning" {
        words = format!("Warning {words}");
    }
    if text(event, "/involvedObject/uid") != run.target.uid {
        words = format!("{words}, {} {}", sanitize_line(&kind.to_lowercase()), line(event, "/involvedObject/name"));
    }
    let message = sanitize_line(&Masker::default().text(text(event, "/message")));
    let often = count(event, "/count").max(count(event, "/series/count"));
    let often = if often > 1 { format!(" ({often} times)") } else { String::new() };
    format!("{words}: {message}{often}")
}

/// What an experiment of a rollout has come to, as a note.
pub(super) fn experiment(run: &Run, experiment: &Value) -> Option<Note> {
    let at = time(experiment, "/status/availableAt").or_else(|| time(experiment, "/metadata/creationTimestamp"))?;
    let phase = match line(experiment, "/status/phase") {
        phase if phase.is_empty() => "Pending".to_owned(),
        phase => phase,
    };
    let message = sanitize_line(&Masker::default().text(text(experiment, "/status/message")));
    let message = if message.is_empty() { message } else { format!(": {message}") };
    Some(Note {
        id: sanitize_line(uid(experiment)),
        run: run.clone(),
        at,
        who: "rollouts-controller".to_owned(),
        text: format!("experiment {} is {phase}{message}", line(experiment, "/metadata/name")),
        kind: NoteKind::Event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_model::Target;
    use serde_json::json;

    fn run() -> Run {
        let target = Target {
            source: "prod".into(),
            kind: "Rollout".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
            uid: "u".into(),
            first_name: None,
        };
        Run { target, revision: "2".into() }
    }

    #[test]
    fn events_of_old_and_new_writers() {
        let old = json!({
            "metadata": {"uid": "e1"}, "type": "Warning", "reason": "BackOff", "count": 12,
            "message": "Back-off pulling\nhttps://a:hunter2@b", "source": {"component": "kubelet"},
            "firstTimestamp": "2026-11-21T10:00:00Z", "lastTimestamp": "2026-11-21T10:09:00Z",
            "involvedObject": {"kind": "Pod", "name": "web-1", "uid": "p"},
        });
        let new = json!({
            "metadata": {"uid": "e2"}, "type": "Normal", "reason": "RolloutPaused", "message": "Rollout is paused",
            "eventTime": "2026-11-21T10:05:00.123456Z", "reportingComponent": "rollouts-controller",
            "involvedObject": {"kind": "Rollout", "name": "web", "uid": "u"},
        });
        let nameless = json!({"metadata": {"uid": "e3"}, "reason": "Scaled"});
        let notes = notes(&run(), &[old.clone(), new, nameless, old]);
        let told: Vec<_> = notes.iter().map(|note| (note.who.as_str(), note.text.as_str())).collect();
        assert_eq!(
            told,
            [
                ("rollouts-controller", "RolloutPaused: Rollout is paused"),
                ("kubelet", "Warning BackOff, pod web-1: Back-off pulling https://a:•••@b (12 times)"),
            ],
            "oldest first, each once, without a time none"
        );
    }

    #[test]
    fn the_newest_events_are_kept() {
        let event = |n: usize| {
            json!({"metadata": {"uid": format!("e{n:04}")}, "reason": "R", "message": n.to_string(),
                "lastTimestamp": format!("2026-11-21T10:{:02}:{:02}Z", n / 60, n % 60)})
        };
        let notes = notes(&run(), &(0..500).map(event).collect::<Vec<_>>());
        assert_eq!((notes.len(), notes[0].id.as_str()), (MAX_EVENTS, "e0300"));
    }

    #[test]
    fn an_experiment_is_named() {
        let object = json!({"metadata": {"uid": "x", "name": "web-abc-2-0", "creationTimestamp": "2026-11-21T10:00:00Z"},
            "status": {"phase": "Running"}});
        let note = experiment(&run(), &object).unwrap();
        assert_eq!(note.text, "experiment web-abc-2-0 is Running");
    }
}
