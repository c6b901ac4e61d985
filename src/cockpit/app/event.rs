//! Everything that reaches the cockpit and everything that it asks for: plain data, so that a
//! session can be recorded and replayed.

use flightdeck_model::{Actor, Command, Envelope, Query, Receipt, Refusal, Reply};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One server (or hub) that the cockpit joined; an index into its connections.
pub type ConnectionId = usize;
/// Binds an answer to its question.
pub type Token = u64;

/// How a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum ConnectionState {
    /// Being made.
    Connecting,
    /// Up, and who we are there.
    Up {
        /// Whom the server takes us for.
        actor: Actor,
        /// Is policy enforced there?
        enforced: bool,
    },
    /// Lost; the shell tries again by itself.
    Down {
        why: String,
        /// When the last word was heard from it, where one was.
        #[serde(default)]
        heard: Option<Timestamp>,
    },
}

/// Something that happened. All of it arrives on one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// A key was pressed.
    Key(key::Key),
    /// Keys that one read of the terminal found together: text that was pasted without brackets, keys that a
    /// slow line held back, or a key held down.
    Burst(Vec<key::Key>),
    /// Text was pasted (bracketed paste).
    Paste(String),
    /// A click at column and row.
    Click {
        /// Column, from 0.
        column: u16,
        /// Row, from 0.
        row: u16,
    },
    /// The wheel turned: negative is up.
    Scroll {
        lines: i16,
        /// Over which column and row, from 0.
        #[serde(default)]
        at: (u16, u16),
    },
    /// The terminal has this size now.
    Resize { columns: u16, rows: u16 },
    /// A moment that was asked for with [`Effect::WakeAt`] has come.
    Wake,
    /// What changed is on the screen now: a confirmation that opened can be read from here on.
    Drawn,
    /// A connection changed.
    Connection {
        id: ConnectionId,
        /// What its user calls it.
        name: String,
        /// How it is now.
        state: ConnectionState,
    },
    /// A server told something.
    Update { id: ConnectionId, envelope: Box<Envelope> },
    /// The answer to [`Effect::Ask`].
    Reply {
        /// To which question.
        token: Token,
        /// What; `Err`: why there is none.
        reply: Result<Box<Reply>, String>,
    },
    /// The answer to [`Effect::Submit`].
    Submitted {
        /// To which command.
        token: Token,
        /// The first receipt, a refusal, or why it is not known whether it arrived.
        outcome: Submitted,
    },
    /// A line of the instance that is followed.
    LogLine {
        /// Which following.
        token: Token,
        /// Sanitised.
        line: String,
    },
    /// The following ended.
    LogEnded {
        /// Which following.
        token: Token,
        why: String,
    },
    /// New records for the Logs page are there.
    LogRecords,
    /// Continued after a suspension: everything must be drawn again.
    Resumed,
    /// A configuration file was read again; the outcome in words. The new settings are applied by the shell.
    Reloaded(String),
    /// The program was told to end.
    Terminate,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Submitted {
    /// The hub has it; more will come as updates.
    Taken(Box<Receipt>),
    /// The hub said no.
    Refused(Refusal),
    /// It never left.
    NotSent(String),
    /// The answer was lost. Never sent again blindly; updates may still bring its receipt.
    Unknown(String),
}

/// Something for the shell to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Effect {
    /// Ask a hub.
    Ask {
        connection: ConnectionId,
        /// Comes back with the answer.
        token: Token,
        query: Query,
    },
    /// Send a command.
    Submit {
        /// To which hub.
        connection: ConnectionId,
        /// Comes back with the outcome.
        token: Token,
        /// What. The shell fills an empty id with a fresh one.
        command: Command,
    },
    /// Follow an instance's output.
    Follow {
        /// Of which hub.
        connection: ConnectionId,
        /// Comes back with each line.
        token: Token,
        instance: String,
    },
    /// Stop following.
    Unfollow {
        /// Which following.
        token: Token,
    },
    /// Send [`Event::Wake`] at that moment; a later call replaces an earlier one; `None` cancels.
    WakeAt(Option<Timestamp>),
    /// Try a lost connection now.
    Reconnect { connection: ConnectionId },
    /// Put text on the clipboard (OSC 52).
    Copy(String),
    /// Ring.
    Bell,
    /// Stop the program until the shell continues it.
    Suspend,
    /// End the program.
    Quit,
}

/// Keys as data.
pub mod key {
    use serde::{Deserialize, Serialize};

    /// A key press in keymap.toml's notation: `p`, `G`, `ctrl-r`, `enter`, `esc`, `tab`, `space`,
    /// `backspace`, `up`, `pgdn`, `f1`.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct Key(pub String);

    impl From<&str> for Key {
        fn from(text: &str) -> Key {
            Key(text.to_owned())
        }
    }
}
