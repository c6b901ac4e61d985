//! Told outside: what happens becomes notifications (`events`), which an outbox keeps until they are told or given
//! up (`outbox`); `task` is the one loop. Nothing else waits for any of it.

mod events;
mod outbox;
mod task;

pub use events::Wanted;
pub use outbox::{Outbox, OutboxError, Undelivered};
pub use task::{Destination, run};
