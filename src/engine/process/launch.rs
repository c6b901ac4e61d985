//! From a [`Launch`] to what a shim runs: artifact, program, arguments, variables, port.

use super::start_error::StartError;
use super::wire::{SHIM_WIRE, ShimSpec};
use super::{LogLimits, confine, inspect};
use crate::store::Store;
use flightdeck_engine_core::{JobLaunch, Launch};
use flightdeck_model::{Cause, Limits, Probe, RunAs};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Where an artifact is unpacked, inside the instance's directory.
pub const ROOT_DIR: &str = "root";

/// What is to run, of an instance or of a hook.
struct Wanted<'a> {
    id: &'a str,
    attempt: u32,
    digest: &'a str,
    run: &'a [String],
    /// What checks it; empty: no program does.
    check: &'a [String],
    env: &'a BTreeMap<String, String>,
    once: bool,
    run_as: Option<&'a RunAs>,
    limits: &'a Limits,
}

/// Verifies and unpacks the artifact, finds the program, fills in the placeholders: what a shim gets beside the
/// secrets, which are never on disk. Blocks.
pub fn prepare(launch: &Launch, dir: &Path, port: u16, store: &Store, exe: &Path) -> Result<ShimSpec, StartError> {
    let Launch { instance: id, attempt, digest, run, env, limits, .. } = launch;
    let run_as = launch.run_as.as_ref();
    let check = match &launch.health.probe {
        Probe::Command { command } => command.as_slice(),
        Probe::Runs { .. } | Probe::Http { .. } | Probe::Tcp {} => &[],
    };
    let wanted = Wanted { id, attempt: *attempt, digest, run, check, env, once: false, run_as, limits };
    prepared(&wanted, dir, store, |name| of_instance(name, launch, port, exe))
}

/// The same for a hook. Blocks.
pub fn prepare_job(launch: &JobLaunch, dir: &Path, store: &Store, exe: &Path) -> Result<ShimSpec, StartError> {
    let JobLaunch { job: id, digest, run, env, limits, .. } = launch;
    let run_as = launch.run_as.as_ref();
    let wanted = Wanted { id, attempt: 0, digest, run, check: &[], env, once: true, run_as, limits };
    prepared(&wanted, dir, store, |name| of_job(name, launch, exe))
}

fn prepared(
    wanted: &Wanted<'_>,
    dir: &Path,
    store: &Store,
    filled: impl Fn(&str) -> Option<String>,
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
    store.unpack(wanted.digest, &root).map_err(|error| StartError {
        why: error.sentence(),
        permanent: error.permanent(),
        cause: None,
    })?;
    let root = root.canonicalize().map_err(passing("find the unpacked artifact"))?;
    let mut env: BTreeMap<_, _> = wanted.env.iter().map(|(name, value)| (name.clone(), fill(value, &filled))).collect();
    let search = search(&env);
    let found = |words: &[String]| -> Result<Option<(PathBuf, Vec<String>)>, StartError> {
        let mut words = words.iter().map(|word| fill(word, &filled));
        let Some(named) = words.next() else { return Ok(None) };
        let program = program_path(&named, &root, &search).map_err(StartError::of)?;
        if let Some(cause) = obstacle(&named, &program, &root, &search).map_err(passing("read the program"))? {
            return Err(StartError::of(cause));
        }
        Ok(Some((program, words.collect())))
    };
    let (program, args) = found(wanted.run)?.ok_or_else(|| StartError::permanent("there is no command to run"))?;
    let check = found(wanted.check)?.map(|(program, args)| [vec![program.display().to_string()], args].concat());
    let confinement = confine::prepare(wanted.run_as, wanted.limits, dir, &root, &mut env)?;
    Ok(ShimSpec {
        wire: SHIM_WIRE,
        instance: wanted.id.to_owned(),
        attempt: wanted.attempt,
        program,
        args,
        env,
        cwd: root,
        log: LogLimits::default(),
        keep: false,
        once: wanted.once,
        confinement,
        check: check.unwrap_or_default(),
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
        "listen" => launch.listen.map(|address| address.to_string()).unwrap_or_default(),
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
fn program_path(program: &str, root: &Path, search: &str) -> Result<PathBuf, Cause> {
    let missing = || missing(program, root, search);
    let path = root.join(program); // an absolute one replaces the root
    let found = path.canonicalize().map_err(|_| missing())?;
    if !Path::new(program).is_absolute() && !found.starts_with(root) {
        return Err(missing());
    }
    if !inspect::is_program(&found) {
        return Err(Cause::NotExecutable { program: program.to_owned() });
    }
    // As written, since programs look at their own name.
    Ok(path)
}

/// What is not there, and where it is instead.
fn missing(program: &str, root: &Path, search: &str) -> Cause {
    let entries: Vec<_> = fs::read_dir(root).into_iter().flatten().flatten().collect();
    let folder = match entries.as_slice() {
        [one] if one.file_type().is_ok_and(|kind| kind.is_dir()) => one.file_name().into_string().ok(),
        _ => None,
    };
    let inside = folder.as_ref().map(|folder| format!("{folder}/{}", program.trim_start_matches("./")));
    let found = inside.filter(|path| !program.starts_with('/') && root.join(path).is_file());
    Cause::MissingProgram {
        program: program.to_owned(),
        folder: folder.filter(|_| found.is_some()),
        found,
        installed: inspect::installed(program, search),
    }
}

/// The folders in which a shim and its instance look for programs.
pub fn search(env: &BTreeMap<String, String>) -> String {
    let inherited = || std::env::var("PATH").unwrap_or_default();
    env.get("PATH").cloned().unwrap_or_else(inherited)
}

/// Why the kernel would not run a program that is there. What interpreters are named relative to is the root.
fn obstacle(named: &str, program: &Path, root: &Path, search: &str) -> io::Result<Option<Cause>> {
    let head = match inspect::head(program) {
        // What may be executed need not be readable.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        head => head?,
    };
    Ok(inspect::obstacle(named, &head, |path| inspect::is_program(&root.join(path)), search))
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
    use flightdeck_engine_core::SlotKey;
    use flightdeck_model::{HealthSpec, Probe, StopSpec};
    use jiff::SignedDuration;
    use std::os::unix::fs::PermissionsExt as _;

    fn launch() -> Launch {
        Launch {
            instance: "i-{port}".into(),
            slot: SlotKey { service: "shop".into(), environment: "dev".into() },
            pool: "p-1".into(),
            revision: None,
            version: "1.2".into(),
            digest: String::new(),
            run: Vec::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            health: HealthSpec {
                probe: Probe::Http { path: "/".into() },
                interval: SignedDuration::from_secs(1),
                healthy: 1,
                unhealthy: 1,
                timeout: SignedDuration::from_secs(1),
            },
            stop: StopSpec { signal: "TERM".into(), grace: SignedDuration::from_secs(1) },
            attempt: 0,
            run_as: None,
            limits: Limits::default(),
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
            one_off: false,
            revision: None,
            repeats: false,
            version: "1.2".into(),
            digest: String::new(),
            run: Vec::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            listen: Some(([127, 0, 0, 1], 80).into()),
            preview: Some(([127, 0, 0, 1], 81).into()),
            timeout: SignedDuration::from_secs(1),
            run_as: None,
            limits: Limits::default(),
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
        let path = |program: &str| program_path(program, &root, "/nowhere:/bin");
        assert_eq!(path("./app").unwrap(), root.join("./app"));
        assert_eq!(path("/bin/sh").unwrap(), Path::new("/bin/sh"));
        for wrong in ["sh", "missing", "../app", "out", "/bin/missing"] {
            let installed = (wrong == "sh").then(|| "/bin/sh".to_owned());
            let missing = Cause::MissingProgram { program: wrong.into(), folder: None, found: None, installed };
            assert_eq!(path(wrong).unwrap_err(), missing);
        }
        assert_eq!(path("data").unwrap_err(), Cause::NotExecutable { program: "data".into() });
    }

    #[test]
    fn a_program_in_the_one_folder_of_an_artifact_is_found_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("shop-1.0/bin")).unwrap();
        fs::write(dir.path().join("shop-1.0/bin/app"), "").unwrap();
        let told = program_path("./bin/app", dir.path(), "/bin").unwrap_err();
        let (folder, found) = (Some("shop-1.0".into()), Some("shop-1.0/bin/app".into()));
        assert_eq!(told, Cause::MissingProgram { program: "./bin/app".into(), folder, found, installed: None });
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
