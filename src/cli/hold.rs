//! `hold`: pauses every rollout in scope; `release ID` ends it.

use super::act::{self, ActArgs};
use super::links::{Links, Need};
use super::output::say;
use super::{Code, Context, Failure, target};
use crate::model::{Action, Subject};
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

/// Holds.
pub(super) async fn run(context: &Context, links: &Links, args: &HoldArgs) -> Result<(), Failure> {
    context.may_change()?;
    let rows = links.rows(Need::All).await?;
    let selector = target::selector(&rows, &args.scope)?;
    let frozen: Vec<_> =
        rows.rollouts().filter(|rollout| selector.holds(rollout)).map(|rollout| rollout.run.clone()).collect();
    let whole = rows.of(selector.source.as_ref()).whole();
    if whole.as_ref().is_err_and(|failure| failure.code == Code::Unreachable) {
        // Nothing is known that could be held.
        return whole;
    }
    let meant = match &selector.source {
        Some(source) => vec![links.of(Some(source))?],
        // Every hub there is: what one of them can't hold must not keep the others from it.
        None => links.each.iter().collect(),
    };
    let mut outcome = Ok(());
    for link in meant {
        let subject = Subject::Scope { selector: selector.clone(), frozen: frozen.clone() };
        let held = act::perform(context, link, Action::Hold, subject, None, &args.act).await;
        if let Err(failure) = &held {
            say(&format!("{}: {failure}", link.place()));
        }
        outcome = outcome.and(held);
    }
    // What could not be seen was not held, whatever the rest says.
    outcome.and(whole)
}
