//! Whoever is told outside: a webhook, a program, a chat; one file a kind.

mod command;
mod provider;
mod slack;
mod webhook;

pub use command::CommandNotifier;
pub use provider::{CommandProvider, WebhookProvider};
pub use slack::SlackProvider;
pub use webhook::{Secret, WebhookError, WebhookNotifier};

use flightdeck_port::{Checked, Configured, Provider, WrongSetting};

/// Opens it and sends nothing: that is what `notify test` is for.
async fn doctor(provider: &dyn Provider, configured: &Configured) -> Checked {
    match provider.open(configured).await {
        Ok(_) => Checked::Good(format!("can be told; `flightdeck notify test {}` tries it", configured.name)),
        Err(WrongSetting { what, .. }) => Checked::Bad { what, todo: "mend the file, or what it names".to_owned() },
    }
}

fn is_address(key: &'static str, url: &str) -> Result<(), WrongSetting> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(());
    }
    Err(WrongSetting::at(key, "expected an address that begins with \"https://\" or \"http://\""))
}
