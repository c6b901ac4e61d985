//! The loop: drain what happened, then draw, and only if something visible changed.

use super::effects::Effects;
use super::input::Input;
use super::logs::Records;
use super::recorder::Recorder;
use super::terminal::Tty;
use super::{guardian, logs, terminal};
use crate::app::keymap::KeymapError;
use crate::app::{ConnectionState, Effect, Event, Found, Keymap, Settings, State, update};
use crate::view::{self, ThemeError, Themes, theme::theme_name};
use flightdeck_client::Link;
use flightdeck_hub::HubTask;
use flightdeck_model::SourceId;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::layout::Size;
use rustix::process::{Signal, kill_current_process_group};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

/// Frames follow each other no faster, unless a key asks for one.
const FRAME: Duration = Duration::from_millis(16);
/// Events that may wait; a server that tells more waits itself.
const CHANNEL: usize = 8192;
/// How long the end waits for reads that nobody needs any more.
const LEFT: Duration = Duration::from_millis(200);
/// How long a stop by SIGTSTP may take to come; nobody stops a process group without a shell.
const STOPS_WITHIN: Duration = Duration::from_millis(100);

/// What the cockpit is started with.
#[derive(Debug)]
pub struct ShellArgs {
    /// Hubs to join: what the user calls each.
    pub links: Vec<(String, Link)>,
    /// The hub in this process that one of the links leads to; the cockpit runs it.
    pub hub: Option<HubTask>,
    /// Those of the links, by index, that need not be there.
    pub optional: Vec<usize>,
    /// The sources of the hub in this process, and what each of them looks at, in words.
    pub watched: Vec<(SourceId, String)>,
    /// What was looked for and found, for the page that has nothing else to show.
    pub found: Vec<Found>,
    /// Name of the theme to begin with.
    pub theme: String,
    /// Directory of the user's themes.
    pub theme_dir: Option<PathBuf>,
    /// The user's keymap.toml: path for messages, and text.
    pub keymap: Option<(PathBuf, String)>,
    /// Records below this level are not kept for the Logs page.
    pub log_level: LevelFilter,
    /// Write every event there.
    pub record: Option<PathBuf>,
    /// Ask the terminal for clicks and the wheel.
    pub mouse: bool,
    /// Colours; `false` under `NO_COLOR`.
    pub color: bool,
    /// Refuse everything that changes anything.
    pub read_only: bool,
}

/// Why the cockpit could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// The runtime or its signals.
    #[error("cannot start the cockpit's runtime")]
    Runtime(#[source] io::Error),
    /// The terminal can't be used.
    #[error("cannot use the terminal")]
    Terminal(#[source] io::Error),
    /// The recording can't be written.
    #[error("cannot write the recording {}", path.display())]
    Record {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A theme is wrong.
    #[error(transparent)]
    Theme(#[from] ThemeError),
    /// The keymap is wrong.
    #[error(transparent)]
    Keymap(#[from] KeymapError),
    /// A task of the cockpit panicked; its last words are on standard error.
    #[error("a part of the cockpit failed")]
    Task(#[source] tokio::task::JoinError),
}

/// Runs the cockpit on this terminal until it is told to end.
pub fn run(args: ShellArgs) -> Result<(), ShellError> {
    end_with_guardian();
    remember_panics();
    // The screen has this thread to itself: whatever the hubs have to do goes to the other one.
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads.worker_threads(1).enable_all().build().map_err(ShellError::Runtime)?;
    let outcome = runtime.block_on(async {
        let mut cockpit = Cockpit::open(args)?;
        let outcome = cockpit.run().await;
        let Cockpit { mut tty, effects, mut hub, .. } = cockpit;
        let given_back = tty.leave().map_err(ShellError::Terminal);
        // Without a link the hub ends: it hears out what it is carrying out, and its ledger is flushed.
        effects.end().await;
        while hub.join_next().await.is_some() {}
        outcome.and(given_back)
    });
    // A file on a mount that hangs must not hold up the end: nothing that is asked for is left there.
    runtime.shutdown_timeout(LEFT);
    outcome
}

/// Is told to end when its guardian is killed: nobody would hold the terminal then.
fn end_with_guardian() {
    if guardian::guarded() {
        // Without it a killed guardian leaves a cockpit that ends with its terminal.
        let _ = flightdeck_platform::end_with_parent();
    }
}

/// A panic's message goes to the guardian, who says it on the restored terminal; without one the
/// terminal is given back first.
fn remember_panics() {
    let report = guardian::report_path();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or_else(String::new, |location| format!("at {location}: "));
        let words = info.payload_as_str().unwrap_or("no message");
        let written = report.as_ref().is_some_and(|path| std::fs::write(path, format!("{place}{words}")).is_ok());
        if !written {
            terminal::leave_in_panic();
            before(info);
        }
    }));
}

struct Cockpit {
    state: State,
    tty: Tty,
    themes: Themes,
    effects: Effects,
    /// The hub of this process, if there is one.
    hub: JoinSet<()>,
    /// What its connections are called.
    names: Vec<String>,
    events: Receiver<Event>,
    records: Records,
    recorder: Option<(PathBuf, Recorder)>,
    signals: Sources,
    wake: Option<Instant>,
    drawn: Option<Instant>,
    resized: Option<Size>,
    quit: bool,
    zone: TimeZone,
}

/// What wakes the loop besides the channel.
struct Sources {
    input: Input,
    terminate: Signals,
    hangup: Signals,
    interrupt: Signals,
    resume: Signals,
    window: Signals,
}

impl Cockpit {
    fn open(args: ShellArgs) -> Result<Cockpit, ShellError> {
        let themes = Themes::new(&own_themes(args.theme_dir.as_deref())?, args.color)?;
        themes.get(&args.theme)?;
        let settings = Settings {
            keymap: match &args.keymap {
                Some((path, text)) => Keymap::with(text, &path.display().to_string())?,
                None => Keymap::built_in()?,
            },
            theme: args.theme,
            themes: themes.names(),
            session: flightdeck_client::fresh_id().0,
            read_only: args.read_only,
            found: args.found,
            optional: args.optional,
            watched: args.watched,
        };
        let size = terminal::size().map_err(ShellError::Terminal)?;
        let recorder = args.record.map(|path| match Recorder::create(&path, size.width, size.height) {
            Ok(recorder) => Ok((path, recorder)),
            Err(source) => Err(ShellError::Record { path, source }),
        });
        let recorder = recorder.transpose()?;
        let listen = |kind| signal(kind).map_err(ShellError::Runtime);
        let signals = Sources {
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            resume: listen(SignalKind::from_raw(Signal::CONT.as_raw()))?,
            window: listen(SignalKind::window_change())?,
            input: Input::open().map_err(ShellError::Terminal)?,
        };
        // From here on the terminal is ours: nothing may fail in words on it.
        let tty = Tty::enter(args.mouse).map_err(ShellError::Terminal)?;
        let (sender, events) = channel(CHANNEL);
        let (records, installed) = logs::install(args.log_level, sender.clone());
        if !installed {
            tracing::debug!("log records go elsewhere; the Logs page stays empty");
        }
        let mut state = State::new(size.width, size.height, settings);
        state.now = now();
        let names = args.links.iter().map(|(name, _)| name.clone()).collect();
        let effects = Effects::start(args.links, sender);
        let mut hub = JoinSet::new();
        if let Some(task) = args.hub {
            hub.spawn(task.run());
        }
        Ok(Cockpit {
            state,
            tty,
            themes,
            effects,
            hub,
            names,
            events,
            records,
            recorder,
            signals,
            wake: None,
            drawn: None,
            resized: None,
            quit: false,
            zone: TimeZone::system(),
        })
    }

    async fn run(&mut self) -> Result<(), ShellError> {
        // Servers are being joined: the first frame says so instead of "no server".
        for (id, name) in std::mem::take(&mut self.names).into_iter().enumerate() {
            self.apply(Event::Connection { id, name, state: ConnectionState::Connecting }).await?;
        }
        self.draw().await?;
        #[cfg(debug_assertions)]
        assert!(std::env::var_os("FLIGHTDECK_PANIC_AFTER_FIRST_FRAME").is_none(), "asked to panic after a frame");
        while !self.quit {
            let Some(first) = self.next().await? else { continue };
            let hurry = self.take_in(first).await?;
            let due = self.drawn.is_none_or(|at| at.elapsed() >= FRAME);
            if self.state.visible_changed && (hurry || due) && !self.quit {
                self.draw().await?;
            }
        }
        self.flush_recording()
    }

    /// Waits for the next event. `None`: a frame is due.
    async fn next(&mut self) -> Result<Option<Event>, ShellError> {
        let frame = self.state.visible_changed.then(|| self.drawn.map_or_else(Instant::now, |at| at + FRAME));
        let sources = &mut self.signals;
        tokio::select! {
            biased;
            event = sources.input.next() => event.map(Some).map_err(ShellError::Terminal),
            _ = sources.terminate.recv() => Ok(Some(Event::Terminate)),
            _ = sources.hangup.recv() => Ok(Some(Event::Terminate)),
            _ = sources.interrupt.recv() => Ok(Some(Event::Terminate)),
            _ = sources.resume.recv() => self.resumed().map(Some),
            _ = sources.window.recv() => {
                let size = terminal::size().map_err(ShellError::Terminal)?;
                Ok(Some(Event::Resize { columns: size.width, rows: size.height }))
            }
            Some(event) = self.events.recv() => Ok(Some(event)),
            Some(ended) = self.effects.tasks.join_next() => match ended {
                Err(error) if error.is_panic() => Err(ShellError::Task(error)),
                _ => Ok(None),
            },
            Some(ended) = self.hub.join_next() => match ended {
                Err(error) => Err(ShellError::Task(error)),
                Ok(()) => Ok(None),
            },
            () = until(self.wake), if self.wake.is_some() => {
                self.wake = None;
                Ok(Some(Event::Wake))
            }
            () = until(frame), if frame.is_some() => {
                self.draw().await?;
                Ok(None)
            }
        }
    }

    /// Applies an event and those that wait behind it, for one frame's time at most. True if a
    /// person did one of them: they see its effect at once, however busy the servers are.
    async fn take_in(&mut self, first: Event) -> Result<bool, ShellError> {
        let begun = instant();
        let mut hurry = false;
        let mut next = Some(first);
        while let Some(event) = next.take() {
            hurry |= matches!(
                event,
                Event::Key(_)
                    | Event::Burst(_)
                    | Event::Paste(_)
                    | Event::Click { .. }
                    | Event::Resize { .. }
                    | Event::Resumed
            );
            self.apply(event).await?;
            if self.quit || begun.elapsed() >= FRAME {
                break;
            }
            next = match self.signals.input.ready().map_err(ShellError::Terminal)? {
                Some(event) => Some(event),
                // What a person did is drawn before more is taken in.
                None if hurry => None,
                None => self.events.try_recv().ok(),
            };
        }
        Ok(hurry)
    }

    async fn apply(&mut self, event: Event) -> Result<(), ShellError> {
        let now = now();
        match &event {
            Event::Resize { columns, rows } => self.resized = Some(Size::new(*columns, *rows)),
            Event::LogRecords => self.records.take(),
            _ => {}
        }
        if let Some((path, recorder)) = &mut self.recorder {
            recorder.record(now, &event).map_err(|source| ShellError::Record { path: path.clone(), source })?;
        }
        for effect in update(&mut self.state, event, now) {
            self.perform(effect).await?;
        }
        Ok(())
    }

    async fn perform(&mut self, effect: Effect) -> Result<(), ShellError> {
        match effect {
            Effect::Ask { connection, token, query } => self.effects.ask(connection, token, query),
            Effect::Submit { connection, token, command } => self.effects.submit(connection, token, command),
            Effect::Follow { connection, token, instance } => self.effects.follow(connection, token, instance),
            Effect::Unfollow { token } => self.effects.unfollow(token),
            Effect::Reconnect { connection } => self.effects.reconnect(connection),
            Effect::WakeAt(at) => {
                self.wake = at.map(|at| instant() + Duration::try_from(at.duration_since(now())).unwrap_or_default());
            }
            Effect::Copy(text) => self.send(&osc52(&text))?,
            Effect::Bell => self.send("\x07")?,
            Effect::Suspend => self.suspend().await?,
            Effect::Quit => self.quit = true,
        }
        Ok(())
    }

    /// Gives the terminal to the shell until somebody continues us.
    async fn suspend(&mut self) -> Result<(), ShellError> {
        self.flush_recording()?;
        self.tty.leave().map_err(ShellError::Terminal)?;
        // The group: the guardian stops as well, so the shell sees the whole job stop.
        kill_current_process_group(Signal::TSTP).map_err(|error| ShellError::Terminal(error.into()))?;
        // The kernel drops the signal where no shell could continue us; then the timer ends the wait.
        let _ = tokio::time::timeout(STOPS_WITHIN, self.signals.resume.recv()).await;
        let event = self.resumed()?;
        let effects = update(&mut self.state, event, now());
        for effect in effects {
            if effect != Effect::Suspend {
                Box::pin(self.perform(effect)).await?;
            }
        }
        Ok(())
    }

    /// The terminal is taken again, as it is now.
    fn resumed(&mut self) -> Result<Event, ShellError> {
        self.tty.leave().and_then(|()| self.tty.resume()).map_err(ShellError::Terminal)?;
        let size = terminal::size().map_err(ShellError::Terminal)?;
        (self.state.columns, self.state.rows) = (size.width, size.height);
        self.state.visible_changed = true;
        Ok(Event::Resumed)
    }

    async fn draw(&mut self) -> Result<(), ShellError> {
        if let Some(size) = self.resized.take() {
            self.tty.resize(size).map_err(ShellError::Terminal)?;
        }
        let theme = self.themes.get(&self.state.theme)?;
        let state = &self.state;
        let zoned = now().to_zoned(self.zone.clone());
        self.tty.screen.draw(|frame| view::draw(state, &zoned, theme, frame)).map_err(ShellError::Terminal)?;
        self.state.visible_changed = false;
        self.drawn = Some(instant());
        if self.state.dialog().is_some_and(|dialog| dialog.shown.is_none()) {
            self.apply(Event::Drawn).await?;
        }
        Ok(())
    }

    fn send(&mut self, text: &str) -> Result<(), ShellError> {
        self.tty.screen.backend_mut().send(text.as_bytes()).map_err(ShellError::Terminal)
    }

    fn flush_recording(&mut self) -> Result<(), ShellError> {
        match &mut self.recorder {
            Some((path, recorder)) => {
                recorder.flush().map_err(|source| ShellError::Record { path: path.clone(), source })
            }
            None => Ok(()),
        }
    }
}

/// The themes in a directory, by name. A directory that does not exist holds none.
fn own_themes(dir: Option<&Path>) -> Result<Vec<(String, String)>, ThemeError> {
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| ThemeError::Read { path, source }
    };
    let Some(dir) = dir.filter(|dir| dir.is_dir()) else { return Ok(Vec::new()) };
    let mut themes = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(wrong(dir))? {
        let path = entry.map_err(wrong(dir))?.path();
        if let Some(name) = theme_name(&path) {
            themes.push((name, std::fs::read_to_string(&path).map_err(wrong(&path))?));
        }
    }
    themes.sort();
    Ok(themes)
}

async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

/// Puts text on the clipboard of whoever looks at the terminal (xterm's operating system command 52).
fn osc52(text: &str) -> String {
    let mut sequence = String::new();
    let command = crossterm::clipboard::CopyToClipboard::to_clipboard_from(text);
    // Writing to a String can't fail.
    let _ = crossterm::Command::write_ansi(&command, &mut sequence);
    sequence
}

#[expect(clippy::disallowed_methods, reason = "the shell is where time comes from")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn instant() -> Instant {
    Instant::now()
}
