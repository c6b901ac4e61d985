//! Verbs on rollouts and approvals, straight from the table of actions, and how any change is made:
//! prepare, confirm, submit, follow.

use super::confirm::{self, Confirmed};
use super::links::{Links, Need};
use super::output::{Cell, Format, Table, say};
use super::wait::{self, Patience};
use super::{Code, Context, Failure, complete, follow, target};
use crate::client::{Link, SubmitError, fresh_id};
use crate::model::{
    Action, ActionRow, Command, ConfigName, Decision, DeploymentOutcome, Facts, Pin, Prepared, Query, Receipt, Refusal,
    Reply, Stage, Subject, SubjectKind, Surface,
};
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Subcommand, ValueEnum};
use jiff::SignedDuration;

/// How a change is confirmed and followed.
#[derive(Debug, Clone, Default, Args)]
pub struct ActArgs {
    /// Why; goes into the ledger.
    #[arg(short, long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Go on without asking. Scripts need it: without a terminal nothing is asked, it is refused.
    #[arg(short, long)]
    pub yes: bool,
    /// Wait until the effect is seen, or it is known that it won't come; or for the rollout's end.
    #[arg(short, long, value_enum, value_name = "UNTIL", num_args = 0..=1, require_equals = true,
        default_missing_value = "effect")]
    pub wait: Option<Until>,
    /// How long to wait, such as 90s or 5m, for a person as well. Without it 5m for an effect, 1h for an
    /// end, and not at all for a person: the exit code is 9 then.
    #[arg(long, value_name = "DURATION", requires = "wait")]
    pub timeout: Option<SignedDuration>,
}

/// The end that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// The command's effect: for a deploy, users at the first step's share.
    Effect,
    /// The rollout's end, which is what a pipeline wants.
    Finished,
}

/// Options of a verb on a rollout or an approval.
#[derive(Debug, Clone, Args)]
pub struct VerbArgs {
    /// What was seen: refused if any of it changed. From `get … -o json`.
    #[arg(long, value_name = "TOKEN")]
    pub pin: Option<Pin>,
    /// How it is confirmed and followed.
    #[command(flatten)]
    pub act: ActArgs,
}

/// Does the action's row alone make it a verb? Others have a command of their own.
fn is_verb(row: &ActionRow) -> bool {
    row.surface == Surface::Everywhere
}

/// A verb with its object.
#[derive(Debug, Clone)]
pub struct Verb {
    /// What to do.
    pub action: Action,
    /// To what: a TARGET, or an approval's id.
    pub object: String,
    /// How.
    pub args: VerbArgs,
}

const TARGET_HELP: &str = "service@environment, source/environment/service, or service where it runs only once; with \
    a kind before it where two kinds have one name, such as Rollout/shop/basket";
const APPROVAL_HELP: &str = "The approval's id, or the TARGET of the rollout that waits";

impl Subcommand for Verb {
    fn augment_subcommands(mut command: clap::Command) -> clap::Command {
        for row in Action::TABLE.iter().filter(|row| is_verb(row)) {
            let (name, help, there) = match row.about {
                SubjectKind::Approval => ("ID", APPROVAL_HELP, complete::approvals()),
                _ => ("TARGET", TARGET_HELP, complete::rollouts(Some(row.action))),
            };
            let object = Arg::new("object").value_name(name).help(help).required(true).add(there);
            // Deriving would make the struct's own comment the description.
            let mut verb = VerbArgs::augment_args(clap::Command::new(row.name).arg(object))
                .about(row.sentence.trim_end_matches('.'))
                .long_about(None);
            if row.action == Action::Promote {
                let help = Action::PromoteFull.row().sentence.trim_end_matches('.');
                verb = verb.arg(Arg::new("full").long("full").action(ArgAction::SetTrue).help(help));
            }
            command = command.subcommand(verb);
        }
        command
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Action::from_name(name).is_some_and(|action| is_verb(action.row()))
    }
}

impl FromArgMatches for Verb {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Verb, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        let mut action = Action::from_name(name).ok_or_else(missing)?;
        if action == Action::Promote && matches.get_flag("full") {
            action = Action::PromoteFull;
        }
        let object = matches.get_one::<String>("object").cloned().ok_or_else(missing)?;
        Ok(Verb { action, object, args: VerbArgs::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Carries out a verb.
pub(super) async fn run(context: &Context, links: &Links, verb: &Verb) -> Result<(), Failure> {
    context.may_change()?;
    let rows = links.rows(Need::Named(&verb.object)).await?;
    let subject = match verb.action.row().about {
        SubjectKind::Approval => {
            let approval = target::approval(&rows, &verb.object)?;
            Subject::Approval { id: approval.id.clone(), run: approval.run.clone() }
        }
        _ => Subject::Run(target::rollout(&rows, &verb.object)?.run.clone()),
    };
    rows.say_unseen();
    perform(context, links.of(subject.source())?, verb.action, subject, verb.args.pin.clone(), &verb.args.act).await
}

/// Prepares, confirms, submits and follows one change.
pub(super) async fn perform(
    context: &Context,
    link: &Link,
    action: Action,
    subject: Subject,
    pin: Option<Pin>,
    args: &ActArgs,
) -> Result<(), Failure> {
    context.may_change()?;
    let command = confirmed(link, action, subject, pin, args).await?;
    let id = command.id.clone();
    finish(context, link, &id.0, args, link.submit(command)).await
}

/// Prepares and confirms one change, to be submitted.
pub(super) async fn confirmed(
    link: &Link,
    action: Action,
    subject: Subject,
    pin: Option<Pin>,
    args: &ActArgs,
) -> Result<Command, Failure> {
    if let Some(pin) = pin.as_ref().filter(|pin| pin.action != action) {
        let what = format!("--pin is for {} and this is {}", pin.action.name(), action.name());
        return Err(Failure::usage(what).todo("take the token of this action from `get … -o json`"));
    }
    // With both, everything was decided beforehand: the server tests the pin itself.
    let confirmed = if pin.is_some() && args.yes {
        Confirmed { pin, reason: args.reason.clone() }
    } else {
        let prepared = prepare(link, action, subject.clone()).await?;
        if let (Some(pin), Some(now)) = (&pin, &prepared.pin) {
            // Nobody should be asked about what will be refused.
            let changes = pin.changes(&Facts(now.facts.clone()));
            if !changes.is_empty() {
                return Err(Refusal::pin(changes).into());
            }
        }
        let confirmed = confirm::confirm(&prepared, args)?;
        Confirmed { pin: pin.or(confirmed.pin), reason: confirmed.reason }
    };
    Ok(Command { id: fresh_id(), action, subject, pin: confirmed.pin, reason: confirmed.reason })
}

/// May it be done, and what would it do?
pub(super) async fn prepare(link: &Link, action: Action, subject: Subject) -> Result<Prepared, Failure> {
    let prepared = ask(link, action, subject).await?;
    allowed(&prepared.decision)?;
    Ok(prepared)
}

/// The same, whether or not it may.
pub(super) async fn ask(link: &Link, action: Action, subject: Subject) -> Result<Prepared, Failure> {
    match link.query(Query::Prepare { action, subject }).await? {
        Reply::Prepared(prepared) => Ok(*prepared),
        other => Err(super::unexpected(&other)),
    }
}

/// A no becomes a failure.
pub(super) fn allowed(decision: &Decision) -> Result<(), Failure> {
    match decision {
        Decision::Allow { .. } => Ok(()),
        Decision::Refuse(refusal) => Err(refusal.clone().into()),
        Decision::Needs(kinds) => {
            Err(Failure::new(Code::Refused, format!("refused: evidence is missing: {}", kinds.join(", "))))
        }
    }
}

/// Sends, follows where that was asked for, and tells the outcome.
pub(super) async fn finish(
    context: &Context,
    link: &Link,
    id: &str,
    args: &ActArgs,
    submission: impl Future<Output = Result<Receipt, SubmitError>>,
) -> Result<(), Failure> {
    let receipt = followed(link, id, args, submission).await?;
    let (receipts, ids) = (std::slice::from_ref(&receipt), [receipt.id.to_string()]);
    // A run that is on its way back has not ended: its end says more than that the effect won't come.
    let Some(run) = receipt.run().filter(|_| args.wait == Some(Until::Finished)) else {
        context.output.data(&receipt, &table(receipts), &ids)?;
        say_open(context, args, receipts);
        return outcome(&receipt);
    };
    let ended = wait::finished(link, run, receipt.command.action, Patience::of(args)).await;
    context.output.data(&receipt, &ended_table(&receipt, &ended), &ids)?;
    ended.map(drop)
}

/// A receipt as a table, with the end of its run where that was seen: it says more than the first effect.
fn ended_table(receipt: &Receipt, ended: &Result<String, Failure>) -> Table {
    let mut table = table(std::slice::from_ref(receipt));
    let seen = match ended {
        Ok(seen) => Some(seen),
        Err(failure) if matches!(failure.code, Code::Failed | Code::Aborted | Code::RolledBack) => Some(&failure.what),
        Err(_) => None,
    };
    if let (Some(seen), Some([.., stage, detail])) = (seen, table.rows.first_mut().map(Vec::as_mut_slice)) {
        (*stage, *detail) = ("finished".into(), seen.as_str().into());
    }
    table
}

/// Sends, and follows where that was asked for.
pub(super) async fn followed(
    link: &Link,
    id: &str,
    args: &ActArgs,
    submission: impl Future<Output = Result<Receipt, SubmitError>>,
) -> Result<Receipt, Failure> {
    // Followed from before it is sent, so that no stage can pass unseen.
    let mut follower = match args.wait {
        Some(_) => Some(follow::Follower::open(link).await?),
        None => None,
    };
    let mut receipt = match submission.await {
        Ok(receipt) => receipt,
        Err(SubmitError::Unknown(why)) if follower.is_some() => {
            say(&format!("the answer was lost ({why}); watching whether it was carried out"));
            match &mut follower {
                Some(follower) => follower.any(id, Patience::of(args)).await?,
                None => return Err(SubmitError::Unknown(why).into()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(follower) = &mut follower {
        receipt = follower.until_final(receipt, Patience::of(args)).await?;
    }
    Ok(receipt)
}

/// What a receipt's last stage means for the exit code.
pub(super) fn outcome(receipt: &Receipt) -> Result<(), Failure> {
    let stage = receipt.stage();
    let code = match stage {
        Stage::Refused { .. } => Code::Refused,
        Stage::Failed { .. } | Stage::Superseded { .. } | Stage::Reverted { .. } => match receipt.outcome {
            Some(DeploymentOutcome::Aborted) => Code::Aborted,
            Some(DeploymentOutcome::RolledBack) => Code::RolledBack,
            _ => Code::Failed,
        },
        Stage::TimedOut { .. } => Code::TimedOut,
        _ => return Ok(()),
    };
    Err(Failure::new(code, format!("{}: {}", stage.word(), stage.detail().unwrap_or_default())))
}

/// Whoever did not wait is told that a yes is not the effect, and how to see that. Scripts have the receipt's stage.
pub(super) fn say_open(context: &Context, args: &ActArgs, receipts: &[Receipt]) {
    if args.wait.is_some() || context.output.format != Format::Table {
        return;
    }
    for receipt in receipts.iter().filter(|receipt| !receipt.stage().is_final()) {
        let Receipt { id, command, .. } = receipt;
        let effect = match command.action {
            Action::Apply if is_removal(&command.subject) => "to have ended",
            Action::Apply => "to be in force",
            _ => "to have its effect",
        };
        say(&format!(
            "{}, and not yet known {effect}: `flightdeck get receipts {id}` tells; with --wait this waits for it",
            receipt.stage().word()
        ));
    }
}

/// What a command calls itself: `config remove` puts a configuration without a text into force.
pub(super) fn verb(action: Action, subject: &Subject) -> &'static str {
    if is_removal(subject) { "config remove" } else { action.name() }
}

fn is_removal(subject: &Subject) -> bool {
    matches!(subject, Subject::Config { text, .. } if text.trim().is_empty())
}

/// Receipts as a table.
pub(super) fn table(receipts: &[Receipt]) -> Table {
    let rows = receipts.iter().map(|receipt| {
        vec![
            Cell::from(receipt.id.to_string()),
            verb(receipt.command.action, &receipt.command.subject).into(),
            object(&receipt.command.subject).into(),
            receipt.actor.name.as_str().into(),
            receipt.stage().word().into(),
            receipt.stage().detail().unwrap_or_default().into(),
        ]
    });
    Table { heads: &["RECEIPT", "ACTION", "OBJECT", "BY", "STAGE", "DETAIL"], rows: rows.collect() }
}

/// A subject in words.
pub(super) fn object(subject: &Subject) -> String {
    match subject {
        Subject::Run(run) => run.to_string(),
        Subject::Approval { id, run } => format!("{id} of {run}"),
        Subject::Scope { selector, .. } => selector.to_string(),
        Subject::Hold { source: Some(source), id } => format!("{source}/{id}"),
        Subject::Hold { source: None, id } => id.to_string(),
        Subject::NewRollout { source, service, environment, version, from } => {
            let what = version.as_ref().map(|version| format!(" {version}"));
            let from = from.as_ref().map(|from| format!(" from {from}"));
            format!("{source}: {service}@{environment}{}{}", what.unwrap_or_default(), from.unwrap_or_default())
        }
        Subject::Release { source, service, version } => format!("{source}: {service} {version}"),
        Subject::Migrations { source, service, environment, names, applied } => {
            let stands = if *applied { "applied" } else { "not applied" };
            let names = if names.is_empty() { "all".to_owned() } else { names.join(", ") };
            format!("{source}: {service}@{environment}: {names} {stands}")
        }
        Subject::Command { source, service, environment, run, .. } => {
            format!("{source}: {service}@{environment}: {}", run.join(" "))
        }
        Subject::OneOff { source, service, environment, id } => format!("{source}: {service}@{environment}: {id}"),
        Subject::Alert { source, fingerprint, run, .. } => {
            let run = run.as_ref().map_or_else(String::new, |run| format!(" for {run}"));
            format!("{source}: alert {fingerprint}{run}")
        }
        Subject::Silence { source, id } => format!("{source}: silence {id}"),
        Subject::Receipt { id } => id.to_string(),
        Subject::Config { name, .. } if is_removal(subject) => name.to_string(),
        Subject::Config { name, path, .. } if *name == ConfigName::default() => path.clone(),
        Subject::Config { name, path, .. } => format!("{name} {path}"),
    }
}
