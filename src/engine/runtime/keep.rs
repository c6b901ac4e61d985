//! What is kept, and for how long.

use crate::engine::core::{Input, State};
use crate::engine::process::instance::record;
use crate::engine::process::job::is_job;
use crate::engine::store::Store;
use crate::model::{ServiceName, Version};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// An artifact that was just stored may not be in the journal yet.
const FRESH: Duration = Duration::from_mins(10);

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
    let beyond = ended.len().saturating_sub(retention.logs);
    let mut removed = 0;
    for (number, (modified, dir)) in ended.iter().enumerate() {
        let old = modified.elapsed().is_ok_and(|age| age > retention.log_age);
        if number < beyond || old {
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
}
