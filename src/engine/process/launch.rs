//! From a [`Launch`] to what a shim runs: artifact, program, arguments, variables, port.

use super::LogLimits;
use super::wire::{SHIM_WIRE, ShimSpec};
use crate::engine::core::{JobLaunch, Launch};
use crate::engine::store::Store;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where an artifact is unpacked, inside the instance's directory.
pub const ROOT_DIR: &str = "root";

/// Why an instance can't be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct StartError {
    /// A sentence.
    pub why: String,
    /// Trying again can't help.
    pub permanent: bool,
}

impl StartError {
    /// One that trying again can't help.
    pub fn permanent(why: impl Into<String>) -> StartError {
        StartError { why: why.into(), permanent: true }
    }

    /// One that may pass.
    pub fn passing(why: impl Into<String>) -> StartError {
        StartError { why: why.into(), permanent: false }
    }
}

/// What is to run, of an instance or of a hook.
struct Wanted<'a> {
    id: &'a str,
    attempt: u32,
    digest: &'a str,
    run: &'a [String],
    env: &'a BTreeMap<String, String>,
    once: bool,
}

/// Verifies and unpacks the artifact, finds the program, fills in the placeholders: what a shim gets beside the
/// secrets, which are never on disk. Blocks.
pub fn prepare(launch: &Launch, dir: &Path, port: u16, store: &Store, exe: &Path) -> Result<ShimSpec, StartError> {
    let Launch { instance: id, attempt, digest, run, env, .. } = launch;
    let wanted = Wanted { id, attempt: *attempt, digest, run, env, once: false };
    prepared(&wanted, dir, store, |name| of_instance(name, launch, port, exe))
}

/// The same for a hook. Blocks.
pub fn prepare_job(launch: &JobLaunch, dir: &Path, store: &Store, exe: &Path) -> Result<ShimSpec, StartError> {
    let JobLaunch { job: id, digest, run, env, .. } = launch;
    let wanted = Wanted { id, attempt: 0, digest, run, env, once: true };
    prepared(&wanted, dir, store, |name| of_job(name, launch, exe))
}

fn prepared(
    wanted: &Wanted<'_>,
    dir: &Path,
    store: &Store,
    named: impl Fn(&str) -> Option<String>,
) -> Result<ShimSpec, StartError> {
    let root = dir.join(ROOT_DIR);
    let passing = |step: &str| {
        let step = step.to_owned();
        move |error: io::Error| StartError::passing(format!("cannot {step}: {error}"))
    };
    match fs::remove_dir_all(&root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(passing("clear the instance's directory")(error));
        }
        _ => {}
    }
    store
        .unpack(wanted.digest, &root)
        .map_err(|error| StartError { why: error.sentence(), permanent: error.permanent() })?;
    let root = root.canonicalize().map_err(passing("find the unpacked artifact"))?;
    let mut words = wanted.run.iter().map(|word| fill(word, &named));
    let program = words.next().ok_or_else(|| StartError::permanent("there is no command to run"))?;
    let program = program_path(&program, &root)?;
    Ok(ShimSpec {
        wire: SHIM_WIRE,
        instance: wanted.id.to_owned(),
        attempt: wanted.attempt,
        program,
        args: words.collect(),
        env: wanted.env.iter().map(|(name, value)| (name.clone(), fill(value, &named))).collect(),
        cwd: root,
        log: LogLimits::default(),
        keep: false,
        once: wanted.once,
    })
}

fn of_instance(name: &str, launch: &Launch, port: u16, exe: &Path) -> Option<String> {
    Some(match name {
        "port" => port.to_string(),
        "instance" => launch.instance.clone(),
        "version" => launch.version.0.clone(),
        "environment" => launch.slot.environment.0.clone(),
        "service" => launch.slot.service.0.clone(),
        "flightdeck" => exe.display().to_string(),
        _ => return None,
    })
}

fn of_job(name: &str, launch: &JobLaunch, exe: &Path) -> Option<String> {
    Some(match name {
        "version" => launch.version.0.clone(),
        "environment" => launch.slot.environment.0.clone(),
        "service" => launch.slot.service.0.clone(),
        "listen" => launch.listen.to_string(),
        "preview" => launch.preview.map(|address| address.to_string()).unwrap_or_default(),
        "flightdeck" => exe.display().to_string(),
        _ => return None,
    })
}

/// One pass, so that a filled-in value is never taken for a placeholder.
fn fill(text: &str, named: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        if let Some((value, after)) = after.split_once('}').and_then(|(name, after)| Some((named(name)?, after))) {
            out.push_str(&value);
            rest = after;
        } else {
            out.push('{');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Absolute, or inside the artifact. `$PATH` is not searched: what runs must be what was released.
fn program_path(program: &str, root: &Path) -> Result<PathBuf, StartError> {
    let missing = || StartError::permanent(format!("no such command: {program}"));
    let path = root.join(program); // an absolute one replaces the root
    let found = path.canonicalize().map_err(|_| missing())?;
    if !Path::new(program).is_absolute() && !found.starts_with(root) {
        return Err(missing());
    }
    let metadata = fs::metadata(&found).map_err(|_| missing())?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(StartError::permanent(format!("no such command: {program} is not an executable file")));
    }
    // As written, since programs look at their own name.
    Ok(path)
}

/// A free port of the range: not in use by a live instance, and bindable now. Begins behind the one
/// given last, so that a port rests before it is used again.
pub fn free_port(range: &RangeInclusive<u16>, last: Option<u16>, used: impl Fn(u16) -> bool) -> Option<u16> {
    let after = last.and_then(|last| last.checked_add(1)).filter(|port| range.contains(port)).unwrap_or(*range.start());
    (after..=*range.end())
        .chain(*range.start()..after)
        .find(|port| !used(*port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}

/// Where an instance listens.
#[must_use]
pub const fn address(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::core::SlotKey;
    use crate::model::{HealthSpec, StopSpec};
    use jiff::SignedDuration;

    fn launch() -> Launch {
        Launch {
            instance: "i-{port}".into(),
            slot: SlotKey { service: "shop".into(), environment: "dev".into() },
            pool: "p-1".into(),
            version: "1.2".into(),
            digest: String::new(),
            run: Vec::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            health: HealthSpec {
                path: "/".into(),
                interval: SignedDuration::from_secs(1),
                healthy: 1,
                unhealthy: 1,
                timeout: SignedDuration::from_secs(1),
            },
            stop: StopSpec { signal: "TERM".into(), grace: SignedDuration::from_secs(1) },
            attempt: 0,
        }
    }

    #[test]
    fn placeholders_are_filled_in_once() {
        for (given, expected) in [
            ("--port={port}", "--port=8100"),
            ("{instance}", "i-{port}"),
            ("{version}@{environment}", "1.2@dev"),
            ("{service}", "shop"),
            ("{flightdeck}", "/opt/flightdeck"),
            ("{\"json\": {port}}", "{\"json\": 8100}"),
            ("{unknown} {", "{unknown} {"),
        ] {
            let named = |name: &str| of_instance(name, &launch(), 8100, Path::new("/opt/flightdeck"));
            assert_eq!(fill(given, named), expected);
        }
    }

    #[test]
    fn a_hook_is_told_where_users_and_the_preview_are() {
        let mut launch = JobLaunch {
            job: "J-1".into(),
            slot: SlotKey { service: "shop".into(), environment: "dev".into() },
            hook: "smoke".into(),
            version: "1.2".into(),
            digest: String::new(),
            run: Vec::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            listen: ([127, 0, 0, 1], 80).into(),
            preview: Some(([127, 0, 0, 1], 81).into()),
            timeout: SignedDuration::from_secs(1),
        };
        let text = "{version} {environment} {service} {listen} {preview} {flightdeck} {port}";
        let filled = |launch: &JobLaunch| fill(text, |name| of_job(name, launch, Path::new("/fd")));
        assert_eq!(filled(&launch), "1.2 dev shop 127.0.0.1:80 127.0.0.1:81 /fd {port}");
        launch.preview = None;
        assert_eq!(filled(&launch), "1.2 dev shop 127.0.0.1:80  /fd {port}");
    }

    #[test]
    fn only_programs_of_the_artifact_or_absolute_ones_run() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (name, mode) in [("app", 0o755), ("data", 0o644)] {
            fs::write(root.join(name), "").unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("/bin/sh", root.join("out")).unwrap();
        assert_eq!(program_path("./app", &root).unwrap(), root.join("./app"));
        assert_eq!(program_path("/bin/sh", &root).unwrap(), Path::new("/bin/sh"));
        for wrong in ["sh", "missing", "../app", "data", "out", "/bin/missing"] {
            let error = program_path(wrong, &root).unwrap_err();
            assert!(error.permanent && error.why.starts_with(&format!("no such command: {wrong}")), "{error}");
        }
    }

    #[test]
    fn a_port_is_given_once_and_rests_before_it_is_given_again() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_eq!(free_port(&(port..=port), None, |_| false), None, "in use by another program");
        drop(taken);
        assert_eq!(free_port(&(port..=port), None, |_| true), None, "in use by an instance");
        assert_eq!(free_port(&(port..=port), Some(port), |_| false), Some(port));
        assert_eq!(free_port(&(port..=port.saturating_add(1)), Some(port), |used| used != port), Some(port));
    }
}
