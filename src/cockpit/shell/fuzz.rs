//! Any bytes into the keyboard's end, on every page: no panic, no command that was not confirmed on the screen,
//! none on what can't be seen.
//!
//! `FLIGHTDECK_FUZZ_BYTES=10000000 cargo test --release --lib fuzz` feeds the whole number;
//! `FLIGHTDECK_FUZZ_SEED` another run of them.

use super::input::together;
use super::parse::Parser;
use crate::app::dialog::{Dialog, Field, SETTLE};
use crate::app::dispatch;
use crate::app::pages::{Page, deck};
use crate::app::state::{DeckPanel, Overlay};
use crate::app::{ConnectionState, Effect, Event, Keymap, Settings, State, update};
use crate::view::{self, Themes};
use flightdeck_model::{
    Action, Actor, Arm, ArmRole, Body, Command, Decision, Direction, Entity, Envelope, Facts, Forecast, Friction,
    LinkState, Phase, Ppm, Prepared, Query, Replicas, Reply, Rollout, Run, Scope, Scoped, Strategy, Subject, Target,
    Traffic, TrafficSource,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::collections::BTreeSet;

/// How many bytes, where nothing else is said.
const BYTES: u64 = 50_000;
/// A frame is drawn after so many events.
const FRAME: u64 = 500;

/// What happened, so that the run shows that it could have found something.
#[derive(Debug, Default)]
struct Seen {
    bytes: u64,
    events: u64,
    pastes: u64,
    pasted_over_dialogs: u64,
    paused: u64,
    confirmed: u64,
    dialogs: u64,
    bursts: u64,
    words: u64,
    pages: BTreeSet<Page>,
}

/// What people write, by mistake, into the wrong window.
const WORDS: [&str; 8] = [
    "payments are down",
    "ay",
    "abort yes",
    "please pay by yours",
    ":abort\r",
    "/pay\ra y",
    "zy\ty\r",
    "a note:\rplease pay by\ryours\r",
];

struct Desk {
    state: State,
    parser: Parser,
    now: Timestamp,
    random: fastrand::Rng,
    terminal: Terminal<TestBackend>,
    themes: Themes,
    seen: Seen,
}

fn told(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn row(name: &str, phase: Phase) -> Entity {
    let target = Target {
        source: "local".into(),
        kind: "service".to_owned(),
        namespace: Some("production".to_owned()),
        name: name.to_owned(),
        uid: format!("{name}.production"),
        first_name: None,
    };
    let arm = |role, version: &str, share| Arm {
        role,
        version: version.into(),
        digest: None,
        replicas: Replicas { ready: 2, desired: 2 },
        traffic: Traffic { desired: share, actual: Some(share), how: TrafficSource::Acknowledged },
        pods: None,
        service: None,
    };
    Entity::Rollout(std::sync::Arc::new(Rollout {
        run: Run { target, revision: "r-1".into() },
        service: name.into(),
        environment: "production".into(),
        strategy: Strategy::Canary,
        steps: std::sync::Arc::default(),
        step: Some(0),
        arms: vec![arm(ArmRole::Stable, "1.0", Ppm::percent(75)), arm(ArmRole::Candidate, "1.1", Ppm::percent(25))],
        phase,
        waits: Vec::new(),
        message: "25 % goes to the candidate".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        since: Timestamp::UNIX_EPOCH,
        author: None,
        facts: Facts::default(),
        offers: [
            Action::Promote,
            Action::PromoteFull,
            Action::Pause,
            Action::Resume,
            Action::Abort,
            Action::Rollback,
            Action::Retry,
            Action::Restart,
        ]
        .into_iter()
        .collect(),
        denied: std::sync::Arc::default(),
        managed_by: None,
        analyses: Vec::new(),
        rollback_plan: None,
        listening: None,
        in_flight: None,
        failing: Vec::new(),
        still_asked: false,
        diagnosis: None,
        watchdog: None,
        objectives: Vec::new(),
    }))
}

impl Desk {
    fn new(seed: u64) -> Desk {
        let settings = Settings {
            keymap: Keymap::built_in().expect("the keymap is fine"),
            theme: "dark".to_owned(),
            themes: vec!["dark".to_owned()],
            session: "fuzz".to_owned(),
            read_only: false,
            found: Vec::new(),
            optional: Vec::new(),
            watched: Vec::new(),
        };
        let terminal = Terminal::new(TestBackend::new(100, 30)).expect("a screen");
        let mut desk = Desk {
            state: State::new(100, 30, settings),
            parser: Parser::default(),
            now: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000),
            random: fastrand::Rng::with_seed(seed),
            terminal,
            themes: Themes::new(&[], true).expect("the themes are fine"),
            seen: Seen::default(),
        };
        let actor = Actor { name: "alice".to_owned(), uid: Some(1000), roles: vec!["sre".to_owned()] };
        let up = ConnectionState::Up { actor, enforced: true };
        update(&mut desk.state, Event::Connection { id: 0, name: "local".to_owned(), state: up }, desk.now);
        // More than a screen holds, and names that differ little.
        let names = (0..60).map(|n| format!("{}-{n}", ["checkout", "payments", "search"][n % 3]));
        let phases = [Phase::Progressing, Phase::Paused, Phase::Healthy].into_iter().cycle();
        let rows = names.zip(phases).map(|(name, phase)| Body::Upsert(row(&name, phase)));
        let live = Body::Link(LinkState::live(desk.now));
        for (seq, body) in [Body::SnapshotBegin].into_iter().chain(rows).chain([Body::SnapshotEnd, live]).enumerate() {
            let scoped = Scoped { scope: Scope { source: "local".into(), part: String::new() }, body };
            let envelope = Envelope { hub: "hub".into(), epoch: 1, seq: seq as u64 + 1, at: desk.now, scoped };
            update(&mut desk.state, Event::Update { id: 0, envelope: Box::new(envelope) }, desk.now);
        }
        desk
    }

    /// Bytes as a terminal, a person, a cat on the keyboard or another program may send them.
    fn some_bytes(&mut self) -> Vec<u8> {
        const KEYS: &[u8] = b"pzuabvxHyyyn\r\r\x1b:/?jkgG126eidlsStc 0123456789-> \t\x7fabort promote hold";
        const SEQUENCES: [&[u8]; 12] = [
            b"\x1b[A",
            b"\x1b[B",
            b"\x1b[5~",
            b"\x1b[Z",
            b"\x1b[<0;12;5M",
            b"\x1b[<64;1;1M",
            b"\x1b[<0;40;20M",
            b"\x1b[12;40R",
            b"\x1b]11;rgb:0/0/0\x1b\\",
            b"\x1bP>|xterm\x1b\\",
            b"\x1b[?62;22c",
            b"\x1b[I\x1b[O",
        ];
        let length = self.random.usize(1..16);
        match self.random.u8(..100) {
            0..30 => (0..length).map(|_| self.random.u8(..)).collect(),
            30..75 => (0..length).map(|_| self.random.choice(KEYS).copied().unwrap_or(b'y')).collect(),
            75..83 => self.random.choice(SEQUENCES).map(<[u8]>::to_vec).unwrap_or_default(),
            83..93 => {
                let text = match (self.random.bool(), self.dialog().map(|dialog| &dialog.friction)) {
                    (true, Some(Friction::Challenge(text))) => text.clone().into_bytes(),
                    _ => (0..length * 4).map(|_| self.random.choice(KEYS).copied().unwrap_or(b'y')).collect(),
                };
                [b"\x1b[200~", text.as_slice(), b"\r\ny\r\x1b[201~"].concat()
            }
            // Somebody who means it, key by key.
            _ => {
                self.means_it();
                Vec::new()
            }
        }
    }

    fn means_it(&mut self) {
        let keys = match self.dialog().map(|dialog| dialog.friction.clone()) {
            Some(Friction::Challenge(text)) => format!("\x15{text}\r"),
            Some(_) => "y".to_owned(),
            None => ["1jp", "1a", "1z", "1kb", "1ja", "2", "4"][self.random.usize(..7)].to_owned(),
        };
        for key in keys.chars() {
            self.pass(320);
            let bytes = key.to_string();
            self.parser.push(bytes.as_bytes());
            self.seen.bytes += bytes.len() as u64;
            self.taken();
            self.pass(30);
        }
    }

    fn dialog(&self) -> Option<&Dialog> {
        match &self.state.overlay {
            Some(Overlay::Dialog(dialog)) => Some(dialog),
            _ => None,
        }
    }

    fn event(&mut self, event: Event) {
        self.seen.events += 1;
        self.seen.pages.insert(self.state.page);
        let before = self.dialog().cloned();
        let visible = self.visible();
        match &event {
            Event::Paste(_) => {
                self.seen.pastes += 1;
                self.seen.pasted_over_dialogs += u64::from(before.is_some());
            }
            Event::Burst(_) => self.seen.bursts += 1,
            _ => {}
        }
        // A key that acts waits until nothing follows it: then it is the wake that lets it.
        let by_hand = matches!(event, Event::Key(_) | Event::Click { .. } | Event::Wake);
        let pasted = matches!(event, Event::Paste(_));
        let effects = update(&mut self.state, event, self.now);
        if let (true, Some(before)) = (pasted, &before) {
            let now = self.dialog().map(|dialog| &dialog.challenge.text);
            assert_eq!(now, Some(&before.challenge.text), "a paste typed a challenge");
        }
        for effect in effects {
            match effect {
                Effect::Submit { command, .. } => {
                    assert!(by_hand, "{:?} was sent by no key", command.action);
                    self.submitted(&command, before.as_ref(), &visible);
                }
                Effect::Ask { token, query, .. } => {
                    let reply = self.answer(&query);
                    let more = update(&mut self.state, Event::Reply { token, reply }, self.now);
                    assert!(
                        !more.iter().any(|effect| matches!(effect, Effect::Submit { .. })),
                        "an answer sent a command"
                    );
                }
                _ => {}
            }
        }
        let opened = before.is_none() && self.dialog().is_some();
        self.seen.dialogs += u64::from(opened);
        if self.dialog().is_some_and(|dialog| dialog.shown.is_none()) {
            self.draw();
            update(&mut self.state, Event::Drawn, self.now);
        }
    }

    /// The rollouts that a person sees selected or marked now.
    fn visible(&self) -> Vec<Target> {
        let state = &self.state;
        let list = deck::window(state);
        match (state.page, state.deck.panel) {
            (Page::Deck, DeckPanel::Rollouts) => {
                let selected = list.selected.and_then(|at| list.rows.get(at)).map(|row| &row.rollout.run.target);
                selected.into_iter().chain(&state.deck.marks).cloned().collect()
            }
            (Page::Deck, DeckPanel::Needs) => {
                let needs = deck::needs(state);
                let selected = needs.selected.and_then(|at| needs.rows.get(at)).is_some();
                dispatch::selected_rollout(state)
                    .filter(|_| selected)
                    .map(|row| row.run.target.clone())
                    .into_iter()
                    .collect()
            }
            (Page::Rollout, _) => state.rollout.iter().map(|page| page.run.target.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Only what was seen: a pause of what is selected, all else by the key that a confirmation asks for which
    /// was on the screen for long enough.
    fn submitted(&mut self, command: &Command, before: Option<&Dialog>, visible: &[Target]) {
        let action = command.action;
        if action == Action::Pause {
            let Subject::Run(run) = &command.subject else { panic!("{command:?}") };
            assert!(visible.contains(&run.target), "{} was paused and is not to be seen", run.target.name);
            self.seen.paused += 1;
            return;
        }
        let dialog = before.unwrap_or_else(|| panic!("{action:?} was sent without a confirmation"));
        assert_eq!(dialog.action, action, "something else was sent than was asked");
        assert!(dialog.items.iter().any(|item| item.subject == command.subject), "{command:?}");
        let shown = dialog.shown.unwrap_or_else(|| panic!("{action:?} was confirmed before it was drawn"));
        assert!(self.now.duration_since(shown) >= SETTLE, "{action:?} was confirmed before it could be read");
        if dialog.field != Field::Keys || !matches!(dialog.friction, Friction::Yes) {
            assert!(dialog.friction.accepts(&dialog.challenge.text), "{action:?}: {:?}", dialog.challenge.text);
        }
        self.seen.confirmed += 1;
    }

    fn answer(&mut self, query: &Query) -> Result<Box<Reply>, String> {
        let Query::Prepare { action, subject } = query else { return Err("not asked here".to_owned()) };
        if self.random.u8(..) < 8 {
            return Err("the server went away".to_owned());
        }
        let friction = match action.direction() {
            Direction::Raises => Friction::Challenge(format!("checkout {}", self.random.u8(10..20))),
            _ => Friction::Yes,
        };
        Ok(Box::new(Reply::Prepared(Box::new(Prepared {
            action: *action,
            subject: subject.clone(),
            decision: Decision::Allow { friction },
            direction: action.direction(),
            pin: Some(Facts::default().pin(*action)),
            forecast: Forecast::default(),
        }))))
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.parser.push(bytes);
        self.seen.bytes += bytes.len() as u64;
        self.taken();
        if self.random.bool() {
            self.parser.give_up();
            self.taken();
        }
        let pause = [0, 1, 5, 20, 150, 400, 900];
        let pause = self.random.choice(pause).unwrap_or(0);
        self.pass(pause);
    }

    fn taken(&mut self) {
        for event in together(&mut self.parser) {
            self.event(event);
        }
    }

    fn pass(&mut self, millis: i64) {
        self.now += SignedDuration::from_millis(millis);
        if self.state.wake.is_some_and(|at| at <= self.now) {
            self.event(Event::Wake);
        }
    }

    /// Somebody's words, at once or with so many milliseconds between their letters.
    fn words(&mut self) {
        self.seen.words += 1;
        let words = self.random.choice(WORDS).unwrap_or("ay");
        match self.random.u8(..3) {
            0 => self.feed(words.as_bytes()),
            pace => {
                for byte in words.bytes() {
                    self.parser.push(&[byte]);
                    self.seen.bytes += 1;
                    self.taken();
                    self.pass(if pace == 1 { 1 } else { 130 });
                }
            }
        }
    }

    fn draw(&mut self) {
        let now = self.now.to_zoned(TimeZone::UTC);
        let (state, theme) = (&self.state, self.themes.get("dark").expect("the theme is there"));
        self.terminal.draw(|frame| view::draw(state, &now, theme, frame)).expect("it is drawn");
    }
}

#[test]
fn no_bytes_send_a_command_that_was_not_confirmed() {
    let (bytes, start) = (told("FLIGHTDECK_FUZZ_BYTES", BYTES), told("FLIGHTDECK_FUZZ_SEED", 20_261_121));
    let mut desk = Desk::new(start);
    let mut drawn = 0;
    while desk.seen.bytes < bytes {
        if desk.random.u8(..) < 40 {
            desk.words();
        }
        let some = desk.some_bytes();
        desk.feed(&some);
        if desk.seen.events > drawn + FRAME {
            drawn = desk.seen.events;
            desk.draw();
        }
    }
    let Desk { seen, .. } = &desk;
    println!("FLIGHTDECK_FUZZ_SEED={start}: {seen:?}");
    assert!(seen.pastes > 100 && seen.pasted_over_dialogs > 10, "{seen:?}");
    assert!(seen.paused > 0 && seen.dialogs > 10 && seen.confirmed > 5, "{seen:?}");
    assert!(seen.bursts > 100 && seen.words > 10 && seen.pages.len() >= 5, "{seen:?}");
}
