//! Limits of all processes of an instance together, by cgroup v2. Each instance and each hook's run that has limits
//! gets a group of its own in `flightdeck/`, at the top of the hierarchy, where a server that is not root can't make
//! one. Source: <https://docs.kernel.org/admin-guide/cgroup-v2.html>.

use crate::store::digest_of;
use flightdeck_model::{Limit, Limits};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Holds a group for each instance.
const OURS: &str = "flightdeck";
/// Length of the span that `cpu.max` counts in, microseconds.
const PERIOD: u64 = 100_000;

/// The group of what runs in a directory: two servers on one machine may have instances of the same name.
#[must_use]
pub fn of(mount: &Path, dir: &Path) -> PathBuf {
    let id = dir.file_name().unwrap_or_default().to_string_lossy();
    let digest = digest_of(dir.as_os_str().as_encoded_bytes()).unwrap_or_default();
    let short: String = digest.trim_start_matches("sha256:").chars().take(12).collect();
    mount.join(OURS).join(format!("{id}.{short}"))
}

/// Makes the group and gives it limits; those that it keeps now. An error of one limit is none of the others.
///
/// # Errors
/// There can be no group here.
pub fn make(mount: &Path, group: &Path, limits: &Limits) -> io::Result<Vec<Limit>> {
    let ours = group.parent().unwrap_or(mount);
    fs::create_dir_all(ours)?;
    let mut kept = Vec::new();
    let wanted = [
        (Limit::Memory, "memory", limits.memory.map(|bytes| ("memory.max", bytes.to_string()))),
        (Limit::Cpu, "cpu", limits.cpu.map(|cpu| ("cpu.max", format!("{} {PERIOD}", u64::from(cpu) * PERIOD / 1000)))),
        (Limit::Processes, "pids", limits.processes.map(|most| ("pids.max", most.to_string()))),
    ];
    let enabled: Vec<_> = wanted.iter().map(|(_, controller, _)| enable(mount, ours, controller)).collect();
    fs::create_dir_all(group)?;
    for ((limit, _, value), enabled) in wanted.into_iter().zip(enabled) {
        let Some((file, value)) = value else { continue };
        match enabled.and_then(|()| fs::write(group.join(file), value)) {
            Ok(()) => kept.push(limit),
            Err(error) => tracing::debug!(%error, file, "this machine's cgroups do not keep a limit"),
        }
    }
    if kept.contains(&Limit::Memory) {
        // One that is out of memory ends as a whole: half an app serves nobody.
        fs::write(group.join("memory.oom.group"), "1")?;
    }
    Ok(kept)
}

/// Hands a controller down to the groups of instances.
fn enable(mount: &Path, ours: &Path, controller: &str) -> io::Result<()> {
    for above in [mount, ours] {
        let file = above.join("cgroup.subtree_control");
        let there = fs::read_to_string(&file)?;
        if !there.split_ascii_whitespace().any(|word| word == controller) {
            fs::write(&file, format!("+{controller}"))?;
        }
    }
    Ok(())
}

/// The limit of memory in bytes that something in the group was ended for; `None`: nothing was.
#[must_use]
pub fn out_of_memory(group: &Path) -> Option<u64> {
    let events = fs::read_to_string(group.join("memory.events")).ok()?;
    let kills = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok();
    events.lines().find_map(kills).filter(|kills| *kills > 0)?;
    fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok()
}

/// Removes the group of what has ended. One that is not there is fine.
///
/// # Errors
/// Something runs in it still.
pub fn remove(group: &Path) -> io::Result<()> {
    match fs::remove_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_servers_on_one_machine_share_no_group() {
        let mount = Path::new("/sys/fs/cgroup");
        let (one, other) = (of(mount, Path::new("/a/instances/shop-1")), of(mount, Path::new("/b/instances/shop-1")));
        assert!(one != other && one.starts_with("/sys/fs/cgroup/flightdeck"), "{one:?} {other:?}");
    }

    #[test]
    fn each_limit_is_written_where_the_kernel_reads_it() {
        // As the kernel shows it, but with plain files: a test may not be allowed to make groups.
        let mount = tempfile::tempdir().unwrap();
        let group = of(mount.path(), Path::new("/data/instances/shop-1"));
        fs::create_dir_all(&group).unwrap();
        for above in [mount.path(), group.parent().unwrap()] {
            fs::write(above.join("cgroup.subtree_control"), "memory cpu pids").unwrap();
        }
        let limits = Limits { memory: Some(512 << 20), cpu: Some(1500), files: Some(9), processes: Some(200) };
        let kept = make(mount.path(), &group, &limits).unwrap();
        assert_eq!(kept, [Limit::Memory, Limit::Cpu, Limit::Processes]);
        let read = |file: &str| fs::read_to_string(group.join(file)).unwrap();
        assert_eq!((read("memory.max"), read("cpu.max")), ("536870912".into(), "150000 100000".into()));
        assert_eq!((read("pids.max"), read("memory.oom.group")), ("200".into(), "1".into()));
        assert_eq!(out_of_memory(&group), None);
        fs::write(group.join("memory.events"), "oom 3\noom_kill 0\n").unwrap();
        assert_eq!(out_of_memory(&group), None);
        fs::write(group.join("memory.events"), "oom 3\noom_kill 1\n").unwrap();
        assert_eq!(out_of_memory(&group), Some(512 << 20));
    }
}
