//! `hold`: pauses every rollout in scope; `release ID` ends it, everywhere at once.

use super::act::{self, ActArgs};
use super::confirm::{self, Confirmed};
use super::links::{Links, Need};
use super::output::say;
use super::target::{HoldNamed, Rows};
use super::{Code, Context, Failure, target, unexpected};
use crate::client::{Link, fresh_id};
use crate::model::{
    Action, Command, Decision, HoldId, Pin, Prepared, Query, Receipt, RefusalKind, Reply, Selector, SourceId, Stage,
    Subject, sanitize_line,
};
use clap::Args;

/// Options of `hold`.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// `everything`, an environment, a service, service@environment, or words such as environment=production source=local.
    #[arg(value_name = "SCOPE", required = true, num_args = 1..)]
    pub scope: Vec<String>,
    /// How it is confirmed and followed.
    #[command(flatten)]
    pub act: ActArgs,
}

/// One hub's part of a hold or its release.
struct Part<'a> {
    link: &'a Link,
    prepared: Prepared,
}

/// Holds.
pub(super) async fn run(context: &Context, links: &Links, args: &HoldArgs) -> Result<(), Failure> {
    context.may_change()?;
    let rows = links.rows(Need::All).await?;
    let selector = target::selector(&rows, &args.scope)?;
    let frozen: Vec<_> =
        rows.rollouts().filter(|rollout| selector.holds(rollout)).map(|rollout| rollout.run.clone()).collect();
    let whole = rows.whole_at(selector.source.as_ref());
    if whole.as_ref().is_err_and(|failure| failure.code == Code::Unreachable) {
        // Nothing is known that could be held.
        return whole;
    }
    let meant = match &selector.source {
        Some(source) => vec![links.of(Some(source))?],
        // Every hub there is: what one of them can't hold must not keep the others from it.
        None => links.each.iter().collect(),
    };
    // One id for all of it, so that one release ends all of it.
    let id = match again(&meant, &rows, &selector).await? {
        Some(id) => id,
        None => HoldId::of(fresh_id().as_str()),
    };
    let subjects = meant.into_iter().map(|link| {
        let subject = Subject::Scope { selector: selector.clone(), frozen: frozen.clone(), hold: Some(id.clone()) };
        (link, subject)
    });
    let held = over_hubs(context, Action::Hold, subjects.collect(), &args.act).await;
    // What could not be seen was not held, whatever the rest says.
    worse(held, whole)
}

/// The id of one's own hold of the same scope: the same once more is the same hold.
async fn again(links: &[&Link], rows: &Rows, selector: &Selector) -> Result<Option<HoldId>, Failure> {
    for link in links {
        let actor = match link.query(Query::WhoAmI).await? {
            Reply::WhoAmI { actor, .. } => actor,
            other => return Err(unexpected(&other)),
        };
        let mine = rows.holds().find(|hold| hold.selector == *selector && hold.owner == actor.name);
        if let Some(hold) = mine {
            return Ok(Some(hold.id.clone()));
        }
    }
    Ok(None)
}

/// Ends a hold at every source that has it.
pub(super) async fn release(
    context: &Context,
    links: &Links,
    named: &HoldNamed,
    args: &ActArgs,
) -> Result<(), Failure> {
    let mut by_link: Vec<(&Link, Vec<SourceId>)> = Vec::new();
    for source in &named.sources {
        let link = links.of(Some(source))?;
        match by_link.iter_mut().find(|(other, _)| std::ptr::eq(*other, link)) {
            Some((_, sources)) => sources.push(source.clone()),
            None => by_link.push((link, vec![source.clone()])),
        }
    }
    let subjects = by_link.into_iter().map(|(link, mut sources)| {
        // A server of before one id meant several sources understands one source.
        let source = if sources.len() == 1 { sources.pop() } else { None };
        (link, Subject::Hold { source, id: named.id.clone() })
    });
    over_hubs(context, Action::ReleaseHold, subjects.collect(), args).await
}

/// Asks once and sends to every hub; what one of them can't do must not keep the others from it.
async fn over_hubs(
    context: &Context,
    action: Action,
    subjects: Vec<(&Link, Subject)>,
    args: &ActArgs,
) -> Result<(), Failure> {
    let (mut parts, mut unable): (Vec<Part<'_>>, Vec<Failure>) = (Vec::new(), Vec::new());
    for (link, subject) in subjects {
        match act::ask(link, action, subject).await {
            Ok(prepared) => match &prepared.decision {
                Decision::Refuse(refusal) if refusal.kind == RefusalKind::NotApplicable => {
                    unable.push(partly(link, &refusal.why, &prepared));
                }
                _ => parts.push(Part { link, prepared }),
            },
            Err(failure) => unable.push(Failure { what: format!("{}: {}", link.place(), failure.what), ..failure }),
        }
    }
    if parts.is_empty() {
        return Err(unable.into_iter().next().unwrap_or_else(|| Failure::usage("there is nothing to ask")));
    }
    let agreed = agree(&parts, args)?;
    let mut outcome = Ok(());
    let mut receipts = Vec::new();
    for Part { link, prepared } in &parts {
        act::allowed(&prepared.decision)?;
        let pin: Option<Pin> = prepared.pin.clone();
        let (id, reason) = (fresh_id(), agreed.reason.clone());
        let command = Command { id: id.clone(), action, subject: prepared.subject.clone(), pin, reason };
        match act::followed(link, &id.0, args, link.submit(command)).await {
            Ok(receipt) => {
                outcome = worse(outcome, of_receipt(&receipt));
                receipts.push(receipt);
            }
            Err(failure) => {
                let what = format!("{}: {}", link.place(), failure.what);
                outcome = worse(outcome, Err(Failure { what, ..failure }));
            }
        }
    }
    for failure in unable {
        say(&sanitize_line(&failure.what));
        // A hub that can't hold and where nothing moves takes nothing from what was held.
        if failure.code != Code::Refused {
            outcome = worse(outcome, Err(failure));
        }
    }
    let names: Vec<_> = receipts.iter().map(|receipt| receipt.id.to_string()).collect();
    match receipts.as_slice() {
        [] => {}
        [one] => context.output.data(one, &act::table(&receipts), &names)?,
        all => context.output.data(&all, &act::table(&receipts), &names)?,
    }
    act::say_open(context, args, &receipts);
    outcome
}

/// A hub that takes no hold at all: a part is missing where something moves there.
fn partly(link: &Link, why: &str, prepared: &Prepared) -> Failure {
    let goes_on: Vec<&str> = prepared.forecast.warnings.iter().map(String::as_str).collect();
    let moves = prepared.forecast.warnings.iter().any(|warning| warning.ends_with(" goes on"));
    let code = if moves { Code::Partial } else { Code::Refused };
    let what = if goes_on.is_empty() { why.to_owned() } else { goes_on.join("; ") };
    Failure::new(code, format!("not held at {}: {what}", link.place()))
}

/// One question for all hubs.
fn agree(parts: &[Part<'_>], args: &ActArgs) -> Result<Confirmed, Failure> {
    let Some(first) = parts.first() else { return Err(Failure::usage("there is nothing to ask")) };
    let mut all = first.prepared.clone();
    for part in parts.iter().skip(1) {
        all.forecast.lines.extend(part.prepared.forecast.lines.iter().cloned());
        all.forecast.warnings.extend(part.prepared.forecast.warnings.iter().cloned());
        all.forecast.stale = all.forecast.stale.or_else(|| part.prepared.forecast.stale.clone());
    }
    confirm::confirm(&all, args)
}

/// What a receipt of a hold or release means for the exit code: done, nothing done, or a part of it.
fn of_receipt(receipt: &Receipt) -> Result<(), Failure> {
    let goes_on =
        receipt.targets.iter().any(|target| matches!(target.stage, Stage::Failed { .. } | Stage::Refused { .. }));
    let missed = receipt.sources.iter().any(|of| matches!(of.stage, Stage::Failed { .. }));
    let some = receipt.targets.iter().any(|target| matches!(target.stage, Stage::Effective { .. } | Stage::Observed))
        || receipt.sources.iter().any(|of| matches!(of.stage, Stage::Accepted));
    let words = || format!("{}: {}", receipt.stage().word(), receipt.stage().detail().unwrap_or("not all of it"));
    match act::outcome(receipt) {
        Err(failure) if failure.code == Code::Failed && some => Err(Failure::new(Code::Partial, words())),
        Err(failure) => Err(failure),
        Ok(()) if goes_on || missed => Err(Failure::new(Code::Partial, "a part of it goes on, as named above")),
        Ok(()) => Ok(()),
    }
}

/// The first of what went wrong is what the command ends with; the rest is said.
fn worse(before: Result<(), Failure>, now: Result<(), Failure>) -> Result<(), Failure> {
    match (before, now) {
        (Ok(()), now) => now,
        (Err(first), Ok(())) => Err(first),
        (Err(first), Err(next)) => {
            say(&sanitize_line(&next.what));
            Err(first)
        }
    }
}
