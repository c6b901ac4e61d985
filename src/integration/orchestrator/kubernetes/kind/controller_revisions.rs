//! What StatefulSets and DaemonSets do alike: restart and undo; nothing of theirs can be paused.

use super::Asked;
use crate::orchestrator::kubernetes::plan::{Body, Plan, Revisions, Side, image, no_pods, refused, restart, text};
use flightdeck_model::{Action, Refusal};
use serde_json::{Value, json};

/// `before`: is it the revision that its pods ran before what is in flight?
pub(super) fn plan(asked: &Asked<'_>, wants_none: bool, before: impl Fn(&Side<'_>) -> bool) -> Result<Plan, Refusal> {
    let place = asked.live.place();
    let kind = asked.live.workload.kind().resource().kind;
    match asked.action {
        Action::Restart if wants_none => Err(no_pods(&place)),
        Action::Restart => {
            let plan = restart(asked.live, asked.now);
            Ok(Plan { note: on_delete(asked).or(plan.note), ..plan })
        }
        Action::Rollback => undo(asked, before),
        Action::Pause | Action::Resume | Action::Hold => {
            Err(refused(format!("{place} is a {kind}: nothing in Kubernetes can pause one")))
        }
        Action::Abort => Err(refused(format!("{place} is a {kind}, which knows no abort: roll back (b) undoes it"))),
        other => Err(refused(format!("{place} is a {kind}, which knows no {}", other.name()))),
    }
}

/// Its pods change only when somebody deletes them.
fn on_delete(asked: &Asked<'_>) -> Option<String> {
    (text(&asked.live.raw, "/spec/updateStrategy/type") == "OnDelete")
        .then(|| "its pods are replaced only as somebody deletes them (updateStrategy OnDelete)".to_owned())
}

fn undo(asked: &Asked<'_>, before: impl Fn(&Side<'_>) -> bool) -> Result<Plan, Refusal> {
    let live = asked.live;
    let place = live.place();
    let revisions = Revisions::of_controller(asked.history);
    let newest = revisions.0.first();
    let before = revisions.0.iter().find(|side| before(side));
    let Some(target) = before.or(revisions.0.get(1)) else {
        return Err(refused(revisions.none_left(&place, &live.raw)));
    };
    let data = target.raw.get("data").cloned().unwrap_or_default();
    let Some(template) = data.pointer("/spec/template") else {
        return Err(refused(format!("revision {} of {place} has no template", target.number)));
    };
    if newest.is_some_and(|newest| newest.raw.get("data") == Some(&data)) {
        return Err(refused(format!("{place} runs the template of revision {} already", target.number)));
    }
    let image = image(template).map_or(String::new(), |image| format!(" ({image})"));
    let note = format!("back to revision {}{image}", target.number);
    let body = with_version(data, text(&live.raw, "/metadata/resourceVersion"));
    let says = on_delete(asked).map_or(note.clone(), |more| format!("{note}; {more}"));
    Ok(Plan {
        request: live.request(false, Body::Strategic(body), note),
        finish: false,
        target: None,
        note: Some(says),
    })
}

/// The resource version makes a stale patch a conflict instead of a success.
fn with_version(mut data: Value, version: &str) -> Value {
    if let Value::Object(fields) = &mut data {
        fields.insert("metadata".to_owned(), json!({ "resourceVersion": version }));
    }
    data
}
