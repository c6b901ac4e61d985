//! What was done, by whom, with what effect: append-only and hash-chained.
//!
//! One SQLite file `ledger.db` (WAL, synchronous FULL) on a thread of its own, so that no loop
//! waits for a disk; a record is durable when [`Ledger::append`] resolves. Each record's hash
//! covers the one before it, so that a changed, inserted or removed record breaks the chain from
//! there on; a head record (count and last hash) shows a removed tail. Whoever can write the file
//! can also compute a whole new chain with a new head: a chain alone can't show that. Keep the
//! last hash of [`verify`] somewhere else to notice it.
//!
//! Hubs of one user share it: each append reads the head within its own transaction, so that several
//! processes make one chain; each record of a command names its hub and the sources that it went to,
//! and a hub that lives holds a lock ([`Presence`]), so that another knows whose to follow.
//!
//! When the store can't be written, urgent records go to `ledger.spill` (preallocated, so that a
//! full disk doesn't stop them) and are merged into the chain, marked as spilled, at the next
//! successful write or start.

mod presence;
mod record;
mod spill;
mod store;
mod thread;
mod verify;

pub use presence::Presence;
pub use record::{Entry, Kind, Record};
pub use store::LedgerError;
pub use thread::{Appended, Known, Ledger, Options};
pub use verify::{Broken, Verified, verify};
