use super::{WIRE, json, request};
use crate::support::live::{Server, block_on, eventually};
use flightdeck::client::{Client, ClientEvent, NewRelease, SubmitError, fresh_id};
use flightdeck::model::{Body, Envelope};
use futures::StreamExt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

/// Reads events from the stream until one is what was awaited; gives all with their ids.
fn events(server: &Server, last: Option<&str>, mut done: impl FnMut(&Envelope) -> bool) -> Vec<(String, Envelope)> {
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    stream.set_read_timeout(Some(crate::support::live::DEADLINE)).unwrap();
    let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
    // HTTP/1.0: the body comes without chunks.
    write!(stream, "GET /v1/events HTTP/1.0\r\nhost: x\r\n{WIRE}{last}\r\n").unwrap();
    let (mut told, mut id) = (Vec::new(), String::new());
    for line in BufReader::new(stream).lines() {
        let line = line.expect("waiting for an update");
        if let Some(text) = line.strip_prefix("id: ") {
            text.clone_into(&mut id);
        }
        if let Some(data) = line.strip_prefix("data: ") {
            let envelope: Envelope = serde_json::from_str(data).unwrap();
            let is = done(&envelope);
            told.push((id.clone(), envelope));
            if is {
                return told;
            }
        }
    }
    panic!("the stream ended; it told {told:#?}");
}

#[test]
fn events_resume_behind_the_last_one_that_arrived() {
    let server = Server::start();
    // All of a snapshot but its last update has sequence 0.
    let snapshot = events(&server, None, |envelope| envelope.seq > 0);
    assert!(snapshot.iter().any(|(_, envelope)| matches!(envelope.scoped.body, Body::SnapshotBegin)));
    let (id, last) = snapshot.last().unwrap();
    assert_eq!(*id, format!("{}:{}", last.epoch, last.seq));

    server.prepare();
    let resumed = events(&server, Some(id), |envelope| envelope.seq >= last.seq + 3);
    let sequences: Vec<_> = resumed.iter().map(|(_, envelope)| envelope.seq - last.seq).collect();
    assert_eq!(sequences, [1, 2, 3], "it goes on behind it, without a snapshot");

    // A server that was restarted since begins anew.
    let other = format!("{}:{}", last.epoch + 1, last.seq);
    let anew = events(&server, Some(&other), |envelope| envelope.seq > 0);
    assert_eq!(anew[0].1.seq, 0);
}

#[test]
fn a_client_reconnects_and_tells_of_it() {
    let mut server = Server::start();
    let client = server.client();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut events = client.events();
    let mut next = || {
        runtime.block_on(async {
            tokio::time::timeout(crate::support::live::DEADLINE, events.next()).await.expect("waiting for an event")
        })
    };
    assert_eq!(next(), Some(ClientEvent::Connected));
    let epoch = loop {
        if let Some(ClientEvent::Envelope(envelope)) = next() {
            break envelope.epoch;
        }
    };
    server.restart();
    let mut lost = false;
    loop {
        match next() {
            Some(ClientEvent::Lost { .. }) => lost = true,
            Some(ClientEvent::Envelope(envelope)) if envelope.epoch != epoch => break,
            Some(_) => {}
            None => panic!("the stream never ends"),
        }
    }
    assert!(lost);
}

/// Nothing closes when a process is frozen: only its silence tells.
#[test]
fn a_frozen_server_is_lost_within_five_seconds_and_found_again() {
    let server = Server::start();
    let client = server.client();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut events = client.events();
    let mut until = |wanted: fn(&ClientEvent) -> bool| {
        let begun = std::time::Instant::now();
        let event = runtime.block_on(async {
            let wait = async {
                loop {
                    match events.next().await {
                        Some(event) if wanted(&event) => return event,
                        Some(_) => {}
                        None => panic!("the stream never ends"),
                    }
                }
            };
            tokio::time::timeout(crate::support::live::DEADLINE, wait).await.expect("waiting for an event")
        });
        (event, begun.elapsed())
    };
    until(|event| matches!(event, ClientEvent::Envelope(envelope) if envelope.seq > 0));
    server.signal(rustix::process::Signal::STOP);
    let (lost, after) = until(|event| matches!(event, ClientEvent::Lost { .. }));
    server.signal(rustix::process::Signal::CONT);
    let ClientEvent::Lost { why, heard: Some(heard) } = lost else { panic!("{lost:?}") };
    assert!(after < std::time::Duration::from_secs(5), "after {after:?}");
    assert_eq!(why, "the server says nothing any more");
    // The last word may be from a moment before it was frozen.
    assert!(heard + std::time::Duration::from_millis(100) >= after, "heard {heard:?} ago, frozen {after:?} ago");
    until(|event| matches!(event, ClientEvent::Connected));
}

#[test]
fn an_artifact_with_another_digest_is_refused_and_not_kept() {
    let server = Server::start();
    server.prepare();
    let release = |version: &str, digest: Option<&str>| NewRelease {
        id: fresh_id(),
        service: "shop".into(),
        version: version.into(),
        commit: Some("abc".to_owned()),
        commit_at: None,
        pipeline_run: None,
        digest: digest.map(str::to_owned),
        migrations: None,
        artifact: server.artifact("3.0").into(),
    };
    let client: Client = server.client();
    let wrong = format!("sha256:{}", "0".repeat(64));
    match block_on(client.add_release(&release("3.0", Some(&wrong)))) {
        Err(SubmitError::Refused(refusal)) => assert!(refusal.why.contains(&wrong), "{}", refusal.why),
        other => panic!("{other:?}"),
    }
    assert!(!server.ok(&["release", "list", "-o", "name"]).contains("3.0"));
    assert_eq!(std::fs::read_dir(server.path().join("data/uploads")).unwrap().count(), 0);
    let receipt = block_on(client.add_release(&release("3.0", None))).unwrap();
    server.until_final(receipt.id.as_str());
    assert!(server.ok(&["release", "list", "-o", "name"]).contains("shop 3.0"));
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let server = Server::start();
    server.prepare();
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    let line = "POST /v1/releases?id=half&service=shop&version=9";
    write!(stream, "{line} HTTP/1.1\r\nhost: x\r\n{WIRE}content-length: 1000000\r\n\r\n").unwrap();
    stream.write_all(&vec![0; 70_000]).unwrap();
    let uploads = server.path().join("data/uploads");
    let count = || std::fs::read_dir(&uploads).unwrap().count();
    eventually("the upload is under way", || count() == 1);
    let answer = request(&server, line, WIRE, "x");
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    assert!(json(&answer)["why"].as_str().unwrap().contains("under way"), "{answer}");
    assert_eq!(count(), 1, "the other's file stays");
    drop(stream);
    eventually("the half upload is removed", || count() == 0);
}

#[test]
fn output_is_followed_live() {
    let server = Server::start();
    server.with_stable();
    let instance = server.ok(&["get", "instances", "-o", "name"]);
    let instance = instance.trim();
    let log = server.path().join("data/instances").join(instance).join("log/out.log");
    block_on(async {
        let mut lines = server.client().follow_log(instance, 10).await.unwrap();
        let first = lines.next().await.unwrap().unwrap();
        assert!(first.contains("listens on"), "{first}");
        let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all("later \u{1b}[2J\n".as_bytes()).unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), "later \u{fffd}[2J");
    });
}

#[test]
fn metrics_count_requests_by_version_and_role() {
    let server = Server::start();
    server.with_stable();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(server.listen).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let labels = r#"{service="shop",environment="production",version="1.0",role="stable""#;
    let mut page = String::new();
    eventually("five requests are counted", || {
        page = block_on(server.client().metrics()).unwrap();
        page.contains(&format!("flightdeck_requests_total{labels},outcome=\"ok\"}} 5\n"))
    });
    for line in [
        format!("flightdeck_requests_total{labels},outcome=\"error\"}} 0\n"),
        format!("flightdeck_request_duration_seconds_bucket{labels},le=\"+Inf\"}} 5\n"),
        format!("flightdeck_request_duration_seconds_count{labels}}} 5\n"),
        "flightdeck_rollouts{phase=\"healthy\"} 1\n".to_owned(),
        "flightdeck_proxy_up 1\n".to_owned(),
        "flightdeck_receipts{stage=\"effective\"} 5\n".to_owned(),
    ] {
        assert!(page.contains(&line), "{line} is not in {page}");
    }
    let sequence = page.lines().find_map(|line| line.strip_prefix("flightdeck_ledger_sequence ")).unwrap();
    assert_eq!(sequence.parse::<usize>().unwrap(), server.ok(&["ledger", "export"]).lines().count() - 1);
}
