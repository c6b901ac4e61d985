//! From what was seen of a failed process to its likely cause (pure).

use super::health::CheckFailure;
use super::wire::Ended;
use flightdeck_model::{Cause, PortOwner};
use std::net::SocketAddr;

/// SIGKILL, by which the kernel ends what has no memory left.
const KILL: i32 = 9;

/// What was seen when a process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub ended: Ended,
    /// The last lines of its output.
    pub output: Vec<String>,
    /// The machine, or its limit, ended something for want of memory meanwhile.
    pub memory: Option<Memory>,
}

/// What ran out of memory while a process ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    Machine,
    /// The instance's own limit, in bytes.
    Limit(u64),
}

/// Why a process ended. `owner` says who listens on a port, `expected` where it was to listen, if anywhere.
#[must_use]
pub fn end(seen: &Seen, expected: Option<SocketAddr>, owner: impl Fn(u16) -> Option<PortOwner>) -> Option<Cause> {
    let Ended { code, signal, left } = seen.ended;
    match (seen.memory, signal) {
        (Some(Memory::Limit(limit)), _) => return Some(Cause::OutOfMemory { limit: Some(limit) }),
        (Some(Memory::Machine), Some(KILL)) => return Some(Cause::OutOfMemory { limit: None }),
        _ => {}
    }
    if code == Some(0) && left > 0 {
        return Some(Cause::Daemonized { left });
    }
    if code != Some(0)
        && let Some(line) = seen.output.iter().rev().find(|line| says_in_use(line))
    {
        let port = ports_in(line).find(|port| owner(*port).is_some());
        let port = port.or_else(|| expected.map(|at| at.port()).filter(|port| owner(*port).is_some()));
        return Some(Cause::PortTaken { port, by: port.and_then(&owner) });
    }
    match (code, signal) {
        (Some(status), _) => Some(Cause::Exited { status }),
        (None, Some(signal)) => Some(Cause::Killed { signal }),
        (None, None) => None,
    }
}

/// The words of common runtimes for `EADDRINUSE`.
fn says_in_use(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["eaddrinuse", "address already in use", "address in use"].iter().any(|words| line.contains(words))
}

/// Numbers behind a colon that can be ports: `:::3000`, `127.0.0.1:8080`.
fn ports_in(line: &str) -> impl Iterator<Item = u16> {
    line.split(':').skip(1).filter_map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| rest.get(..end).unwrap_or_default());
        digits.parse().ok().filter(|port| *port != 0)
    })
}

/// Why a process does not pass its check.
#[must_use]
pub fn check(failure: &CheckFailure, expected: SocketAddr) -> Option<Cause> {
    match failure {
        CheckFailure::Status { path, status, location } => {
            Some(Cause::HealthStatus { path: path.clone(), status: *status, location: location.clone() })
        }
        CheckFailure::NoAnswer { path, within } => {
            let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
            Some(Cause::NoAnswer { path: path.clone(), within_ms })
        }
        CheckFailure::NotConnected { listens: Some(listens), .. } => {
            if listens.is_empty() {
                return Some(Cause::NotListening { expected });
            }
            let same = listens.iter().any(|at| at.port() == expected.port());
            let listens = listens.clone();
            // It may have come up between the check and the look.
            if listens.contains(&expected) {
                return None;
            }
            Some(if same { Cause::OtherAddress { expected, listens } } else { Cause::OtherPort { expected, listens } })
        }
        CheckFailure::Command { said, .. } if !said.is_empty() => Some(Cause::CheckSaid { lines: said.clone() }),
        CheckFailure::NotConnected { listens: None, .. }
        | CheckFailure::Broken { .. }
        | CheckFailure::Command { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn owner(port: u16) -> Option<PortOwner> {
        (port == 3000).then(|| PortOwner { pid: 7, name: "node".into() })
    }

    #[test]
    fn each_end_has_its_likely_cause() {
        let exited = |code| Ended { code: Some(code), ..Ended::default() };
        let killed = |signal| Ended { signal: Some(signal), ..Ended::default() };
        let taken = |port: Option<u16>| Cause::PortTaken { port, by: port.and_then(owner) };
        for (ended, output, memory, expected) in [
            (exited(3), "", None, Some(Cause::Exited { status: 3 })),
            (exited(0), "", None, Some(Cause::Exited { status: 0 })),
            (Ended { left: 2, ..exited(0) }, "", None, Some(Cause::Daemonized { left: 2 })),
            (Ended { left: 2, ..exited(1) }, "", None, Some(Cause::Exited { status: 1 })),
            (exited(1), "Error: listen EADDRINUSE: address already in use :::3000", None, Some(taken(Some(3000)))),
            (exited(1), "OSError: [Errno 98] Address already in use", None, Some(taken(None))),
            (exited(0), "Address already in use, trying another", None, Some(Cause::Exited { status: 0 })),
            (killed(9), "", Some(Memory::Machine), Some(Cause::OutOfMemory { limit: None })),
            (killed(11), "", Some(Memory::Machine), Some(Cause::Killed { signal: 11 })),
            (exited(137), "", Some(Memory::Limit(1 << 20)), Some(Cause::OutOfMemory { limit: Some(1 << 20) })),
            (killed(9), "", None, Some(Cause::Killed { signal: 9 })),
            (Ended::default(), "", None, None),
        ] {
            let seen = Seen { ended, output: vec!["before".into(), output.into()], memory };
            assert_eq!(end(&seen, Some(([127, 0, 0, 1], 21_000).into()), owner), expected, "{seen:?}");
        }
        let seen = Seen { ended: exited(1), output: vec!["Address in use".into()], memory: None };
        assert_eq!(end(&seen, Some(([127, 0, 0, 1], 3000).into()), owner), Some(taken(Some(3000))));
    }

    #[test]
    fn a_check_that_fails_has_its_likely_cause() {
        let expected: SocketAddr = ([127, 0, 0, 1], 21_000).into();
        let refused = |listens: Option<Vec<SocketAddr>>| CheckFailure::NotConnected {
            path: Some("/healthz".into()),
            why: "Connection refused".into(),
            listens,
        };
        let other: SocketAddr = ([127, 0, 0, 1], 8000).into();
        let outside: SocketAddr = ([192, 0, 2, 1], 21_000).into();
        let path = || "/healthz".to_owned();
        for (failure, cause) in [
            (refused(None), None),
            (refused(Some(vec![])), Some(Cause::NotListening { expected })),
            (refused(Some(vec![expected])), None),
            (refused(Some(vec![other])), Some(Cause::OtherPort { expected, listens: vec![other] })),
            (refused(Some(vec![outside])), Some(Cause::OtherAddress { expected, listens: vec![outside] })),
            (
                CheckFailure::Status { path: path(), status: 404, location: None },
                Some(Cause::HealthStatus { path: path(), status: 404, location: None }),
            ),
            (
                CheckFailure::NoAnswer { path: path(), within: Duration::from_secs(1) },
                Some(Cause::NoAnswer { path: path(), within_ms: 1000 }),
            ),
            (CheckFailure::Broken { path: path(), why: "reset".into() }, None),
            (CheckFailure::Command { program: "bin/alive".into(), how: "exit status 1".into(), said: vec![] }, None),
            (
                CheckFailure::Command { program: "bin/alive".into(), how: "ended".into(), said: vec!["behind".into()] },
                Some(Cause::CheckSaid { lines: vec!["behind".into()] }),
            ),
        ] {
            assert_eq!(check(&failure, expected), cause, "{failure:?}");
        }
    }
}
