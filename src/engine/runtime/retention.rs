//! What is kept, and for how long.

use crate::process::instance::record;
use crate::process::job::is_job;
use crate::process::output;
use crate::store::Store;
use flightdeck_engine_core::{Input, State};
use flightdeck_model::{ServiceName, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// An artifact that was just stored may not be in the journal yet.
const FRESH: Duration = Duration::from_mins(10);

/// Runs of one job whose output is kept. They have a number of their own: one that runs each minute would soon have
/// taken the place of all others.
const RUNS: usize = 10;

/// What is kept, and for how long. What is in use is always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Newest releases of each service.
    pub releases: usize,
    /// Logs of instances that ended.
    pub logs: usize,
    /// Age of those at most.
    pub log_age: Duration,
    /// Newest finished rollouts.
    pub deployments: u64,
    /// Age of those at most.
    pub deployment_age: Duration,
}

impl Default for Retention {
    /// 20 releases of each service; the logs of 50 ended instances, for 7 days; 10,000 finished
    /// rollouts, for 400 days.
    fn default() -> Self {
        Retention {
            releases: 20,
            logs: 50,
            log_age: Duration::from_hours(7 * 24),
            deployments: 10_000,
            deployment_age: Duration::from_hours(400 * 24),
        }
    }
}

/// Releases beyond the newest ones. The core refuses to remove those in use.
pub fn old_releases(state: &State, retention: Retention) -> Vec<Input> {
    let mut old = Vec::new();
    for (service, releases) in &state.releases {
        let mut newest: Vec<_> = releases.values().collect();
        newest.sort_by_key(|release| std::cmp::Reverse(release.added));
        old.extend(newest.iter().skip(retention.releases).map(|release| removal(service, &release.version)));
    }
    old
}

fn removal(service: &ServiceName, version: &Version) -> Input {
    Input::ReleaseRemoved { service: service.clone(), version: version.clone() }
}

/// Digests that some release refers to.
pub fn used_digests(state: &State) -> BTreeSet<String> {
    let releases = state.releases.values().flat_map(|of| of.values());
    releases.flat_map(|release| &release.artifacts).map(|artifact| artifact.digest.clone()).collect()
}

/// Removes artifacts that nobody refers to, and old directories of instances that ended. Blocks.
pub fn sweep(store: &Store, used: &BTreeSet<String>, instances: &Path, live: &BTreeSet<String>, retention: Retention) {
    let artifacts = store.sweep(used, FRESH);
    let logs = old_logs(instances, live, retention);
    match (artifacts, logs) {
        (Ok(0), Ok(0)) => {}
        (Ok(artifacts), Ok(logs)) => tracing::info!(artifacts, logs, "removed what is kept no longer"),
        (artifacts, logs) => tracing::warn!(?artifacts, ?logs, "cannot remove what is kept no longer"),
    }
}

fn old_logs(instances: &Path, live: &BTreeSet<String>, retention: Retention) -> io::Result<usize> {
    let mut ended: Vec<(SystemTime, std::path::PathBuf)> = Vec::new();
    for dir in std::fs::read_dir(instances)? {
        let dir = dir?;
        let is_live = dir.file_name().to_str().is_some_and(|name| live.contains(name));
        if !is_live && record(&dir.path()).is_none() && !is_job(&dir.path()) {
            ended.push((dir.metadata()?.modified()?, dir.path()));
        }
    }
    ended.sort();
    let mut newer: BTreeMap<Option<String>, usize> = BTreeMap::new();
    let mut removed = 0;
    for (modified, dir) in ended.iter().rev() {
        let job = output::job(dir).unwrap_or_else(|error| {
            tracing::warn!(dir = %dir.display(), %error, "cannot tell whose output it is");
            None
        });
        let kept = if job.is_some() { RUNS } else { retention.logs };
        let number = newer.entry(job).or_default();
        *number += 1;
        let old = modified.elapsed().is_ok_and(|age| age > retention.log_age);
        if *number > kept || old {
            std::fs::remove_dir_all(dir)?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_ended_instances_are_kept_by_number_and_age() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "live"] {
            std::fs::create_dir_all(dir.path().join(name).join("log")).unwrap();
        }
        for (seconds, name) in (10..).zip(["a", "b", "c", "live"]) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            std::fs::File::open(dir.path().join(name)).unwrap().set_modified(time).unwrap();
        }
        let live = BTreeSet::from(["live".to_owned()]);
        let ages = Duration::from_secs(u64::from(u32::MAX));
        let keep = |logs, log_age| Retention { releases: 1, logs, log_age, ..Retention::default() };
        assert_eq!(old_logs(dir.path(), &live, keep(2, ages)).unwrap(), 1);
        assert!(!dir.path().join("a").exists() && dir.path().join("c").exists());
        assert_eq!(old_logs(dir.path(), &live, keep(2, Duration::from_mins(1))).unwrap(), 2);
        assert!(dir.path().join("live").exists());
    }

    #[test]
    fn runs_of_a_job_take_nobody_elses_place() {
        let dir = tempfile::tempdir().unwrap();
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let ended = |name: String, seconds, output: Option<serde_json::Value>| {
            let of = dir.path().join(name);
            std::fs::create_dir(&of).unwrap();
            if let Some(output) = output {
                std::fs::write(of.join(output::OUTPUT_FILE), output.to_string()).unwrap();
            }
            std::fs::File::open(of).unwrap().set_modified(time(seconds)).unwrap();
        };
        let run = |revision: Option<&str>| {
            serde_json::json!({
                "id": "job-1", "of": { "type": "hook", "data": { "name": "cleanup" } }, "service": "shop",
                "environment": "production", "version": "1.0", "revision": revision,
                "started": "2026-11-30T00:00:00Z", "ended": null, "how": null, "failed": false,
            })
        };
        ended("instance".to_owned(), 1, None);
        ended("hook".to_owned(), 2, Some(run(Some("r-1"))));
        for number in 0..RUNS as u64 + 5 {
            ended(format!("job-{number}"), 10 + number, Some(run(None)));
        }
        let log_age = Duration::from_secs(u64::from(u32::MAX));
        let retention = Retention { releases: 1, logs: 2, log_age, ..Retention::default() };
        assert_eq!(old_logs(dir.path(), &BTreeSet::new(), retention).unwrap(), 5);
        let there = |name: &str| dir.path().join(name).exists();
        assert!(there("instance") && there("hook") && there("job-5") && !there("job-4"));
    }
}
