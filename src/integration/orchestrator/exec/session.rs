//! One life of the program: what it says is taken in, what it is asked is written, both at once.

use super::health::Health;
use super::lines::{Line, Lines};
use super::own;
use super::program::{Pipes, Program, ending};
use super::shared::{Ask, Inbox, Lanes, Lost, Shared, lanes};
use super::watch::{now, scope};
use super::wire::{FromProgram, Hello, LineError, Outcome, ToProgram, parse};
use flightdeck_model::{Body, Entity, LinkState, Scoped, Stage, sanitize_line};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// Longest line that is taken from the program, bytes.
const LONGEST: usize = 1 << 20;
/// Longest line of its standard error, bytes.
const LONGEST_ERROR: usize = 4096;
/// Lines a second that are taken from it; the rest waits in its pipe.
const LINES: u32 = 5000;
/// Updates that wait here before no more are read.
const OUTBOX: usize = 64;
/// Seconds within which it must say hello.
const HELLO: u32 = 5;
/// How long what it wrote before its end is read.
const REST: Duration = Duration::from_secs(1);
/// Characters of a text that go into a sentence.
const EXCERPT: usize = 200;

/// How a life ended.
pub(super) struct SessionEnd {
    pub why: String,
    /// A whole list was told in it.
    pub complete: bool,
    /// Somebody still watches.
    pub heard: bool,
}

/// Why a life ends.
enum Over {
    Exited,
    /// It closed a pipe, perhaps since it exits just now.
    Closed(String),
    /// It can't be used.
    Fault(String),
}

/// What happens next.
enum Event {
    Read(io::Result<Option<Line>>),
    Error(io::Result<Option<Line>>),
    Written(io::Result<usize>),
    Asked(Ask),
    Exited,
    Told,
    Unheard,
    Tick,
}

/// A line on its way out.
#[derive(Default)]
struct Writing {
    line: Vec<u8>,
    at: usize,
    /// Whose line it is.
    id: Option<u64>,
}

pub(super) struct Session<'a> {
    shared: &'a Arc<Shared>,
    life: u64,
    program: Program,
    stdin: ChildStdin,
    stdout: Lines<ChildStdout>,
    stderr: Option<Lines<ChildStderr>>,
    inbox: Inbox,
    /// Given away with the hello.
    lanes: Option<Lanes>,
    updates: &'a mpsc::Sender<Scoped>,
    outbox: VecDeque<Scoped>,
    pending: HashMap<u64, oneshot::Sender<Result<Outcome, Lost>>>,
    writing: Option<Writing>,
    health: Health,
    told: Option<LinkState>,
    ticks: Interval,
    /// Lines that may still be read in this second.
    budget: u32,
    waited: u32,
    lines: u64,
    last_words: String,
}

impl<'a> Session<'a> {
    pub fn new(
        shared: &'a Arc<Shared>,
        life: u64,
        program: Program,
        (stdin, stdout, stderr): Pipes,
        updates: &'a mpsc::Sender<Scoped>,
    ) -> Session<'a> {
        let (lanes, inbox) = lanes();
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Session {
            shared,
            life,
            program,
            stdin,
            stdout: Lines::new(stdout, LONGEST),
            stderr: Some(Lines::new(stderr, LONGEST_ERROR)),
            inbox,
            lanes: Some(lanes),
            updates,
            outbox: VecDeque::new(),
            pending: HashMap::new(),
            writing: None,
            health: Health::default(),
            told: None,
            ticks,
            budget: LINES,
            waited: 0,
            lines: 0,
            last_words: String::new(),
        }
    }

    /// Runs until the program ends, or must be ended.
    pub async fn run(mut self) -> SessionEnd {
        let settings = &self.shared.settings;
        let (source, read_only, scratch) = (&settings.source, settings.read_only, self.shared.scratch.clone());
        let wire = super::EXEC_WIRE;
        let mut reason = self.write_own(&ToProgram::Hello { wire, source, read_only, scratch }).err();
        while reason.is_none() {
            let event = self.event().await;
            if matches!(event, Event::Unheard) {
                return SessionEnd { why: "nobody watches it".to_owned(), complete: false, heard: false };
            }
            reason = self.handle(event).err();
        }
        let reason = match reason {
            Some(Over::Closed(why)) => timeout(REST, self.program.exited()).await.is_err().then_some(why),
            Some(Over::Fault(why)) => Some(why),
            Some(Over::Exited) | None => None,
        };
        let ended = self.program.end().await;
        self.rest().await;
        let name = self.shared.name();
        let mut why = match (reason, ended) {
            (Some(reason), _) => format!("{name} {reason}"),
            (None, Ok(status)) => format!("{name} {}", ending(status)),
            (None, Err(error)) => format!("{name} ended, how is not known: {error}"),
        };
        if !self.last_words.is_empty() {
            why = format!("{why}: {}", self.last_words);
        }
        for (_, answer) in self.pending.drain() {
            // The asker may be gone.
            let _ = answer.send(Err(Lost::Unknown(format!("its answer never came: {why}"))));
        }
        SessionEnd { why, complete: self.health.is_complete(), heard: true }
    }

    /// Waits for what comes first. Every wait here loses nothing when another one is ready before it.
    async fn event(&mut self) -> Event {
        let Session { stdin, stdout, stderr, inbox, updates, writing, program, ticks, .. } = self;
        let (idle, full, budget) = (writing.is_none(), self.outbox.len() >= OUTBOX, self.budget);
        let rest = writing.as_ref().and_then(|writing| writing.line.get(writing.at..)).unwrap_or_default();
        tokio::select! {
            permit = updates.reserve(), if !self.outbox.is_empty() => match (permit, self.outbox.pop_front()) {
                (Ok(permit), Some(scoped)) => {
                    permit.send(scoped);
                    Event::Told
                }
                (Ok(_), None) => Event::Told,
                (Err(_), _) => Event::Unheard,
            },
            () = updates.closed() => Event::Unheard,
            read = stdout.next(), if !full && budget > 0 => Event::Read(read),
            read = said(stderr) => Event::Error(read),
            written = stdin.write(rest), if !idle => Event::Written(written),
            Some(ask) = next(inbox), if idle => Event::Asked(ask),
            _ = program.exited() => Event::Exited,
            _ = ticks.tick() => Event::Tick,
        }
    }

    /// `Err`: it is over.
    fn handle(&mut self, event: Event) -> Result<(), Over> {
        match event {
            Event::Told | Event::Unheard => Ok(()),
            Event::Exited => Err(Over::Exited),
            Event::Read(Ok(Some(line))) => {
                self.budget = self.budget.saturating_sub(1);
                self.line(line).map_err(Over::Fault)
            }
            Event::Read(Ok(None)) => Err(Over::Closed("closed its standard output".to_owned())),
            Event::Read(Err(error)) => Err(Over::Fault(format!("cannot be read: {error}"))),
            Event::Error(read) => {
                self.error_line(read);
                Ok(())
            }
            Event::Written(Ok(0)) => self.not_written("it takes no more"),
            Event::Written(Ok(count)) => {
                if let Some(writing) = &mut self.writing {
                    writing.at += count;
                }
                self.writing = self.writing.take().filter(|writing| writing.at < writing.line.len());
                Ok(())
            }
            Event::Written(Err(error)) => self.not_written(&error.to_string()),
            Event::Asked(ask) => {
                self.begin(ask);
                Ok(())
            }
            Event::Tick => self.tick(),
        }
    }

    fn begin(&mut self, ask: Ask) {
        // Whoever asked has given up: it is known as not sent.
        if ask.begun.send(()).is_err() {
            return;
        }
        self.pending.retain(|_, answer| !answer.is_closed());
        self.pending.insert(ask.id, ask.answer);
        self.writing = Some(Writing { line: ask.line, at: 0, id: Some(ask.id) });
    }

    fn write_own(&mut self, line: &ToProgram<'_>) -> Result<(), Over> {
        self.writing = Some(Writing { line: line.line().map_err(Over::Fault)?, ..Writing::default() });
        Ok(())
    }

    fn not_written(&mut self, why: &str) -> Result<(), Over> {
        let why = format!("closed its standard input: {why}");
        let unsent = self.writing.take().filter(|writing| writing.at == 0).and_then(|writing| writing.id);
        if let Some(answer) = unsent.and_then(|id| self.pending.remove(&id)) {
            // The asker may be gone.
            let _ = answer.send(Err(Lost::NotSent(format!("{} {why}", self.shared.name()))));
        }
        Err(Over::Closed(why))
    }

    fn tick(&mut self) -> Result<(), Over> {
        self.budget = LINES;
        if self.lanes.is_some() {
            self.waited += 1;
            // The first tick comes at once.
            if self.waited > HELLO {
                return Err(Over::Fault(format!("said no hello within {HELLO} s")));
            }
        }
        if self.writing.is_none() && self.health.wants_snapshot() {
            self.write_own(&ToProgram::Snapshot)?;
        }
        Ok(())
    }

    /// Standard error goes into the log; its last line explains an end.
    fn error_line(&mut self, read: io::Result<Option<Line>>) {
        match read {
            Ok(Some(Line::Text(text))) => {
                let text = excerpt(&text);
                tracing::info!(source = %self.shared.settings.source, "{text}");
                if !text.trim().is_empty() {
                    self.last_words = text;
                }
            }
            Ok(Some(Line::TooLong(bytes))) => {
                tracing::info!(source = %self.shared.settings.source, bytes, "a line of standard error is too long");
            }
            Ok(None) | Err(_) => self.stderr = None,
        }
    }

    /// What was written before the end.
    async fn rest(&mut self) {
        let rest = async {
            for _ in 0..LINES {
                match self.stdout.next().await {
                    // The end is the end, whatever is wrong with its last lines.
                    Ok(Some(line)) => drop(self.line(line)),
                    _ => break,
                }
            }
            for _ in 0..LINES {
                match said(&mut self.stderr).await {
                    Ok(Some(line)) => self.error_line(Ok(Some(line))),
                    _ => break,
                }
            }
            while let Some(scoped) = self.outbox.pop_front() {
                if self.updates.send(scoped).await.is_err() {
                    break;
                }
            }
        };
        if timeout(REST, rest).await.is_err() {
            tracing::debug!(source = %self.shared.settings.source, "its pipes are still held by somebody");
        }
    }

    /// Takes in one line. `Err`: nothing more can be made of this program.
    fn line(&mut self, line: Line) -> Result<(), String> {
        self.lines += 1;
        let text = match line {
            Line::Text(text) => text,
            Line::TooLong(bytes) => {
                self.flaw(&format!("it has {bytes} bytes, at most {LONGEST} are taken"));
                return Ok(());
            }
        };
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        match parse(&text) {
            Ok(FromProgram::Hello(hello)) => self.hello(&hello),
            Ok(_) if self.lanes.is_some() => {
                return Err(format!("said something before its hello: {}", excerpt(&text)));
            }
            Ok(FromProgram::Update(body)) => self.update(*body),
            Ok(FromProgram::Stage { command, stage }) => match reportable(&stage) {
                Ok(()) => self.shared.report(command, stage),
                Err(why) => self.flaw(&why),
            },
            Ok(FromProgram::Reply { id, outcome }) => {
                if let Some(answer) = self.pending.remove(&id) {
                    let _ = answer.send(Ok(outcome)); // the asker may have given up
                }
            }
            Err(error @ LineError::Newer(_)) => return Err(error.to_string()),
            Err(LineError::Unreadable(why)) => self.flaw(&format!("{why}: {}", excerpt(&text))),
        }
        Ok(())
    }

    fn hello(&mut self, hello: &Hello) {
        match self.lanes.take() {
            Some(lanes) => self.shared.connect(self.life, hello.actions, lanes),
            None => self.flaw("a second hello"),
        }
    }

    fn update(&mut self, mut body: Body) {
        if let Err(why) = own::body(&mut body, &self.shared.settings.source) {
            return self.flaw(&why);
        }
        if let Body::Upsert(Entity::Rollout(row)) = &mut body {
            self.shared.adopt(Arc::make_mut(row));
        }
        self.health.told(&body);
        if !matches!(body, Body::Link(_)) {
            self.tell(body);
        }
        self.tell_link();
    }

    /// The line is skipped; what it told is missing.
    fn flaw(&mut self, why: &str) {
        let why = format!("{}: line {} is skipped: {why}", self.shared.name(), self.lines);
        tracing::warn!(source = %self.shared.settings.source, "{why}");
        self.health.flawed(why, now());
        self.tell_link();
    }

    fn tell(&mut self, body: Body) {
        self.outbox.push_back(Scoped { scope: scope(self.shared), body });
    }

    /// Tells the link's state where it changed.
    fn tell_link(&mut self) {
        let Some(state) = self.health.link(now()) else { return };
        let live = matches!(state, LinkState::Live { .. });
        let same = self
            .told
            .as_ref()
            .is_some_and(|told| if live { discriminant(told) == discriminant(&state) } else { *told == state });
        if !same {
            self.told = Some(state.clone());
            self.tell(Body::Link(state));
        }
    }
}

async fn said(stderr: &mut Option<Lines<ChildStderr>>) -> io::Result<Option<Line>> {
    match stderr {
        Some(stderr) => stderr.next().await,
        None => std::future::pending().await,
    }
}

/// What reduces exposure first.
async fn next(inbox: &mut Inbox) -> Option<Ask> {
    tokio::select! {
        biased;
        Some(ask) = inbox.urgent.recv() => Some(ask),
        Some(ask) = inbox.ordinary.recv() => Some(ask),
        else => None,
    }
}

/// Stages that a program may report; the others are the hub's own.
fn reportable(stage: &Stage) -> Result<(), String> {
    match stage {
        Stage::Requested | Stage::Sent | Stage::Unknown { .. } => {
            Err(format!("the stage {} is not a program's to report", stage.word()))
        }
        Stage::Effective { proof } if proof.text.trim().is_empty() => {
            Err("effective needs a proof that says what shows it".to_owned())
        }
        _ => Ok(()),
    }
}

fn excerpt(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text.get(..EXCERPT * 4).unwrap_or(text));
    sanitize_line(&text).chars().take(EXCERPT).collect()
}
