use super::{WIRE, json, raw, request};
use crate::support::live::{Server, block_on};
use flightdeck::client::{Client, SubmitError, fresh_id};
use flightdeck::model::{Action, Command, ConfigName, Pin, Query, RefusalKind, Reply, Subject};
use flightdeck::server::actor_of;
use serde_json::json as value;

#[test]
fn the_actor_is_the_kernels_word_and_cannot_be_forged() {
    let server = Server::start();
    let uid = rustix::process::getuid().as_raw();
    let me = actor_of(uid).unwrap();
    let hold = value!({
        "id": "forged-1", "action": "hold", "pin": null, "reason": "test",
        "subject": { "type": "scope", "data": { "selector": {}, "frozen": [] } },
        "actor": { "name": "system:demo", "uid": null, "roles": ["root"] },
        "by": "mallory",
    });
    let headers = format!("{WIRE}x-remote-user: mallory\r\nauthorization: Basic bWFsbG9yeTp4\r\n");
    let receipt = json(&request(&server, "POST /v1/commands", &headers, &hold.to_string()));
    assert_eq!(receipt["actor"], serde_json::to_value(&me).unwrap(), "{receipt}");

    let asked = request(&server, "POST /v1/query?actor=mallory", &headers, r#"{"type":"who_am_i","actor":"mallory"}"#);
    assert_eq!(json(&asked)["data"]["actor"], serde_json::to_value(&me).unwrap(), "{asked}");
    let ledger = server.ok(&["ledger", "show", "-o", "json"]);
    assert!(ledger.contains("forged-1") && !ledger.contains("mallory"), "{ledger}");
}

#[test]
fn a_wire_that_is_newer_missing_or_garbage_is_refused_with_a_sentence() {
    let server = Server::start();
    for (headers, status, why) in [
        ("flightdeck-wire: 3\r\n", "426", "you speak version 3 of the protocol and this server 2"),
        ("flightdeck-wire: 4294967295\r\n", "426", "upgrade the server"),
        ("", "400", "`flightdeck-wire: 2` is missing"),
        ("flightdeck-wire: one\r\n", "400", "holds no version"),
        ("flightdeck-wire: 0\r\n", "400", "holds no version"),
    ] {
        let answer = request(&server, "POST /v1/query", headers, r#"{"type":"who_am_i"}"#);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers:?}: {answer}");
        assert!(answer.contains("\r\nflightdeck-wire: 2\r\n"), "{answer}");
        assert!(json(&answer)["why"].as_str().unwrap().contains(why), "{answer}");
    }
    // Scrapers and health checks know nothing of it, but a newer client is told here too.
    assert!(request(&server, "GET /healthz", "", "").starts_with("HTTP/1.1 200 "));
    assert!(request(&server, "GET /metrics", "", "").starts_with("HTTP/1.1 200 "));
    assert!(request(&server, "GET /healthz", "flightdeck-wire: 3\r\n", "").starts_with("HTTP/1.1 426 "));
}

#[test]
fn garbage_is_answered_with_a_reason_and_the_server_goes_on() {
    let server = Server::start();
    let line = "POST /v1/commands HTTP/1.1\r\nhost: x\r\n";
    for bytes in [
        "\0\u{1}\u{2}garbage\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET /healthz HTTP/1.1\r\nbroken header\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(1 << 20)),
        format!("{line}{WIRE}content-length: -1\r\n\r\n"),
        format!("{line}{WIRE}content-length: 5\r\ncontent-length: 6\r\n\r\n12345"),
    ] {
        let answer = raw(&server, bytes.as_bytes());
        let shown = &bytes[..bytes.len().min(60)];
        assert!(answer.starts_with("HTTP/1.1 4"), "{shown:?}: {answer:?}");
    }
    for (line, body, status, why) in [
        ("POST /v1/query", "", "400", "not what is expected"),
        ("POST /v1/query", "{\"type\":\"no_such\"}", "400", "unknown variant `no_such`"),
        ("POST /v1/query", "\u{1}\u{2}", "400", "not what is expected"),
        ("POST /v1/commands", "[]", "400", "not what is expected"),
        ("POST /v1/releases?id=x", "", "400", "missing field"),
        ("POST /v1/releases?id=x&service=a&version=b&actor=root", "", "400", "unknown field `actor`"),
        ("GET /v1/instances/none/log", "", "404", "no output of an instance"),
        ("GET /v1/instances/..%2f..%2fetc/log", "", "404", "no output of an instance"),
        ("GET /v1/nothing", "", "404", "there is no"),
        ("DELETE /v1/query", "", "405", "does not take that method"),
    ] {
        let answer = request(&server, line, WIRE, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {body:?}: {answer}");
        assert!(json(&answer)["why"].as_str().unwrap().contains(why), "{line} {body:?}: {answer}");
    }
    let answer = request(&server, "GET /v1/events", &format!("{WIRE}last-event-id: x\r\n"), "");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("EPOCH:SEQ"), "{answer}");
    // A body that is too large is refused without being kept.
    let large = format!("{line}{WIRE}content-length: 99999999\r\n\r\n{}", "x".repeat(5 << 20));
    let answer = raw(&server, large.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    block_on(server.client().healthy()).unwrap();
}

#[test]
fn a_pin_that_no_longer_holds_is_refused_with_the_facts_that_changed() {
    let server = Server::start();
    server.with_canary();
    let seen = server.rollout().unwrap();
    let pin = seen.facts.pin(Action::Promote);
    server.ok(&["promote", "shop", "--yes", "--wait"]);
    let command = |pin: Option<Pin>| Command {
        id: fresh_id(),
        action: Action::Promote,
        subject: Subject::Run(seen.run.clone()),
        pin,
        reason: None,
    };
    let refused = |client: &Client, pin| match block_on(client.submit(command(pin))) {
        Err(SubmitError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let refusal = refused(&server.client(), Some(pin.clone()));
    assert_eq!(refusal.kind, RefusalKind::PinChanged, "{refusal:?}");
    let facts: Vec<_> = refusal.changes.iter().map(|change| change.fact.word()).collect();
    assert_eq!(facts, ["step", "generation"], "{refusal:?}");
    assert!(refusal.why.contains("step was 1, is 3"), "{}", refusal.why);
    let body = serde_json::to_string(&command(Some(pin))).unwrap();
    let answer = request(&server, "POST /v1/commands", WIRE, &body);
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    assert_eq!(server.rollout().unwrap().step, Some(3));
}

#[test]
fn the_same_command_twice_is_one_command() {
    let server = Server::start();
    server.with_canary();
    let seen = server.rollout().unwrap();
    let command = Command {
        id: fresh_id(),
        action: Action::Promote,
        subject: Subject::Run(seen.run.clone()),
        pin: Some(seen.facts.pin(Action::Promote)),
        reason: None,
    };
    let client = server.client();
    let first = block_on(client.submit(command.clone())).unwrap();
    let again = block_on(client.submit(command)).unwrap();
    assert_eq!(first.id, again.id);
    assert_eq!(server.ok(&["get", "receipts", first.id.as_str(), "-o", "name"]).lines().count(), 1);
    server.until("the rollout stands at its next pause", |rollout| rollout.step == Some(3));
}

#[test]
fn questions_are_answered_by_whoever_knows() {
    let server = Server::start();
    server.with_stable();
    let client = server.client();
    let ask = |query: Query| block_on(client.query(query)).unwrap();
    let diff =
        |text: String| ask(Query::Diff { name: ConfigName::default(), text, path: "/x/flightdeck.toml".to_owned() });
    assert!(matches!(diff(server.config()), Reply::Lines(lines) if lines.lines.is_empty()));
    assert!(matches!(diff(String::new()), Reply::Lines(lines) if lines.lines.iter().any(|l| l.contains("shop"))));
    let Reply::Refused(refusal) = diff("[service".to_owned()) else { panic!() };
    assert!(refusal.why.starts_with("/x/flightdeck.toml:1:"), "{}", refusal.why);
    let Reply::Refused(refusal) = diff("#".repeat((1 << 20) + 1)) else { panic!() };
    assert!(refusal.why.contains("config.text has 1048577 bytes, at most 1048576"), "{}", refusal.why);
    let instance = server.ok(&["get", "instances", "-o", "name"]);
    let logs = ask(Query::Logs { instance: instance.trim().to_owned(), lines: 5 });
    assert!(matches!(&logs, Reply::Lines(lines) if lines.lines[0].contains("listens on")), "{logs:?}");
    assert!(matches!(ask(Query::VerifyLedger), Reply::Lines(_)));
    let run = server.rollout().unwrap().run;
    let Reply::Detail(detail) = ask(Query::Inspect { run }) else { panic!() };
    assert_eq!(detail.instances.len(), 1);
}
