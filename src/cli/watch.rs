//! `watch`: what is there and every change, a line each.

use super::get::{at, step, traffic, versions};
use super::links::{self, Links};
use super::output::{Format, print_lines, say};
use super::{Context, Failure, act, target};
use crate::board::Unseen;
use crate::client::ClientEvent;
use crate::model::{Body, Entity, Envelope, LinkState, sanitize_line};
use clap::Args;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;

/// Options of `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// With -o json: numbers of arms too, each second.
    #[arg(long)]
    pub samples: bool,
}

/// Prints until it is ended: first what is there, marked `is:`, then every change. `-o json`: one update a line.
pub(super) async fn run(context: &Context, links: &Links, args: &WatchArgs) -> Result<(), Failure> {
    links.say_away();
    let mut events = futures::stream::select_all(links.each.iter().map(|link| {
        let place = link.place();
        link.events().map(move |event| (place.clone(), event))
    }));
    // Parts of which the rows that are there are being told.
    let mut listing = BTreeSet::new();
    while let Some((place, event)) = events.next().await {
        match event {
            ClientEvent::Connected => {}
            ClientEvent::Lost { why, heard } => {
                say(&format!("{place}: connection lost ({why}); trying again"));
                if context.output.format == Format::Json {
                    let since = links::now().checked_sub(heard.unwrap_or_default()).unwrap_or_default();
                    let lost = Unseen { source: place, part: String::new(), state: LinkState::stale(since, why) };
                    print_lines(&[json!({ "unseen": lost }).to_string()])?;
                }
            }
            ClientEvent::Envelope(envelope) => {
                let samples = matches!(envelope.scoped.body, Body::Samples(_));
                if samples && !args.samples {
                    continue;
                }
                let part = (place, envelope.scoped.scope.clone());
                match &envelope.scoped.body {
                    Body::SnapshotBegin => drop(listing.insert(part.clone())),
                    Body::SnapshotEnd => drop(listing.remove(&part)),
                    _ => {}
                }
                let is_there = listing.contains(&part);
                let line = match context.output.format {
                    Format::Json => {
                        Some(serde_json::to_string(&envelope).map_err(|error| Failure::failed(error.to_string()))?)
                    }
                    Format::Yaml => return Err(Failure::usage("watch writes lines or JSON, not YAML")),
                    Format::Table | Format::Name => line(&envelope, is_there),
                };
                if let Some(line) = line {
                    print_lines(&[line])?;
                }
            }
        }
    }
    Ok(())
}

/// `is_there`: it is no change, but told as it is at the beginning.
fn line(envelope: &Envelope, is_there: bool) -> Option<String> {
    let text = match &envelope.scoped.body {
        Body::Upsert(entity) => words(entity)?,
        Body::Link(state) => format!("source {} {}", envelope.scoped.scope.source, link(state)),
        Body::Remove(_) | Body::SnapshotBegin | Body::SnapshotEnd | Body::Samples(_) => return None,
    };
    let mark = if is_there { "is:" } else { "   " };
    // What is there already happened at its own time, not when it was told.
    let own = if is_there { happened(&envelope.scoped.body) } else { None };
    Some(format!("{} {mark} {}", at(own.unwrap_or(envelope.at)), sanitize_line(text.trim_end())))
}

/// When it was as it is now; `None`: it does not tell.
fn happened(body: &Body) -> Option<Timestamp> {
    let Body::Upsert(entity) = body else { return None };
    match entity {
        Entity::Rollout(row) => Some(row.since),
        Entity::Approval(row) => Some(row.requested),
        Entity::Hold(row) => Some(row.since),
        Entity::Note(row) => Some(row.at),
        Entity::Evidence(row) => Some(row.at),
        Entity::RolloutRecord(row) => Some(row.ended),
        Entity::Release(row) => Some(row.added),
        Entity::Alert(row) => Some(row.since),
        Entity::Silence(row) => Some(row.since),
        Entity::Receipt(row) => row.stages.last().map(|stage| stage.at),
        Entity::Service(_) | Entity::Environment(_) | Entity::Instance(_) => None,
    }
}

fn words(entity: &Entity) -> Option<String> {
    Some(match entity {
        Entity::Rollout(row) => {
            let (name, phase) = (target::name(row), row.phase.word());
            format!(
                "rollout {name} {} step {} traffic {} {phase} {}",
                versions(row),
                step(row),
                traffic(row),
                row.message
            )
        }
        Entity::Approval(row) => {
            let votes: Vec<_> = row.votes.iter().map(|vote| format!("{} {:?}", vote.who, vote.verdict)).collect();
            format!("approval {} {}@{} {} {}", row.id, row.service, row.environment, row.what, votes.join(", "))
        }
        Entity::Receipt(row) => {
            let (action, object) = (row.command.action.name(), act::object(&row.command.subject));
            let detail = row.stage().detail().unwrap_or_default();
            format!("receipt {} {action} {object} by {}: {} {detail}", row.id, row.actor.name, row.stage().word())
        }
        Entity::Hold(row) => {
            format!("hold {} {} by {} {}", row.id, row.selector, row.owner, row.reason.as_deref().unwrap_or_default())
        }
        Entity::Note(row) => format!("note {} {}: {}", row.run.target, row.who, row.text),
        Entity::Alert(row) => {
            let (severity, state) = (row.severity.word(), row.state.word());
            format!("alert {} {} {severity} {state} {}", row.fingerprint, row.name, row.summary)
        }
        Entity::Silence(row) => {
            format!("silence {} by {} until {} {}", row.id, row.owner, at(row.until), row.reason)
        }
        Entity::Evidence(row) => format!("evidence {} {}", row.run.target, row.summary),
        Entity::RolloutRecord(row) => {
            format!("finished {}@{} {} {:?} {}", row.service, row.environment, row.to, row.outcome, row.cause)
        }
        Entity::Release(row) => format!("release {} {} by {}", row.service, row.version, row.author),
        Entity::Service(_) | Entity::Environment(_) | Entity::Instance(_) => return None,
    })
}

/// The health of a watch in words.
pub(super) fn link(state: &LinkState) -> String {
    match state {
        LinkState::Connecting => "connecting".to_owned(),
        LinkState::Live { only: Some(only), .. } => format!("live, only {only}"),
        LinkState::Live { only: None, .. } => "live".to_owned(),
        LinkState::Absent { why } => format!("empty: {why}"),
        LinkState::Stale { since, why, never: true } => format!("never reached, tried since {}: {why}", at(*since)),
        LinkState::Stale { since, why, never: false } => format!("stale since {}: {why}", at(*since)),
        LinkState::Denied { verb, resource } => format!("denied: {verb} on {resource}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Note, NoteKind, Run, Scope, Scoped, Target};

    #[test]
    fn what_was_there_already_has_its_own_time() {
        let target = Target {
            source: "local".into(),
            kind: "service".to_owned(),
            namespace: Some("production".to_owned()),
            name: "shop".to_owned(),
            uid: String::new(),
            first_name: None,
        };
        let run = Run { target, revision: "1".to_owned() };
        let (id, who, text) = ("n-1".to_owned(), "ann".to_owned(), "paused".to_owned());
        let note = Note { id, run, at: Timestamp::from_second(60).unwrap(), who, text, kind: NoteKind::Event };
        let scope = Scope { source: "local".into(), part: String::new() };
        let scoped = Scoped { scope, body: Body::Upsert(Entity::Note(note)) };
        let at = Timestamp::from_second(3600).unwrap();
        let envelope = Envelope { hub: "h".into(), epoch: 1, seq: 1, at, scoped };
        let said = |is_there| line(&envelope, is_there).unwrap();
        assert_eq!(said(true), "1970-01-01T00:01:00Z is: note local/production/shop ann: paused");
        assert_eq!(said(false), "1970-01-01T01:00:00Z     note local/production/shop ann: paused");
    }
}
