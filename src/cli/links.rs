//! The hubs that a command talks to: the local server, and one in this process over what it looks at itself.

use super::output::say;
use super::target::Rows;
use super::{Code, Context, Failure, serve, sources, unexpected};
use crate::board::Board;
use crate::client::{ClientError, ClientEvent, Link};
use crate::control::Policy;
use crate::hub::{Hub, HubSettings, HubTask};
use crate::ledger::Ledger;
use crate::model::{LinkState, Query, RefusalKind, Reply, Scope, SourceId};
use crate::server::actor_of;
use futures::StreamExt as _;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

/// The scope of the rows that a hub in one's own process makes itself.
const OWN: &str = "own";
/// How long a command waits for what it needs to know.
const KNOWN_WITHIN: Duration = Duration::from_secs(15);

/// A hub in this process that does not run yet.
pub(super) struct Local {
    /// Leads to it.
    pub link: Link,
    /// Its loop.
    pub task: HubTask,
    /// Its sources.
    pub sources: Vec<SourceId>,
}

/// Makes the hub of this process over these sources; `None` if there are none. Policy is advisory:
/// one's own settings can't bind oneself.
pub(super) fn local(context: &Context, planned: Vec<sources::Planned>) -> Result<Option<Local>, Failure> {
    if planned.is_empty() {
        return Ok(None);
    }
    let wrong = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let ledger = Ledger::open(&serve::ledger_dir(&context.paths)).map_err(|error| wrong(&error))?;
    let actor = actor_of(rustix::process::getuid().as_raw())
        .map_err(|error| Failure::failed(format!("cannot find out who you are: {error}")))?;
    let policy = Policy { enforced: false, read_only: context.globals.read_only, ..Policy::default() };
    let names = planned.iter().map(|planned| planned.source().clone()).collect();
    let (hub, task) = Hub::start(HubSettings::new(OWN.into(), policy, ledger), sources::open(planned));
    Ok(Some(Local { link: Link::Local { hub, actor }, task, sources: names }))
}

/// What a command needs to know before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need<'a> {
    /// Every source, or why it can't be known.
    All,
    /// What this TARGET or id names: its source, where it names one.
    Named(&'a str),
}

/// The hubs.
pub(super) struct Links {
    /// The server, where there is one; then the hub of this process.
    pub each: Vec<Link>,
    local: Vec<SourceId>,
    tasks: JoinSet<()>,
}

impl Links {
    /// Joins what there is. Without sources of one's own there must be a server.
    pub(super) async fn open(context: &Context) -> Result<Links, Failure> {
        let server = context.client()?;
        let found = sources::find(context)?;
        let local = local(context, found.planned)?;
        let mut links = Links { each: Vec::new(), local: Vec::new(), tasks: JoinSet::new() };
        let only_contexts = !context.globals.context.is_empty() && context.globals.server.is_none();
        match local {
            None => links.each.push(Link::Server(server)),
            Some(local) => {
                if !only_contexts {
                    match server.healthy().await {
                        Ok(()) => links.each.push(Link::Server(server)),
                        Err(ClientError::NoServer { .. }) if context.globals.server.is_none() => {}
                        Err(error) => say(&format!("the local server is left out: {}", error.in_full())),
                    }
                }
                links.tasks.spawn(local.task.run());
                links.each.push(local.link);
                links.local = local.sources;
            }
        }
        Ok(links)
    }

    /// What is there now at all of them, once what is needed is known; else as it is after a while.
    pub(super) async fn rows(&self, need: Need<'_>) -> Result<Rows, Failure> {
        self.ask(need, Query::Current).await
    }

    /// The same with what is over.
    pub(super) async fn all_rows(&self) -> Result<Rows, Failure> {
        self.ask(Need::All, Query::Board).await
    }

    async fn ask(&self, need: Need<'_>, query: Query) -> Result<Rows, Failure> {
        self.settle(need).await?;
        let mut entities = Vec::new();
        for link in &self.each {
            let reply = match link.query(query.clone()).await {
                // A server that still is of before that question: its whole board answers it, too.
                Err(ClientError::Refused(refusal)) if refusal.kind == RefusalKind::Invalid => {
                    link.query(Query::Board).await?
                }
                reply => reply?,
            };
            match reply {
                Reply::Board(rows) => entities.extend(rows),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(Rows { entities })
    }

    /// Waits until the sources of this process have told their rows or why they can't.
    async fn settle(&self, need: Need<'_>) -> Result<(), Failure> {
        let Some(local) = self.each.iter().find(|link| link.server().is_none()) else { return Ok(()) };
        let named = |source: &&SourceId| match need {
            Need::Named(word) => word.split_once('/').is_some_and(|(first, _)| first == source.as_str()),
            Need::All => false,
        };
        // A name without its source may be at any of them.
        let mut missing: BTreeSet<SourceId> = self.local.iter().filter(named).cloned().collect();
        if missing.is_empty() {
            missing = self.local.iter().cloned().collect();
        }
        let mut board = Board::default();
        let waiting = async {
            let mut events = local.events();
            while let Some(event) = events.next().await {
                match event {
                    ClientEvent::Envelope(envelope) => {
                        board.apply(&envelope.scoped);
                        // Only the last envelope of a snapshot has a sequence: before it the board is half.
                        if envelope.seq > 0 {
                            missing.retain(|source| !told(&board, source));
                        }
                    }
                    ClientEvent::Lost(why) => return Err(Failure::failed(why)),
                    ClientEvent::Connected => {}
                }
                if missing.is_empty() {
                    break;
                }
            }
            Ok(())
        };
        if let Ok(outcome) = tokio::time::timeout(KNOWN_WITHIN, waiting).await {
            return outcome;
        }
        let silent: Vec<_> = missing.iter().map(SourceId::as_str).collect();
        say(&format!("went on without {}: no word from it for {} s", silent.join(", "), KNOWN_WITHIN.as_secs()));
        Ok(())
    }

    /// The hub that speaks for a source; without one, the only hub or the server.
    pub(super) fn of(&self, source: Option<&SourceId>) -> Result<&Link, Failure> {
        let here = |source: &SourceId| self.local.contains(source);
        let found = match source {
            Some(source) if here(source) => self.each.iter().find(|link| link.server().is_none()),
            _ => self.each.iter().find(|link| link.server().is_some()),
        };
        found.or(self.each.first()).ok_or_else(|| Failure::new(Code::Unreachable, "there is nothing to talk to"))
    }

    /// Watches of all hubs whose rows may be old.
    pub(super) async fn ill(&self) -> Result<Vec<(Scope, LinkState)>, Failure> {
        let mut all = Vec::new();
        for link in &self.each {
            all.extend(super::status::ill_watches(link).await?);
        }
        Ok(all)
    }

    /// Ends the hub of this process: what it is carrying out is heard out, its ledger flushed.
    pub(super) async fn close(self) {
        let Links { each, mut tasks, .. } = self;
        drop(each);
        while tasks.join_next().await.is_some() {}
    }
}

/// Has a source said all that it can say now?
fn told(board: &Board, source: &SourceId) -> bool {
    let whole = board.link_of(&Scope { source: source.clone(), part: String::new() });
    if matches!(whole, Some(LinkState::Stale { .. } | LinkState::Denied { .. })) {
        // Nothing comes from any of its watches now.
        return true;
    }
    let mut links = board.links().filter(|(scope, _)| scope.source == *source).peekable();
    links.peek().is_some() && links.all(|(_, state)| !matches!(state, LinkState::Connecting))
}
