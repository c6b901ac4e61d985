//! Why an instance or a hook does not do what it should, as far as was seen.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// What was found out about an instance, or a hook's run, that failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The instance, or the run of a hook, that `logs` shows the output of.
    pub output_of: String,
    /// The hook's name, if it is one.
    pub hook: Option<String>,
    /// How it ended, or what its check said: `exit status 1`, `GET /healthz answered 404`.
    pub how: String,
    /// The likely cause; `None`: nothing that was seen points to one.
    pub cause: Option<Cause>,
    /// The last lines of its output, oldest first, sanitised and without secrets.
    pub output: Vec<String>,
}

/// A likely cause. Its text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Cause {
    /// The program is not there.
    MissingProgram {
        /// As configured.
        program: String,
        /// The one folder in which everything of the artifact lies, if there is one.
        folder: Option<String>,
        /// Where a file of that name is, inside the artifact.
        found: Option<String>,
        /// Where `PATH` has a program of that plain name, which is not searched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        installed: Option<String>,
    },
    /// The program is no file, or may not be executed.
    NotExecutable {
        /// As configured.
        program: String,
    },
    /// What the first line of a script, or a binary, wants to be run by is not there.
    MissingInterpreter {
        /// As configured.
        program: String,
        /// What is missing.
        interpreter: String,
    },
    /// The first line of a script ends with a carriage return, as editors of Windows write it.
    CarriageReturn {
        /// As configured.
        program: String,
    },
    /// A text without a first line that says what runs it, or nothing at all.
    NoProgram {
        /// As configured.
        program: String,
    },
    /// It was built for other machines.
    WrongArchitecture {
        /// As configured.
        program: String,
        built_for: String,
        /// What this machine is.
        here: String,
    },
    /// It runs, and listens on no port.
    NotListening {
        /// Where it was to listen.
        expected: SocketAddr,
    },
    /// It listens on other ports than the one that it was given.
    OtherPort {
        /// Where it was to listen.
        expected: SocketAddr,
        listens: Vec<SocketAddr>,
    },
    /// It listens on the port that it was given, and where it can't be reached from here.
    OtherAddress {
        /// Where it was to listen.
        expected: SocketAddr,
        listens: Vec<SocketAddr>,
    },
    /// A port that it wants belongs to another program.
    PortTaken {
        /// Which; `None`: its output does not say.
        port: Option<u16>,
        /// Whose it is, as far as that can be seen.
        by: Option<PortOwner>,
    },
    /// Its first process ended well and left others behind: it went into the background.
    Daemonized {
        /// So many processes were left.
        left: u32,
    },
    /// It ended by itself.
    Exited { status: i32 },
    /// A signal ended it that was not ours.
    Killed { signal: i32 },
    /// It was killed since there was not enough memory.
    OutOfMemory {
        /// Its own limit in bytes, if it was that.
        limit: Option<u64>,
    },
    /// The health check's path does not answer 2xx.
    HealthStatus {
        path: String,
        /// What it answers.
        status: u16,
        /// Where it redirects to.
        location: Option<String>,
    },
    /// The program that checks it says no, and why.
    CheckSaid {
        /// The last lines that it wrote, oldest first, sanitised and without secrets.
        lines: Vec<String>,
    },
    /// It listens as it should and does not answer.
    NoAnswer {
        /// The health check's path.
        path: String,
        /// How long was waited, milliseconds.
        within_ms: u64,
    },
}

/// A program that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortOwner {
    /// Its process id.
    pub pid: u32,
    /// Its name, as the kernel has it.
    pub name: String,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::MissingProgram { program, folder, found, installed } => {
                missing(f, program, folder.as_deref(), found.as_deref())?;
                match installed {
                    Some(path) => write!(f, "; if the installed one is meant, let run begin with \"{path}\""),
                    None => Ok(()),
                }
            }
            Cause::NotExecutable { program } => {
                write!(f, "{program} is not an executable file: chmod +x it before it is packed")
            }
            Cause::MissingInterpreter { program, interpreter } => {
                write!(f, "{program} is to be run by {interpreter}, which is not there: install it, or name another")
            }
            Cause::CarriageReturn { program } => {
                write!(
                    f,
                    "the lines of {program} end as on Windows (CRLF), so that its #! line names nothing: \
                           convert it with `sed -i 's/\\r$//'`"
                )
            }
            Cause::NoProgram { program } => {
                write!(
                    f,
                    "{program} is no binary and has no #! line that says what runs it: let it begin with one, \
                           such as #!/bin/sh"
                )
            }
            Cause::WrongArchitecture { program, built_for, here } => {
                write!(f, "{program} was built for {built_for}, and this machine is {here}: build it for {here}")
            }
            Cause::NotListening { expected } => {
                write!(f, "it runs and listens on no port yet: let it listen on {expected}, the address with {{port}}")
            }
            Cause::OtherPort { expected, listens } => {
                write!(f, "it listens on {} and not on {expected}: pass it {{port}} in run or env", list(listens))
            }
            Cause::OtherAddress { expected, listens } => {
                write!(f, "it listens on {} and not on {expected}: let it listen on {}", list(listens), expected.ip())
            }
            Cause::PortTaken { port, by } => taken(f, *port, by.as_ref()),
            Cause::Daemonized { left } => {
                write!(
                    f,
                    "it went into the background ({left} processes were left behind, and were ended): let it \
                           stay in the foreground, such as without --daemon"
                )
            }
            Cause::Exited { status } => write!(f, "it ended by itself with status {status}: its output may say why"),
            Cause::Killed { signal } => write!(f, "signal {signal} ended it, and flightdeck did not send it"),
            Cause::OutOfMemory { limit: Some(limit) } => {
                write!(
                    f,
                    "it wanted more memory than its limit of {} MiB and was killed: raise limits.memory, or \
                           let it use less",
                    limit >> 20
                )
            }
            Cause::OutOfMemory { limit: None } => {
                f.write_str("the machine ran out of memory and killed it: let it use less, or give the machine more")
            }
            Cause::HealthStatus { path, status, location } => answers(f, path, *status, location.as_deref()),
            Cause::CheckSaid { lines } => write!(f, "the check wrote: {}", lines.join(" / ")),
            Cause::NoAnswer { path, within_ms } => {
                write!(
                    f,
                    "it listens and does not answer GET {path} within {within_ms} ms: its output may say why, \
                           or health needs a longer timeout"
                )
            }
        }
    }
}

fn missing(f: &mut fmt::Formatter<'_>, program: &str, folder: Option<&str>, found: Option<&str>) -> fmt::Result {
    let place = if program.starts_with('/') { "on this machine" } else { "in the artifact" };
    match (folder, found) {
        (Some(folder), Some(found)) => write!(
            f,
            "there is no {program} {place}, whose files all lie in the folder {folder}: pack the content of that folder \
             (`tar -C {folder} -czf …`), or let run begin with \"{found}\""
        ),
        (None, Some(found)) => {
            write!(f, "there is no {program} {place}, but there is {found}: let run begin with that")
        }
        _ => write!(f, "there is no {program} {place}"),
    }
}

fn taken(f: &mut fmt::Formatter<'_>, port: Option<u16>, by: Option<&PortOwner>) -> fmt::Result {
    match port {
        Some(port) => write!(f, "port {port}, which it wants, is in use")?,
        None => f.write_str("an address that it wants is in use")?,
    }
    if let Some(by) = by {
        write!(f, " by {by}")?;
    }
    f.write_str(": let it listen on {port} alone")
}

fn answers(f: &mut fmt::Formatter<'_>, path: &str, status: u16, location: Option<&str>) -> fmt::Result {
    match (status, location) {
        (404, _) => write!(f, "there is nothing at {path}: let health's path be one that answers 2xx"),
        (401 | 403, _) => write!(f, "{path} asks for a login ({status}): let health's path be one that needs none"),
        (300..=399, Some(to)) => write!(f, "{path} redirects to {to}: let health's path be one that answers 2xx"),
        (500.., _) => write!(f, "the app answers {path} with an error ({status}): its output may say why"),
        _ => write!(f, "{path} answers {status}: let health's path be one that answers 2xx"),
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
