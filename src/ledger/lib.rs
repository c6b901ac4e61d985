//! What was done, by whom, with what effect: append-only and hash-chained.
//!
//! One SQLite file `ledger.db` (WAL, synchronous FULL) on a thread of its own, so that no loop
//! waits for a disk; a record is durable when [`Ledger::append`] resolves. Each record's hash
//! covers the one before it, so that a changed, inserted or removed record breaks the chain from
//! there on; a head record (count and last hash) shows a removed tail. Whoever can write the file
//! can also compute a whole new chain with a new head, so checkpoints are signed ([`Signed`]): the
//! root of a Merkle tree over all hashes, as C2SP tlog-checkpoint has it, with a key beside the store.
//! They are made in quiet moments, at the end, and for an [`export`]. Whoever has that key can make
//! all of it anew; that shows against a copy kept elsewhere ([`verify_against`]).
//!
//! Nothing is ever dropped. A command is some three to six records of 1 to 3 kB; a checkpoint is
//! 220 bytes. The tree itself is not stored but for the roots of its full parts (at most 64 hashes), so
//! that signing reads only what is new.
//!
//! Hubs of one user share it: each append reads the head within its own transaction, so that several
//! processes make one chain; each record of a command names its hub and the sources that it went to,
//! and a hub that lives holds a lock ([`Presence`]), so that another knows whose to follow.
//!
//! When the store can't be written, urgent records go to `ledger.spill` (preallocated, so that a
//! full disk doesn't stop them) and are merged into the chain, marked as spilled, at the next
//! successful write or start.

mod checkpoint;
mod export;
mod merkle;
mod note;
mod presence;
mod record;
mod signing;
mod spill;
mod store;
mod thread;
mod verify;

pub use export::{Export, Witness, WitnessError, export, newest_lines};
pub use note::NoteError;
pub use presence::Presence;
pub use record::{Entry, Kind, Record};
pub use signing::Signed;
pub use store::LedgerError;
pub use thread::{Appended, Known, Ledger, Options};
pub use verify::{Against, Broken, Tamper, Verified, verify, verify_against, verify_until};
