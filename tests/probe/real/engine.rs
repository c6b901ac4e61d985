//! The built-in engine's own counters, scraped by a real Prometheus and asked for with the preset `flightdeck`: what
//! another cockpit is told of its rollouts is what the engine counted.

use super::super::prometheus::opened;
use super::super::stub::{Play, Stub};
use super::prometheus;
use crate::cluster::until_told;
use crate::support::live::Server;
use flightdeck::model::{ArmRole, Rollout};
use flightdeck::port::{ArmIncrease, Probe as _};
use jiff::Timestamp;
use serde_json::json;
use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const REQUESTS: u64 = 400;

/// The server's page of metrics.
fn page(socket: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    // The chunks' lengths stand on lines of their own.
    let lines = body.lines().filter(|line| line.starts_with('#') || line.starts_with("flightdeck_"));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

/// All requests of a role that a page has, and of those failed.
fn counted(page: &str, role: &ArmRole) -> (u64, u64) {
    let role = format!("role=\"{role}\"");
    let series = page.lines().filter(|line| line.starts_with("flightdeck_requests_total{") && line.contains(&role));
    let mut sums = (0, 0);
    for line in series {
        let value: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        sums.0 += value;
        if !line.contains("outcome=\"ok\"") {
            sums.1 += value;
        }
    }
    sums
}

fn asks(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
#[ignore = "needs a prometheus: ./check fetches one"]
fn a_prometheus_tells_of_the_engines_rollouts_what_the_engine_counted() {
    let server = Server::start();
    server.with_canary();
    let row = server.rollout().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(scraped(&server, &row));
}

async fn scraped(server: &Server, row: &Rollout) {
    let socket = server.socket();
    let of = socket.clone();
    let exporter = Stub::start(move |_| match page(&of) {
        Ok(page) => Play::answer(200, &page),
        Err(error) => Play::answer(500, &error.to_string()),
    });
    let dir = tempfile::tempdir().unwrap();
    let (_running, url) = prometheus(dir.path(), exporter.url().trim_start_matches("http://"));
    let settings = json!({"url": url, "every": "5s", "range": "8s", "delay": "2s", "preset": "flightdeck"});
    let probe = opened(settings, Duration::from_secs(10)).await;
    let rows = [Arc::new(row.clone())];
    let seen = RefCell::new(Vec::<ArmIncrease>::new());
    let look = async || {
        let measured = probe.measure(&rows, Timestamp::now()).await;
        seen.borrow_mut().extend(measured.map(|measured| measured.increases).unwrap_or_default());
    };
    let roles = [ArmRole::Stable, ArmRole::Candidate];
    let told = || {
        roles.clone().map(|role| {
            let seen = seen.borrow();
            let of = seen.iter().filter(|one| one.role == role);
            of.fold((0, 0), |(requests, errors), one| (requests + one.requests, errors + one.errors))
        })
    };
    until_told(
        || format!("a first window: {:?}", seen.borrow()),
        async || {
            look().await;
            (seen.borrow().len() >= roles.len()).then_some(())
        },
    )
    .await;
    let before = page(&socket).unwrap();
    for _ in 0..REQUESTS {
        asks(server.listen);
    }
    let counts = || {
        let now = page(&socket).unwrap();
        let grown = |role: &ArmRole| {
            let ((requests, errors), (had, failed)) = (counted(&now, role), counted(&before, role));
            (requests - had, errors - failed)
        };
        roles.each_ref().map(grown)
    };
    until_told(
        || format!("the engine's counts {:?}, there is {:?}; {:?}", counts(), told(), seen.borrow()),
        async || {
            look().await;
            let counts = counts();
            (counts.iter().map(|(requests, _)| requests).sum::<u64>() == REQUESTS && told() == counts).then_some(())
        },
    )
    .await;
    assert!(counts().iter().all(|(requests, _)| *requests > 0), "both sides had users: {:?}", counts());
    println!("stable and candidate, requests and failures: {:?}", told());
}
