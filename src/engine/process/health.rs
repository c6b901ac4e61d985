//! Health checks: `GET path` on an instance's port, over a connection of its own each time, so that
//! a program that no longer accepts is found out.

use crate::model::{HealthSpec, sanitize_line};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Pause after the first try while nothing has answered yet, so that a quick start is seen at once.
const COMING_UP: Duration = Duration::from_millis(10);
/// Longest such pause: each is twice the one before.
const COMING_UP_MAX: Duration = Duration::from_millis(100);
/// Bytes of an answer that are read before the connection is closed.
const MAX_BODY: usize = 64 << 10;

/// What the checks say, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Enough good ones in a row.
    Ready,
    /// Enough bad ones in a row.
    Unhealthy(String),
}

/// The checks of one instance.
#[derive(Debug)]
pub struct Health {
    spec: HealthSpec,
    address: SocketAddr,
    /// Something answered once: from now on only the interval counts.
    up: bool,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    good: u32,
    bad: u32,
    told: Option<Result<(), String>>,
}

impl Counts {
    /// Counts one check; `Some` when the verdict, or its reason, changes.
    fn count(&mut self, spec: &HealthSpec, check: Result<(), String>) -> Option<Verdict> {
        match check {
            Ok(()) => {
                (self.good, self.bad) = (self.good.saturating_add(1), 0);
                let enough = self.good >= spec.healthy.max(1) && self.told != Some(Ok(()));
                enough.then(|| {
                    self.told = Some(Ok(()));
                    Verdict::Ready
                })
            }
            Err(why) => {
                (self.good, self.bad) = (0, self.bad.saturating_add(1));
                // Told again for another reason: "refused" while it starts hides "503" from then on.
                let news = self.told.as_ref() != Some(&Err(why.clone()));
                (news && self.bad >= spec.unhealthy.max(1)).then(|| {
                    self.told = Some(Err(why.clone()));
                    Verdict::Unhealthy(why)
                })
            }
        }
    }
}

fn std_duration(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default().max(Duration::from_millis(10))
}

impl Health {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(spec: HealthSpec, address: SocketAddr) -> Health {
        Health { spec, address, up: false, counts: Counts::default() }
    }

    /// The next change of the verdict. Cancel safe: a check that is cut off is not counted.
    pub async fn next(&mut self) -> Verdict {
        loop {
            let interval = std_duration(self.spec.interval);
            let check = if self.up || self.counts.told.is_some() {
                sleep(interval).await;
                self.check().await
            } else {
                self.first(interval).await
            };
            if let Some(verdict) = self.counts.count(&self.spec, check) {
                return verdict;
            }
        }
    }

    /// One check while the instance comes up: good as soon as it answers well, bad at the end of
    /// the interval.
    async fn first(&mut self, interval: Duration) -> Result<(), String> {
        let (mut pause, mut left) = (COMING_UP, interval);
        loop {
            let check = self.check().await;
            self.up = check.is_ok();
            if self.up {
                return check;
            }
            sleep(pause.min(left)).await;
            left = left.saturating_sub(pause);
            if left.is_zero() {
                return check;
            }
            pause = (pause * 2).min(COMING_UP_MAX);
        }
    }

    async fn check(&self) -> Result<(), String> {
        let bound = std_duration(self.spec.timeout);
        let path = &self.spec.path;
        match timeout(bound, get(self.address, path)).await {
            Err(_) => Err(format!("GET {path}: no answer within {} ms", bound.as_millis())),
            Ok(Err(why)) => Err(sanitize_line(&format!("GET {path}: {why}"))),
            Ok(Ok(status)) if (200..300).contains(&status) => Ok(()),
            Ok(Ok(status)) => Err(format!("GET {path} answered {status}")),
        }
    }
}

/// The status of the answer, once its body was read.
async fn get(address: SocketAddr, path: &str) -> Result<u16, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::get(path)
        .header("host", address.to_string())
        .header("user-agent", "flightdeck-health")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        // What is left unread would reset the connection, and show up in the instance's log.
        let _ = Limited::new(response.into_body(), MAX_BODY).collect().await;
        Ok(status)
    };
    // The connection is driven by this task alone; its own end matters only if it ends first.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => return answer,
        _ = connection => {}
    }
    answer.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_a_row_and_is_told_once_for_each_reason() {
        let spec = HealthSpec {
            path: "/".into(),
            interval: SignedDuration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
            timeout: SignedDuration::from_secs(1),
        };
        let mut counts = Counts::default();
        let mut told = String::new();
        for check in "++-+++--+---?+-++".chars() {
            let result = if check == '+' { Ok(()) } else { Err(check.to_string()) };
            told.push(match counts.count(&spec, result) {
                Some(Verdict::Ready) => 'R',
                Some(Verdict::Unhealthy(_)) => 'U',
                None => '.',
            });
        }
        assert_eq!(told, ".R.........UU...R");
    }
}
