//! What depends on the kernel, and a crash on demand.

pub mod failpoint;
pub mod files;
pub mod identity;

pub use identity::Identity;
