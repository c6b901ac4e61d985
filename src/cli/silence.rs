//! `silence` and `unsilence`: an alert keeps quiet for a while, or for as long as a rollout goes on.

use super::act::{self, ActArgs};
use super::links::{Links, Need};
use super::output::say;
use super::target::{self, Rows};
use super::{Context, Failure, complete};
use crate::board::Board;
use crate::model::{Action, Alert, AlertState, Body, LinkState, Run, Scope, Scoped, Silence, Subject, USUAL_SILENCE};
use clap::Args;
use jiff::SignedDuration;
use std::sync::Arc;

/// Options of `silence`.
#[derive(Debug, Args)]
pub struct SilenceArgs {
    /// Which alert, by its fingerprint, or by its name where only one is called so: `get alerts` lists them. Without
    /// it, with --rollout, all that fire of that.
    #[arg(value_name = "ALERT", required_unless_present = "rollout")]
    pub alert: Option<String>,
    /// The TARGET of the rollout that it is silenced for: the silence ends with that.
    #[arg(long, value_name = "TARGET", add = complete::rollouts(None))]
    pub rollout: Option<String>,
    /// How long at most, 1m to 24h. Without: 1h.
    #[arg(long = "for", value_name = "DURATION")]
    pub lasts: Option<SignedDuration>,
    /// How it is confirmed and followed.
    #[command(flatten)]
    pub act: ActArgs,
}

/// Options of `unsilence`.
#[derive(Debug, Args)]
pub struct UnsilenceArgs {
    /// Whose, as `silence` names it: an alert by its fingerprint, or by its name where only one is called so. Or the
    /// silence's id, which `get alerts -o json` has beside each alert.
    #[arg(value_name = "ALERT")]
    pub alert: String,
    /// How it is confirmed and followed.
    #[command(flatten)]
    pub act: ActArgs,
}

/// The rows as a board, which says what concerns what.
pub(super) fn board_of(rows: &Rows) -> Board {
    let mut board = Board::default();
    let scope = Scope { source: "all".into(), part: String::new() };
    for entity in &rows.entities {
        board.apply(&Scoped { scope: scope.clone(), body: Body::Upsert(entity.clone()) });
    }
    board
}

/// No source that tells alerts is no answer to which of them fire.
pub(super) fn told(rows: &Rows) -> Result<(), Failure> {
    let mut watches = rows.watches.iter().filter(|watch| watch.scope.part == Scope::ALERTS_PART).peekable();
    if watches.peek().is_some() {
        for watch in watches {
            if let LinkState::Live { only: Some(only), .. } = &watch.state {
                say(&format!("{}: only {only} are known here", watch.scope.source));
            }
        }
        return Ok(());
    }
    let what = "no source tells of alerts, so it is not known whether any fires";
    Err(Failure::usage(what)
        .todo("name one in config.toml: [sources.NAME] with kind = \"alertmanager\" (docs/alerts.md)"))
}

/// Silences.
pub(super) async fn silence(context: &Context, links: &Links, args: &SilenceArgs) -> Result<(), Failure> {
    context.may_change()?;
    if args.act.reason.as_ref().is_none_or(|reason| reason.trim().is_empty()) {
        return Err(Failure::usage("a silence needs a reason; nothing was done").todo("add --reason TEXT"));
    }
    let rows = links.rows(Need::Alerts).await?;
    told(&rows)?;
    let board = board_of(&rows);
    let rollout = match &args.rollout {
        Some(name) => Some(target::rollout(&rows, name)?),
        None => None,
    };
    let meant: Vec<&Arc<Alert>> = match (&args.alert, rollout) {
        (Some(named), _) => vec![named_alert(&rows, &board, named)?],
        (None, Some(row)) => board.alerts_of(row).into_iter().filter(|alert| alert.is_firing()).collect(),
        (None, None) => Vec::new(),
    };
    if meant.is_empty() {
        return Err(rows.absent("an alert of it", Failure::usage("no alert fires that concerns it; nothing was done")));
    }
    rows.say_unseen();
    let run: Option<Run> = rollout.filter(|row| row.in_flight()).map(|row| row.run.clone());
    if let (Some(row), None) = (rollout, &run) {
        let what = format!("{} has no rollout in flight, with which a silence could end", target::name(row));
        return Err(Failure::usage(what).todo("leave out --rollout, and name the alert; nothing was done"));
    }
    let lasts = args.lasts.unwrap_or(USUAL_SILENCE);
    let mut outcome = Ok(());
    for alert in meant {
        let subject = Subject::Alert {
            source: alert.source.clone(),
            fingerprint: alert.fingerprint.clone(),
            run: run.clone(),
            lasts,
        };
        let link = links.of(Some(&alert.source))?;
        // What one of them comes to keeps the others from nothing; the first that failed is the exit code.
        outcome = outcome.and(act::perform(context, link, Action::Silence, subject, None, &args.act).await);
    }
    outcome
}

fn named_alert<'a>(rows: &Rows, board: &'a Board, named: &str) -> Result<&'a Arc<Alert>, Failure> {
    let by_print: Vec<_> = board.shared_alerts().filter(|alert| alert.fingerprint == named).collect();
    let by_name: Vec<_> = board.shared_alerts().filter(|alert| alert.name == named).collect();
    match (by_print.as_slice(), by_name.as_slice()) {
        ([one], _) | ([], [one]) => Ok(one),
        ([], []) => {
            let failure = Failure::usage(format!("no alert {named:?} fires"));
            Err(rows
                .absent(&format!("the alert {named:?}"), failure.todo("`flightdeck get alerts` lists those that do")))
        }
        (same, alike) => {
            let all = if same.is_empty() { alike } else { same };
            let prints: Vec<_> = all.iter().map(|alert| format!("{} of {}", alert.fingerprint, alert.source)).collect();
            let failure = Failure::usage(format!("{} alerts are called {named:?}", all.len()));
            Err(failure.todo(format!("name one by its fingerprint: {}", prints.join(", "))))
        }
    }
}

/// Ends a silence.
pub(super) async fn unsilence(context: &Context, links: &Links, args: &UnsilenceArgs) -> Result<(), Failure> {
    context.may_change()?;
    let rows = links.rows(Need::Alerts).await?;
    told(&rows)?;
    let board = board_of(&rows);
    let silence = match board.silences().find(|silence| silence.id.as_str() == args.alert) {
        Some(silence) => silence,
        None if board.shared_alerts().any(|of| of.fingerprint == args.alert || of.name == args.alert) => {
            silence_of(&rows, &board, &args.alert)?
        }
        None => {
            let failure =
                Failure::usage(format!("there is no silence {} in force, and no such alert fires", args.alert));
            return Err(rows.absent(&format!("silence {}", args.alert), failure));
        }
    };
    let subject = Subject::Silence { source: silence.source.clone(), id: silence.id.clone() };
    let link = links.of(Some(&silence.source))?;
    act::perform(context, link, Action::Unsilence, subject, None, &args.act).await
}

/// The one silence of an alert that was made with flightdeck: only that can be ended here.
fn silence_of<'a>(rows: &Rows, board: &'a Board, named: &str) -> Result<&'a Silence, Failure> {
    let alert = named_alert(rows, board, named)?;
    let AlertState::Silenced { by } = &alert.state else {
        let failure = Failure::usage(format!("the alert {named:?} is not silenced; nothing was done"));
        return Err(rows.absent(&format!("a silence of {named:?}"), failure));
    };
    let own: Vec<&Silence> = by.iter().filter_map(|id| board.silence(&alert.source, id)).collect();
    let own: Vec<&Silence> = own.into_iter().filter(|silence| silence.made.is_some()).collect();
    match own.as_slice() {
        [one] => Ok(one),
        [] => {
            Err(Failure::usage(format!("the alert {named:?} is silenced, and not with flightdeck; nothing was done"))
                .todo("end it where it was made"))
        }
        many => {
            let ids: Vec<_> = many.iter().map(|silence| silence.id.as_str()).collect();
            let failure = Failure::usage(format!("the alert {named:?} has {} silences", many.len()));
            Err(failure.todo(format!("name one by its id: {}", ids.join(", "))))
        }
    }
}
