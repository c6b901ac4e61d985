//! What an object's metadata says: its annotations, who wrote what, and the mark of a hold.

use flightdeck_model::{HoldId, HoldTarget, Selector, sanitize_line};
use jiff::Timestamp;
use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};

/// Annotation with a [`HoldMark`] as JSON on each workload that a hold stopped.
pub const HOLD_ANNOTATION: &str = "flightdeck.dev/hold";
/// What kubectl restarts by, in a template.
pub const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// The programs that carry out what workloads say.
const CONTROLLERS: [&str; 2] = ["rollouts-controller", "kube-controller-manager"];

/// Who holds a workload; any hub that reads it can show and release the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldMark {
    /// Unique over all hubs.
    pub id: HoldId,
    /// Who asked for it.
    pub owner: String,
    pub reason: Option<String>,
    pub since: Timestamp,
    /// What it meant.
    pub selector: Selector,
    /// It stood still before: a release takes the mark away and leaves it as it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused_before: bool,
    /// What the hold could not stop, and why; the marks of one hold add up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheld: Vec<HoldTarget>,
}

/// An annotation's value.
#[must_use]
pub fn annotation<'m>(meta: &'m ObjectMeta, key: &str) -> Option<&'m str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Who wrote a field last and when, by the object's `managedFields`: the name of a program, such as
/// `kubectl-set`, never that of a person. `path` is written as there: `["f:spec", "f:template"]`.
#[must_use]
pub fn writer(meta: &ObjectMeta, path: [&str; 2]) -> Option<(String, Timestamp)> {
    let entries = meta.managed_fields.iter().flatten();
    let wrote = entries.filter(|entry| {
        let by = entry.manager.as_deref().unwrap_or_default();
        let fields = entry.fields_v1.as_ref();
        // Controllers write objects back whole, and what they write follows from what somebody else did.
        !CONTROLLERS.contains(&by)
            && fields.is_some_and(|fields| path.iter().try_fold(&fields.0, |at, key| at.get(key)).is_some())
    });
    let newest = wrote.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    Some((sanitize_line(newest.manager.as_deref()?), newest.time.as_ref()?.0))
}

/// Who brought in the template that it has now, and when; see [`writer`].
#[must_use]
pub fn template_writer(meta: &ObjectMeta) -> Option<(String, Timestamp)> {
    writer(meta, ["f:spec", "f:template"])
}

/// Who holds it, where its annotation can be read.
#[must_use]
pub fn hold(meta: &ObjectMeta) -> Option<HoldMark> {
    serde_json::from_str(annotation(meta, HOLD_ANNOTATION)?).ok()
}

/// Where the mark of a hold stands.
#[must_use]
pub fn mark_path() -> String {
    format!("/metadata/annotations/{}", HOLD_ANNOTATION.replace('~', "~0").replace('/', "~1"))
}
