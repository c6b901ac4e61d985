//! The data plane: a process of its own, so that traffic survives the server.

pub mod wire;
