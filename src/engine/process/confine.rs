//! As whom an instance or a hook runs, and within which limits: looked up and prepared before each start. What the
//! process itself has to do for it is [`super::enter`].

use super::cgroup;
use super::start_error::StartError;
use super::wire::{Confinement, Ids};
use flightdeck_model::{KeptBy, Limit, LimitKept, Limits, RunAs};
use flightdeck_platform::{KEEPS_MEMORY_LIMITS, can_become_user, cgroup_mount, groups_of};
use nix::unistd::{Gid, Group, Uid, User};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::Path;

/// A user as the machine knows it.
struct Account {
    ids: Ids,
    user: User,
}

/// Can the server start something as that user?
///
/// # Errors
/// Why not, as a sentence.
pub fn check(run_as: &RunAs) -> Result<(), String> {
    account(run_as).map(drop)
}

fn unreadable(error: impl std::fmt::Display) -> String {
    format!("users and groups of the server's machine can't be read: {error}")
}

fn account(run_as: &RunAs) -> Result<Account, String> {
    let name = &run_as.user;
    let user = match name.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(name),
    };
    let user = user.map_err(unreadable)?.ok_or_else(|| format!("there is no user {name:?} on the server's machine"))?;
    let group = |name: &String| {
        let group = match name.parse() {
            Ok(gid) => Group::from_gid(Gid::from_raw(gid)),
            Err(_) => Group::from_name(name),
        };
        let group =
            group.map_err(unreadable)?.ok_or_else(|| format!("there is no group {name:?} on the server's machine"))?;
        Ok::<_, String>(group.gid)
    };
    let gid = run_as.group.as_ref().map_or(Ok(user.gid), group)?;
    let mut groups = groups_of(&user.name, gid.as_raw()).map_err(unreadable)?;
    for name in &run_as.groups {
        groups.push(group(name)?.as_raw());
    }
    groups.sort_unstable();
    groups.dedup();
    let server = Uid::effective();
    if !server.is_root() && (user.uid != server || gid != Gid::effective()) {
        return Err(format!(
            "the server runs as user {server} and can start nothing as {name}: run the server as root, or leave user out"
        ));
    }
    if server.is_root() {
        can_become_user().map_err(|error| error.to_string())?;
    }
    Ok(Account { ids: Ids { uid: user.uid.as_raw(), gid: gid.as_raw(), groups }, user })
}

/// Prepares what was asked for; `None`: nothing was. `root` is the unpacked artifact in `dir`; variables that a login
/// of the user has are added to `env` where it does not have them. Blocks.
///
/// # Errors
/// The user is not there, or can't get to its files.
pub fn prepare(
    run_as: Option<&RunAs>,
    limits: &Limits,
    dir: &Path,
    root: &Path,
    env: &mut BTreeMap<String, String>,
) -> Result<Option<Confinement>, StartError> {
    let mut confinement = Confinement::default();
    if let Some(run_as) = run_as {
        let Account { ids, user } = account(run_as).map_err(StartError::permanent)?;
        if Uid::effective().is_root() {
            let why = |error: io::Error| StartError::passing(format!("cannot give the files to {run_as}: {error}"));
            open_to(dir).map_err(why)?;
            give(root, &ids).map_err(why)?;
            reachable(root, &ids, run_as)?;
            confinement.ids = Some(ids);
        }
        let login = [
            ("HOME", user.dir.display().to_string()),
            ("SHELL", user.shell.display().to_string()),
            ("USER", user.name.clone()),
            ("LOGNAME", user.name),
        ];
        for (name, value) in login {
            env.entry(name.to_owned()).or_insert(value);
        }
    }
    limit(limits, dir, &mut confinement);
    Ok((confinement != Confinement::default()).then_some(confinement))
}

/// By cgroup where there is one, else as each process has it, else not at all; which is written down.
fn limit(limits: &Limits, dir: &Path, confinement: &mut Confinement) {
    let shared = [Limit::Memory, Limit::Cpu, Limit::Processes];
    let mut kept = Vec::new();
    if limits.set().any(|limit| shared.contains(&limit))
        && let Some(mount) = cgroup_mount()
    {
        let group = cgroup::of(&mount, dir);
        match cgroup::remove(&group).and_then(|()| cgroup::make(&mount, &group, limits)) {
            Ok(now) if !now.is_empty() => (kept, confinement.cgroup) = (now, Some(group)),
            Ok(_) => drop(cgroup::remove(&group)), // an empty group is of no use, and no harm
            Err(error) => tracing::debug!(%error, "no cgroup can be made here"),
        }
    }
    let another_user = confinement.ids.as_ref().is_some_and(|ids| ids.uid != 0);
    confinement.files = limits.files;
    for limit in limits.set() {
        let by = match limit {
            limit if kept.contains(&limit) => KeptBy::Cgroup,
            Limit::Files => KeptBy::Process,
            // Unlike all address space, what a runtime merely reserves does not count.
            Limit::Memory if KEEPS_MEMORY_LIMITS => {
                confinement.data = limits.memory;
                KeptBy::Process
            }
            // The kernel counts the processes of a user, and never those of root.
            Limit::Processes if another_user => {
                confinement.processes = limits.processes;
                KeptBy::Process
            }
            Limit::Memory | Limit::Processes | Limit::Cpu => KeptBy::Nothing,
        };
        confinement.kept.push(LimitKept { limit, by });
    }
}

/// Lets others pass through the folders above an instance's files that are the server's own, and see nothing of them.
fn open_to(dir: &Path) -> io::Result<()> {
    for folder in dir.ancestors().take(3) {
        let mode = fs::metadata(folder)?.permissions().mode();
        if mode & 0o011 != 0o011 {
            fs::set_permissions(folder, Permissions::from_mode(mode | 0o011))?;
        }
    }
    Ok(())
}

/// Makes the unpacked artifact the user's own.
fn give(path: &Path, ids: &Ids) -> io::Result<()> {
    lchown(path, Some(ids.uid), Some(ids.gid))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), ids)?;
        }
    }
    Ok(())
}

/// Can the user get to its files at all? A data folder in somebody's home may be closed above.
fn reachable(root: &Path, ids: &Ids, run_as: &RunAs) -> Result<(), StartError> {
    for folder in root.ancestors().skip(1) {
        let about =
            fs::metadata(folder).map_err(|error| StartError::passing(format!("{}: {error}", folder.display())))?;
        let bit = if about.uid() == ids.uid {
            0o100
        } else if about.gid() == ids.gid || ids.groups.contains(&about.gid()) {
            0o010
        } else {
            0o001
        };
        if ids.uid != 0 && about.mode() & bit == 0 {
            return Err(StartError::permanent(format!(
                "{run_as} may not enter {}, in which its files lie: start the server with a data folder outside of it, \
                 such as FLIGHTDECK_DATA_DIR=/var/lib/flightdeck",
                folder.display()
            )));
        }
    }
    Ok(())
}

/// The limit of memory that what ran in a directory was ended for.
#[must_use]
pub fn out_of_memory(dir: &Path) -> Option<u64> {
    cgroup::out_of_memory(&cgroup::of(&cgroup_mount()?, dir))
}

/// What ran in a directory has ended, and its group goes.
pub fn release(dir: &Path) {
    if let Some(mount) = cgroup_mount()
        && let Err(error) = cgroup::remove(&cgroup::of(&mount, dir))
    {
        tracing::warn!(%error, dir = %dir.display(), "cannot remove a cgroup");
    }
}
