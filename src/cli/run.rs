//! `run`: a command, once, in the environment of a service. Its output and its exit status are this program's.

use super::act::{self, ActArgs};
use super::follow::Follower;
use super::links::{Links, Need};
use super::output::{print_lines, say};
use super::target::{self, Rows};
use super::{Code, Context, Failure, complete, confirm};
use crate::client::{Client, ClientError, Link, fresh_id};
use crate::model::{
    Action, Command, CommandId, EnvironmentName, JobEnd, JobSpec, OneOff, RefusalKind, ServiceName, ServicePlace,
    SourceId, Subject, sanitize_line,
};
use clap::Args;
use futures::future::LocalBoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use jiff::SignedDuration;
use std::cell::Cell;
use std::time::Duration;

/// Between two looks for output that is not there yet.
const LOOK: Duration = Duration::from_millis(100);
/// All lines that are kept.
const LINES: u32 = 10_000;
/// What shells add to the number of the signal that ended a program.
const SIGNALLED: i32 = 128;
/// Ended by ctrl-c twice.
const INTERRUPTED: u8 = 130;

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which service in which environment, such as shop@production.
    #[arg(value_name = "SERVICE@ENV", add = complete::rollouts(None))]
    pub target: String,
    /// The program and its arguments, behind `--`: inside the artifact of the stable version, or absolute. They go
    /// into the ledger as they are: no secret belongs there. Its output and its errors come as one, line by line.
    #[arg(value_name = "COMMAND", last = true, required_unless_present_any = ["end", "job"])]
    pub command: Vec<String>,
    /// Run this job now, beside its times: with its timeout, and as a run of it. While one runs no other is begun.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["command", "end"])]
    pub job: Option<String>,
    /// End one that runs, such as job-7, as ctrl-c here does: the signal of the service's `stop`, then SIGKILL.
    #[arg(long, value_name = "ID", conflicts_with = "command")]
    pub end: Option<String>,
    /// Why; goes into the ledger.
    #[arg(short, long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Go on without asking. Scripts need it: without a terminal nothing is asked, it is refused.
    #[arg(short, long)]
    pub yes: bool,
    /// Kill it after so long, such as 90s or 5m; the exit code is 1 then.
    #[arg(long, value_name = "DURATION", conflicts_with = "end")]
    pub timeout: Option<SignedDuration>,
}

/// Where it runs.
struct Place {
    source: SourceId,
    service: ServiceName,
    environment: EnvironmentName,
}

/// Runs it to its end.
pub(super) async fn run(context: &Context, links: &Links, args: &RunArgs) -> Result<(), Failure> {
    context.may_change()?;
    let rows = links.rows(Need::Named(&args.target)).await?;
    let named = ServicePlace::of(&args.target);
    let Some(environment) = named.environment else {
        let what = format!("{} names no environment", args.target);
        return Err(Failure::usage(what).todo("name both, such as shop@production"));
    };
    let (source, service) = target::service(&rows, named.service.as_str(), Some(environment.as_str()))?;
    rows.say_unseen();
    let link = links.of(Some(&source))?;
    let place = Place { source, service, environment };
    let act = ActArgs { reason: args.reason.clone(), yes: args.yes, wait: None, timeout: None };
    if let Some(id) = &args.end {
        return act::perform(context, link, Action::EndRun, place.one_off(id.clone()), None, &act).await;
    }
    let Some(client) = link.server() else {
        return Err(Failure::usage("only a server runs commands, and none is in front of that service"));
    };
    let (run, timeout) = match &args.job {
        Some(name) => place.job(&rows, name).map(|job| (job.run, args.timeout.or(Some(job.timeout))))?,
        None => (args.command.clone(), args.timeout),
    };
    let subject = place.command(run, timeout, args.job.clone());
    let prepared = act::prepare(link, Action::Run, subject.clone()).await?;
    let reason = confirm::confirm(&prepared, &act)?.reason;
    let command = Command { id: fresh_id(), action: Action::Run, subject, pin: None, reason };
    // Followed from before it is sent, so that its end can't pass unseen.
    let mut run = Run { follower: Follower::open(link).await?, id: command.id.clone(), place, link };
    let receipt = act::followed(link, &run.id.0, &act, link.submit(command)).await?;
    act::outcome(&receipt)?;
    run.follow(client).await
}

impl Place {
    fn command(&self, run: Vec<String>, timeout: Option<SignedDuration>, job: Option<String>) -> Subject {
        let Place { source, service, environment } = self;
        let (source, service, environment) = (source.clone(), service.clone(), environment.clone());
        Subject::Command { source, service, environment, run, timeout, job }
    }

    /// A job as it is configured there.
    fn job(&self, rows: &Rows, name: &str) -> Result<JobSpec, Failure> {
        let Place { source, service, environment } = self;
        let mut services = rows.services().filter(|of| of.source == *source && of.name == *service);
        let jobs = services.find_map(|service| service.place(environment)).map_or(&[][..], |place| &place.jobs);
        if let Some(job) = jobs.iter().find(|job| job.name == name) {
            return Ok(job.spec.clone());
        }
        let names: Vec<_> = jobs.iter().map(|job| job.name.as_str()).collect();
        let absent = Failure::usage(format!("{service}@{environment} has no job {name:?}"));
        Err(if names.is_empty() { absent } else { absent.todo(format!("there are: {}", names.join(", "))) })
    }

    fn one_off(&self, id: String) -> Subject {
        let Place { source, service, environment } = self;
        Subject::OneOff { source: source.clone(), service: service.clone(), environment: environment.clone(), id }
    }
}

/// A command on its way.
struct Run<'a> {
    follower: Follower,
    id: CommandId,
    place: Place,
    link: &'a Link,
}

impl Run<'_> {
    /// Shows its output; ctrl-c ends it, and after a second one nobody waits for that.
    async fn follow(&mut self, client: &Client) -> Result<(), Failure> {
        let id = self.known().await?;
        say(&format!("{id} runs; ctrl-c ends it"));
        let printed = Cell::new(0);
        let mut output = output_of(client, &id, &printed, Duration::ZERO);
        let (mut shown, mut asked) = (None, false);
        loop {
            if let (Some(result), Some(how)) = (&shown, self.ended()) {
                return Result::clone(result).and_then(|()| as_status(&how));
            }
            // What could not be started has written nothing.
            if let Some(JobEnd::NotStarted(why)) = self.ended() {
                return Err(Failure::failed(format!("it could not be started: {why}; nothing of it ran")));
            }
            tokio::select! {
                result = &mut output, if shown.is_none() => {
                    if self.ended().is_some() {
                        shown = Some(result);
                    } else {
                        // The server is away, or has not told of the end yet: what is still to come is not lost.
                        output = output_of(client, &id, &printed, LOOK);
                    }
                }
                heard = self.follower.hear() => {
                    if heard.is_none() {
                        let what = format!("the server tells nothing any more; {id} may go on");
                        return Err(Failure::new(Code::Unreachable, what));
                    }
                }
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted?;
                    if asked {
                        say(&format!("{id} is being ended; this does not wait for it"));
                        return Err(Failure::with_status(INTERRUPTED));
                    }
                    asked = true;
                    self.end(&id).await;
                }
            }
        }
    }

    /// Until its row is there, with the id of its output.
    async fn known(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(of) = self.row() {
                return Ok(of.id.clone());
            }
            if self.follower.hear().await.is_none() {
                return Err(Failure::new(Code::Unreachable, "the server ended before it told of the command"));
            }
        }
    }

    fn row(&self) -> Option<&OneOff> {
        let Place { source, service, environment } = &self.place;
        let mut services = self.follower.board.services().filter(|of| of.source == *source && of.name == *service);
        let place = services.find_map(|service| service.place(environment))?;
        place.one_offs.iter().find(|of| of.command == self.id)
    }

    fn ended(&self) -> Option<JobEnd> {
        self.row()?.ended.as_ref().map(|(_, how)| how.clone())
    }

    async fn end(&self, id: &str) {
        say(&format!(
            "ends {id}: signalled now, killed where its grace does not do; ctrl-c again does not wait for that"
        ));
        let subject = self.place.one_off(id.to_owned());
        let command = Command { id: fresh_id(), action: Action::EndRun, subject, pin: None, reason: None };
        if let Err(error) = self.link.submit(command).await {
            say(&format!("it could not be ended: {}", sanitize_line(&error.to_string())));
        }
    }
}

/// Prints what was not printed yet, until the output is over or can't be followed any more.
fn output_of<'a>(
    client: &'a Client,
    id: &str,
    printed: &'a Cell<usize>,
    pause: Duration,
) -> LocalBoxFuture<'a, Result<(), Failure>> {
    let id = id.to_owned();
    async move {
        tokio::time::sleep(pause).await;
        shown(client, id, printed).await
    }
    .boxed_local()
}

async fn shown(client: &Client, id: String, printed: &Cell<usize>) -> Result<(), Failure> {
    let mut lines = loop {
        match client.follow_log(&id, LINES).await {
            Ok(lines) => break lines,
            // It is being unpacked.
            Err(ClientError::Refused(refusal)) if refusal.kind == RefusalKind::NotFound => {
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let mut number = 0;
    while let Some(line) = lines.next().await {
        let line = sanitize_line(&line?);
        number += 1;
        if number > printed.get() {
            print_lines(&[line])?;
            printed.set(number);
        }
    }
    Ok(())
}

/// Its end as this program's own.
fn as_status(how: &JobEnd) -> Result<(), Failure> {
    let status = |code: i32| Failure::with_status(u8::try_from(code & 0xff).unwrap_or(u8::MAX));
    match how {
        JobEnd::Exited(0) => Ok(()),
        JobEnd::Exited(code) => Err(status(*code)),
        JobEnd::Killed(signal) => {
            say(&how.to_string());
            Err(status(SIGNALLED + signal))
        }
        JobEnd::TimedOut | JobEnd::NotStarted(_) | JobEnd::Lost => Err(Failure::failed(how.to_string())),
    }
}
