//! A cockpit on a made-up server, driven by keys.

use flightdeck::cockpit::app::dialog::Dialog;
use flightdeck::cockpit::app::pages::deck;
use flightdeck::cockpit::app::state::{Overlay, Palette};
use flightdeck::cockpit::app::{
    ConnectionState, Effect, Event, Key, Keymap, Settings, State, Submitted, Token, update,
};
use flightdeck::model::*;
use jiff::{SignedDuration, Timestamp};

/// A cockpit, its time and everything that it asked the shell for.
pub struct Desk {
    pub state: State,
    pub now: Timestamp,
    pub effects: Vec<Effect>,
    /// Every event with its time, for replays.
    pub events: Vec<(Timestamp, Event)>,
    seq: u64,
}

pub fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn settings() -> Settings {
    Settings {
        keymap: Keymap::built_in().unwrap(),
        theme: "dark".to_owned(),
        themes: vec!["dark".to_owned(), "light".to_owned()],
        session: "s1".to_owned(),
        read_only: false,
        found: Vec::new(),
        optional: Vec::new(),
        watched: Vec::new(),
    }
}

impl Desk {
    /// Connected as alice to the server `local` with its source `local`, live, and nothing on it.
    pub fn empty() -> Desk {
        let state = State::new(120, 36, settings());
        let mut desk = Desk { state, now: start(), effects: Vec::new(), events: Vec::new(), seq: 0 };
        desk.connect(0, "local");
        desk.live(0, "local");
        desk
    }

    /// With checkout progressing, payments paused, search healthy, all in production.
    pub fn new() -> Desk {
        let mut desk = Desk::empty();
        desk.upsert(Entity::Environment(environment("production", Tier::Critical)));
        desk.upsert(rollout("checkout", Phase::Progressing));
        desk.upsert(rollout("payments", Phase::Paused));
        desk.upsert(rollout("search", Phase::Healthy));
        desk.look();
        desk.effects.clear();
        desk
    }

    /// As the shell does it: a confirmation that opened is drawn at once.
    pub fn send(&mut self, event: Event) {
        self.events.push((self.now, event.clone()));
        self.effects.extend(update(&mut self.state, event, self.now));
        if self.state.dialog().is_some_and(|dialog| dialog.shown.is_none()) {
            self.send(Event::Drawn);
        }
    }

    pub fn connect(&mut self, id: usize, name: &str) {
        let actor = Actor { name: "alice".to_owned(), uid: Some(1000), roles: vec!["sre".to_owned()] };
        self.connection(id, name, ConnectionState::Up { actor, enforced: true });
    }

    pub fn connection(&mut self, id: usize, name: &str, state: ConnectionState) {
        self.send(Event::Connection { id, name: name.to_owned(), state });
    }

    pub fn body(&mut self, id: usize, source: &str, part: &str, body: Body) {
        self.seq += 1;
        let scope = Scope { source: source.into(), part: part.to_owned() };
        let envelope = Envelope {
            hub: HubId(format!("hub-{id}")),
            epoch: 1,
            seq: self.seq,
            at: self.now,
            scoped: Scoped { scope, body },
        };
        self.send(Event::Update { id, envelope: Box::new(envelope) });
    }

    pub fn live(&mut self, id: usize, source: &str) {
        let as_of = self.now;
        self.body(id, source, "", Body::Link(LinkState::live(as_of)));
    }

    pub fn stale(&mut self, source: &str, why: &str) {
        let since = self.now;
        self.body(0, source, "", Body::Link(LinkState::stale(since, why.to_owned())));
    }

    /// Lets the time pass until rows that came were looked at.
    pub fn look(&mut self) {
        self.wait(100);
        self.send(Event::Wake);
    }

    pub fn upsert(&mut self, entity: Entity) {
        self.body(0, "local", "", Body::Upsert(entity));
    }

    pub fn remove(&mut self, key: EntityRef) {
        self.body(0, "local", "", Body::Remove(key));
    }

    /// A key of somebody who looks before pressing it.
    pub fn key(&mut self, key: &str) {
        self.press(key, 300);
    }

    /// A key so many milliseconds after what came before, and nothing for a while behind it.
    pub fn press(&mut self, key: &str, millis: i64) {
        self.wait(millis);
        self.send(Event::Key(Key::from(key)));
        if let Some(due) = self.state.typing.due() {
            self.now = self.now.max(due);
            self.send(Event::Wake);
        }
    }

    /// Keys that one read of the terminal finds together.
    pub fn burst(&mut self, keys: &str) {
        self.send(Event::Burst(keys.split_whitespace().map(Key::from).collect()));
    }

    /// Keys with blanks between them.
    pub fn keys(&mut self, keys: &str) {
        keys.split_whitespace().for_each(|key| self.key(key));
    }

    /// Text, character by character.
    pub fn type_text(&mut self, text: &str) {
        for c in text.chars() {
            self.press(if c == ' ' { "space".to_owned() } else { c.to_string() }.as_str(), 40);
        }
    }

    pub fn wait(&mut self, millis: i64) {
        self.now += SignedDuration::from_millis(millis);
    }

    /// Effects since the last look, wakes left out.
    pub fn did(&mut self) -> Vec<Effect> {
        self.effects.drain(..).filter(|effect| !matches!(effect, Effect::WakeAt(_))).collect()
    }

    /// The commands that were submitted since the last look.
    pub fn submitted(&mut self) -> Vec<(Token, Command)> {
        let commands = self.did().into_iter().filter_map(|effect| match effect {
            Effect::Submit { token, command, .. } => Some((token, command)),
            _ => None,
        });
        commands.collect()
    }

    /// The questions that were asked since the last look.
    pub fn asked(&mut self) -> Vec<(Token, Query)> {
        let asked = self.did().into_iter().filter_map(|effect| match effect {
            Effect::Ask { token, query, .. } => Some((token, query)),
            _ => None,
        });
        asked.collect()
    }

    /// Answers the one question that is open with leave at that friction, for the facts on the board.
    pub fn allow(&mut self, friction: &Friction) {
        let asked = self.asked();
        assert!(!asked.is_empty(), "nothing was asked; notice: {:?}", self.state.notice);
        for (token, query) in asked {
            let prepared = self.prepared(&query, Decision::Allow { friction: friction.clone() });
            self.send(Event::Reply { token, reply: Ok(Box::new(Reply::Prepared(Box::new(prepared)))) });
        }
    }

    pub fn prepared(&self, query: &Query, decision: Decision) -> Prepared {
        let Query::Prepare { action, subject } = query else { panic!("{query:?} asks for something else") };
        let facts = match subject {
            Subject::Run(run) => self.state.board.rollout(&run.target).map(|rollout| rollout.facts.clone()),
            Subject::Approval { id, .. } => self.state.board.approval(id).map(|approval| approval.facts.clone()),
            _ => None,
        };
        Prepared {
            action: *action,
            subject: subject.clone(),
            decision,
            direction: action.direction(),
            pin: facts.map(|facts| facts.pin(*action)),
            forecast: Forecast {
                lines: vec!["the route changes".to_owned()],
                warnings: Vec::new(),
                step: None,
                takes: None,
                path: None,
                stale: None,
            },
        }
    }

    pub fn outcome(&mut self, token: Token, outcome: Submitted) {
        self.send(Event::Submitted { token, outcome });
    }

    /// The notice, or nothing.
    pub fn notice(&self) -> &str {
        self.state.notice.as_ref().map_or("", |notice| notice.text.as_str())
    }

    pub fn dialog(&self) -> &Dialog {
        self.state.dialog().unwrap_or_else(|| panic!("no dialog; notice: {:?}", self.notice()))
    }

    pub fn said(&self) -> &str {
        self.dialog().said.as_deref().unwrap_or("")
    }

    pub fn palette(&self) -> &Palette {
        match &self.state.overlay {
            Some(Overlay::Palette(palette)) => palette,
            other => panic!("no palette: {other:?}"),
        }
    }

    /// The service of the selected row of the Deck.
    pub fn selected(&self) -> Option<&str> {
        let window = deck::window(&self.state);
        window.selected.and_then(|at| window.rows.get(at)).map(|row| row.rollout.service.as_str())
    }

    /// The services on the Deck, from the top.
    pub fn shown(&self) -> Vec<&str> {
        deck::window(&self.state).rows.iter().map(|row| row.rollout.service.as_str()).collect()
    }

    /// Moves down until that service is selected.
    pub fn select(&mut self, service: &str) {
        self.keys("g g");
        for _ in 0..self.shown().len() {
            if self.selected() == Some(service) {
                self.state.visible_changed = false;
                return;
            }
            self.key("j");
        }
        panic!("{service} is not on the Deck: {:?}", self.shown());
    }
}

pub fn environment(name: &str, tier: Tier) -> Environment {
    Environment { source: "local".into(), name: name.into(), order: 3, tier, allow_self: false }
}

pub fn target(service: &str) -> Target {
    Target {
        source: "local".into(),
        kind: "service".to_owned(),
        namespace: Some("production".to_owned()),
        name: service.to_owned(),
        uid: format!("uid-{service}"),
        first_name: None,
    }
}

pub fn run(service: &str) -> Run {
    Run { target: target(service), revision: "r1".to_owned() }
}

pub fn facts(service: &str, step: u32, generation: u64) -> Facts {
    Facts::default()
        .with(Fact::Workload, format!("uid-{service}"))
        .with(Fact::Revision, "r1")
        .with(Fact::Step, step.to_string())
        .with(Fact::Generation, generation.to_string())
        .with(Fact::Candidate, "sha256:new")
}

/// A rollout of that service in production, at step 1, 25 %.
pub fn row(service: &str, phase: Phase) -> Rollout {
    let arm = |role, version: &str, percent| Arm {
        role,
        version: version.into(),
        digest: None,
        replicas: Replicas { ready: 2, desired: 2 },
        traffic: Traffic {
            desired: Ppm::percent(percent),
            actual: Some(Ppm::percent(percent)),
            how: TrafficSource::Acknowledged,
        },
        pods: None,
        service: None,
    };
    let offers = match phase {
        Phase::Progressing => vec![Action::Promote, Action::PromoteFull, Action::Pause, Action::Abort],
        Phase::Paused => vec![Action::Promote, Action::PromoteFull, Action::Resume, Action::Abort],
        Phase::Healthy => vec![Action::Rollback, Action::Restart],
        Phase::Aborted => vec![Action::Retry],
        _ => Vec::new(),
    };
    Rollout {
        strategy: Strategy::Canary,
        step: Some(1),
        arms: vec![arm(ArmRole::Stable, "1.0.0", 75), arm(ArmRole::Candidate, "1.1.0", 25)],
        phase,
        author: Some("bob".to_owned()),
        facts: facts(service, 1, 7),
        offers: offers.into_iter().collect(),
        ..Rollout::bare(run(service), service.into(), "production".into(), start())
    }
}

pub fn rollout(service: &str, phase: Phase) -> Entity {
    Entity::Rollout(std::sync::Arc::new(row(service, phase)))
}

pub fn approval(id: &str, service: &str) -> Approval {
    Approval {
        id: id.into(),
        run: run(service),
        service: service.into(),
        environment: "production".into(),
        what: "step 2 of 4: then 50 % of traffic".to_owned(),
        from: Some(ReleaseRef { version: "1.0.0".into(), digest: "sha256:old".to_owned() }),
        to: ReleaseRef { version: "1.1.0".into(), digest: "sha256:new".to_owned() },
        author: "bob".to_owned(),
        requested: start(),
        expires: None,
        requirement: Requirement { count: 1, from: Vec::new(), allow_self: false },
        reviewers: None,
        votes: Vec::new(),
        state: ApprovalState::Pending,
        behind: Vec::new(),
        facts: facts(service, 1, 7).with(Fact::Approval, id),
    }
}

pub fn hold(id: &str) -> Hold {
    Hold {
        id: id.into(),
        source: "local".into(),
        selector: Selector::default(),
        owner: "bob".to_owned(),
        reason: Some("incident 12".to_owned()),
        since: start(),
        targets: vec![HoldTarget { run: run("checkout"), held: true, note: String::new(), undone: false }],
    }
}

/// A receipt of that command with these stages.
pub fn receipt(command: &Command, stages: &[Stage]) -> Receipt {
    Receipt {
        id: ReceiptId(command.id.0.clone()),
        command: command.clone(),
        actor: Actor { name: "alice".to_owned(), uid: None, roles: Vec::new() },
        stages: stages.iter().map(|stage| StageRecord { stage: stage.clone(), at: start() }).collect(),
        forecast: None,
        grade: None,
        targets: Vec::new(),
        sources: Vec::new(),
        created: None,
        left: None,
        outcome: None,
    }
}
