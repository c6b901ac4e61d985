//! What somebody who may only watch can do to a server: nothing that others notice.

use crate::server::{WIRE, raw, request};
use crate::support::live::{DEADLINE, Server, block_on};
use flightdeck::config::services;
use flightdeck::model::{Query, RefusalKind, Reply};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A server on which nobody who connects here may act.
fn server() -> Server {
    Server::start_with_env(&[], &[("FLIGHTDECK_SERVE_OPERATORS", "user:somebody-else")])
}

#[test]
fn configurations_that_are_wrong_throughout_cost_no_more_than_others() {
    let unknown = |count: usize| (0..count).map(|n| format!("k{n} = 1\n")).collect::<Vec<_>>().concat();
    let services = |count: usize, of: &dyn Fn(usize) -> String| {
        let service =
            |n| format!("[service.s{n}]\nrun = [\"a\", \"{{port}}\"]\nhealth = {{ path = \"/\" }}\n{}\n", of(n));
        (0..count).map(service).collect::<Vec<_>>().concat()
    };
    let placed = |n: usize| format!("[service.s{n}.in.p]\nlisten = \"127.0.0.{}:{}\"", n % 250, 2000 + n / 250);
    let environment = "[environment.p]\norder = 1\n";
    for (what, text, told) in [
        ("unknown keys", unknown(90_000), "89900 more problems are not listed"),
        ("more services than anybody has", services(1001, &placed), "at most 1000 entries, found 1001"),
        (
            "names that look like others",
            format!("{environment}[service.s]\ndepends_on = [{}]\n", "\"servise\", ".repeat(1000)),
            "more problems are not listed",
        ),
        (
            "each needs each",
            environment.to_owned()
                + &services(60, &|n| {
                    let all = (0..60).map(|n| format!("\"s{n}\", ")).collect::<Vec<_>>().concat();
                    format!("depends_on = [{all}]\n{}", placed(n))
                }),
            "need at most 2000 others",
        ),
        ("one long name", format!("{} = 1", "x".repeat(1 << 20)), "unknown key"),
        ("a deep key", format!("{}b = 1", "a.".repeat(300_000)), ""),
        ("a deep table", format!("[{}b]", "a.".repeat(300_000)), ""),
        ("deep lists", format!("a = {}", "[".repeat(300_000)), ""),
        ("deep tables", format!("a = {}", "{a=".repeat(200_000)), ""),
    ] {
        let error = services::parse(&text, Path::new("/x/flightdeck.toml")).unwrap_err();
        assert!(error.problems.len() <= 101, "{what}: {}", error.problems.len());
        let said = error.to_string();
        assert!(said.contains(told), "{what}: {}", said.chars().take(300).collect::<String>());
        assert!(said.len() < 200_000, "{what}: {}", said.len());
    }
}

#[test]
fn commands_in_vain_are_recorded_briefly_and_not_without_end() {
    let server = server();
    let abort = |id: usize, name: &str| {
        let target =
            serde_json::json!({ "source": "local", "kind": "service", "namespace": null, "name": name, "uid": "u" });
        serde_json::json!({
            "id": format!("in-vain-{id}"), "action": "abort", "pin": null, "reason": "x".repeat(2000),
            "subject": { "type": "run", "data": { "target": target, "revision": "r" } },
        })
        .to_string()
    };
    let refused = request(&server, "POST /v1/commands", WIRE, &abort(0, &"n".repeat(513)));
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    assert!(refused.contains("run.target.name has 513 bytes, at most 512 are taken"), "{refused}");
    for id in 1..=100 {
        let refused = request(&server, "POST /v1/commands", WIRE, &abort(id, &"n".repeat(512)));
        assert!(
            refused.starts_with("HTTP/1.1 403 ") && refused.contains("only user:somebody-else may act"),
            "{refused}"
        );
    }
    let mut server = server;
    server.terminate();
    // It says its sum when it ends.
    let records = server.ok(&["ledger", "show", "-n", "1000", "-o", "json"]);
    let records: Vec<serde_json::Value> = serde_json::from_str(&records).unwrap();
    let refused: Vec<_> = records.iter().filter(|record| record["kind"] == "refused").collect();
    let of = |what: &str| refused.iter().filter(|record| record["body"]["type"] == what).collect::<Vec<_>>();
    let (briefly, more) = (of("refused_briefly"), of("refused_more"));
    // One more each half minute, on a machine that is that slow.
    assert!((20..=30).contains(&briefly.len()), "{records:#?}");
    assert!(briefly.iter().all(|record| record["body"].to_string().len() < 1000), "{briefly:#?}");
    let counted: u64 = more.iter().map(|record| record["body"]["data"]["count"].as_u64().unwrap()).sum();
    assert_eq!(briefly.len() as u64 + counted, 100, "{more:#?}");
    server.start_again();
}

#[test]
fn streams_and_connections_of_one_user_have_a_bound() {
    let server = server();
    let silent: Vec<_> = (0..128).map(|_| UnixStream::connect(server.socket()).unwrap()).collect();
    let told = raw(&server, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("too many connections of yours"), "{told}");
    drop(silent);
    crate::support::live::eventually("places are free again", || {
        raw(&server, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").starts_with("HTTP/1.1 200 ")
    });

    let open = |line: &str| {
        let mut stream = UnixStream::connect(server.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nhost: x\r\n{WIRE}\r\n").as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (stream, String::from_utf8_lossy(&head).into_owned())
    };
    let streams: Vec<_> = (0..8).map(|_| open("GET /v1/events")).collect();
    assert!(streams.iter().all(|(_, head)| head == "HTTP/1.1 200"));
    let (_, ninth) = open("GET /v1/events");
    assert_eq!(ninth, "HTTP/1.1 429");
    // Questions and commands have their own places.
    let asked = request(&server, "POST /v1/query", WIRE, r#"{"type":"who_am_i"}"#);
    assert!(asked.starts_with("HTTP/1.1 200 "), "{asked}");
}

#[test]
fn an_answer_has_no_more_records_than_it_takes_and_an_export_has_all() {
    let server = Server::start();
    let ask = |query| block_on(server.client().query(query)).unwrap();
    let Reply::Refused(refusal) = ask(Query::Ledger { limit: 10_001 }) else { panic!() };
    assert_eq!(refusal.kind, RefusalKind::Invalid);
    assert!(refusal.why.contains("at most 10000; an export has all"), "{}", refusal.why);
    server.prepare();
    let Reply::Lines(exported) = ask(Query::ExportLedger) else { panic!() };
    let Reply::Lines(shown) = ask(Query::Ledger { limit: 10_000 }) else { panic!() };
    assert!(exported.lines.len() > 4 && exported.lines.last().unwrap().starts_with("{\"checkpoint\""));
    assert!(shown.lines.len() >= exported.lines.len() - 1);
}

#[test]
fn a_lock_that_somebody_else_holds_keeps_no_server_from_starting() {
    let dir = tempfile::Builder::new().prefix("fd-").tempdir().unwrap();
    let run = dir.path().join("run");
    std::fs::create_dir(&run).unwrap();
    // As versions up to 0.1 left it: whoever could reach the socket could open it.
    let lock = run.join("server.lock");
    std::fs::write(&lock, "1\n").unwrap();
    std::fs::set_permissions(&lock, std::fs::Permissions::from_mode(0o644)).unwrap();
    let held = std::fs::File::open(&lock).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let server = Server::start_in(dir, &[]);
    assert_eq!(std::fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&lock).unwrap().split(',').next(), Some(&*format!("pid {}", server.pid())));
}

#[test]
fn what_a_server_makes_is_its_users_alone() {
    let server = Server::start();
    server.with_stable();
    let mut seen = 0;
    for folder in ["run", "data", "data/ledger", "data/ledger/hubs", "data/proxy", "data/instances", "data/artifacts"] {
        let folder = server.path().join(folder);
        for path in std::iter::once(folder.clone())
            .chain(std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()))
        {
            let Ok(about) = std::fs::symlink_metadata(&path) else { continue }; // it was there for a moment
            assert_eq!(about.permissions().mode() & 0o077, 0, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}
