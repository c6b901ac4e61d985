//! What a shell completes beyond the words of the command line: the names of what is there now.

use super::links::Links;
use super::target::{Names, Rows};
use super::{Cli, Context, Failure, block_on, reference};
use crate::model::{Action, Approval, ApprovalState, Entity, Hold, Receipt};
use clap::Parser as _;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;
use tokio::time::timeout;

/// The variable by which a shell's script asks.
pub(super) const ASKED: &str = "FLIGHTDECK_COMPLETE";

/// Nobody waits longer for names after a key.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers a shell that asks for completions, and ends the process then.
pub fn answer() {
    CompleteEnv::with_factory(reference::public).var(ASKED).complete();
}

/// Rollouts by their TARGET; with an action only those that take it now.
pub(super) fn rollouts(takes: Option<Action>) -> ArgValueCompleter {
    named(move |rows| {
        let names = Names::of(rows);
        let meant = rows.rollouts().filter(|row| takes.is_none_or(|action| row.offers.contains(action)));
        meant.map(|row| (names.name(row), format!("{}: {}", row.phase.word(), row.message))).collect()
    })
}

/// Approvals that wait, by their id.
pub(super) fn approvals() -> ArgValueCompleter {
    named(|rows| {
        let words = |of: &Approval| format!("{} in {}: {}", of.service, of.environment, of.what);
        rows.approvals()
            .filter(|of| of.state == ApprovalState::Pending)
            .map(|of| (of.id.to_string(), words(of)))
            .collect()
    })
}

/// Holds in force, by their id.
pub(super) fn holds() -> ArgValueCompleter {
    named(|rows| {
        let words = |of: &Hold| format!("{} by {}", of.selector, of.owner);
        rows.holds().map(|of| (of.id.to_string(), words(of))).collect()
    })
}

/// Services, as their configuration names them.
pub(super) fn services() -> ArgValueCompleter {
    named(|rows| rows.services().map(|of| (of.name.to_string(), String::new())).collect())
}

/// Environments.
pub(super) fn environments() -> ArgValueCompleter {
    named(|rows| rows.environments().map(|of| (of.name.to_string(), String::new())).collect())
}

/// Commands that were given, by their receipt.
pub(super) fn receipts() -> ArgValueCompleter {
    named(|rows| {
        let receipt = |entity: &Entity| match entity {
            Entity::Receipt(receipt) => Some(receipt.clone()),
            _ => None,
        };
        let words = |of: &Receipt| format!("{} by {}", of.command.action.row().label, of.actor.name);
        rows.entities.iter().filter_map(receipt).map(|of| (of.id.to_string(), words(&of))).collect()
    })
}

/// Those names that begin as what is typed, each with words about it. Where nothing can be seen in time there are
/// none: a shell has no place to say why, and the command itself does.
fn named(of: impl Fn(&Rows) -> BTreeSet<(String, String)> + Send + Sync + 'static) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| {
        let (typed, rows) = (typed.to_string_lossy(), rows().unwrap_or_default());
        let meant = of(&rows).into_iter().filter(|(name, _)| name.starts_with(&*typed));
        meant.map(|(name, words)| CompletionCandidate::new(name).help(Some(words.into()))).collect::<Vec<_>>()
    })
}

fn rows() -> Result<Rows, Failure> {
    let none = Cli::try_parse_from(["flightdeck"]).map_err(|error| Failure::usage(error.to_string()))?;
    let mut context = Context::new(none.globals)?;
    // A hub of this process, which clusters need, must leave no trace in the ledger.
    let scratch = tempfile::tempdir()?;
    scratch.path().clone_into(&mut context.paths.data);
    let asked = async {
        let links = Links::open(&context).await?;
        let rows = links.all_rows().await;
        links.close().await;
        rows
    };
    block_on(async { timeout(PATIENCE, asked).await.unwrap_or_else(|_| Ok(Rows::default())) })
}
