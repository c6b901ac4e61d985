//! What pods say of themselves: where each stands, and why those that are not ready are not. Pure.

use super::json::{SET_LABELS, at, count, items, label, line, text, time};
use super::mask::masked;
use flightdeck_model::{FailingInstances, InstanceState, sanitize_line};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What a container waits for while nothing is wrong.
const STARTING: [&str; 3] = ["", "ContainerCreating", "PodInitializing"];
/// A pod whose containers run for so long without being ready is not just slow.
const SLOW: SignedDuration = SignedDuration::from_secs(60);

/// The pods of a workload, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pods {
    /// Ready ones by the set that they belong to.
    ready: BTreeMap<String, u32>,
    failing: BTreeMap<String, FailingInstances>,
}

impl Pods {
    /// Counts one more.
    pub fn count(&mut self, pod: &Value, now: Timestamp) {
        if state(pod) == InstanceState::Ready {
            let set = SET_LABELS.into_iter().find_map(|key| label(pod, key)).unwrap_or_default();
            *self.ready.entry(set.to_owned()).or_default() += 1;
        }
        if let Some(trouble) = trouble(pod).or_else(|| slow(pod, now)) {
            let Trouble { reason, detail } = trouble;
            let none = || FailingInstances { reason: reason.clone(), instances: 0, restarts: 0, detail };
            let failing = self.failing.entry(reason.clone()).or_insert_with(none);
            failing.instances += 1;
            failing.restarts = failing.restarts.saturating_add(restarts(pod));
        }
    }

    /// How many of a set are ready.
    pub fn ready(&self, set: &str) -> u32 {
        self.ready.get(set).copied().unwrap_or_default()
    }

    /// Why those that are not ready are not, what most of them have first.
    pub fn failing(&self) -> Vec<FailingInstances> {
        let mut all: Vec<_> = self.failing.values().cloned().collect();
        all.sort_by_key(|failing| Reverse(failing.instances));
        all
    }
}

/// Why a pod does not get ready.
struct Trouble {
    /// One of Kubernetes' words, or how a container ended.
    reason: String,
    /// What is said beside it; may be empty.
    detail: String,
}

impl Trouble {
    /// `reason: message`, whichever there is.
    fn of(value: &Value) -> Trouble {
        let (reason, message) = (line(value, "/reason"), sanitize_line(&masked(text(value, "/message"))));
        if reason.is_empty() {
            Trouble { reason: message, detail: String::new() }
        } else {
            Trouble { reason, detail: message }
        }
    }

    /// Of a container that ended: `OOMKilled` with its status, `exit status 3`.
    fn of_end(terminated: &Value) -> Trouble {
        let status = format!("exit status {}", count(terminated, "/exitCode"));
        match text(terminated, "/reason") {
            "" | "Error" | "Completed" => Trouble { reason: status, detail: String::new() },
            _ => Trouble { reason: line(terminated, "/reason"), detail: status },
        }
    }

    fn words(self) -> String {
        let Trouble { reason, detail } = self;
        if detail.is_empty() { reason } else { format!("{reason}: {detail}") }
    }
}

/// Of every container, init containers first.
fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"].into_iter().flat_map(|path| items(pod, path))
}

/// `OOMKilled with exit status 137`, `exit status 3`.
fn end_in_words(terminated: &Value) -> String {
    let Trouble { reason, detail } = Trouble::of_end(terminated);
    if detail.is_empty() { reason } else { format!("{reason} with {detail}") }
}

/// How often its containers were restarted, all together.
pub(super) fn restarts(pod: &Value) -> u32 {
    statuses(pod).map(|status| count(status, "/restartCount")).fold(0, u32::saturating_add)
}

/// When the newest of its containers that run was started.
pub(super) fn running_since(pod: &Value) -> Option<Timestamp> {
    statuses(pod).filter_map(|status| time(status, "/state/running/startedAt")).max()
}

fn condition<'v>(pod: &'v Value, kind: &str) -> &'v Value {
    items(pod, "/status/conditions").iter().find(|one| text(one, "/type") == kind).unwrap_or(&Value::Null)
}

fn is_leaving(pod: &Value) -> bool {
    !text(pod, "/metadata/deletionTimestamp").is_empty()
}

/// What holds a pod up; `None`: nothing that it knows of.
fn trouble(pod: &Value) -> Option<Trouble> {
    if is_leaving(pod) || text(pod, "/status/phase") == "Succeeded" {
        return None;
    }
    if text(pod, "/status/phase") == "Failed" {
        let own = Trouble::of(at(pod, "/status"));
        return Some(if own.reason.is_empty() { ended(pod) } else { own });
    }
    let waiting = statuses(pod).map(|status| (status, at(status, "/state/waiting")));
    let mut wrong = waiting.filter(|(_, waiting)| waiting.is_object() && !STARTING.contains(&text(waiting, "/reason")));
    if let Some((status, waiting)) = wrong.next() {
        let last = at(status, "/lastState/terminated");
        let own = Trouble::of(waiting);
        // How it ended last time says more than for how long it is backed off.
        return Some(if last.is_null() { own } else { Trouble { detail: end_in_words(last), ..own } });
    }
    let scheduled = condition(pod, "PodScheduled");
    if text(scheduled, "/status") == "False" {
        return Some(Trouble::of(scheduled));
    }
    let ready = condition(pod, "Ready");
    if text(ready, "/status") == "True" {
        return None;
    }
    // Between two ends of a crash loop its container runs, or has just ended.
    let ends = statuses(pod).filter(|status| at(status, "/ready") != &Value::Bool(true)).map(|status| {
        let now = at(status, "/state/terminated");
        if now.is_object() { now } else { at(status, "/lastState/terminated") }
    });
    let failed = |end: &&Value| end.is_object() && count(end, "/exitCode") != 0;
    if let Some(end) = ends.filter(failed).last() {
        return Some(Trouble::of_end(end));
    }
    // Ready is false from the start of a pod on; a later change means that it was ready before.
    match (running_since(pod), time(ready, "/lastTransitionTime")) {
        (Some(begun), Some(changed)) if changed > begun => Some(Trouble::of(ready)),
        _ => None,
    }
}

/// It runs for long and has never been ready.
fn slow(pod: &Value, now: Timestamp) -> Option<Trouble> {
    let ready = condition(pod, "Ready");
    let late = running_since(pod).is_some_and(|since| now.duration_since(since) >= SLOW);
    (late && !is_leaving(pod) && text(ready, "/status") == "False").then(|| Trouble::of(ready))
}

/// Where a pod stands, what is wrong first.
pub(super) fn state(pod: &Value) -> InstanceState {
    if is_leaving(pod) {
        return InstanceState::Draining;
    }
    let phase = text(pod, "/status/phase");
    if phase == "Succeeded" {
        return InstanceState::Ended { why: "completed".to_owned() };
    }
    let Some(trouble) = trouble(pod) else {
        let is_ready = text(condition(pod, "Ready"), "/status") == "True";
        return if is_ready { InstanceState::Ready } else { InstanceState::Starting };
    };
    let why = trouble.words();
    let waits = statuses(pod).any(|status| at(status, "/state/waiting").is_object());
    let ended = statuses(pod).any(|status| at(status, "/state/terminated").is_object());
    match phase {
        "Failed" => InstanceState::Ended { why },
        _ if waits || ended => InstanceState::BackingOff { why },
        _ => InstanceState::Unhealthy { why },
    }
}

fn ended(pod: &Value) -> Trouble {
    let terminated = statuses(pod).map(|status| at(status, "/state/terminated")).find(|one| one.is_object());
    terminated.map_or_else(|| Trouble { reason: "failed".to_owned(), detail: String::new() }, Trouble::of_end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: &Value) -> Value {
        json!({
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"pod-template-hash": "aaa"}},
            "spec": {"containers": [{"name": "web", "image": "registry:5000/web:1.4"}]},
            "status": status,
        })
    }

    #[test]
    fn states_of_pods() {
        let backing = |why: &str| InstanceState::BackingOff { why: why.into() };
        let unhealthy = |why: &str| InstanceState::Unhealthy { why: why.into() };
        let ended = |why: &str| InstanceState::Ended { why: why.into() };
        let running = json!([{"state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}}}]);
        for (status, expected) in [
            (json!({}), InstanceState::Starting),
            (json!({"conditions": [{"type": "Ready", "status": "True"}]}), InstanceState::Ready),
            (
                json!({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}),
                InstanceState::Starting,
            ),
            (
                json!({"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no\nsuch \u{1b}image"}}}]}),
                backing("ImagePullBackOff: no such \u{fffd}image"),
            ),
            (
                json!({"containerStatuses": [{"restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                    "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}),
                backing("CrashLoopBackOff: exit status 3"),
            ),
            (
                json!({"initContainerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}],
                    "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}),
                backing("CrashLoopBackOff: OOMKilled with exit status 137"),
            ),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}),
                unhealthy("Unschedulable: 0/3 nodes"),
            ),
            (
                json!({"containerStatuses": running, "conditions": [{"type": "Ready", "status": "False",
                    "lastTransitionTime": "2026-11-21T09:59:58Z"}]}),
                InstanceState::Starting,
            ),
            (
                json!({"containerStatuses": running, "conditions": [{"type": "Ready", "status": "False",
                    "reason": "ContainersNotReady", "message": "[web]", "lastTransitionTime": "2026-11-21T10:05:00Z"}]}),
                unhealthy("ContainersNotReady: [web]"),
            ),
            (json!({"phase": "Succeeded"}), ended("completed")),
            (json!({"phase": "Failed", "reason": "Evicted", "message": "disk"}), ended("Evicted: disk")),
            (
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}),
                ended("exit status 2"),
            ),
        ] {
            assert_eq!(state(&pod(&status)), expected, "{status}");
        }
        // Between two ends of a crash loop.
        let crashed = json!({"phase": "Running", "containerStatuses": [{"ready": false, "restartCount": 2,
            "state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}},
            "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}]});
        assert_eq!(state(&pod(&crashed)), unhealthy("exit status 3"));
        let mut gone = pod(&json!({"conditions": [{"type": "Ready", "status": "True"}]}));
        gone["metadata"]["deletionTimestamp"] = json!("2026-11-21T10:00:00Z");
        assert_eq!(state(&gone), InstanceState::Draining);
    }

    #[test]
    fn pods_are_counted_by_why_they_are_not_ready() {
        let waiting = |reason: &str, restarts: u32, code: i32| {
            json!({"containerStatuses": [{"restartCount": restarts, "state": {"waiting": {"reason": reason, "message": "m"}},
                "lastState": {"terminated": {"exitCode": code, "reason": "Error"}}}]})
        };
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let mute = json!({"containerStatuses": [{"state": {"running": {"startedAt": "2026-11-21T10:00:00Z"}}}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "[web]",
                "lastTransitionTime": "2026-11-21T09:59:59Z"}]});
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let counted = |now: &str| {
            let mut pods = Pods::default();
            let image = waiting("ImagePullBackOff", 0, 0);
            let crash = waiting("CrashLoopBackOff", 3, 1);
            for status in [&image, &crash, &ready, &crash, &mute, &ready, &json!({})] {
                pods.count(&pod(status), at(now));
            }
            pods
        };
        let pods = counted("2026-11-21T10:00:59Z");
        assert_eq!((pods.ready("aaa"), pods.ready("bbb")), (2, 0));
        let words = |pods: &Pods| pods.failing().iter().map(|of| of.sentence("pod", "pods")).collect::<Vec<_>>();
        assert_eq!(
            words(&pods),
            ["2 pods: CrashLoopBackOff, exit status 1; 6 restarts", "1 pod: ImagePullBackOff, exit status 0"]
        );
        // Up for a minute and never ready.
        assert_eq!(words(&counted("2026-11-21T10:01:00Z"))[1], "1 pod: ContainersNotReady, [web]");
        assert_eq!(pods.failing()[0].counted(), "CrashLoopBackOff ×2");
    }
}
