//! `deploy`: starts a rollout of a stored release.

use super::act::{self, ActArgs};
use super::{Context, Failure};
use crate::model::{Action, Subject};
use clap::Args;

/// Options of `deploy`.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Which service.
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// Which stored version; with --from it may be left out.
    #[arg(value_name = "VERSION", required_unless_present = "from")]
    pub version: Option<String>,
    /// Where to.
    #[arg(long, value_name = "ENV")]
    pub to: String,
    /// Take what succeeded there, and refuse any other digest.
    #[arg(long, value_name = "ENV")]
    pub from: Option<String>,
    /// How it is confirmed and followed.
    #[command(flatten)]
    pub act: ActArgs,
}

/// Starts it.
pub(super) async fn run(context: &Context, args: &DeployArgs) -> Result<(), Failure> {
    context.may_change()?;
    let client = context.client()?;
    let subject = Subject::Deployment {
        service: args.service.as_str().into(),
        environment: args.to.as_str().into(),
        version: args.version.as_deref().map(Into::into),
        from: args.from.as_deref().map(Into::into),
    };
    act::perform(context, &client, Action::Deploy, subject, None, &args.act).await
}
