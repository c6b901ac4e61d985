//! `deploy`: starts a rollout of a stored release.

use super::act::{self, ActArgs};
use super::links::{Links, Need};
use super::{Context, Failure, complete, target};
use crate::model::{Action, Subject};
use clap::Args;

/// Options of `deploy`.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Which service, or source/service where several sources have it.
    #[arg(value_name = "SERVICE", add = complete::services())]
    pub service: String,
    /// Which stored version; with --from it may be left out.
    #[arg(value_name = "VERSION", required_unless_present = "from")]
    pub version: Option<String>,
    /// Where to.
    #[arg(long, value_name = "ENV", add = complete::environments())]
    pub to: String,
    /// Take what succeeded there, and refuse any other digest.
    #[arg(long, value_name = "ENV", add = complete::environments())]
    pub from: Option<String>,
    /// How it is confirmed and followed.
    #[command(flatten)]
    pub act: ActArgs,
}

/// Starts it.
pub(super) async fn run(context: &Context, links: &Links, args: &DeployArgs) -> Result<(), Failure> {
    context.may_change()?;
    let rows = links.rows(Need::Named(&args.service)).await?;
    let (source, service) = target::service(&rows, &args.service, Some(&args.to))?;
    rows.say_unseen();
    let subject = Subject::NewRollout {
        source,
        service,
        environment: args.to.as_str().into(),
        version: args.version.as_deref().map(Into::into),
        from: args.from.as_deref().map(Into::into),
    };
    act::perform(context, links.of(subject.source())?, Action::Deploy, subject, None, &args.act).await
}
