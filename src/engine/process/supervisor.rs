//! All instances and hooks: a task for each, and the ports.

use super::context::{Context, Report, plain_name};
use super::instance::{Order, record, supervise};
use super::job::{self, JobOrder};
use super::launch::free_port;
use super::log;
use super::wire::LOG_DIR;
use flightdeck_engine_core::{InstanceEvent, InstanceId, JobEnd, JobEvent, JobId, JobLaunch, Launch};
use flightdeck_model::{StopSpec, sanitize_line};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// The instances of an engine, owned by its loop.
#[derive(Debug)]
pub struct Supervisor {
    context: Arc<Context>,
    ports: RangeInclusive<u16>,
    last_port: Option<u16>,
    instances: BTreeMap<InstanceId, Supervised>,
    jobs: BTreeMap<JobId, UnboundedSender<JobOrder>>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Supervised {
    orders: UnboundedSender<Order>,
    port: Option<u16>,
}

impl Supervisor {
    /// Empty; what runs already is taken over with [`Supervisor::adopt`].
    pub fn open(context: Context, ports: RangeInclusive<u16>) -> io::Result<Supervisor> {
        std::fs::create_dir_all(&context.instances)?;
        Ok(Supervisor {
            context: Arc::new(context),
            ports,
            last_port: None,
            instances: BTreeMap::new(),
            jobs: BTreeMap::new(),
            tasks: JoinSet::new(),
        })
    }

    /// Every instance that has a directory with a record.
    pub fn recorded(&self) -> io::Result<Vec<InstanceId>> {
        self.dirs(|dir| record(dir).is_some())
    }

    /// Every hook's run that has a directory.
    pub fn recorded_jobs(&self) -> io::Result<Vec<JobId>> {
        self.dirs(job::is_job)
    }

    fn dirs(&self, wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for dir in std::fs::read_dir(&self.context.instances)? {
            let dir = dir?;
            if wanted(&dir.path()) {
                found.extend(dir.file_name().into_string());
            }
        }
        Ok(found)
    }

    fn order(&mut self, id: &str, port: Option<u16>, order: Order) {
        self.tasks.try_join_next();
        let instance = self.instances.entry(id.to_owned()).or_insert_with(|| {
            let (orders, receiver) = unbounded_channel();
            self.tasks.spawn(supervise(self.context.clone(), id.to_owned(), receiver));
            Supervised { orders, port: None }
        });
        if port.is_some() {
            instance.port = port;
        }
        let _ = instance.orders.send(order); // its task ends only after it was told to
    }

    /// Starts an instance. One that runs already with the same attempt is left alone.
    pub fn start(&mut self, launch: Launch) {
        let id = launch.instance.clone();
        if !plain_name(&id) {
            let why = format!("{id:?} is no name of a directory");
            return self.failed(id, &why, true);
        }
        let known = record(&self.context.dir(&id)).filter(|record| record.launch.attempt == launch.attempt);
        let used = |port| self.instances.values().any(|instance| instance.port == Some(port));
        let port = known.map(|record| record.port).or_else(|| free_port(&self.ports, self.last_port, used));
        let Some(port) = port else {
            let why = format!("no free port in {}–{}", self.ports.start(), self.ports.end());
            return self.failed(id, &why, false);
        };
        self.last_port = Some(port);
        self.order(&id, Some(port), Order::Start(Box::new(launch), port));
    }

    fn failed(&self, id: InstanceId, why: &str, permanent: bool) {
        self.report(Report::Instance {
            id,
            event: InstanceEvent::StartFailed { why: sanitize_line(why), permanent, diagnosis: None },
        });
    }

    fn report(&self, report: Report) {
        let _ = self.context.reports.send(report); // only a loop that is gone can't hear it
    }

    /// Takes over an instance that was started before the server.
    pub fn adopt(&mut self, id: &str) {
        if !plain_name(id) {
            return;
        }
        let port = record(&self.context.dir(id)).map(|record| record.port);
        self.order(id, port, Order::Adopt);
    }

    /// Stops an instance; answered by `Stopped`, also if it does not run. What is in flight on it is waited
    /// for up to `drain`, without it as long as its grace.
    pub fn stop(&mut self, id: &str, stop: StopSpec, drain: Option<SignedDuration>) {
        if plain_name(id) {
            let drain = drain.unwrap_or(stop.grace);
            self.order(id, None, Order::Stop { stop, drain });
        }
    }

    fn order_job(&mut self, id: &str, order: JobOrder) {
        self.tasks.try_join_next();
        let orders = self.jobs.entry(id.to_owned()).or_insert_with(|| {
            let (orders, receiver) = unbounded_channel();
            self.tasks.spawn(job::supervise(self.context.clone(), id.to_owned(), receiver));
            orders
        });
        let _ = orders.send(order); // its task ends only after it was told to
    }

    /// Runs a hook, unless it was begun before: then its end is waited for or told.
    pub fn run(&mut self, launch: JobLaunch) {
        let id = launch.job.clone();
        if plain_name(&id) {
            return self.order_job(&id, JobOrder::Run(Box::new(launch)));
        }
        let how = JobEnd::NotStarted(sanitize_line(&format!("{id:?} is no name of a directory")));
        self.report(Report::Job { id, event: JobEvent::Ended { how, output: Vec::new(), cause: None } });
    }

    /// Ends a run in order; its end is told as that of any other.
    pub fn stop_job(&mut self, id: &str, stop: StopSpec) {
        if plain_name(id) {
            self.order_job(id, JobOrder::Stop(stop));
        }
    }

    /// Kills what is left of a hook's run and removes its files; answered by `Gone`, also if there is
    /// nothing.
    pub fn end_job(&mut self, id: &str) {
        if plain_name(id) {
            return self.order_job(id, JobOrder::End);
        }
        self.report(Report::Job { id: id.to_owned(), event: JobEvent::Gone });
    }

    /// Kills every hook that runs; the next engine finds it lost.
    pub fn abandon_jobs(&mut self) {
        for (_, orders) in std::mem::take(&mut self.jobs) {
            let _ = orders.send(JobOrder::Abandon);
        }
    }

    /// The loop heard a report: ports of what ended are free again.
    pub fn heard(&mut self, report: &Report) {
        match report {
            Report::Instance { id, event: InstanceEvent::Stopped } => {
                self.instances.remove(id);
            }
            Report::Instance { id, event: InstanceEvent::Exited { .. } | InstanceEvent::StartFailed { .. } } => {
                if let Some(instance) = self.instances.get_mut(id) {
                    instance.port = None;
                }
            }
            Report::Job { id, event: JobEvent::Gone } => {
                self.jobs.remove(id);
            }
            _ => {}
        }
    }

    /// Those that have a task.
    pub fn supervised(&self) -> impl Iterator<Item = &InstanceId> {
        self.instances.keys()
    }

    /// Waits for what is being stopped, and ends the tasks.
    pub async fn end(mut self) {
        self.instances.clear();
        self.jobs.clear();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Leaves everything running, what is being stopped too, and ends the tasks.
    pub async fn leave(mut self) {
        for instance in self.instances.values() {
            let _ = instance.orders.send(Order::Leave);
        }
        for orders in self.jobs.values() {
            let _ = orders.send(JobOrder::Leave);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    /// The file that an instance's output grows in, if it has one.
    pub fn log_path(&self, id: &str) -> Option<PathBuf> {
        let path = self.context.dir(id).join(LOG_DIR).join(log::CURRENT);
        (plain_name(id) && path.exists()).then_some(path)
    }
}
