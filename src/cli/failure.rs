//! How a command ends when it does not end well: an exit code, what happened, and what to do.

use crate::client::{ClientError, SubmitError};
use crate::config::ConfigError;
use crate::model::{Refusal, RefusalKind};
use std::fmt;

/// Exit codes; 0 is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    /// It was tried and failed.
    Failed = 1,
    /// The command line or a file it names is wrong; nothing was tried.
    Usage = 2,
    /// Refused by policy, by a pin, or since it does not apply; nothing changed.
    Refused = 3,
    /// Nothing could be seen: no server answers, no source can be reached, or none may be read.
    Unreachable = 4,
    /// The effect was not seen in time; it may still come.
    TimedOut = 5,
    /// Only a part could be seen or done; the rest is named.
    Partial = 6,
    /// The rollout was aborted.
    Aborted = 7,
    /// Users were taken back to the version before.
    RolledBack = 8,
    /// It waits for a person, who has to do something first.
    Waits = 9,
    /// A comparison that was asked for it found differences.
    Differs = 10,
}

/// Why the program ends with a code other than 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The program's exit code.
    pub code: Code,
    /// What happened and what still holds; empty where that was said already.
    pub what: String,
    pub todo: Option<String>,
    /// The exit status of a program that was run, which is this one's in the place of the code.
    pub status: Option<u8>,
}

impl Failure {
    /// A failure without advice.
    #[must_use]
    pub fn new(code: Code, what: impl Into<String>) -> Failure {
        Failure { code, what: what.into(), todo: None, status: None }
    }

    /// A program that was run ended so, and has said all itself.
    #[must_use]
    pub fn with_status(status: u8) -> Failure {
        Failure { status: Some(status), ..Failure::new(Code::Failed, "") }
    }

    /// What this program's exit status is.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        self.status.unwrap_or(self.code as u8)
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn todo(mut self, todo: impl Into<String>) -> Failure {
        self.todo = Some(todo.into());
        self
    }

    /// A wrong command line.
    #[must_use]
    pub fn usage(what: impl Into<String>) -> Failure {
        Failure::new(Code::Usage, what)
    }

    /// Something that should have worked.
    #[must_use]
    pub fn failed(what: impl Into<String>) -> Failure {
        Failure::new(Code::Failed, what)
    }

    /// An error with all its causes, such as `cannot read x: No such file or directory`.
    pub fn from_error(code: Code, error: &dyn std::error::Error) -> Failure {
        let mut what = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !what.ends_with(&next) {
                what = format!("{what}: {next}");
            }
            cause = error.source();
        }
        Failure::new(code, what)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.todo.as_ref().map_or(Ok(()), |todo| write!(f, "\n{todo}"))
    }
}

impl std::error::Error for Failure {}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let code = match refusal.kind {
            RefusalKind::Denied | RefusalKind::PinChanged | RefusalKind::NotApplicable | RefusalKind::Stale => {
                Code::Refused
            }
            RefusalKind::NotFound | RefusalKind::Invalid => Code::Usage,
            RefusalKind::NotRecorded | RefusalKind::Internal => Code::Failed,
        };
        let failure = Failure::new(code, refusal.why);
        match refusal.kind {
            RefusalKind::PinChanged => {
                failure.todo("look again with `flightdeck get rollouts`, then decide with what you see now")
            }
            _ => failure,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        match error {
            ClientError::Refused(refusal) => refusal.into(),
            ClientError::Artifact { .. } => Failure::new(Code::Usage, error.in_full()),
            ClientError::Decode { .. } | ClientError::Address(_) => Failure::new(Code::Failed, error.in_full()),
            ClientError::NoServer { .. }
            | ClientError::Denied { .. }
            | ClientError::NotFlightdeck { .. }
            | ClientError::ServerNewer { .. }
            | ClientError::Answer { .. }
            | ClientError::Silent
            | ClientError::Request { .. }
            | ClientError::Stream(_) => Failure::new(Code::Unreachable, error.in_full()),
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Failure {
        match error {
            SubmitError::Refused(refusal) => refusal.into(),
            SubmitError::NotSent(why) => Failure::new(Code::Unreachable, format!("nothing was sent: {why}")),
            SubmitError::Unknown(why) => {
                Failure::failed(format!("the answer was lost, it may have been carried out: {why}"))
                    .todo("don't send it again blindly: `flightdeck get receipts` shows what arrived")
            }
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::new(Code::Usage, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::failed(error.to_string())
    }
}
