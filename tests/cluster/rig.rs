//! A hub over the test cluster, as one hub of one user has it.

use super::{Namespace, until_told};
use flightdeck::board::Board;
use flightdeck::control::Policy;
use flightdeck::hub::{Hub, HubSettings};
use flightdeck::integration::orchestrator::kubernetes::{Kubernetes, KubernetesSettings};
use flightdeck::ledger::Ledger;
use flightdeck::model::*;
use flightdeck::port::{Executor, Probe};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// One hub and who works with it.
pub struct Deck {
    pub hub: Hub,
    pub who: &'static str,
    task: JoinHandle<()>,
    _dir: TempDir,
}

impl Drop for Deck {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What became of a command, for prints.
pub fn story(receipt: &Receipt) -> String {
    let first = receipt.stages.first().map(|record| record.at).unwrap_or_default();
    let stages = receipt.stages.iter().map(|record| {
        let detail = record.stage.detail().map_or(String::new(), |detail| format!(": {detail}"));
        format!("  +{:>5} ms {}{detail}", record.at.duration_since(first).as_millis(), record.stage.word())
    });
    let stages: Vec<String> = stages.collect();
    format!("{} by {}\n{}", receipt.command.action.name(), receipt.actor.name, stages.join("\n"))
}

impl Deck {
    /// A hub of that person over the namespace, as that user of the cluster.
    pub async fn new(namespace: &Namespace, user: &str, who: &'static str) -> Deck {
        let deck = Deck::over(namespace.settings(user), who);
        deck.live().await;
        deck
    }

    /// A hub of that person over that source.
    pub fn over(source: KubernetesSettings, who: &'static str) -> Deck {
        Deck::made(source, who, |_| {}, Vec::new())
    }

    /// The same with other settings of the hub, and with probes; live.
    pub async fn watched(
        source: KubernetesSettings,
        who: &'static str,
        change: impl FnOnce(&mut HubSettings),
        probes: Vec<Arc<dyn Probe>>,
    ) -> Deck {
        let deck = Deck::made(source, who, change, probes);
        deck.live().await;
        deck
    }

    fn made(
        source: KubernetesSettings,
        who: &'static str,
        change: impl FnOnce(&mut HubSettings),
        probes: Vec<Arc<dyn Probe>>,
    ) -> Deck {
        let dir = TempDir::new().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let mut settings = HubSettings::new("hub".into(), Policy { enforced: true, ..Policy::default() }, ledger);
        change(&mut settings);
        let orchestrator: Arc<dyn Executor> = Arc::new(Kubernetes::new(source));
        let (hub, task) = Hub::start(settings, vec![orchestrator]);
        Deck { hub, who, task: tokio::spawn(task.measured_by(probes).run()), _dir: dir }
    }

    /// Waits until every watch of the source is live: what raises exposure is refused before.
    async fn live(&self) {
        let mut board = Board::default();
        let mut updates = self.hub.subscribe(None).await.expect("the hub runs");
        let all = async {
            while let Some(envelope) = updates.next().await {
                board.apply(&envelope.scoped);
                let source = SourceId::from("test");
                let links: Vec<_> = board.links().filter(|(scope, _)| scope.source == source).collect();
                if links.len() > 4 && links.iter().all(|(_, state)| matches!(state, LinkState::Live { .. })) {
                    return;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), all).await.expect("all watches live within 60 s");
    }

    pub async fn board(&self) -> Vec<Entity> {
        self.hub.board().await
    }

    /// The row of a workload, if there is one.
    pub async fn find(&self, name: &str) -> Option<Rollout> {
        self.board().await.into_iter().find_map(|entity| match entity {
            Entity::Rollout(row) if row.service.as_str() == name => Some((*row).clone()),
            _ => None,
        })
    }

    /// Waits until a workload's row is so.
    pub async fn row(&self, name: &str, what: &str, so: impl Fn(&Rollout) -> bool) -> Rollout {
        let last = std::cell::RefCell::new(String::new());
        let told = || format!("{name}: {what}; last {}", last.borrow());
        let found = async || {
            let row = self.find(name).await?;
            *last.borrow_mut() = format!("{:?} {:?} {:?} {}", row.phase, row.step, row.waits, row.message);
            so(&row).then_some(row)
        };
        until_told(told, found).await
    }

    pub async fn at(&self, name: &str, phase: Phase) -> Rollout {
        self.row(name, phase.word(), |row| row.phase == phase).await
    }

    /// Sends an action with the pin of this row.
    pub async fn send(&self, action: Action, row: &Rollout, id: &str) -> Result<Receipt, Refusal> {
        let command = Command {
            id: format!("{}-{id}", self.who).into(),
            action,
            subject: Subject::Run(row.run.clone()),
            pin: Some(row.facts.pin(action)),
            reason: Some("a test".into()),
        };
        self.hub.submit(self.actor(), command).await
    }

    pub async fn submit(&self, action: Action, subject: Subject, id: &str) -> Result<Receipt, Refusal> {
        let command = Command { id: format!("{}-{id}", self.who).into(), action, subject, pin: None, reason: None };
        self.hub.submit(self.actor(), command).await
    }

    fn actor(&self) -> Actor {
        Actor { name: self.who.to_owned(), uid: Some(1000), roles: vec![] }
    }

    /// The receipt once nothing more comes, printed with its stages and times.
    pub async fn end_of(&self, receipt: &Receipt) -> Receipt {
        let id = &receipt.id;
        let last = std::cell::RefCell::new(String::new());
        let told = || format!("the end of its receipt; last {}", last.borrow());
        let done = until_told(told, async || {
            let receipt = self.board().await.into_iter().find_map(|entity| match entity {
                Entity::Receipt(of) if of.id == *id => Some(*of),
                _ => None,
            })?;
            *last.borrow_mut() = story(&receipt);
            receipt.stage().is_final().then_some(receipt)
        });
        let receipt = done.await;
        println!("{}", story(&receipt));
        receipt
    }

    /// Does it with what is to be seen now, and waits for the effect. Where its controller wrote between the look and
    /// the command, the pin refuses it, and it is looked at again, as a person would.
    pub async fn act(&self, action: Action, name: &str) -> Receipt {
        loop {
            let offered = self.row(name, action.name(), |row| row.offers.contains(action)).await;
            let id = format!("{}-{}-{}", action.name(), name, offered.facts.pin(action));
            let id: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(100).collect();
            match self.send(action, &offered, &id).await {
                Ok(receipt) => return self.end_of(&receipt).await,
                Err(refusal) if refusal.kind == RefusalKind::PinChanged => {
                    println!("looked at again: {refusal}");
                    let old = offered.facts.pin(action);
                    self.row(name, "what changed", |row| row.facts.pin(action) != old).await;
                }
                Err(refusal) => panic!("{action:?}: {refusal}"),
            }
        }
    }

    /// As `act`, and the effect is seen.
    pub async fn does(&self, action: Action, name: &str) -> String {
        let receipt = self.act(action, name).await;
        match receipt.stage() {
            Stage::Effective { proof } => proof.text.clone(),
            _ => panic!("not effective: {}", story(&receipt)),
        }
    }
}
