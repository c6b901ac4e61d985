//! Requests at a steady rate: an open loop, so that a slow service does not slow its own test down.
//!
//! Each request has an intended time from which its latency counts. Nothing is ever sent twice.

mod client;
mod summary;

pub use summary::{Failed, LatencyMicros, Summary};

use super::stdin_closed;
use client::{Ending, Kind, Outcome, Target};
use hyper::Uri;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use summary::Tally;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Between a stream that failed and the next.
const STREAM_PAUSE: Duration = Duration::from_secs(1);

/// What is sent.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct LoadArgs {
    /// Where to; repeatable.
    #[arg(long, required = true)]
    pub target: Vec<Uri>,
    /// Requests per second to each target.
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    /// Kept-alive connections to each target.
    #[arg(long, default_value_t = 50)]
    pub connections: usize,
    /// Share of requests that open a connection of their own; 0 to 1.
    #[arg(long, default_value_t = 0.1)]
    pub fresh: f64,
    /// Streamed answers at a time from each target, of `/stream`.
    #[arg(long, default_value_t = 0)]
    pub streams: usize,
    /// Length of one streamed answer.
    #[arg(long, default_value_t = 10.0)]
    pub stream_seconds: f64,
    /// Seconds; until a signal without it.
    #[arg(long)]
    pub duration: Option<f64>,
    /// Seconds that a request may take; a stream its length and so much more.
    #[arg(long, default_value_t = 10.0)]
    pub timeout: f64,
    /// Stops as well when standard input, which must be a pipe, closes: its parent is gone.
    #[arg(long)]
    pub until_eof: bool,
    /// Rewrites the summary here each second.
    #[arg(long)]
    pub report: Option<PathBuf>,
}

/// Why no load could be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The runtime did not start.
    #[error("starting the runtime")]
    Runtime(#[source] io::Error),
    /// A target is no address.
    #[error("{target} is not a target: {why}")]
    Target {
        /// Which.
        target: Uri,
        /// Why.
        why: String,
    },
    /// A number is out of its range.
    #[error("{what} is {value}; it must be {range}")]
    Range {
        /// Which.
        what: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// The summary can't be written.
    #[error("writing the summary")]
    Report(#[source] io::Error),
}

/// Sends until the time is over or a signal comes, then prints the summary as JSON.
pub fn run(args: LoadArgs) -> Result<(), LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(LoadError::Runtime)?;
    let summary = runtime.block_on(load(args))?;
    let text = serde_json::to_string_pretty(&summary).map_err(|error| LoadError::Report(error.into()))?;
    writeln!(io::stdout(), "{text}").map_err(LoadError::Report)
}

/// The numbers of [`LoadArgs`], checked.
struct Plan {
    /// Between two requests, of whatever target.
    interval: Duration,
    duration: Option<Duration>,
    timeout: Duration,
    stream: Duration,
}

impl Plan {
    #[expect(clippy::cast_precision_loss, reason = "a handful of targets")]
    fn new(args: &LoadArgs) -> Result<Self, LoadError> {
        let seconds = |what, value| {
            Duration::try_from_secs_f64(value).map_err(|_| LoadError::Range { what, value, range: "at least 0" })
        };
        if !(0.0..=1.0).contains(&args.fresh) {
            return Err(LoadError::Range { what: "--fresh", value: args.fresh, range: "0 to 1" });
        }
        if !(0.001..=1e6).contains(&args.rate) {
            return Err(LoadError::Range { what: "--rate", value: args.rate, range: "0.001 to 1000000" });
        }
        Ok(Self {
            interval: seconds("--rate", 1.0 / (args.rate * args.target.len().max(1) as f64))?,
            duration: args.duration.map(|value| seconds("--duration", value)).transpose()?,
            timeout: seconds("--timeout", args.timeout)?,
            stream: seconds("--stream-seconds", args.stream_seconds)?,
        })
    }
}

async fn load(args: LoadArgs) -> Result<Summary, LoadError> {
    let plan = Plan::new(&args)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(LoadError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(LoadError::Runtime)?;
    let mut orphaned = pin!(orphaned(args.until_eof));
    let mut targets = Vec::new();
    for uri in &args.target {
        targets.push(Arc::new(Target::resolve(uri, args.connections).await?));
    }
    let start = Instant::now();
    let end = plan.duration.map(|duration| start + duration);
    let mut tally = Tally::default();
    let mut under_way: JoinSet<Outcome> = JoinSet::new();
    for target in &targets {
        for _ in 0..args.streams {
            tally.sent();
            under_way.spawn(Arc::clone(target).stream(Duration::ZERO, plan.stream, plan.timeout));
        }
    }
    let mut report = tokio::time::interval(Duration::from_secs(1));
    let mut due = start;
    let mut turns = targets.iter().cycle();
    loop {
        let sending = end.is_none_or(|end| due < end);
        if !sending && under_way.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut orphaned => break,
            Some(joined) = under_way.join_next() => {
                let Ok(outcome) = joined else { continue };
                if outcome.kind == Kind::Stream && end.is_none_or(|end| Instant::now() < end) {
                    // One that failed is not followed at once: a refused connection costs nothing.
                    let pause = if outcome.ending == Ending::Ok { Duration::ZERO } else { STREAM_PAUSE };
                    tally.sent();
                    under_way.spawn(Arc::clone(&outcome.target).stream(pause, plan.stream, plan.timeout));
                }
                tally.ended(outcome);
            }
            () = tokio::time::sleep_until(due), if sending => {
                let now = Instant::now();
                while due <= now && end.is_none_or(|end| due < end) {
                    let Some(target) = turns.next() else { break };
                    let kind = if fastrand::f64() < args.fresh { Kind::Fresh } else { Kind::Kept };
                    tally.sent();
                    under_way.spawn(Arc::clone(target).request(kind, due, plan.timeout));
                    due += plan.interval;
                }
            }
            _ = report.tick(), if args.report.is_some() => {
                write_report(args.report.as_deref(), &tally.summary(start.elapsed())).await?;
            }
        }
    }
    let summary = tally.summary(start.elapsed());
    write_report(args.report.as_deref(), &summary).await?;
    Ok(summary)
}

/// Resolves when the parent is gone, if that is asked for.
async fn orphaned(asked: bool) {
    if !asked {
        return std::future::pending().await;
    }
    // Without a pipe there is no parent to wait for.
    if let Err(error) = stdin_closed().await {
        tracing::warn!(%error, "standard input is no pipe");
    }
}

async fn write_report(path: Option<&Path>, summary: &Summary) -> Result<(), LoadError> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_vec_pretty(summary).map_err(|error| LoadError::Report(error.into()))?;
    let new = path.with_extension("new");
    tokio::fs::write(&new, text).await.map_err(LoadError::Report)?;
    tokio::fs::rename(&new, path).await.map_err(LoadError::Report)
}
