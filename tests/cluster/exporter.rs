//! What pods count of their requests, spelled as applications, as those with the hash of their template, and as Istio's
//! sidecars do. Its pods run no program, so this test's own process tells it for them.

use flightdeck::model::*;
use std::fmt::Write as _;
use std::time::Instant;

/// A pod's requests, and of those failed, as its exporter counts them.
pub struct Pod {
    /// Its ReplicaSet.
    pub set: String,
    pub name: &'static str,
    /// The label `version` of it.
    pub version: String,
    /// Requests a second.
    pub rate: f64,
    /// Since when one in ten fails.
    pub bad: Option<Instant>,
    pub since: Instant,
}

impl Pod {
    fn counted(&self) -> (f64, f64) {
        let all = (self.since.elapsed().as_secs_f64() * self.rate).floor();
        let failed = self.bad.map_or(0.0, |bad| bad.elapsed().as_secs_f64() * self.rate / 10.0).floor();
        (all, failed)
    }

    fn series(&self, text: &mut String, metric: &str, labels: &str, status: &str) {
        let (all, failed) = self.counted();
        writeln!(text, "{metric}{{{labels},{status}=\"200\"}} {}", all - failed).unwrap();
        if failed > 0.0 {
            writeln!(text, "{metric}{{{labels},{status}=\"503\"}} {failed}").unwrap();
        }
    }
}

pub fn exported(namespace: &str, pods: &[Pod]) -> String {
    let mut text = String::new();
    for pod in pods {
        let labels = format!("namespace=\"{namespace}\",pod=\"{}-{}\"", pod.set, pod.name);
        pod.series(&mut text, "http_requests_total", &labels, "code");
    }
    text
}

/// The same without the pods' names: by the hash of their template, and as the sidecars of a mesh see them.
pub fn exported_without_pods(namespace: &str, workload: &str, pods: &[Pod]) -> String {
    let mut text = String::new();
    for (number, pod) in pods.iter().enumerate() {
        let hash = pod.set.trim_start_matches(workload).trim_start_matches('-');
        let labels = format!("namespace=\"{namespace}\",instance=\"{number}\",rollouts_pod_template_hash=\"{hash}\"");
        pod.series(&mut text, "http_requests_total", &labels, "code");
        let labels = format!(
            "reporter=\"destination\",destination_workload_namespace=\"{namespace}\",destination_workload=\"{workload}\",\
             destination_version=\"{}\",instance=\"{number}\"",
            pod.version
        );
        pod.series(&mut text, "istio_requests_total", &labels, "response_code");
    }
    text
}

/// The set of pods of a side.
pub fn set(row: &Rollout, role: &ArmRole) -> Option<String> {
    match &row.arm(role)?.pods {
        Some(PodNames::Set(set)) => Some(set.clone()),
        _ => None,
    }
}
