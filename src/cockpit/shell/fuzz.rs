//! Any bytes into the keyboard's end: no panic, and no command that was not asked for.
//!
//! `FLIGHTDECK_FUZZ_BYTES=10000000 cargo test --release --lib fuzz` feeds the whole number;
//! `FLIGHTDECK_FUZZ_SEED` another run of them.

use super::parse::{Parsed, Parser};
use crate::cockpit::app::dialog::{Dialog, Field};
use crate::cockpit::app::state::Overlay;
use crate::cockpit::app::{ConnectionState, Effect, Event, Keymap, Settings, State, update};
use crate::cockpit::view::{self, Themes};
use crate::model::{
    Action, Actor, Arm, ArmRole, Body, Decision, Direction, Entity, Envelope, Facts, Forecast, Friction, LinkState,
    Phase, Ppm, Prepared, Query, Replicas, Reply, Rollout, Run, Scope, Scoped, Strategy, Target, Traffic,
    TrafficSource,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

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
}

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
    };
    let arm = |role, version: &str, share| Arm {
        role,
        version: version.into(),
        digest: None,
        replicas: Replicas { ready: 2, desired: 2 },
        traffic: Traffic { desired: share, actual: Some(share), how: TrafficSource::Acknowledged },
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
        barred: std::sync::Arc::default(),
        managed_by: None,
        way_back: None,
        in_flight: None,
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
        let rows =
            ["checkout", "payments", "search"].into_iter().zip([Phase::Progressing, Phase::Paused, Phase::Healthy]);
        let rows = rows.map(|(name, phase)| Body::Upsert(row(name, phase)));
        let live = Body::Link(LinkState::Live { as_of: desk.now });
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
            // Somebody who means it.
            _ => match self.dialog().map(|dialog| &dialog.friction) {
                Some(Friction::Challenge(text)) => [b"\x15", text.as_bytes(), b"\r"].concat(),
                Some(_) => b"y".to_vec(),
                None => b"\x1b1pab".to_vec(),
            },
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
        let before = self.dialog().cloned();
        let key = match &event {
            Event::Key(key) => Some(key.0.clone()),
            // A click on a hint is its key.
            Event::Click { .. } => Some("click".to_owned()),
            Event::Paste(_) => {
                self.seen.pastes += 1;
                self.seen.pasted_over_dialogs += u64::from(before.is_some());
                None
            }
            _ => None,
        };
        let pasted = matches!(event, Event::Paste(_));
        let effects = update(&mut self.state, event, self.now);
        if let (true, Some(before)) = (pasted, &before) {
            let now = self.dialog().map(|dialog| &dialog.challenge.text);
            assert_eq!(now, Some(&before.challenge.text), "a paste typed a challenge");
        }
        for effect in effects {
            match effect {
                Effect::Submit { command, .. } => self.submitted(command.action, key.as_deref(), before.as_ref()),
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
    }

    /// Only by a key, and but for a pause only by the one that the open confirmation asks for.
    fn submitted(&mut self, action: Action, key: Option<&str>, before: Option<&Dialog>) {
        let key = key.unwrap_or_else(|| panic!("{action:?} was sent by no key"));
        if action == Action::Pause {
            self.seen.paused += 1;
            return;
        }
        let dialog = before.unwrap_or_else(|| panic!("{action:?} was sent by `{key}` without a confirmation"));
        assert_eq!(dialog.action, action, "`{key}` sent something else than was asked");
        match dialog.field {
            Field::Keys => assert!(["y", "click"].contains(&key), "{action:?} by `{key}`"),
            Field::Challenge | Field::Reason => assert!(["enter", "click"].contains(&key), "{action:?} by `{key}`"),
        }
        assert!(dialog.friction.accepts(&dialog.challenge.text), "{action:?}: {:?} was typed", dialog.challenge.text);
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
        while let Parsed::Event(event) = self.parser.next() {
            self.event(event);
        }
        if self.random.bool() {
            self.parser.give_up();
            while let Parsed::Event(event) = self.parser.next() {
                self.event(event);
            }
        }
        self.now += SignedDuration::from_millis(self.random.i64(0..200));
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
}
