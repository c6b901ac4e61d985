//! `notify`: who is told outside, and whether it reaches them.

use super::output::{Table, say};
use super::{Context, Failure};
use crate::config::settings::{self, Notify, configured, provider};
use crate::integration::PROVIDERS;
use crate::notify::{Destination, Outbox, Wanted};
use crate::port::{Checked, NotTold, Notification, NotifyEvent, Provider, Section, Sink, System};
use clap::{Args, Subcommand};

use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Options of `notify`.
#[derive(Debug, Args)]
pub struct NotifyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: NotifyCommand,
}

/// What can be done with notifications.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a notification to one destination of the settings, once, and say what came of it.
    Test {
        /// As in `[notify.NAME]`.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Show what was not told yet, or was given up, by destination.
    Status,
}

/// Where the outbox lies.
pub(super) fn outbox_file(context: &Context) -> PathBuf {
    context.paths.data.join("notify.db")
}

/// Carries it out.
pub(super) async fn run(context: &Context, args: &NotifyArgs) -> Result<(), Failure> {
    match &args.command {
        NotifyCommand::Test { name } => {
            context.may_change()?;
            test(context, name).await
        }
        NotifyCommand::Status => status(context),
    }
}

async fn test(context: &Context, name: &str) -> Result<(), Failure> {
    let settings = settings::load(&context.paths, PROVIDERS, &[])?.settings.notify;
    let Some(notify) = settings.get(name) else {
        let known: Vec<&str> = settings.keys().map(String::as_str).collect();
        let known =
            if known.is_empty() { "none is configured".to_owned() } else { format!("known: {}", known.join(", ")) };
        return Err(Failure::usage(format!(
            "there is no [notify.{name}] in {}; {known}",
            context.paths.settings().display()
        )));
    };
    let now = now();
    let notification = Notification {
        id: format!("msg_test{}", now.as_millisecond()),
        event: NotifyEvent::Test,
        at: now,
        source: "local".to_owned(),
        service: "test".to_owned(),
        environment: "test".to_owned(),
        run: "test".to_owned(),
        trace_id: format!("{:032x}", now.as_nanosecond()),
        from: None,
        to: "test".to_owned(),
        author: None,
        why: "flightdeck notify test: nothing happened".to_owned(),
        breach: None,
        rollout: None,
        command: None,
    };
    match notifier(name, notify).await?.tell(&notification, now).await {
        Ok(()) => {
            say(&format!("{name} was told ({})", notification.id));
            Ok(())
        }
        Err(NotTold { why, .. }) => Err(Failure::failed(format!("{name} was not told: {why}"))),
    }
}

fn status(context: &Context) -> Result<(), Failure> {
    let path = outbox_file(context);
    let rows = if path.exists() {
        let wrong = |error: crate::notify::OutboxError| Failure::failed(error.to_string());
        Outbox::open(&path).map_err(wrong)?.undelivered().map_err(wrong)?
    } else {
        Vec::new()
    };
    if rows.is_empty() {
        say("everything that was to be told was told");
    }
    let cells = rows.iter().map(|row| {
        let why = if row.why.is_empty() { "not tried yet" } else { &row.why };
        vec![
            row.destination.as_str().into(),
            row.waiting.to_string().into(),
            row.given_up.to_string().into(),
            why.into(),
        ]
    });
    let table = Table { heads: &["DESTINATION", "WAITING", "GIVEN UP", "WHY"], rows: cells.collect() };
    let data: Vec<_> = rows
        .iter()
        .map(|row| json!({"destination": row.destination, "waiting": row.waiting, "given_up": row.given_up, "why": row.why}))
        .collect();
    let names: Vec<String> = rows.iter().map(|row| row.destination.clone()).collect();
    if rows.is_empty() && context.output.format == super::Format::Table {
        return Ok(());
    }
    context.output.data(&data, &table, &names)
}

/// Everybody who is told by the settings.
pub(super) async fn destinations(all: &BTreeMap<String, Notify>) -> Result<Vec<Destination>, Failure> {
    let mut destinations = Vec::new();
    for (name, notify) in all {
        let notifier = notifier(name, notify).await?;
        let named = |word: &str| notify.events.iter().any(|of| of == word);
        let unnamed = |event: NotifyEvent| notify.events.is_empty() && (notifier.wants_all() || event.is_urgent());
        let events = NotifyEvent::ALL.iter().filter(|(word, event)| named(word) || unnamed(*event));
        let wanted = Wanted {
            events: events.map(|(_, event)| *event).collect(),
            environments: notify.environments.clone(),
            services: notify.services.clone(),
        };
        destinations.push(Destination { name: name.clone(), wanted, notifier });
    }
    Ok(destinations)
}

fn provider_of(name: &str, notify: &Notify) -> Result<&'static dyn Provider, Failure> {
    let found = provider(PROVIDERS, Section::Notify, &notify.kind, |key| notify.settings.contains_key(key));
    found.ok_or_else(|| Failure::usage(format!("notify.{name}: there is no kind {:?}", notify.kind)))
}

/// Can it be opened? Nothing is sent.
pub(super) async fn checked(name: &str, notify: &Notify) -> Result<Checked, Failure> {
    Ok(provider_of(name, notify)?.doctor(&configured(name, false, &notify.settings)).await)
}

async fn notifier(name: &str, notify: &Notify) -> Result<Arc<dyn Sink>, Failure> {
    let provider = provider_of(name, notify)?;
    match provider.open(&configured(name, false, &notify.settings)).await {
        Ok(System::Sink(sink)) => Ok(sink),
        Ok(_) => Err(Failure::usage(format!("notify.{name}: nobody can be told by {}", provider.kind()))),
        Err(wrong) => {
            let key = wrong.key.map(|key| format!(".{key}")).unwrap_or_default();
            Err(Failure::usage(format!("notify.{name}{key}: {}", wrong.what)))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the command line is a shell: it says when it was asked")]
fn now() -> Timestamp {
    Timestamp::now()
}
