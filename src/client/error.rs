//! What can go wrong between a client and its server, in words that say what to do.

use flightdeck_model::{Refusal, WIRE_VERSION};
use std::error::Error as _;
use std::path::PathBuf;

/// Why a server gave no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no server at {}: start one with `flightdeck serve`, or try `flightdeck demo`", socket.display()
    )]
    NoServer {
        /// Where one was looked for.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: reqwest::Error,
    },
    /// The system does not let this user connect.
    #[error(
        "you may not reach the server at {}: it is for its own user and, where it was started with `--group`, that \
         group's members (`id` lists yours; a new group counts from the next login)", socket.display()
    )]
    Denied {
        /// Which one.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: reqwest::Error,
    },
    /// Something listens, but it does not speak our protocol.
    #[error("what listens at {} is no flightdeck server: check `--server`", socket.display())]
    NotFlightdeck { socket: PathBuf },
    /// The server is newer than this program.
    #[error(
        "the server speaks version {theirs} of the protocol and this program {WIRE_VERSION}: upgrade flightdeck here"
    )]
    ServerNewer {
        /// The server's version.
        theirs: u32,
    },
    /// The server said no, with its reason.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server answered with an error that carries no reason.
    #[error("the server answered {status}: {text}")]
    Answer {
        /// HTTP status.
        status: u16,
        /// The beginning of what it said.
        text: String,
    },
    /// The exchange broke off.
    #[error("could not {what}: is the server still running? see `flightdeck doctor`")]
    Request {
        what: &'static str,
        #[source]
        source: reqwest::Error,
    },
    /// The server took the question but did not answer in time.
    #[error("the server does not answer; is it overloaded or stopped? see `flightdeck doctor`")]
    Silent,
    /// A name that fits in no address.
    #[error("{0:?} can't be asked for")]
    Address(String),
    /// The answer is not what the protocol says.
    #[error("could not {what}: the server's answer is not understood; are both of the same version?")]
    Decode {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    /// The artifact to upload can't be read.
    #[error("could not read {}", path.display())]
    Artifact {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A stream of lines broke off.
    #[error("the stream from the server broke off")]
    Stream(#[source] tokio_util::codec::LinesCodecError),
}

impl ClientError {
    /// The sentence with the innermost cause, such as `Connection refused`.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut cause = self.source();
        let mut last = None;
        while let Some(error) = cause {
            last = Some(error.to_string());
            cause = error.source();
        }
        last.map_or_else(|| self.to_string(), |last| format!("{self} ({last})"))
    }
}

/// Why there is no receipt for a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The hub or the backend said no: nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It never reached a server: nothing changed.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The answer was lost: it may have been carried out. Never send it again blindly.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}
