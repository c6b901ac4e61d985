//! Whoever is told outside: a webhook, a program; one file a kind.

mod command;
mod webhook;

pub use command::CommandNotifier;
pub use webhook::{Secret, WebhookError, WebhookNotifier};
