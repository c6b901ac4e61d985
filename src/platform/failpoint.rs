//! Named places at which the program ends itself with SIGKILL when it is told to, to see what a
//! crash there leaves behind.
//!
//! `FLIGHTDECK_FAILPOINT=name:n@FILE` in the environment arms one: at the n-th pass of a process
//! while FILE is there, and only if that process is the one that removes it, so that one process dies
//! once, however often it is started again. `name@FILE` is the first pass. Without the variable a
//! pass costs one load of an atomic.

use rustix::process::{Signal, getpid, kill_process};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The environment variable that arms one.
pub const VARIABLE: &str = "FLIGHTDECK_FAILPOINT";

/// Every name, with the process that passes it.
pub const ALL: [(&str, Process); 22] = [
    ("ledger-before-append", Process::Server),
    ("ledger-after-append", Process::Server),
    ("journal-before-commit", Process::Server),
    ("journal-after-commit", Process::Server),
    ("effect-start", Process::Server),
    ("effect-stop", Process::Server),
    ("effect-route", Process::Server),
    ("effect-job", Process::Server),
    ("effect-job-end", Process::Server),
    ("effects-after-first", Process::Server),
    ("effects-after-all", Process::Server),
    ("report-before-step", Process::Server),
    ("start-before-record", Process::Server),
    ("start-before-spawn", Process::Server),
    ("start-after-bound", Process::Server),
    ("start-after-spawn", Process::Server),
    ("shim-before-spawn", Process::Shim),
    ("shim-after-spawn", Process::Shim),
    ("shim-before-end-noted", Process::Shim),
    ("proxy-before-swap", Process::Proxy),
    ("proxy-before-save", Process::Proxy),
    ("proxy-after-save", Process::Proxy),
];

/// Which process passes a failpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// `flightdeck serve`.
    Server,
    /// `flightdeck shim`.
    Shim,
    /// `flightdeck proxy`.
    Proxy,
}

struct Armed {
    name: String,
    at: u32,
    file: PathBuf,
    passed: AtomicU32,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// The process ends here if this one is armed.
pub fn pass(name: &'static str) {
    debug_assert!(ALL.iter().any(|(known, _)| *known == name), "{name} is not in the list");
    let armed = ARMED.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?));
    if let Some(armed) = armed.as_ref().filter(|armed| armed.name == name)
        && armed.file.exists()
        && armed.passed.fetch_add(1, Ordering::Relaxed) + 1 >= armed.at
        && std::fs::remove_file(&armed.file).is_ok()
    {
        // Ends before the call returns; it can only fail for a process that may not signal itself.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

fn parse(text: &str) -> Option<Armed> {
    let (point, file) = text.split_once('@')?;
    let (name, at) = match point.split_once(':') {
        Some((name, at)) => (name, at.parse().ok()?),
        None => (point, 1),
    };
    Some(Armed { name: name.to_owned(), at, file: file.into(), passed: AtomicU32::new(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_a_number_and_a_file_arm_one() {
        for (text, expected) in [
            ("effect-start@/tmp/a", Some(("effect-start", 1, "/tmp/a"))),
            ("effect-start:3@/tmp/a", Some(("effect-start", 3, "/tmp/a"))),
            ("effect-start", None),
            ("effect-start:x@/tmp/a", None),
            ("", None),
        ] {
            let armed = parse(text);
            let found = armed.as_ref().map(|armed| (armed.name.as_str(), armed.at, armed.file.to_str().unwrap()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn each_is_passed_somewhere_and_once() {
        fn read(dir: &std::path::Path, text: &mut String) {
            for entry in std::fs::read_dir(dir).unwrap().flatten() {
                if entry.path().is_dir() {
                    read(&entry.path(), text);
                } else if entry.file_name() != "failpoint.rs" {
                    text.push_str(&std::fs::read_to_string(entry.path()).unwrap());
                }
            }
        }
        let mut text = String::new();
        read(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut text);
        for (name, _) in ALL {
            assert_eq!(text.matches(&format!("failpoint::pass(\"{name}\")")).count(), 1, "{name}");
        }
    }
}
