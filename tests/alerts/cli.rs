//! Alerts on the command line, and on a server's wire.

use super::{firing, told};
use crate::probe::stub::{Play, Stub};
use crate::support::live::{Server, flightdeck};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A folder whose settings name an Alertmanager; `served`: the server looks at it.
fn folder(url: &str, served: bool) -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("fd-").tempdir().unwrap();
    let serve = if served { "[serve]\nsources = [\"am\"]\n" } else { "" };
    let text = format!("{serve}[sources.am]\nkind = \"alertmanager\"\nurl = \"{url}\"\n");
    std::fs::create_dir_all(dir.path().join("config")).unwrap();
    std::fs::write(dir.path().join("config/config.toml"), text).unwrap();
    dir
}

fn alerts(dir: &Path) -> (i32, Value, String) {
    let done = flightdeck(dir, &["get", "alerts", "-o", "json"]);
    (done.code, serde_json::from_str(&done.out).unwrap_or_default(), done.err)
}

#[test]
fn what_fires_is_listed_and_what_is_not_known_never_reads_as_nothing() {
    let stub = Stub::start(told);
    let server = Server::start_in(folder(&stub.url(), false), &[]);
    let dir = server.dir.path();
    let (code, rows, err) = alerts(dir);
    assert_eq!(code, 0, "{err}");
    assert_eq!(rows[0]["name"], "HighErrors", "{rows}");
    assert_eq!((rows[0]["concerns"].as_array().map(Vec::len), &rows[0]["state"]["type"]), (Some(0), &"firing".into()));
    let table = flightdeck(dir, &["get", "alerts"]).out;
    assert!(table.contains("critical") && table.contains("nothing here"), "{table}");
    assert_eq!(flightdeck(dir, &["get", "rollouts"]).code, 0);
    let silence = flightdeck(dir, &["silence", "HighErrors", "--yes"]);
    assert!(silence.code == 2 && silence.err.contains("needs a reason"), "{silence:?}");
    let long = flightdeck(dir, &["silence", "HighErrors", "--yes", "--reason", "x", "--for", "25h"]);
    assert!(long.code != 0 && long.err.contains("1 m to 24 h"), "{long:?}");
    let none = flightdeck(dir, &["unsilence", "8c1c", "--yes"]);
    assert!(none.code == 2 && none.err.contains("no silence 8c1c"), "{none:?}");
    let loud = flightdeck(dir, &["unsilence", "HighErrors", "--yes"]);
    assert!(loud.code == 2 && loud.err.contains("\"HighErrors\" is not silenced"), "{loud:?}");

    let away = Stub::start(|_| Play::answer(503, "down"));
    let text = format!("[sources.am]\nkind = \"alertmanager\"\nurl = \"{}\"\n", away.url());
    std::fs::write(dir.join("config/config.toml"), text).unwrap();
    let (code, rows, err) = alerts(dir);
    assert_eq!((code, rows["unseen"][0]["source"].as_str()), (6, Some("am")), "{rows} {err}");
    assert!(err.contains("am, alerts: could not be reached: 503 Service Unavailable: down"), "{err}");
    assert_eq!(flightdeck(dir, &["get", "rollouts"]).code, 0, "no rollout is missing");

    std::fs::write(dir.join("config/config.toml"), "").unwrap();
    let (code, _, err) = alerts(dir);
    assert!(code == 2 && err.contains("no source tells of alerts"), "{code} {err}");
}

#[test]
fn a_silence_is_ended_by_the_name_of_its_alert_where_flightdeck_made_it() {
    let silence = |id: &str, comment: &str| {
        json!([{
            "id": id, "status": {"state": "active"}, "updatedAt": "2026-11-30T17:38:00Z", "createdBy": "ann",
            "matchers": [{"name": "alertname", "value": "HighErrors", "isRegex": false, "isEqual": true}],
            "startsAt": "2026-11-30T17:38:00Z", "endsAt": "2099-11-30T18:38:00Z", "comment": comment,
        }])
    };
    let ours = "known flightdeck: {\"command\":\"c-1\"}";
    for (comment, code, says) in [(ours, 0, "8c1c"), ("known", 2, "not with flightdeck")] {
        let all = silence("8c1c", comment);
        let mut alerts = firing();
        alerts[0]["status"] = json!({"state": "suppressed", "silencedBy": ["8c1c"], "inhibitedBy": []});
        let stub = Stub::start(move |asked| match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", path) if path.starts_with("/api/v2/silences") => Play::answer(200, &all.to_string()),
            ("GET", path) if path.starts_with("/api/v2/alerts") => Play::answer(200, &alerts.to_string()),
            _ => Play::answer(200, ""),
        });
        let dir = folder(&stub.url(), false);
        let done = flightdeck(dir.path(), &["unsilence", "HighErrors", "--yes"]);
        assert!(done.code == code && format!("{done:?}").contains(says), "{done:?}");
    }
}

/// The rows that a server tells somebody who sends these headers.
fn board(socket: &Path, headers: &str) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let body = r#"{"type":"board"}"#;
    let request = format!(
        "POST /v1/query HTTP/1.1\r\nhost: x\r\nconnection: close\r\nflightdeck-wire: 2\r\n{headers}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let json = body.find('{').and_then(|from| body.get(from..=body.rfind('}')?)).unwrap();
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[test]
fn a_client_of_before_alerts_reads_a_server_that_has_some() {
    let stub = Stub::start(told);
    let server = Server::start_in(folder(&stub.url(), true), &[]);
    let (dir, socket) = (server.dir.path(), server.dir.path().join("run/server.sock"));
    let (code, rows, err) = alerts(dir);
    assert_eq!((code, rows[0]["name"].as_str()), (0, Some("HighErrors")), "{err}");
    let of = |headers: &str| board(&socket, headers).to_string().contains("HighErrors");
    assert!(of("flightdeck-reads: alerts\r\n"));
    assert!(!of(""), "it could not read them");
}
