//! A second implementer of the orchestrator port: one rollout with a real state machine in memory,
//! and gates at each point where a test wants to stand still.

use crate::board::kit::*;
use async_trait::async_trait;
use flightdeck::control::Authorized;
use flightdeck::model::*;
use flightdeck::port::*;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};

/// A point where those who pass wait while it is shut.
pub struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    fn new() -> Gate {
        Gate { open: watch::Sender::new(true), waiting: watch::Sender::new(0) }
    }

    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Somebody stands before it.
    pub async fn reached(&self) {
        let mut waiting = self.waiting.subscribe();
        let reached = waiting.wait_for(|count| *count > 0);
        tokio::time::timeout(super::PATIENCE, reached).await.expect("somebody at the gate").unwrap();
    }

    async fn pass(&self) {
        self.waiting.send_modify(|count| *count += 1);
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
        self.waiting.send_modify(|count| *count -= 1);
    }
}

/// What is true, whoever watches.
struct Truth {
    rollout: Rollout,
    approval: Approval,
    holds: Vec<Hold>,
    watchers: Vec<mpsc::UnboundedSender<Scoped>>,
    /// Ids and actions in the order in which they were carried out.
    done: Vec<(CommandId, Action)>,
    /// The candidate's share after each command.
    shares: Vec<u32>,
    lose_answers: bool,
    ack_by_itself: bool,
    knows: ActionSet,
}

#[derive(Clone)]
pub struct World {
    truth: Arc<Mutex<Truth>>,
    /// Before a live row is read, for raising commands only.
    pub read: Arc<Gate>,
    /// Before a raising command is carried out.
    pub execute: Arc<Gate>,
    /// After it was carried out, before the answer.
    pub answer: Arc<Gate>,
}

impl World {
    pub fn new() -> World {
        let mut rollout = rollout("checkout", "staging");
        rollout.phase = Phase::Paused;
        let truth = Truth {
            approval: Approval { expires: None, ..approval(&rollout) },
            rollout,
            holds: Vec::new(),
            watchers: Vec::new(),
            done: Vec::new(),
            shares: Vec::new(),
            lose_answers: false,
            ack_by_itself: true,
            knows: Action::TABLE.iter().map(|row| row.action).collect(),
        };
        let gate = || Arc::new(Gate::new());
        World { truth: Arc::new(Mutex::new(truth)), read: gate(), execute: gate(), answer: gate() }
    }

    pub fn lose_answers(&self, lose: bool) {
        self.truth.lock().unwrap().lose_answers = lose;
    }

    /// Takes these actions only.
    pub fn knows(&self, actions: &[Action]) {
        self.truth.lock().unwrap().knows = actions.iter().copied().collect();
    }

    /// With `false` traffic follows only when [`World::ack`] is called.
    pub fn ack_by_itself(&self, by_itself: bool) {
        self.truth.lock().unwrap().ack_by_itself = by_itself;
    }

    pub fn ack(&self) {
        let mut truth = self.truth.lock().unwrap();
        truth.ack();
        truth.tell();
    }

    pub fn rollout(&self) -> Rollout {
        self.truth.lock().unwrap().rollout.clone()
    }

    pub fn approval(&self) -> Approval {
        self.truth.lock().unwrap().approval.clone()
    }

    pub fn done(&self) -> Vec<Action> {
        self.truth.lock().unwrap().done.iter().map(|(_, action)| *action).collect()
    }

    /// The candidate's shares from the given action on.
    pub fn shares_after(&self, action: Action) -> Vec<u32> {
        let truth = self.truth.lock().unwrap();
        let from = truth.done.iter().position(|(_, done)| *done == action);
        from.map_or(Vec::new(), |from| truth.shares[from..].to_vec())
    }

    pub fn tell(&self, body: &Body) {
        self.truth.lock().unwrap().send(body);
    }

    /// Something happens that nobody asked for.
    pub fn change(&self, change: impl FnOnce(&mut Rollout)) {
        let mut truth = self.truth.lock().unwrap();
        change(&mut truth.rollout);
        truth.tell();
    }

    pub fn run(&self) -> Subject {
        Subject::Run(self.rollout().run)
    }

    pub fn asked(&self) -> Subject {
        let approval = self.approval();
        Subject::Approval { id: approval.id, run: approval.run }
    }

    /// A command pinned to what is true now.
    pub fn command(&self, id: &str, action: Action) -> Command {
        let (subject, facts) = match action {
            Action::Approve | Action::Reject => (self.asked(), self.approval().facts),
            _ => (self.run(), self.rollout().facts),
        };
        command(id, action, subject, Some(facts.pin(action)))
    }
}

impl Truth {
    fn send(&mut self, body: &Body) {
        self.watchers.retain(|watcher| watcher.send(Scoped { scope: scope(), body: body.clone() }).is_ok());
    }

    fn tell(&mut self) {
        self.send(&Body::Upsert(Entity::Rollout(Arc::new(self.rollout.clone()))));
        self.send(&Body::Upsert(Entity::Approval(Box::new(self.approval.clone()))));
    }

    fn share(&mut self, percent: u32) {
        let share = Ppm::percent(percent);
        self.rollout.arms[0].traffic.desired = share.rest();
        self.rollout.arms[1].traffic.desired = share;
    }

    fn ack(&mut self) {
        for arm in &mut self.rollout.arms {
            arm.traffic.actual = Some(arm.traffic.desired);
        }
        let full = self.rollout.arms[1].traffic.actual == Some(Ppm::ALL);
        if full && self.rollout.phase == Phase::Progressing {
            self.rollout.phase = Phase::Healthy;
        }
        if self.rollout.phase == Phase::RollingBack && self.rollout.arms[1].traffic.actual == Some(Ppm::ZERO) {
            self.rollout.phase = Phase::Aborted;
        }
    }

    /// Every change gets a generation of its own, as pins need it.
    fn moved(&mut self) {
        let generation: u64 = self.rollout.facts.0[&Fact::Generation].parse().unwrap();
        let step = self.rollout.step.unwrap_or(0).to_string();
        let facts = std::mem::take(&mut self.rollout.facts);
        self.rollout.facts = facts.with(Fact::Generation, (generation + 1).to_string()).with(Fact::Step, step);
        let id = self.approval.id.0.clone();
        self.approval.facts = self.rollout.facts.clone().with(Fact::Approval, id);
    }

    fn carry_out(&mut self, authorized: &Authorized) -> Result<Option<String>, Refusal> {
        let (command, who) = (authorized.command(), authorized.actor());
        let facts = match command.subject {
            Subject::Run(_) => Some(&self.rollout.facts),
            Subject::Approval { .. } => Some(&self.approval.facts),
            _ => None,
        };
        if let (Some(pin), Some(facts)) = (&command.pin, facts) {
            let changes = pin.changes(facts);
            if !changes.is_empty() {
                return Err(Refusal::pin(changes));
            }
        }
        let ended = !self.rollout.phase.in_flight();
        let no = |why: &str| Err(Refusal::new(RefusalKind::NotApplicable, why));
        let mut note = None;
        match command.action {
            Action::Abort | Action::Reject | Action::Rollback if !ended => {
                self.share(0);
                self.rollout.phase = Phase::RollingBack;
            }
            // The same run, as some backends have it.
            Action::Retry if ended => self.rollout.phase = Phase::Progressing,
            _ if ended || self.rollout.phase == Phase::RollingBack => return no("it has ended"),
            Action::Pause => self.rollout.phase = Phase::Paused,
            Action::Promote | Action::Resume => {
                self.rollout.step = Some(3);
                self.share(50);
                self.rollout.phase = Phase::Progressing;
            }
            Action::PromoteFull => {
                self.rollout.step = Some(5);
                self.share(100);
                self.rollout.phase = Phase::Progressing;
            }
            Action::Approve => {
                let vote = Vote { who: who.name.clone(), verdict: Verdict::Approved, at: at(9), reason: None };
                self.approval.votes.push(vote);
                if self.approval.votes.len() >= self.approval.requirement.count as usize {
                    self.approval.state = ApprovalState::Approved;
                    self.rollout.step = Some(5);
                    self.share(100);
                    self.rollout.phase = Phase::Progressing;
                }
            }
            Action::Hold => note = Some(self.hold(command, who)),
            Action::ReleaseHold => {
                for hold in std::mem::take(&mut self.holds) {
                    self.send(&Body::Remove(EntityRef::Hold(source(), hold.id)));
                }
                (self.rollout.phase, self.rollout.waits) = (Phase::Progressing, Vec::new());
            }
            _ => return no("not known here"),
        }
        self.moved();
        self.done.push((command.id.clone(), command.action));
        self.shares.push(self.rollout.arms[1].traffic.desired.0);
        if self.ack_by_itself {
            self.ack();
        }
        self.tell();
        Ok(note)
    }

    fn hold(&mut self, command: &Command, who: &Actor) -> String {
        let Subject::Scope { selector, hold, .. } = &command.subject else { panic!("a hold has a scope") };
        let id = hold.clone().unwrap_or_else(|| "H-1".into());
        self.rollout.phase = Phase::Paused;
        self.rollout.waits = vec![Wait::Hold(id.clone())];
        let targets =
            vec![HoldTarget { run: self.rollout.run.clone(), held: true, note: String::new(), undone: false }];
        let (selector, owner) = (selector.clone(), who.name.clone());
        let hold = Hold { id: id.clone(), source: source(), selector, owner, reason: None, since: at(9), targets };
        self.holds = vec![hold.clone()];
        self.send(&Body::Upsert(Entity::Hold(hold)));
        id.0
    }
}

#[async_trait]
impl Executor for World {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source: source(),
            actions: self.truth.lock().unwrap().knows,
            later: "new ones go on",
            read_only: false,
        }
    }

    fn watch(&self) -> BoxStream<'static, Scoped> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut truth = self.truth.lock().unwrap();
        let rows = [
            Entity::Environment(environment("staging", 2, Tier::Standard)),
            Entity::Rollout(Arc::new(truth.rollout.clone())),
            Entity::Approval(Box::new(truth.approval.clone())),
        ];
        let rows = rows.into_iter().chain(truth.holds.iter().cloned().map(Entity::Hold)).map(Body::Upsert);
        let live = Body::Link(LinkState::live(at(0)));
        for body in [Body::SnapshotBegin].into_iter().chain(rows).chain([Body::SnapshotEnd, live]) {
            sender.send(Scoped { scope: scope(), body }).unwrap();
        }
        truth.watchers.push(sender);
        futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|scoped| (scoped, receiver))
        })
        .boxed()
    }

    async fn execute(&self, authorized: &Authorized) -> Result<Accepted, NotDone> {
        let raises = authorized.command().action.direction() == Direction::Raises;
        if raises {
            self.execute.pass().await;
        }
        let (result, lost) = {
            let mut truth = self.truth.lock().unwrap();
            (truth.carry_out(authorized), truth.lose_answers)
        };
        if raises {
            self.answer.pass().await;
        }
        if lost && result.is_ok() {
            return Err(NotDone::Unknown { why: "the line was cut".into() });
        }
        Ok(Accepted { note: result?, ..Accepted::default() })
    }

    fn progress(&self, followed: &Followed<'_>) -> Stage {
        let Followed { command, before, current, .. } = *followed;
        let Some(current) = current else { return Stage::Accepted };
        let traffic = current.arms[1].traffic;
        let followed = traffic.actual == Some(traffic.desired);
        let back = matches!(current.phase, Phase::RollingBack | Phase::Aborted);
        let moved = before.is_some_and(|before| before.step != current.step) && !back;
        let seen = match command.action {
            Action::Abort | Action::Reject | Action::Rollback => back,
            Action::Pause => current.phase == Phase::Paused,
            _ => moved,
        };
        match (seen, followed) {
            (true, true) => {
                Stage::Effective { proof: Proof { text: format!("candidate at {}, acknowledged", traffic.desired) } }
            }
            (true, false) => Stage::Observed,
            (false, _) => Stage::Accepted,
        }
    }

    async fn read(&self, run: &Run) -> Result<Rollout, InspectError> {
        self.inspect(run).await.map(|detail| detail.rollout)
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        self.read.pass().await;
        let rollout = self.rollout();
        if rollout.run != *run {
            return Err(InspectError::NotFound(run.clone()));
        }
        let raw = serde_json::Value::Null;
        Ok(Detail {
            rollout,
            instances: vec![],
            notes: vec![],
            evidence: vec![],
            receipts: vec![],
            groups: vec![],
            analyses: vec![],
            history: vec![],
            gaps: vec![],
            raw,
        })
    }
}

impl World {
    pub fn truth_needs_two(&self) {
        let mut truth = self.truth.lock().unwrap();
        truth.approval.requirement.count = 2;
        truth.tell();
    }

    /// Changes the truth before any watch tells of it.
    pub fn quietly(&self, change: impl FnOnce(&mut Rollout)) {
        change(&mut self.truth.lock().unwrap().rollout);
    }

    pub fn end_watches(&self) {
        self.truth.lock().unwrap().watchers.clear();
    }
}
