//! Revisions of a workload and the templates in them.

use flightdeck_model::sanitize_line;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// One revision: a ReplicaSet or a ControllerRevision.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Its number; 0 where it has none.
    pub number: u64,
    pub raw: &'a Value,
}

impl<'a> Side<'a> {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'a str {
        text(self.raw, "/metadata/name")
    }

    /// A label of it.
    #[must_use]
    pub fn label(self, key: &str) -> &'a str {
        self.raw.pointer("/metadata/labels").and_then(|labels| labels.get(key)?.as_str()).unwrap_or_default()
    }

    /// Its ready pods.
    #[must_use]
    pub fn ready(self) -> u64 {
        self.raw.pointer("/status/readyReplicas").and_then(Value::as_u64).unwrap_or(0)
    }

    /// An annotation of it.
    #[must_use]
    pub fn annotation(self, key: &str) -> &'a str {
        self.raw.pointer("/metadata/annotations").and_then(|all| all.get(key)?.as_str()).unwrap_or_default()
    }

    /// When it was made.
    #[must_use]
    pub fn created(self) -> Option<Timestamp> {
        text(self.raw, "/metadata/creationTimestamp").parse().ok()
    }

    /// Did it have pods at that time or since? Its status is written with each change of its pods, the
    /// last time when none was left.
    #[must_use]
    pub fn had_pods_since(self, at: Timestamp) -> bool {
        let count = |path: &str| self.raw.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let written = self.raw.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
        let status = written.filter(|entry| text(entry, "/subresource") == "status");
        let last = status.filter_map(|entry| text(entry, "/time").parse::<Timestamp>().ok()).max();
        count("/spec/replicas") > 0 || count("/status/replicas") > 0 || last.is_some_and(|last| last >= at)
    }

    /// A ReplicaSet's template without the label that its controller put there.
    #[must_use]
    pub fn template(self, hash_label: &str) -> Option<Value> {
        let mut template = self.raw.pointer("/spec/template")?.clone();
        take(&mut template, "labels", hash_label);
        Some(template)
    }
}

/// All revisions of a workload, the newest first.
#[derive(Debug, Clone)]
pub struct Revisions<'a>(pub Vec<Side<'a>>);

impl<'a> Revisions<'a> {
    /// ReplicaSets, numbered by an annotation.
    #[must_use]
    pub fn of_replica_sets(history: &'a [Value], annotation: &str) -> Revisions<'a> {
        let number = |raw: &Value| {
            let annotations = raw.pointer("/metadata/annotations")?;
            annotations.get(annotation)?.as_str()?.parse().ok()
        };
        Self::sorted(history.iter().map(|raw| Side { number: number(raw).unwrap_or(0), raw }))
    }

    /// ControllerRevisions, numbered by themselves.
    #[must_use]
    pub fn of_controller(history: &'a [Value]) -> Revisions<'a> {
        let number = |raw: &Value| raw.get("revision").and_then(Value::as_u64).unwrap_or(0);
        Self::sorted(history.iter().map(|raw| Side { number: number(raw), raw }))
    }

    fn sorted(sides: impl Iterator<Item = Side<'a>>) -> Revisions<'a> {
        let mut sides: Vec<_> = sides.collect();
        sides.sort_by(|a, b| b.number.cmp(&a.number).then_with(|| a.name().cmp(b.name())));
        Revisions(sides)
    }

    /// Why there is none to return to.
    #[must_use]
    pub fn none_left(&self, place: &str, raw: &Value) -> String {
        let kept = raw.pointer("/spec/revisionHistoryLimit").and_then(Value::as_u64);
        match (kept, self.0.first()) {
            (Some(0), _) => {
                format!("{place} keeps no revisions (revisionHistoryLimit is 0): there is none to return to")
            }
            (_, Some(only)) => format!("{place} has only revision {}: there is none to return to", only.number),
            (_, None) => format!("{place} has no revision yet: there is none to return to"),
        }
    }
}

/// `revision 3 (shop:v1.2)`.
#[must_use]
pub fn words(side: Side<'_>, template: &Value) -> String {
    match image(template) {
        Some(image) => format!("revision {} ({image})", side.number),
        None => format!("revision {}", side.number),
    }
}

/// The first container's image, without its registry.
#[must_use]
pub fn image(template: &Value) -> Option<String> {
    let image = template.pointer("/spec/containers/0/image")?.as_str()?;
    Some(sanitize_line(image.rsplit('/').next().unwrap_or(image)))
}

/// Takes one key from a template's labels or annotations.
pub(super) fn take(template: &mut Value, of: &str, key: &str) {
    let Some(Value::Object(metadata)) = template.get_mut("metadata") else { return };
    if let Some(Value::Object(map)) = metadata.get_mut(of) {
        map.remove(key);
        if map.is_empty() {
            metadata.remove(of);
        }
    }
}

/// Takes out what a Rollout's controller put into pods for a while; the ReplicaSet's annotation lists it.
pub fn take_ephemeral(template: &mut Value, listed: &str) {
    let listed: Value = serde_json::from_str(listed).unwrap_or_default();
    for of in ["labels", "annotations"] {
        let keys = listed.get(of).and_then(Value::as_object).map(Map::keys);
        for key in keys.into_iter().flatten() {
            take(template, of, key);
        }
    }
}

/// A text in an object; empty where there is none.
pub fn text<'a>(raw: &'a Value, path: &str) -> &'a str {
    raw.pointer(path).and_then(Value::as_str).unwrap_or_default()
}
