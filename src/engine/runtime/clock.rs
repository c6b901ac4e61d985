//! The clock of the engine's shells: the core gets its time from here.

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "the engine is a shell: the core gets its time from here")]
pub(super) fn clock() -> Timestamp {
    Timestamp::now()
}
