//! Whoever asks people for a yes before it goes on, one file or folder a system.

pub mod github;
