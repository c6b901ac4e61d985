//! Whoever is told outside: a webhook, a program, a chat, graphs, traces; one file or folder a kind.

mod command;
mod grafana;
mod otlp;
mod provider;
mod slack;
mod telling;
mod webhook;

pub use command::CommandNotifier;
pub use grafana::GrafanaProvider;
pub use otlp::OtlpProvider;
pub use provider::{CommandProvider, WebhookProvider};
pub use slack::SlackProvider;
pub use webhook::{Secret, WebhookError, WebhookNotifier};
