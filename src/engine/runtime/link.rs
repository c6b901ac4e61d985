//! The connection to the proxy: keeps a proxy running under its shim, speaks with it, and starts
//! anew whenever the connection ends. Decides nothing.

use super::connection::{Asked, Connection, Hello, connect};
use super::handover::{self, ProxyHome, Retired};
use crate::process::client::{self, ShimClient};
use crate::process::context::Drain;
use crate::process::identity;
use crate::process::wire::Request as ShimRequest;
use flightdeck_proxy::wire::{Lapse, Numbered, Request, Response, Route, Stats};
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
const ANSWER: Duration = Duration::from_secs(5);

/// What the loop tells the link. While no proxy is connected all but `Shutdown` and `Detach` are
/// dropped: on [`LinkEvent::Up`] the loop says again what still counts.
#[derive(Debug)]
pub enum LinkOrder {
    /// Put a route into force.
    Route(Route),
    /// Close a listener; the version is that of the core's closing.
    Unroute {
        listener: String,
        /// Given back with the answer.
        version: u64,
    },
    /// The engine lives and judges.
    Renew(Duration),
    /// Counters, please.
    Stats,
    /// End the proxy; answered when it ended.
    Shutdown(oneshot::Sender<()>),
    /// Leave the proxy running and end the link.
    Detach,
}

/// What the link tells the loop.
#[derive(Debug)]
pub enum LinkEvent {
    /// Connected.
    Up {
        /// The routes in force.
        routes: Vec<(String, u64)>,
        /// Leases that lapsed.
        lapsed: Vec<Lapse>,
        /// What it knows of the wire: [`PROXY_LEVEL`](flightdeck_proxy::wire::PROXY_LEVEL).
        level: u32,
    },
    /// No proxy.
    Down { why: String },
    /// A route is in force, or a listener is closed.
    Acked {
        listener: String,
        /// As asked.
        version: u64,
        /// What of it this proxy, of an older program, can't do, in words.
        lacking: Option<String>,
        /// Why its redirect is not listened on.
        redirect_refused: Option<String>,
    },
    /// A route can't be followed.
    Refused {
        listener: String,
        /// As asked.
        version: u64,
        /// The version that is in force and newer, where that is why.
        newer: Option<u64>,
        why: String,
    },
    /// Counters.
    Stats {
        /// Of the proxy in force.
        stats: Stats,
        /// No proxy before it has anything in flight any more.
        alone: bool,
    },
}

/// Keeps the link until it is told to end.
pub async fn run(
    home: ProxyHome,
    mut orders: mpsc::UnboundedReceiver<LinkOrder>,
    mut drains: mpsc::UnboundedReceiver<Drain>,
    events: mpsc::UnboundedSender<LinkEvent>,
) {
    let mut pause = RETRY.0;
    let mut retired = Retired::find(&home);
    loop {
        // Never given up half-way: a shim that is just starting would not be found, and stay.
        let connected = match handover::ensure(&home, &mut retired).await {
            Ok(()) => tokio::select! {
                connected = connect(&home.dir, ANSWER) => connected,
                done = told_to_end(&mut orders) => return finish(&home, done).await,
            },
            Err(error) => Err(error),
        };
        let why = match renewed(&home, connected, &mut retired).await {
            Ok((mut connection, hello)) => {
                pause = RETRY.0;
                let Hello { routes, lapsed, level, .. } = hello;
                let _ = events.send(LinkEvent::Up { routes, lapsed, level }); // the loop may be ending
                match converse(&home, &mut connection, &mut orders, &mut drains, &events, &mut retired).await {
                    Ok(()) => return,
                    Err(error) => format!("the proxy's connection ended: {error}"),
                }
            }
            Err(error) => format!("no proxy: {error}"),
        };
        tracing::warn!(%why, "the proxy is away");
        let _ = events.send(LinkEvent::Down { why: flightdeck_model::sanitize_line(&why) }); // the loop may be ending
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(RETRY.1),
            done = told_to_end(&mut orders) => return finish(&home, done).await,
        }
        while drains.try_recv().is_ok() {} // dropped: without a proxy nothing is in flight
    }
}

/// Replaces a proxy of another program, or one that no shim holds, and gives the connection to the new
/// one. Where that fails the old one goes on.
async fn renewed(
    home: &ProxyHome,
    connected: io::Result<(Connection, Hello)>,
    retired: &mut Retired,
) -> io::Result<(Connection, Hello)> {
    let (connection, hello) = connected?;
    let program = identity::program(&home.exe);
    let current = program.is_empty() || hello.program == program;
    if current && handover::holds(home).await {
        return Ok((connection, hello));
    }
    tracing::info!(
        old = hello.program,
        pid = hello.pid,
        "replacing a proxy of another program or without a shim that holds"
    );
    match handover::replace(home, connection, hello, retired).await {
        Ok(()) => connect(&home.dir, ANSWER).await,
        Err(error) => {
            tracing::error!(%error, "the proxy could not be replaced; the old one goes on");
            connect(&home.dir, ANSWER).await
        }
    }
}

/// Drops orders until one is to end; gives whom to tell once the proxy has ended too. Ends nothing
/// itself, since it may be dropped at any await.
async fn told_to_end(orders: &mut mpsc::UnboundedReceiver<LinkOrder>) -> Option<oneshot::Sender<()>> {
    loop {
        match orders.recv().await {
            Some(LinkOrder::Shutdown(done)) => return Some(done),
            Some(LinkOrder::Detach) | None => return None,
            Some(_) => {}
        }
    }
}

async fn finish(home: &ProxyHome, done: Option<oneshot::Sender<()>>) {
    if let Some(done) = done {
        end_proxy(home).await;
        let _ = done.send(()); // whoever asked may have given up
    }
}

async fn end_proxy(home: &ProxyHome) {
    for dir in home.all() {
        if let Err(error) = client::end(&dir).await {
            tracing::error!(%error, "cannot end the proxy");
        }
    }
}

/// Until the connection breaks (an error) or the link is told to end (`Ok`).
async fn converse(
    home: &ProxyHome,
    connection: &mut Connection,
    orders: &mut mpsc::UnboundedReceiver<LinkOrder>,
    drains: &mut mpsc::UnboundedReceiver<Drain>,
    events: &mpsc::UnboundedSender<LinkEvent>,
    retired: &mut Retired,
) -> io::Result<()> {
    let mut shim = watched(home).await;
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                None | Some(LinkOrder::Detach) => return Ok(()),
                Some(LinkOrder::Shutdown(done)) => {
                    shut_down(home, connection).await;
                    let _ = done.send(()); // whoever asked may have given up
                    return Ok(());
                }
                Some(LinkOrder::Route(route)) if route.is_beyond(connection.level) => {
                    let why = lacking(&route, connection.level).unwrap_or_default();
                    let Route { listener, version, .. } = route;
                    let _ = events.send(LinkEvent::Refused { listener, version, newer: None, why }); // the loop may be ending
                }
                Some(LinkOrder::Route(route)) => {
                    let lacking = lacking(&route, connection.level);
                    let asked = Asked::Route { listener: route.listener.clone(), version: route.version, lacking };
                    connection.send(Request::SetRoute(route), asked).await?;
                }
                Some(LinkOrder::Unroute { listener, version }) => {
                    let asked = Asked::Route { listener: listener.clone(), version, lacking: None };
                    connection.send(Request::RemoveRoute { listener }, asked).await?;
                }
                Some(LinkOrder::Renew(ttl)) => {
                    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                    connection.send(Request::Renew { ttl_ms }, Asked::Other).await?;
                }
                Some(LinkOrder::Stats) => connection.send(Request::Stats, Asked::Stats).await?,
            },
            line = connection.lines.next_line() => {
                let line = line?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let answer: Numbered<Response> = serde_json::from_str(&line)?;
                if let Some(asked) = connection.asked.remove(&answer.id) {
                    hear(asked, answer.body, events, retired);
                }
            }
            Some(Drain { instance, bound, done }) = drains.recv() => {
                let timeout_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
                let asked = Asked::Drain(done, Instant::now() + bound);
                connection.send(Request::Drain { instances: vec![instance], timeout_ms }, asked).await?;
            }
            // Without a shim nobody would start the proxy again: it is replaced by one under a shim.
            gone = shim_gone(&mut shim) => return Err(gone),
            () = retired.ended() => {}
        }
    }
}

async fn watched(home: &ProxyHome) -> Option<ShimClient> {
    let mut shim = ShimClient::connect(&home.dir).await.ok()?;
    shim.watch().await.ok()?;
    Some(shim)
}

/// Never for a proxy that has none: that one was to be replaced, and could not be.
async fn shim_gone(shim: &mut Option<ShimClient>) -> io::Error {
    let Some(shim) = shim else { return std::future::pending().await };
    while shim.changed().await.is_ok() {}
    io::Error::other("its shim is gone")
}

fn hear(asked: Asked, answer: Response, events: &mpsc::UnboundedSender<LinkEvent>, retired: &mut Retired) {
    let event = match (asked, answer) {
        (Asked::Route { listener, version, lacking }, Response::Acked { redirect_refused, .. }) => {
            LinkEvent::Acked { listener, version, lacking, redirect_refused }
        }
        (Asked::Route { listener, version, lacking }, Response::Done) => {
            LinkEvent::Acked { listener, version, lacking, redirect_refused: None }
        }
        (Asked::Route { listener, version, .. }, Response::Refused { why, newer }) => {
            LinkEvent::Refused { listener, version, newer, why: flightdeck_model::sanitize_line(&why) }
        }
        (Asked::Stats, Response::Stats(stats)) => LinkEvent::Stats { stats, alone: retired.none() },
        (Asked::Drain(done, until), Response::Drained { remaining }) => return retired.after(done, until, remaining),
        (_, Response::Refused { why, .. }) => return tracing::warn!(%why, "the proxy refused a request"),
        _ => return,
    };
    let _ = events.send(event); // the loop may be ending
}

/// What of a route a proxy can't do, in words.
fn lacking(route: &Route, level: u32) -> Option<String> {
    let beyond = route.beyond(level);
    (!beyond.is_empty()).then(|| {
        format!("the proxy is of an older program that could not be replaced: {} is not in force", beyond.join(", "))
    })
}

/// Its shim is told first, so that it does not start it again.
async fn shut_down(home: &ProxyHome, connection: &mut Connection) {
    const BOUND: Duration = Duration::from_secs(2);
    let told = client::ask(&home.dir, &ShimRequest::LetEnd).await.is_ok();
    if told && connection.let_end(BOUND).await.is_ok() {
        let _ = timeout(BOUND * 2, connection.closed()).await; // ended below in any case
    }
    end_proxy(home).await;
}
