//! Who tells which alerts fire. What every such system has stands here: its settings (`settings.rs`), a client that
//! reads its secret anew when that is not taken (`client.rs`), what labels say (`labels.rs`, pure), and looking again
//! and again (`poll.rs`). docs/alerts.md says it for people.

pub mod alertmanager;
mod client;
mod labels;
mod poll;
pub mod prometheus;
mod settings;
