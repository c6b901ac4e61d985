//! `GET /metrics`: what the proxy counted, and where rollouts and commands stand.

use super::Api;
use super::answer::Failure;
use super::text::Page;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use flightdeck_board::Board;
use flightdeck_engine::runtime::PoolMetrics;
use flightdeck_model::{Actor, Histogram, LinkState, Query, RefusalKind, Reply, Scope, WIRE_VERSION, bucket_floor};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Upper bounds of the latency histogram, microseconds.
const BOUNDS: [u32; 14] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000,
];
/// How long the hub may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Labels of one version in one role.
type Key = (String, String, String, String);

/// Writes the page.
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Failure> {
    let busy = || Failure::new(StatusCode::SERVICE_UNAVAILABLE, RefusalKind::Internal, "the hub is busy; try again");
    let read = async { Some((board(&api).await?, ledger(&api).await)) };
    let (board, ledger) = tokio::time::timeout(WITHIN, read).await.ok().flatten().ok_or_else(busy)?;
    let mut page = Page::default();
    build(&mut page);
    traffic(&mut page, api.engine.metrics());
    unmatched(&mut page, &api.engine.unmatched());
    rows(&mut page, &board, api.engine.source());
    if let Some(seq) = ledger {
        page.family("flightdeck_ledger_sequence", "gauge", "Number of the newest record of the ledger.");
        page.sample("flightdeck_ledger_sequence", &[], seq);
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.finish()).into_response())
}

/// The hub's rows and the health of its watches, from the snapshot that every subscriber gets.
async fn board(api: &Api) -> Option<Board> {
    let mut subscription = api.hub.subscribe(None).await?;
    let mut board = Board::default();
    loop {
        let envelope = subscription.next().await?;
        board.apply(&envelope.scoped);
        // All of a snapshot but its last update has sequence 0.
        if envelope.seq > 0 {
            return Some(board);
        }
    }
}

async fn ledger(api: &Api) -> Option<u64> {
    let Reply::Lines(lines) = api.hub.query(Actor::system("metrics"), Query::Ledger { limit: 1 }).await else {
        return None;
    };
    match lines.lines.last() {
        None => Some(0),
        Some(line) => serde_json::from_str::<serde_json::Value>(line).ok()?.get("seq")?.as_u64(),
    }
}

fn build(page: &mut Page) {
    page.family("flightdeck_build_info", "gauge", "Version of the program and of its wire; always 1.");
    let wire = WIRE_VERSION.to_string();
    page.sample("flightdeck_build_info", &[("version", env!("CARGO_PKG_VERSION")), ("wire", &wire)], 1);
}

/// Adds up pools with the same labels: a series may stand on a page only once.
fn merged(pools: Vec<PoolMetrics>) -> BTreeMap<Key, PoolMetrics> {
    let mut merged: BTreeMap<Key, PoolMetrics> = BTreeMap::new();
    for pool in pools {
        let key =
            (pool.service.to_string(), pool.environment.to_string(), pool.version.to_string(), pool.role.to_string());
        match merged.get_mut(&key) {
            None => drop(merged.insert(key, pool)),
            Some(sum) => {
                sum.requests += pool.requests;
                sum.errors += pool.errors;
                sum.failures += pool.failures;
                sum.in_flight += pool.in_flight;
                sum.latency.add(&pool.latency);
                sum.received += pool.received;
                sum.sent += pool.sent;
            }
        }
    }
    merged
}

fn labels(key: &Key) -> [(&'static str, String); 4] {
    let (service, environment, version, role) = key.clone();
    [("service", service), ("environment", environment), ("version", version), ("role", role)]
}

/// A sample with one label more than its pool has.
fn labelled(page: &mut Page, name: &str, key: &Key, label: (&str, &str), value: u64) {
    let labels = labels(key);
    let mut all: Vec<_> = labels.iter().map(|(label, text)| (*label, text.as_str())).collect();
    all.push(label);
    page.sample(name, &all, value);
}

fn traffic(page: &mut Page, pools: Vec<PoolMetrics>) {
    let (tcp, http) = pools.into_iter().partition(|pool| pool.tcp);
    requests(page, &merged(http));
    let tcp = merged(tcp);
    if !tcp.is_empty() {
        connections(page, &tcp);
    }
}

fn connections(page: &mut Page, pools: &BTreeMap<Key, PoolMetrics>) {
    let name = "flightdeck_connections_total";
    page.family(name, "counter", "TCP connections, by outcome: ok (an instance took it) or failure (none did).");
    for (key, pool) in pools {
        labelled(page, name, key, ("outcome", "ok"), pool.requests.saturating_sub(pool.failures));
        labelled(page, name, key, ("outcome", "failure"), pool.failures);
    }
    let name = "flightdeck_connections_open";
    page.family(name, "gauge", "TCP connections that have not ended yet.");
    for (key, pool) in pools {
        page.sample(name, &labels(key).each_ref().map(|(label, text)| (*label, text.as_str())), pool.in_flight);
    }
    let name = "flightdeck_connection_bytes_total";
    page.family(name, "counter", "Bytes on TCP connections, by direction: in (from users) or out (to users).");
    for (key, pool) in pools {
        labelled(page, name, key, ("direction", "in"), pool.received);
        labelled(page, name, key, ("direction", "out"), pool.sent);
    }
}

fn requests(page: &mut Page, pools: &BTreeMap<Key, PoolMetrics>) {
    let name = "flightdeck_requests_total";
    page.family(name, "counter", "Requests that ended, by outcome: ok, error (5xx) or failure (not answered whole).");
    for (key, pool) in pools {
        let ok = pool.requests.saturating_sub(pool.errors + pool.failures);
        for (outcome, count) in [("ok", ok), ("error", pool.errors), ("failure", pool.failures)] {
            labelled(page, name, key, ("outcome", outcome), count);
        }
    }
    let name = "flightdeck_requests_in_flight";
    page.family(name, "gauge", "Requests that have not ended yet.");
    for (key, pool) in pools {
        page.sample(name, &labels(key).each_ref().map(|(label, text)| (*label, text.as_str())), pool.in_flight);
    }
    let name = "flightdeck_request_duration_seconds";
    page.family(name, "histogram", "From a request's head to the last byte of its answer; right to about 3 %.");
    for (key, pool) in pools {
        let labels = labels(key);
        latency(page, name, &labels.each_ref().map(|(label, text)| (*label, text.as_str())), &pool.latency);
    }
}

fn unmatched(page: &mut Page, by_address: &[(SocketAddr, u64)]) {
    if by_address.is_empty() {
        return;
    }
    let name = "flightdeck_unmatched_requests_total";
    page.family(name, "counter", "Requests whose host and path no service on that address answers for.");
    for (address, count) in by_address {
        page.sample(name, &[("address", &address.to_string())], *count);
    }
}

/// A bucket counts below a bound only if all that may be in it is.
fn latency(page: &mut Page, name: &str, labels: &[(&str, &str)], latency: &Histogram) {
    let below = |bound: u32| -> u64 {
        let fits = |bucket: u16| bucket_floor(bucket.saturating_add(1)) <= bound.saturating_add(1);
        latency.0.iter().take_while(|(bucket, _)| fits(**bucket)).map(|(_, count)| count).sum()
    };
    let total: u64 = latency.0.values().sum();
    let bucket = format!("{name}_bucket");
    let bounds = BOUNDS.iter().map(|bound| ((f64::from(*bound) / 1e6).to_string(), below(*bound)));
    for (bound, count) in bounds.chain([("+Inf".to_owned(), total)]) {
        let mut all = labels.to_vec();
        all.push(("le", &bound));
        page.sample(&bucket, &all, count);
    }
    page.sample(&format!("{name}_sum"), labels, seconds(latency));
    page.sample(&format!("{name}_count"), labels, total);
}

/// The sum, taking each value for the middle of its bucket.
#[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
fn seconds(latency: &Histogram) -> f64 {
    let middle =
        |bucket: u16| f64::midpoint(f64::from(bucket_floor(bucket)), f64::from(bucket_floor(bucket.saturating_add(1))));
    latency.0.iter().map(|(bucket, count)| middle(*bucket) * *count as f64 / 1e6).sum()
}

fn rows(page: &mut Page, board: &Board, engine: &flightdeck_model::SourceId) {
    page.family("flightdeck_rollouts", "gauge", "Rollouts, by phase.");
    let mut phases: BTreeMap<&str, u64> = BTreeMap::new();
    board.rollouts().for_each(|row| *phases.entry(row.phase.word()).or_default() += 1);
    for (phase, count) in phases {
        page.sample("flightdeck_rollouts", &[("phase", phase)], count);
    }
    page.family("flightdeck_receipts", "gauge", "Commands that the hub remembers, by the stage they reached.");
    let mut stages: BTreeMap<&str, u64> = BTreeMap::new();
    board.receipts().for_each(|row| *stages.entry(row.stage().word()).or_default() += 1);
    for (stage, count) in stages {
        page.sample("flightdeck_receipts", &[("stage", stage)], count);
    }
    page.family("flightdeck_holds", "gauge", "Holds in force.");
    page.sample("flightdeck_holds", &[], board.holds().count());
    page.family("flightdeck_source_up", "gauge", "Is the watch live (1)?");
    for (scope, state) in board.links() {
        let live = u8::from(matches!(state, LinkState::Live { .. }));
        page.sample("flightdeck_source_up", &[("source", scope.source.as_str()), ("part", &scope.part)], live);
    }
    let proxy = board.links().find(|(scope, _)| scope.source == *engine && scope.part == Scope::PROXY_PART);
    if let Some((_, state)) = proxy {
        page.family("flightdeck_proxy_up", "gauge", "Has the engine a connection to its proxy (1)?");
        page.sample("flightdeck_proxy_up", &[], u8::from(matches!(state, LinkState::Live { .. })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_with_all() {
        let mut histogram = Histogram::default();
        for micros in [500, 900, 4_000, 4_100, 70_000, 60_000_000] {
            histogram.record(micros);
        }
        let mut page = Page::default();
        latency(&mut page, "t", &[], &histogram);
        let page = page.finish();
        let counts: Vec<u64> = page
            .lines()
            .filter(|line| line.starts_with("t_bucket"))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(counts, [2, 2, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 6], "{page}");
        assert!(page.contains("t_bucket{le=\"0.0025\"} 2\n") && page.contains("t_bucket{le=\"+Inf\"} 6\n"), "{page}");
        assert!(page.ends_with("t_count 6\n"), "{page}");
        let sum: f64 = page.lines().find_map(|line| line.strip_prefix("t_sum ")).unwrap().parse().unwrap();
        assert!((sum - 60.0795).abs() < 60.0795 * 0.03, "{sum}");
    }
}
