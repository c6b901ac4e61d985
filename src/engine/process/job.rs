//! One run of a hook: a task that starts it at most once, whatever crashes, and tells its end.
//!
//! The shim makes the file `begun` before the hook is started, and leaves its exit status on disk.
//! What has begun is never started again: its shim is asked for its end, else the disk, else it is
//! lost, and what is left of it is killed first.

use super::client::{self, ShimClient};
use super::context::{Context, Report};
use super::diagnose::{self, Seen};
use super::launch::{ROOT_DIR, prepare_job};
use super::start_error::StartError;
use super::wire::{
    BEGUN_FILE, Ended, LOCK_FILE, LOG_DIR, Request, Response, SHIM_WIRE, SOCKET_FILE, SPEC_FILE, STATE_FILE, ShimSpec,
    Status,
};
use super::{confine, listening, log, output};
use flightdeck_engine_core::{JobEnd, JobEvent, JobId, JobLaunch};
use flightdeck_model::{Cause, StopSpec, sanitize_line};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Tells a hook's directory from an instance's; holds how it was started.
pub const JOB_FILE: &str = "job.json";
/// There once its time is over: the signal that ended it then was ours.
const LATE_FILE: &str = "late";
/// Lines of output that are told.
pub const OUTPUT_LINES: usize = 20;
/// Characters of each of them.
const LINE: usize = 400;
/// After SIGKILL the kernel needs no longer than this, or the machine is beyond help.
const KILLED: Duration = Duration::from_secs(5);

/// What a hook's task is told.
#[derive(Debug)]
pub enum JobOrder {
    /// Start it if it never began; tell its end.
    Run(Box<JobLaunch>),
    /// Signal it, and kill it after its grace.
    Stop(StopSpec),
    /// Kill what is left, remove the directory; then the task ends.
    End,
    /// Kill what runs as a crash would; the task ends.
    Abandon,
    /// Leave it running; the task ends.
    Leave,
}

/// Is it the directory of a hook's run?
#[must_use]
pub fn is_job(dir: &Path) -> bool {
    dir.join(JOB_FILE).exists()
}

/// Carries out orders for one run of a hook until it is ended or left.
pub async fn supervise(context: Arc<Context>, id: JobId, mut orders: UnboundedReceiver<JobOrder>) {
    let mut job = Job { dir: context.dir(&id), context, id, told: None, cause: None };
    let mut order = orders.recv().await;
    while let Some(now) = order {
        order = match now {
            JobOrder::Leave => return,
            JobOrder::Abandon => return job.abandon().await,
            JobOrder::End => return job.end().await,
            JobOrder::Run(launch) => job.run(*launch, &mut orders).await,
            // It has ended, or was never begun.
            JobOrder::Stop(_) => orders.recv().await,
        };
    }
}

struct Job {
    context: Arc<Context>,
    id: JobId,
    dir: PathBuf,
    /// How it ended, once that was told.
    told: Option<JobEvent>,
    /// Why it could not be started, if that was seen.
    cause: Option<Box<Cause>>,
}

impl Job {
    fn report(&self, event: JobEvent) {
        // Without a loop there is nobody to tell: the server is on its way out.
        let _ = self.context.reports.send(Report::Job { id: self.id.clone(), event });
    }

    /// Until its end is told, or something else is ordered.
    async fn run(&mut self, launch: JobLaunch, orders: &mut UnboundedReceiver<JobOrder>) -> Option<JobOrder> {
        if let Some(told) = &self.told {
            self.report(told.clone());
            return orders.recv().await;
        }
        let bound = Duration::try_from(launch.timeout).unwrap_or_default();
        let repeats = launch.repeats;
        let how = match self.begin(launch).await {
            Err(how) => how,
            Ok((shim, status)) => match self.attend(shim, &status, bound, orders).await {
                Ok(how) => how,
                Err(order) => return order,
            },
        };
        let output = if matches!(how, JobEnd::NotStarted(_)) { Vec::new() } else { self.output() };
        let cause = self.cause.take().or_else(|| likely(&how, &output));
        self.note_end(&how, repeats);
        let event = JobEvent::Ended { how, output, cause };
        self.told = Some(event.clone());
        self.report(event);
        orders.recv().await
    }

    /// The shim has taken the secrets out.
    fn output(&self) -> Vec<String> {
        let lines = log::tail(&self.dir.join(LOG_DIR), OUTPUT_LINES).unwrap_or_default();
        lines.iter().map(|line| sanitize_line(line.trim_end()).chars().take(LINE).collect()).collect()
    }

    /// It runs, from now or from before; or how it ended.
    async fn begin(&mut self, launch: JobLaunch) -> Result<(ShimClient, Status), JobEnd> {
        match self.connect().await {
            Ok((shim, status)) if status.runs() => return Ok((shim, status)),
            Ok((_, status)) => return Err(self.how(&status)),
            Err(_) => {}
        }
        // Ended first, so that nothing begins after the look at the disk.
        self.end_processes().await;
        match self.on_disk() {
            Some(how) => Err(how),
            None => self.start(launch).await,
        }
    }

    async fn start(&mut self, launch: JobLaunch) -> Result<(ShimClient, Status), JobEnd> {
        let not_started = |why: String| JobEnd::NotStarted(sanitize_line(&why));
        let (spec, secrets) = match self.prepare(launch).await {
            Ok(prepared) => prepared,
            Err(StartError { why, cause, .. }) => {
                self.cause = cause;
                return Err(not_started(why));
            }
        };
        match client::launch(&self.context.exe, &self.dir, &spec, &secrets).await {
            Ok(Status { failed: Some(why), .. }) => Err(not_started(format!("cannot run the command: {why}"))),
            Ok(_) => match self.connect().await {
                Ok((shim, status)) if status.runs() => Ok((shim, status)),
                Ok((_, status)) => Err(self.how(&status)),
                Err(_) => Err(self.gone().await),
            },
            Err(error) => {
                self.end_processes().await;
                Err(self.on_disk().unwrap_or_else(|| not_started(format!("cannot start a shim: {error}"))))
            }
        }
    }

    async fn prepare(&self, launch: JobLaunch) -> Result<(ShimSpec, BTreeMap<String, String>), StartError> {
        let noted = async {
            tokio::fs::create_dir_all(&self.dir).await?;
            output::of_hook(&self.dir, &launch)?;
            tokio::fs::write(self.dir.join(JOB_FILE), serde_json::to_vec(&launch)?).await
        };
        noted.await.map_err(|error: io::Error| StartError::passing(format!("cannot note the hook: {error}")))?;
        let (context, dir, references) = (self.context.clone(), self.dir.clone(), launch.secrets.clone());
        let permit = self.context.unpacking.acquire().await;
        let prepare = move || prepare_job(&launch, &dir, &context.store, &context.exe);
        let prepared = tokio::task::spawn_blocking(prepare).await;
        drop(permit);
        let spec = prepared.map_err(|error| StartError::passing(format!("cannot prepare the start: {error}")))??;
        let secrets = flightdeck_secrets::read(&references).await?;
        Ok((spec, secrets))
    }

    async fn connect(&self) -> io::Result<(ShimClient, Status)> {
        let mut shim = ShimClient::connect(&self.dir).await?;
        let status = shim.watch().await?;
        if status.wire > SHIM_WIRE || status.instance != self.id {
            let why = format!("the shim is of {} and speaks version {}", status.instance, status.wire);
            return Err(io::Error::other(why));
        }
        Ok((shim, status))
    }

    /// Waits for its end, or gives what else is ordered.
    async fn attend(
        &self,
        mut shim: ShimClient,
        status: &Status,
        bound: Duration,
        orders: &mut UnboundedReceiver<JobOrder>,
    ) -> Result<JobEnd, Option<JobOrder>> {
        let age = status.process.as_ref().map(super::Identity::age).unwrap_or_default();
        let mut late = std::pin::pin!(sleep(bound.saturating_sub(age)));
        let mut kill: Option<Instant> = None;
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(JobOrder::Run(_)) => {}
                    Some(JobOrder::Stop(stop)) => kill = Some(self.signal(&stop).await),
                    order => return Err(order),
                },
                change = shim.changed() => match change {
                    Ok(status) if status.runs() => {}
                    Ok(status) => return Ok(self.how(&status)),
                    Err(_) => match self.connect().await {
                        Ok((again, status)) if status.runs() => shim = again,
                        Ok((_, status)) => return Ok(self.how(&status)),
                        Err(_) => return Ok(self.gone().await),
                    },
                },
                () = sleep_until(kill.unwrap_or_else(Instant::now)), if kill.is_some() => {
                    kill = None;
                    self.ask(&Request::Kill).await;
                }
                () = &mut late => return Ok(self.time_out(shim).await),
            }
        }
    }

    /// Asks it to end; gives when it is to be killed.
    async fn signal(&self, stop: &StopSpec) -> Instant {
        self.ask(&Request::Signal { name: stop.signal.clone() }).await;
        Instant::now() + Duration::try_from(stop.grace).unwrap_or_default()
    }

    async fn ask(&self, request: &Request) {
        match client::ask(&self.dir, request).await {
            Ok(Response::Done) => {}
            other => tracing::warn!(job = %self.id, ?other, "cannot signal what is to end"),
        }
    }

    /// Kills its whole group. One that came to its end at the last moment has done so.
    async fn time_out(&self, mut shim: ShimClient) -> JobEnd {
        if let Err(error) = tokio::fs::write(self.dir.join(LATE_FILE), "").await {
            tracing::warn!(job = %self.id, %error, "cannot note that a hook took too long");
        }
        let ended = async {
            client::ask(&self.dir, &Request::Kill).await?;
            loop {
                let status = shim.changed().await?;
                if !status.runs() {
                    return io::Result::Ok(status);
                }
            }
        };
        match timeout(KILLED, ended).await {
            Ok(Ok(status)) if status.ended.is_some_and(|ended| ended.code.is_some()) => self.how(&status),
            Ok(Ok(_)) => JobEnd::TimedOut,
            _ => {
                self.end_processes().await;
                JobEnd::TimedOut
            }
        }
    }

    fn how(&self, status: &Status) -> JobEnd {
        match (status.ended, &status.failed) {
            (Some(ended), _) => match (ended.code, ended.signal) {
                (Some(code), _) => JobEnd::Exited(code),
                (None, Some(_)) if self.dir.join(LATE_FILE).exists() => JobEnd::TimedOut,
                (None, Some(signal)) => JobEnd::Killed(signal),
                (None, None) => JobEnd::Lost,
            },
            (None, Some(why)) => JobEnd::NotStarted(sanitize_line(why)),
            (None, None) => JobEnd::Lost,
        }
    }

    /// What the disk tells of its end; `None` only if it never began.
    fn on_disk(&self) -> Option<JobEnd> {
        match client::recorded(&self.dir) {
            Some(status) if status.ended.is_some() || status.failed.is_some() => Some(self.how(&status)),
            // What can't be looked at may be there.
            _ => self.dir.join(BEGUN_FILE).try_exists().unwrap_or(true).then_some(JobEnd::Lost),
        }
    }

    /// Its shim is gone, and it had begun.
    async fn gone(&self) -> JobEnd {
        self.end_processes().await;
        self.on_disk().unwrap_or(JobEnd::Lost)
    }

    async fn end_processes(&self) {
        if let Err(error) = client::end(&self.dir).await {
            tracing::error!(job = %self.id, %error, "cannot make sure that a hook ended");
        }
    }

    async fn end(&self) {
        self.end_processes().await;
        self.end_leftovers().await; // those that left its group
        confine::release(&self.dir);
        if let Err(error) = self.clear().await {
            tracing::error!(job = %self.id, %error, "cannot remove a hook's files");
        }
        self.report(JobEvent::Gone);
    }

    /// Its output is kept with what is known of it, where there is any; nothing else.
    async fn clear(&self) -> io::Result<()> {
        let kept = self.dir.join(output::OUTPUT_FILE).exists() && self.dir.join(LOG_DIR).exists();
        if kept {
            output::ended(&self.dir, "cut off with its rollout", false)?;
            for file in [JOB_FILE, LATE_FILE, BEGUN_FILE, SPEC_FILE, STATE_FILE, LOCK_FILE, SOCKET_FILE] {
                there(tokio::fs::remove_file(self.dir.join(file)).await)?;
            }
            return there(tokio::fs::remove_dir_all(self.dir.join(ROOT_DIR)).await);
        }
        there(tokio::fs::remove_dir_all(&self.dir).await)
    }

    /// It is for `logs` alone: nothing that runs depends on it.
    fn note_end(&self, how: &JobEnd, repeats: bool) {
        let passed = *how == JobEnd::Exited(0);
        let noted = if passed && repeats {
            there(std::fs::remove_file(self.dir.join(output::OUTPUT_FILE)))
        } else {
            output::ended(&self.dir, &how.to_string(), !passed)
        };
        if let Err(error) = noted {
            tracing::warn!(job = %self.id, %error, "cannot note what became of a hook");
        }
    }

    /// The shim first, so that it notes no end.
    async fn abandon(&self) {
        self.end_leftovers().await;
    }

    async fn end_leftovers(&self) {
        let dir = self.dir.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || client::end_leftovers(&dir)).await {
            tracing::error!(job = %self.id, %error, "cannot make sure that a hook ended");
        }
    }
}

/// What is gone already is no error.
fn there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Why it failed, as far as its end and its output tell.
fn likely(how: &JobEnd, output: &[String]) -> Option<Box<Cause>> {
    let ended = match how {
        JobEnd::Exited(code) if *code != 0 => Ended { code: Some(*code), ..Ended::default() },
        JobEnd::Killed(signal) => Ended { signal: Some(*signal), ..Ended::default() },
        _ => return None,
    };
    let seen = Seen { ended, output: output.to_vec(), memory: None };
    diagnose::end(&seen, None, listening::owner).map(Box::new)
}
