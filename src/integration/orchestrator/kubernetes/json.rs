//! Reading fields of objects of any kind.

use crate::orchestrator::kubernetes::images::Images;
use flightdeck_model::{Version, sanitize_line};
use jiff::Timestamp;
use serde_json::Value;

/// The labels by which pods name the set that they belong to; their controllers add them to its template.
pub(super) const SET_LABELS: [&str; 3] =
    ["rollouts-pod-template-hash", "pod-template-hash", "controller-revision-hash"];

/// The field at a path such as `/metadata/name`.
pub(super) fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    value.pointer(path).unwrap_or(&Value::Null)
}

/// A text; empty where there is none.
pub(super) fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    at(value, path).as_str().unwrap_or_default()
}

/// One line fit to be seen; empty where there is none.
pub(super) fn line(value: &Value, path: &str) -> String {
    sanitize_line(text(value, path))
}

/// A count; 0 where there is none.
pub(super) fn count(value: &Value, path: &str) -> u32 {
    at(value, path).as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or_default()
}

/// A moment.
pub(super) fn time(value: &Value, path: &str) -> Option<Timestamp> {
    text(value, path).parse().ok()
}

/// The items of a list; none where there is none.
pub(super) fn items<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    at(value, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A label's value.
pub(super) fn label<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    at(object, "/metadata/labels").get(key)?.as_str()
}

/// An annotation's value.
pub(super) fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    at(object, "/metadata/annotations").get(key)?.as_str()
}

/// Its name.
pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// Its uid.
pub(super) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// Does the object of that uid control it?
pub(super) fn owned(object: &Value, uid: &str) -> bool {
    items(object, "/metadata/ownerReferences")
        .iter()
        .any(|owner| owner.get("controller") == Some(&Value::Bool(true)) && text(owner, "/uid") == uid)
}

/// The images of a template of the workload of that name.
pub(super) fn images(template: &Value, workload: &str) -> Images {
    Images::of(&serde_json::from_value(template.clone()).unwrap_or_default(), workload)
}

/// What a template of that workload is called by itself.
pub(super) fn version(template: &Value, workload: &str) -> Version {
    images(template, workload).version()
}

/// A template without what a controller added to it, so that equal ones compare equal.
pub(super) fn bare(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(map) = template.as_object_mut() {
        map.remove("$patch");
        if let Some(meta) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            if let Some(labels) = meta.get_mut("labels").and_then(Value::as_object_mut) {
                labels.retain(|key, _| !SET_LABELS.contains(&key.as_str()));
            }
            meta.retain(|_, value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty()));
        }
    }
    template
}
