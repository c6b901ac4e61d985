//! A person's desk: a hub over one cluster, as one user, and what they see and do there.

use super::until;
use flightdeck::control::Policy;
use flightdeck::hub::{Hub, HubSettings};
use flightdeck::integration::orchestrator::kubernetes::{Kubernetes, KubernetesSettings};
use flightdeck::ledger::Ledger;
use flightdeck::model::{
    Action, Actor, Command, CommandId, Entity, Receipt, ReceiptId, Refusal, Rollout, SourceId, Subject,
};
use std::sync::Arc;
use tokio::task::JoinSet;

/// A hub of one's own. It ends with the desk.
pub struct Desk {
    pub hub: Hub,
    pub actor: Actor,
    tasks: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Desk {
    /// Opens one over a source, in that person's name.
    pub fn open(name: &str, settings: KubernetesSettings) -> Desk {
        let dir = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::open(dir.path()).expect("a ledger");
        let settings_of_hub = HubSettings::new(SourceId::from("desk"), Policy::default(), ledger);
        let (hub, task) = Hub::start(settings_of_hub, vec![Arc::new(Kubernetes::new(settings))]);
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run());
        let actor = Actor { name: name.to_owned(), uid: None, roles: Vec::new() };
        Desk { hub, actor, tasks, _dir: dir }
    }

    /// The row of that workload, if there is one.
    pub async fn row(&self, service: &str) -> Option<Rollout> {
        self.hub.board().await.into_iter().find_map(|entity| match entity {
            Entity::Rollout(row) if row.service.as_str() == service => Some(Arc::unwrap_or_clone(row)),
            _ => None,
        })
    }

    /// Waits for a row that is so.
    pub async fn sees(&self, service: &str, what: &str, is: impl Fn(&Rollout) -> bool) -> Rollout {
        until(&format!("{service} {what}"), async || self.row(service).await.filter(|row| is(row))).await
    }

    /// What a person who looks at this row would send.
    pub fn command(&self, action: Action, row: &Rollout) -> Command {
        Command {
            id: CommandId(uuid::Uuid::now_v7().to_string()),
            action,
            subject: Subject::Run(row.run.clone()),
            pin: Some(row.facts.pin(action)),
            reason: Some("a test".to_owned()),
        }
    }

    /// Does it, pinned to that row; the receipt as the backend answered.
    pub async fn act(&self, action: Action, row: &Rollout) -> Result<Receipt, Refusal> {
        self.hub.submit(self.actor.clone(), self.command(action, row)).await
    }

    /// The receipt as it is now.
    pub async fn receipt(&self, id: &ReceiptId) -> Option<Receipt> {
        self.hub.board().await.into_iter().find_map(|entity| match entity {
            Entity::Receipt(receipt) if receipt.id == *id => Some(*receipt),
            _ => None,
        })
    }

    /// The receipt once nothing more will come.
    pub async fn settled(&self, receipt: &Receipt) -> Receipt {
        let what = format!("the end of {}", receipt.command.action.name());
        until(&what, async || self.receipt(&receipt.id).await.filter(|receipt| receipt.stage().is_final())).await
    }

    /// Does it and follows it to its end.
    pub async fn done(&self, action: Action, row: &Rollout) -> Receipt {
        match self.act(action, row).await {
            Ok(receipt) => self.settled(&receipt).await,
            Err(refusal) => panic!("{} of {} was refused: {refusal}", action.name(), row.service),
        }
    }

    /// Ends the hub and waits for it.
    pub async fn close(self) {
        let Desk { hub, mut tasks, .. } = self;
        drop(hub);
        while tasks.join_next().await.is_some() {}
    }
}
