use crate::support::live::{Server, block_on, program};
use flightdeck::model::Phase;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;

fn pids(server: &Server) -> Vec<u64> {
    let rows: serde_json::Value = serde_json::from_str(&server.ok(&["get", "instances", "-o", "json"])).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["pid"].as_u64().unwrap()).collect()
}

fn answers(server: &Server) -> bool {
    let Ok(mut stream) = TcpStream::connect(server.listen) else { return false };
    let mut answer = String::new();
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    sent.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200 ")
}

#[test]
fn instances_outlive_a_server_that_is_told_to_end_and_the_next_one_adopts_them() {
    let mut server = Server::start();
    server.with_stable();
    let before = pids(&server);
    let receipts = server.ok(&["get", "receipts", "-o", "name"]);
    server.terminate();
    assert!(!server.socket().exists(), "the socket is gone with its server");
    assert_eq!(server.run_cli(&["status"]).code, 4);
    assert!(answers(&server), "traffic goes on without a server");
    server.start_again();
    server.until("it is adopted", |rollout| rollout.phase == Phase::Healthy);
    assert_eq!(pids(&server), before);
    assert_eq!(server.ok(&["get", "receipts", "-o", "name"]), receipts);
    server.stop();
    assert!(!answers(&server), "whoever closes its input ends everything");
}

/// Its proxy may be at any point of its start.
#[test]
fn a_server_that_ends_at_once_leaves_nothing() {
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| Server::start().stop());
        }
    });
}

#[test]
fn a_service_manager_is_told_when_it_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let notify = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    notify.set_read_timeout(Some(crate::support::live::DEADLINE)).unwrap();
    let mut child = program(dir.path())
        .args(["serve", "--exit-on-stdin-eof"])
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let said = || {
        let mut bytes = [0; 64];
        let count = notify.recv(&mut bytes).expect("waiting for a word to the service manager");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    assert_eq!(said(), "READY=1");
    let client = flightdeck::client::Client::unix(&dir.path().join("run/server.sock")).unwrap();
    block_on(client.healthy()).unwrap();
    drop(child.stdin.take());
    assert_eq!(said(), "STOPPING=1");
    assert!(child.wait().unwrap().success());
}
