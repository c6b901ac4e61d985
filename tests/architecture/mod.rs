//! What the compiler does not keep: who may import whom within one crate, that pure rooms stay pure, and that only
//! `src/platform` knows on which system it runs. Which crate may use which stands in its `Cargo.toml`.

mod circles;
mod core;

use std::fs;
use std::path::{Path, PathBuf};

/// A room, the rooms of its crate that it may name, and why.
struct Room {
    path: &'static str,
    may: &'static [&'static str],
    pure: bool,
    why: &'static str,
}

const ANYTHING: &[&str] = &["*"];

/// The longest path that fits a file is its room. Of a crate that is not here only its files' own paths matter.
const ROOMS: &[Room] = &[
    Room { path: "model", may: ANYTHING, pure: true, why: "the words that all rooms speak" },
    Room { path: "analysis", may: ANYTHING, pure: true, why: "statistics judge plain numbers" },
    Room { path: "board", may: ANYTHING, pure: true, why: "rows are applied, not fetched" },
    Room { path: "control", may: ANYTHING, pure: true, why: "a decision is a function of what is known" },
    Room { path: "port", may: ANYTHING, pure: true, why: "traits and plain data" },
    Room { path: "engine/core", may: ANYTHING, pure: true, why: "a step is replayed in simulation" },
    Room { path: "engine/proxy/wire", may: ANYTHING, pure: true, why: "plain data between two processes" },
    Room { path: "integration", may: &[], pure: false, why: "a system knows no other system" },
    Room {
        path: "integration/orchestrator/kubernetes/kind",
        may: &["integration/orchestrator/kubernetes"],
        pure: true,
        why: "what objects mean is a function of the objects",
    },
    Room {
        path: "integration/orchestrator/kubernetes",
        may: &["integration", "integration/orchestrator/kubernetes/kind"],
        pure: false,
        why: "one cluster, all its kinds",
    },
    Room { path: "cockpit/app", may: &[], pure: true, why: "state and keys are replayed" },
    Room { path: "cockpit/view", may: &["cockpit/app"], pure: true, why: "drawing can't change state" },
    Room {
        path: "cockpit/shell",
        may: &["cockpit", "cockpit/app", "cockpit/view"],
        pure: false,
        why: "the terminal's side of the cockpit",
    },
    Room {
        path: "cockpit",
        may: &["cockpit/app", "cockpit/view", "cockpit/shell"],
        pure: false,
        why: "only a list of its parts",
    },
    Room { path: "cli", may: ANYTHING, pure: false, why: "it puts rooms together" },
    Room { path: "demo", may: ANYTHING, pure: false, why: "it puts rooms together" },
    Room {
        path: "contract",
        may: &["model", "board", "control", "ledger", "hub", "port", "integration"],
        pure: false,
        why: "it judges whatever is behind the port, and knows only programs by name",
    },
];

/// What a pure room must not name.
const IMPURE: &[(&str, &str)] = &[
    ("tokio::", "a runtime"),
    ("Instant::now", "a clock"),
    ("SystemTime::now", "a clock"),
    ("Timestamp::now", "a clock"),
    ("Zoned::now", "a clock"),
    ("std::fs", "the file system"),
    ("std::io", "input and output"),
    ("std::env::", "the environment"),
    ("std::process", "processes"),
    ("std::thread", "threads"),
    ("TcpStream", "the network"),
    ("TcpListener", "the network"),
    ("UdpSocket", "the network"),
    ("UnixStream", "the network"),
    ("UnixListener", "the network"),
    ("fastrand", "chance"),
    ("rustix::", "the system"),
    ("nix::", "the system"),
    ("reqwest", "the network"),
    ("rusqlite", "a store"),
];

/// The room that may depend on the kernel.
const PLATFORM: &str = "platform";

/// What one kernel has and another has not, so that it would not build there or find nothing.
const OF_ONE_SYSTEM: &[&str] = &[
    "\"/dev/fd",
    "\"/proc",
    "Boottime",
    "CMSG_CLOEXEC",
    "NOSIGNAL",
    "SocketFlags",
    "accept_with",
    "epoll",
    "eventfd",
    "getgrouplist",
    "inotify",
    "kqueue",
    "memfd",
    "os::linux",
    "os::macos",
    "parent_process_death_signal",
    "pidfd",
    "pipe_with",
    "prctl",
    "set_tcp_user_timeout",
    "setgroups",
    "setpriority",
    "signalfd",
    "socket_acceptconn",
    "target_os",
    "target_vendor",
    "timerfd",
];

fn room_of(path: &str) -> Option<&'static Room> {
    let within =
        |room: &&Room| path == room.path || path.strip_prefix(room.path).is_some_and(|rest| rest.starts_with('/'));
    ROOMS.iter().filter(within).max_by_key(|room| room.path.len())
}

/// A room that is named lets its own files in, not the rooms within it: those must be named too.
fn allowed(room: &Room, import: &str) -> bool {
    let Some(of) = room_of(import) else { return true };
    let within = |outer: &str| import == outer || import.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    of.path == room.path || room.may == ANYTHING || room.may.iter().any(|may| within(may) && of.path.len() <= may.len())
}

/// The code of a line: without comments and with strings emptied, so that prose is no import.
fn code(line: &str) -> String {
    parts(line, false)
}

/// A line without comments, and with its strings or without.
fn parts(line: &str, strings: bool) -> String {
    let mut out = String::new();
    let (mut string, mut escaped) = (false, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if escaped => escaped = false,
            '\\' if string => escaped = true,
            '"' => string = !string,
            '/' if !string && chars.peek() == Some(&'/') => break,
            _ => {}
        }
        if strings || !string && c != '"' {
            out.push(c);
        }
    }
    out
}

/// The `use` statements and `crate::` paths of a source, each as module path with its line. Tests
/// beside the code (from `#[cfg(test)]` on) may use what they like.
fn imports(text: &str, module: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut statement: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        let line = code(line);
        let trimmed = line.trim();
        let begins = trimmed.strip_prefix("pub ").unwrap_or(trimmed).starts_with("use ") || trimmed.contains(" use ");
        let (start, mut whole) = match statement.take() {
            Some((start, before)) => (start, format!("{before} {trimmed}")),
            None => (number + 1, trimmed.to_owned()),
        };
        if (begins || start != number + 1) && !whole.contains(';') {
            statement = Some((start, whole));
            continue;
        }
        whole = whole.replace("crate ::", "crate::");
        found.extend(paths(&whole, module).into_iter().map(|path| (start, path)));
    }
    found
}

/// Every module that a statement names, `crate::{a, b::c}` included, as `a` and `b/c`.
fn paths(statement: &str, module: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (marker, up) in [("crate::", usize::MAX), ("super::", 1)] {
        for (at, _) in statement.match_indices(marker) {
            if marker == "super::" && statement[..at].ends_with("super::") {
                continue;
            }
            if statement[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let mut rest = &statement[at + marker.len()..];
            let mut levels = up;
            while marker == "super::" && rest.starts_with("super::") {
                rest = &rest["super::".len()..];
                levels += 1;
            }
            let from = if up == usize::MAX { crate_of(module) } else { module };
            let mut base: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
            base.truncate(base.len().saturating_sub(if up == usize::MAX { 0 } else { levels }));
            expand(&base.join("/"), rest, &mut found);
        }
    }
    found
}

fn expand(base: &str, rest: &str, found: &mut Vec<String>) {
    if let Some(list) = rest.strip_prefix('{') {
        let (mut depth, mut from) = (0, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' => {
                    expand(base, list[from..at].trim(), found);
                    from = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let path = if base.is_empty() { name.clone() } else { format!("{base}/{name}") };
    let after = &rest[name.len()..];
    // Types and functions end the path: only modules are rooms.
    if name.is_empty() || name.starts_with(char::is_uppercase) {
        found.push(base.to_owned());
    } else if let Some(after) = after.strip_prefix("::") {
        expand(&path, after, found);
    } else {
        found.push(path);
    }
}

fn sources() -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            // An example is a program of its own, which the room does not use.
            if path.is_dir() && path.file_name().is_some_and(|name| name != "examples") {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    found
}

/// The folder of the crate that a module below `src` is in; of the root package none.
fn crate_of(module: &str) -> &str {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folders = Path::new(module).ancestors().take_while(|folder| *folder != Path::new(""));
    folders.filter_map(Path::to_str).find(|folder| source.join(folder).join("Cargo.toml").exists()).unwrap_or_default()
}

/// `src/engine/core/step.rs` → `engine/core/step`; `mod.rs` and `lib.rs` are their folder.
fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let text = relative.with_extension("").to_string_lossy().replace('\\', "/");
    text.strip_suffix("/mod").or_else(|| text.strip_suffix("/lib")).unwrap_or(&text).to_owned()
}

/// Everything that a file does against the table.
fn faults(file: &str, module: &str, text: &str) -> Vec<String> {
    let Some(room) = room_of(module) else { return Vec::new() };
    let mut faults = Vec::new();
    for (line, import) in imports(text, module) {
        if !import.is_empty() && room_of(&import).is_some() && !allowed(room, &import) {
            let (path, why) = (room.path, room.why);
            faults.push(format!("{file}:{line}: {path} may not import {import}: {why}"));
        }
    }
    if room.pure {
        let tests = text.lines().position(|line| line.trim_start().starts_with("#[cfg(test)]"));
        for (number, line) in text.lines().take(tests.unwrap_or(usize::MAX)).enumerate() {
            // An error that tells of a file is plain data.
            let line = code(line).replace("std::io::Error", "");
            for (word, what) in IMPURE.iter().filter(|(word, _)| line.contains(word)) {
                faults.push(format!("{file}:{}: {} is pure and may not touch {what} ({word})", number + 1, room.path));
            }
        }
    }
    faults
}

/// Where a file depends on one system.
fn of_one_system(file: &str, module: &str, text: &str) -> Vec<String> {
    // The room itself chooses in one place which file counts.
    let words: &[&str] = match module.strip_prefix(PLATFORM) {
        Some("") => &[],
        Some(_) => &["target_os", "target_vendor"],
        None => OF_ONE_SYSTEM,
    };
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = parts(line, true);
        for word in words.iter().filter(|word| line.contains(*word)) {
            found.push(format!("{file}:{}: {word} is one system's alone: it belongs into src/platform", number + 1));
        }
    }
    found
}

/// Every source below `src`, by the path that people see, with its module and its text.
fn read_sources() -> impl Iterator<Item = (String, String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources().into_iter().map(move |path| {
        let file = format!("src/{}", path.strip_prefix(&source).unwrap().display());
        (file, module_of(&path), fs::read_to_string(&path).unwrap())
    })
}

#[test]
fn only_the_platform_depends_on_one_system() {
    let found: Vec<_> = read_sources().flat_map(|(file, module, text)| of_one_system(&file, &module, &text)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn what_is_one_systems_alone_is_named_with_file_and_line() {
    for (module, text, expected) in [
        ("hub", "\nlet fd = pidfd_open(pid)?;", vec!["f:2: pidfd is one system's alone"]),
        ("hub", "fs::read(format!(\"/proc/{pid}/stat\"))", vec!["f:1: \"/proc is one system's alone"]),
        ("hub", "#[cfg(test)]\n#[cfg(target_os = \"linux\")]", vec!["f:2: target_os is one system's alone"]),
        ("hub", "// by pidfd, as /proc says\nlet s = \"no // pipe\";", vec![]),
        ("platform/linux", "pidfd_open(pid, \"/proc/1\")", vec![]),
        ("platform/files/lock", "#[cfg(target_os = \"linux\")]", vec!["f:1: target_os is one system's alone"]),
        ("platform", "#[cfg(target_os = \"linux\")]", vec![]),
    ] {
        let found = of_one_system("f", module, text);
        assert_eq!(found.len(), expected.len(), "{module}: {found:?}");
        assert!(found.iter().zip(&expected).all(|(found, expected)| found.starts_with(expected)), "{found:?}");
    }
}

#[test]
fn rooms_import_only_what_the_table_says() {
    let found: Vec<_> = read_sources().flat_map(|(file, module, text)| faults(&file, &module, &text)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_room_of_the_table_is_there() {
    for room in ROOMS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room.path);
        assert!(path.is_dir() || path.with_extension("rs").exists(), "{} is gone", room.path);
    }
}

#[test]
fn a_wrong_import_is_named_with_file_line_and_rule() {
    for (module, text, expected) in [
        ("contract/cases", "use crate::model::Run;\nuse crate::cli::Cli;\n", vec!["f:2: contract may not import cli"]),
        (
            "contract",
            "use crate::{\n    model::Run,\n    demo::run,\n};",
            vec!["f:1: contract may not import demo/run"],
        ),
        ("cockpit/view", "use crate::shell::run;", vec!["f:1: cockpit/view may not import cockpit/shell/run"]),
        (
            "cockpit/view/frame",
            "use super::super::shell::run;",
            vec!["f:1: cockpit/view may not import cockpit/shell/run"],
        ),
        ("cockpit/view", "use crate::app::State;", vec![]),
        ("cockpit/app", "fn f() { crate::view::draw(x) }", vec!["f:1: cockpit/app may not import cockpit/view/draw"]),
        (
            "integration/orchestrator/exec",
            "use crate::orchestrator::kubernetes::Kubernetes;",
            vec!["f:1: integration may not import integration/orchestrator/kubernetes"],
        ),
        ("integration/orchestrator/kubernetes", "use super::kind::named;", vec![]),
        ("model/text", "source: std::io::Error,", vec![]),
        ("model/text", "let t = Timestamp::now();", vec!["f:1: model is pure and may not touch a clock"]),
        ("model/text", "// Timestamp::now\nlet s = \"std::fs crate::hub::x\";", vec![]),
        ("model/spec", "use std::net::SocketAddr;", vec![]),
        ("engine/core/step", "use std::fs;", vec!["f:1: engine/core is pure and may not touch the file system"]),
        ("cockpit/app", "#[cfg(test)]\nmod tests { use crate::shell::run; }", vec![]),
        ("hub", "use std::fs;", vec![]),
    ] {
        let found = faults("f", module, text);
        assert_eq!(found.len(), expected.len(), "{module}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} ≠ {expected}");
        }
    }
}
