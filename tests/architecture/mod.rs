//! Who may import whom, read from the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// A room, the rooms that it may name, and why.
struct Room {
    path: &'static str,
    may: &'static [&'static str],
    pure: bool,
    why: &'static str,
}

const ANYTHING: &[&str] = &["*"];
const PURE_ROOMS: &[&str] = &["model", "analysis", "board", "control", "engine/core", "engine/proxy/wire"];

/// The pure rooms, and a crash on demand.
const RECORDING: &[&str] =
    &["model", "analysis", "board", "control", "engine/core", "engine/proxy/wire", "failpoint", "files"];

/// The longest path that fits a file is its room.
const ROOMS: &[Room] = &[
    Room { path: "model", may: &[], pure: true, why: "the words that all rooms speak know nobody" },
    Room { path: "analysis", may: &["model"], pure: true, why: "statistics judge plain numbers" },
    Room { path: "board", may: &["model"], pure: true, why: "rows are applied, not fetched" },
    Room {
        path: "control",
        may: &["model", "board", "analysis"],
        pure: true,
        why: "a decision is a function of what is known",
    },
    Room {
        path: "engine/core",
        may: &["model", "analysis", "engine/proxy/wire"],
        pure: true,
        why: "a step is replayed in simulation",
    },
    Room { path: "failpoint", may: &[], pure: false, why: "a crash on demand knows nobody" },
    Room { path: "platform", may: &[], pure: false, why: "the kernel knows nobody" },
    Room { path: "files", may: &["model"], pure: false, why: "modes and locks know nobody but harmless text" },
    Room { path: "engine/proxy/wire", may: &["model"], pure: true, why: "plain data between two processes" },
    Room {
        path: "engine",
        // Of the integrations only the port, whose answers it gives.
        may: &[
            "model",
            "analysis",
            "board",
            "control",
            "engine/core",
            "engine/proxy/wire",
            "config",
            "integration/orchestrator",
            "failpoint",
            "files",
        ],
        pure: false,
        why: "the runtime carries out what its core says and knows no adapter",
    },
    Room { path: "integration", may: PURE_ROOMS, pure: false, why: "a backend speaks the vocabulary only" },
    Room {
        path: "integration/orchestrator/engine",
        may: &["model", "analysis", "board", "control", "engine", "engine/core", "config", "integration"],
        pure: false,
        why: "the one adapter of the built-in engine",
    },
    Room {
        path: "integration/orchestrator/argo_rollouts",
        may: &["model", "integration/orchestrator/kubernetes"],
        pure: true,
        why: "what objects mean is a function of the objects",
    },
    Room {
        path: "integration/orchestrator/kubernetes",
        may: &["model", "control", "integration", "integration/orchestrator/argo_rollouts"],
        pure: false,
        why: "one cluster, all its kinds",
    },
    Room { path: "ledger", may: RECORDING, pure: false, why: "it records the vocabulary" },
    Room { path: "config", may: &["model"], pure: false, why: "files become checked values" },
    Room {
        path: "hub",
        may: &["model", "analysis", "board", "control", "integration", "ledger", "config"],
        pure: false,
        why: "the loop knows ports, never a backend",
    },
    Room {
        path: "contract",
        may: &["model", "board", "control", "ledger", "hub", "integration", "integration/orchestrator"],
        pure: false,
        why: "it judges whatever is behind the port, and knows only programs by name",
    },
    Room {
        path: "server",
        may: &[
            "model",
            "board",
            "control",
            "ledger",
            "hub",
            "engine",
            "engine/core",
            "config",
            "files",
            "integration",
            "integration/orchestrator/engine",
        ],
        pure: false,
        why: "it hosts a hub and the engine",
    },
    Room {
        path: "notify",
        may: &["model", "hub", "integration"],
        pure: false,
        why: "it reads what happens and speaks to ports",
    },
    Room { path: "client", may: &["model", "hub"], pure: false, why: "the same calls from the other side" },
    Room { path: "cockpit/app", may: &["model", "board"], pure: true, why: "state and keys are replayed" },
    Room {
        path: "cockpit/view",
        may: &["model", "board", "cockpit/app"],
        pure: true,
        why: "drawing can't change state",
    },
    Room {
        path: "cockpit/shell",
        may: &["model", "board", "cockpit", "cockpit/app", "cockpit/view", "client", "config", "hub"],
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
    Room { path: "main", may: ANYTHING, pure: false, why: "it puts rooms together" },
    Room { path: "lib", may: ANYTHING, pure: false, why: "the map" },
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
    let mut out = String::new();
    let (mut string, mut escaped) = (false, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if escaped => escaped = false,
            '\\' if string => escaped = true,
            '"' => string = !string,
            '/' if !string && chars.peek() == Some(&'/') => break,
            _ if string => {}
            _ => out.push(c),
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
            let mut base: Vec<&str> = if up == usize::MAX { Vec::new() } else { module.split('/').collect() };
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
            if path.is_dir() {
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

/// Is it in a crate of its own below `src`? There the compiler keeps who may import whom.
fn in_member(path: &Path) -> bool {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    path.ancestors().skip(1).take_while(|dir| *dir != source).any(|dir| dir.join("Cargo.toml").exists())
}

/// `src/engine/core/step.rs` → `engine/core/step`; `mod.rs` and `lib.rs` are their folder.
fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let text = relative.with_extension("").to_string_lossy().replace('\\', "/");
    text.strip_suffix("/mod").or_else(|| text.strip_suffix("/lib")).unwrap_or(&text).to_owned()
}

/// Everything that a file does against the table.
fn faults(file: &str, module: &str, text: &str, member: bool) -> Vec<String> {
    let Some(room) = room_of(module) else { return vec![format!("{file}: {module} is in no room of the table")] };
    let mut faults = Vec::new();
    for (line, import) in imports(text, module).into_iter().filter(|_| !member) {
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

#[test]
fn rooms_import_only_what_the_table_says() {
    let mut found = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let file =
            format!("src/{}", path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().display());
        found.extend(faults(&file, &module_of(&path), &text, in_member(&path)));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_room_of_the_map_is_in_the_table() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rooms: Vec<&str> = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(rooms.len() > 10, "the map was not read: {rooms:?}");
    for room in rooms {
        assert!(room_of(room).is_some_and(|of| of.path == room), "{room} is not in the table of rooms");
    }
}

#[test]
fn a_wrong_import_is_named_with_file_line_and_rule() {
    for (module, text, expected) in [
        ("board/rows", "use crate::model::Run;\nuse crate::hub::Hub;\n", vec!["f:2: board may not import hub"]),
        (
            "board",
            "use crate::{\n    model::Run,\n    engine::core::step,\n};",
            vec!["f:1: board may not import engine/core/step"],
        ),
        ("control", "fn f() { crate::ledger::verify(x) }", vec!["f:1: control may not import ledger"]),
        (
            "engine/core/step",
            "use super::super::process::shim;",
            vec!["f:1: engine/core may not import engine/process/shim"],
        ),
        ("engine/core", "use crate::engine::proxy::wire::Route;", vec![]),
        ("cockpit/view", "use crate::cockpit::shell::run;", vec!["f:1: cockpit/view may not import cockpit/shell/run"]),
        ("cockpit/view", "use crate::cockpit::app::State;", vec![]),
        ("hub", "use crate::integration::orchestrator::Executor;", vec![]),
        (
            "hub",
            "use crate::integration::orchestrator::engine::EngineExecutor;",
            vec!["f:1: hub may not import integration/orchestrator/engine"],
        ),
        ("engine/runtime", "use crate::integration::orchestrator::NotDone;", vec![]),
        (
            "engine/runtime",
            "use crate::integration::orchestrator::engine::EngineExecutor;",
            vec!["f:1: engine may not import integration/orchestrator/engine"],
        ),
        ("model/text", "source: std::io::Error,", vec![]),
        ("hub", "use crate::engine::Engine;", vec!["f:1: hub may not import engine"]),
        ("integration/orchestrator/engine", "use crate::engine::Engine;", vec![]),
        ("integration/orchestrator/exec", "use crate::engine::Engine;", vec!["f:1: integration may not import engine"]),
        ("model/text", "let t = Timestamp::now();", vec!["f:1: model is pure and may not touch a clock"]),
        ("model/text", "// Timestamp::now\nlet s = \"std::fs crate::hub::x\";", vec![]),
        ("model/spec", "use std::net::SocketAddr;", vec![]),
        ("model/text", "#[cfg(test)]\nmod tests { use crate::hub::Hub; }", vec![]),
        ("nowhere", "", vec!["f: nowhere is in no room of the table"]),
    ] {
        let found = faults("f", module, text, false);
        assert_eq!(found.len(), expected.len(), "{module}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} ≠ {expected}");
        }
    }
}
