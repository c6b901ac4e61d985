//! `hold`: pauses every rollout in scope; `release ID` ends it.

use super::act::{self, ActArgs};
use super::{Context, Failure, target};
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
pub(super) async fn run(context: &Context, args: &HoldArgs) -> Result<(), Failure> {
    context.may_change()?;
    let client = context.client()?;
    let rows = context.rows(&client).await?;
    let selector = target::selector(&rows, &args.scope)?;
    let frozen = rows.rollouts().filter(|rollout| selector.holds(rollout)).map(|rollout| rollout.run.clone()).collect();
    act::perform(context, &client, Action::Hold, Subject::Scope { selector, frozen }, None, &args.act).await
}
