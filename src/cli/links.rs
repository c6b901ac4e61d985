//! The hubs that a command talks to: the local server, those of the settings, and one in this process over
//! what it looks at itself.

use super::output::say;
use super::target::Rows;
use super::{Code, Context, Failure, objectives, serve, sight, sources};
use crate::board::{Board, Sight, Unseen};
use crate::client::{Client, ClientError, ClientEvent, Link};
use crate::config::settings;
use crate::control::Policy;
use crate::hub::{Hub, HubSettings, HubTask};
use crate::integration::PROVIDERS;
use crate::ledger::Ledger;
use crate::model::{Entity, LinkState, Query, RefusalKind, Reply, Scope, SourceId, Watch};
use crate::server::actor_of;
use futures::StreamExt as _;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// What the server of this machine, or of `--server`, is called where others are.
const LOCAL_SERVER: &str = "local";
/// The scope of the rows that a hub in one's own process makes itself.
const OWN: &str = "own";
/// How long a command waits for what it needs to know.
const KNOWN_WITHIN: Duration = Duration::from_secs(15);
/// How long a server may take to say what it looks at, and to begin to see it.
const JOINED_WITHIN: Duration = Duration::from_secs(5);
/// Between two questions whether it does.
const AGAIN: Duration = Duration::from_millis(100);

/// A hub in this process that does not run yet.
pub(super) struct Local {
    /// Leads to it.
    pub link: Link,
    /// Its loop.
    pub task: HubTask,
    /// Those that show rows.
    pub sources: Vec<SourceId>,
    /// Those that tell alerts of other sources' rows.
    pub alerts: Vec<SourceId>,
}

/// Makes the hub of this process over these sources; `None` if there are none. Policy is advisory:
/// one's own settings can't bind oneself.
pub(super) async fn local(context: &Context, planned: Vec<sources::Planned>) -> Result<Option<Local>, Failure> {
    if planned.is_empty() {
        return Ok(None);
    }
    let wrong = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let ledger = Ledger::open(&serve::ledger_dir(&context.paths)).map_err(|error| wrong(&error))?;
    let actor = actor_of(rustix::process::getuid().as_raw())
        .map_err(|error| Failure::failed(format!("cannot find out who you are: {error}")))?;
    let policy = Policy { enforced: false, read_only: context.globals.read_only, ..Policy::default() };
    // Numbers that nobody has hide no row.
    let (alerting, showing): (Vec<_>, Vec<_>) =
        planned.iter().filter(|planned| !planned.measures_others()).partition(|planned| planned.tells_alerts());
    let names = |planned: Vec<&sources::Planned>| -> Vec<SourceId> {
        planned.into_iter().map(|planned| planned.source().clone()).collect()
    };
    let (sources, alerts) = (names(showing), names(alerting));
    let sources::Opened { executors, probes } = sources::open(planned).await;
    let settings = settings::load(&context.paths, PROVIDERS, &[])?.settings;
    let watchdogs = if context.globals.watchdog { serve::watchdogs(&settings) } else { BTreeMap::new() };
    let (objectives, on_burn) = objectives::rules(&settings);
    let hub = HubSettings { watchdogs, objectives, on_burn, ..HubSettings::new(OWN.into(), policy, ledger) };
    let (hub, task) = Hub::start(hub, executors);
    let task = task.measured_by(probes);
    Ok(Some(Local { link: Link::Local { hub, actor }, task, sources, alerts }))
}

/// What a command needs to know before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need<'a> {
    /// Every source, or why it can't be known.
    All,
    /// The same of those that tell alerts as well.
    Alerts,
    /// What this TARGET or id names: its source, where it names one.
    Named(&'a str),
}

impl Need<'_> {
    /// Can what is needed be at that source? A name without its source may be at any.
    fn may_be_at(self, source: &str, known: impl Fn(&str) -> bool) -> bool {
        match self {
            Need::Named(word) => match word.split_once('/') {
                Some((first, _)) if known(first) => first == source,
                _ => true,
            },
            Need::All | Need::Alerts => true,
        }
    }
}

/// The hubs.
pub(super) struct Links {
    /// Servers, then the hub of this process.
    pub each: Vec<Link>,
    /// Which of them each source belongs to: the first that tells of it.
    owners: Vec<(SourceId, usize)>,
    /// What could not even be joined.
    away: Vec<Unseen>,
    local: Vec<SourceId>,
    /// Those that tell alerts, in this process.
    alerts: Vec<SourceId>,
    tasks: JoinSet<()>,
}

/// Servers to join: what each is called, and its client. The local one comes first.
fn servers(context: &Context) -> Result<Vec<(String, Client)>, Failure> {
    let told = context.globals.server.is_some();
    if !told && !context.globals.context.is_empty() {
        return Ok(Vec::new());
    }
    let mut servers = vec![(LOCAL_SERVER.to_owned(), context.client()?)];
    if !told {
        for server in settings::load(&context.paths, PROVIDERS, &[])?.settings.servers {
            servers.push((server.name, Client::unix(&super::socket_of(&server.url)?)?));
        }
    }
    Ok(servers)
}

/// All watches of a hub.
async fn watches(link: &Link) -> Result<Vec<Watch>, ClientError> {
    match link.query(Query::Watches).await {
        Ok(Reply::Watches(watches)) => Ok(watches),
        // A server of before that question: it answers, and has its engine alone.
        Err(ClientError::Refused(refusal)) if refusal.kind == RefusalKind::Invalid => Ok(Vec::new()),
        Ok(Reply::Refused(refusal)) => Err(ClientError::Refused(refusal)),
        Ok(_) => Err(ClientError::Silent),
        Err(error) => Err(error),
    }
}

/// Waits until no watch of a hub that is needed is still connecting, or for a while: a server that has just been
/// started does not know yet what it is asked for.
async fn connected(link: &Link, needed: impl Fn(&SourceId) -> bool) -> Result<(), ClientError> {
    let until = Instant::now() + JOINED_WITHIN;
    let connecting = |watch: &Watch| watch.state == LinkState::Connecting && needed(&watch.scope.source);
    while watches(link).await?.iter().any(connecting) && Instant::now() < until {
        sleep(AGAIN).await;
    }
    Ok(())
}

/// The watches of a hub and its rows. The watches first: what is missing in the rows is said then, and
/// what has come since does no harm.
async fn told_by(link: &Link, query: &Query) -> Result<(Vec<Watch>, Vec<Entity>), ClientError> {
    let watches = watches(link).await?;
    let reply = match link.query(query.clone()).await {
        // A server that still is of before that question: its whole board answers it, too.
        Err(ClientError::Refused(refusal)) if refusal.kind == RefusalKind::Invalid => link.query(Query::Board).await?,
        reply => reply?,
    };
    match reply {
        Reply::Board(rows) => Ok((watches, rows)),
        Reply::Refused(refusal) => Err(ClientError::Refused(refusal)),
        _ => Err(ClientError::Silent),
    }
}

impl Links {
    /// Joins what there is. Without sources of one's own there must be a server.
    pub(super) async fn open(context: &Context) -> Result<Links, Failure> {
        Links::over(context, sources::find(context)?).await
    }

    /// The same without whoever has numbers of others' rows.
    pub(super) async fn showing(context: &Context) -> Result<Links, Failure> {
        let mut sources = sources::find(context)?;
        sources.planned.retain(|planned| !planned.measures_others());
        Links::over(context, sources).await
    }

    async fn over(context: &Context, sources: sources::Sources) -> Result<Links, Failure> {
        let sources::Sources { planned, unseen, .. } = sources;
        let local = local(context, planned).await?;
        let servers = servers(context)?;
        // Who only tells alerts shows nothing that they could concern.
        let others = local.as_ref().is_some_and(|local| !local.sources.is_empty()) || servers.len() > 1;
        let joining = servers.into_iter().map(|(name, client)| async move {
            let link = Link::Server(client);
            let told = timeout(JOINED_WITHIN, watches(&link)).await.unwrap_or(Err(ClientError::Silent));
            (name, link, told)
        });
        let away = unseen.into_iter().map(|why| Unseen::never("kubeconfig", now(), why)).collect();
        let mut links = Links {
            each: Vec::new(),
            owners: Vec::new(),
            away,
            local: Vec::new(),
            alerts: Vec::new(),
            tasks: JoinSet::new(),
        };
        for (index, (name, link, told)) in join_all(joining).await.into_iter().enumerate() {
            match told {
                Ok(told) => links.join(link, told.into_iter().map(|watch| watch.scope.source)),
                // Nobody misses a local server that was never started.
                Err(ClientError::NoServer { .. }) if index == 0 && others && context.globals.server.is_none() => {}
                Err(error) => links.away.push(Unseen::never(name, now(), error.in_full())),
            }
        }
        if let Some(local) = local {
            links.tasks.spawn(local.task.run());
            links.join(local.link, local.sources.iter().chain(&local.alerts).cloned());
            (links.local, links.alerts) = (local.sources, local.alerts);
        }
        if links.each.is_empty() {
            // One server that is not there is the whole story, and says what to do. One of the settings is named.
            if let [Unseen { source, state: LinkState::Stale { why, .. }, .. }] = links.away.as_slice()
                && source == LOCAL_SERVER
            {
                return Err(Failure::new(Code::Unreachable, why.clone()));
            }
            return Err(sight::failure(&links.away, Code::Unreachable, "there is nothing to talk to"));
        }
        Ok(links)
    }

    fn join(&mut self, link: Link, sources: impl Iterator<Item = SourceId>) {
        let index = self.each.len();
        for source in sources.collect::<BTreeSet<_>>() {
            match self.owner(&source) {
                None => self.owners.push((source, index)),
                // The hub's own part is of every source of that name.
                Some(owner) if owner == index => {}
                Some(_) => {
                    let why =
                        format!("{} tells of it too, and another does already: its rows are left out", link.place());
                    self.away.push(Unseen::never(source.0, now(), why));
                }
            }
        }
        self.each.push(link);
    }

    fn owner(&self, source: &SourceId) -> Option<usize> {
        self.owners.iter().find(|(known, _)| known == source).map(|(_, index)| *index)
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
        let (mut rows, mut lost) = (Rows::default(), self.away.clone());
        let known = |word: &str| self.owners.iter().any(|(source, _)| source.as_str() == word);
        let needed = |source: &SourceId| need.may_be_at(source.as_str(), known);
        for (index, link) in self.each.iter().enumerate() {
            let owned = |source: &SourceId| self.owner(source).is_none_or(|owner| owner == index);
            let told = async {
                if link.server().is_some() {
                    connected(link, needed).await?;
                }
                told_by(link, &query).await
            };
            match told.await {
                Ok((watches, told)) => {
                    rows.watches.extend(watches.into_iter().filter(|watch| owned(&watch.scope.source)));
                    rows.entities.extend(told.into_iter().filter(|row| source_of(row).is_none_or(owned)));
                }
                Err(error) if self.each.len() > 1 => lost.push(Unseen::never(link.place(), now(), error.in_full())),
                Err(error) => return Err(error.into()),
            }
        }
        let links = rows.watches.iter().map(|watch| (&watch.scope, &watch.state));
        rows.sight = if need == Need::Alerts { Sight::with_alerts(links) } else { Sight::of(links) };
        rows.sight.unseen.extend(lost);
        rows.sight.unseen.retain(|unseen| need.may_be_at(&unseen.source, known));
        Ok(rows)
    }

    /// Waits until the sources of this process have told their rows or why they can't.
    async fn settle(&self, need: Need<'_>) -> Result<(), Failure> {
        let Some(local) = self.each.iter().find(|link| link.server().is_none()) else { return Ok(()) };
        let known = |word: &str| self.local.iter().any(|source| source.as_str() == word);
        let needed = |source: &&SourceId| need.may_be_at(source.as_str(), known);
        let alerts = if need == Need::Alerts { self.alerts.as_slice() } else { &[] };
        let mut missing: BTreeSet<SourceId> = self.local.iter().filter(needed).chain(alerts).cloned().collect();
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
                    ClientEvent::Lost { why, .. } => return Err(Failure::failed(why)),
                    ClientEvent::Connected => {}
                }
                if missing.is_empty() {
                    break;
                }
            }
            Ok(())
        };
        // What has not said a word by then is still connecting, and is said to be.
        timeout(KNOWN_WITHIN, waiting).await.unwrap_or(Ok(()))
    }

    /// The hub that speaks for a source; without one, the only hub or the server.
    pub(super) fn of(&self, source: Option<&SourceId>) -> Result<&Link, Failure> {
        let here = |source: &SourceId| self.local.contains(source) || self.alerts.contains(source);
        let found = match source {
            Some(source) if here(source) => self.each.iter().find(|link| link.server().is_none()),
            Some(source) if self.owner(source).is_some() => self.owner(source).and_then(|index| self.each.get(index)),
            _ => self.each.iter().find(|link| link.server().is_some()),
        };
        found.or(self.each.first()).ok_or_else(|| Failure::new(Code::Unreachable, "there is nothing to talk to"))
    }

    /// Says what could not even be joined, for commands that go on without it.
    pub(super) fn say_away(&self) {
        for line in sight::sentences(&self.away) {
            say(&line);
        }
    }

    /// Ends the hub of this process: what it is carrying out is heard out, its ledger flushed.
    pub(super) async fn close(self) {
        let Links { each, mut tasks, .. } = self;
        drop(each);
        while tasks.join_next().await.is_some() {}
    }
}

#[expect(clippy::disallowed_methods, reason = "a command line is a shell: it has the clock")]
pub(super) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Whose row it is; receipts are their hub's.
fn source_of(row: &Entity) -> Option<&SourceId> {
    match row {
        Entity::Service(row) => Some(&row.source),
        Entity::Environment(row) => Some(&row.source),
        Entity::Release(row) => Some(&row.source),
        Entity::Rollout(row) => Some(&row.run.target.source),
        Entity::Approval(row) => Some(&row.run.target.source),
        Entity::Evidence(row) => Some(&row.run.target.source),
        Entity::Hold(row) => Some(&row.source),
        Entity::RolloutRecord(row) => Some(&row.run.target.source),
        Entity::Instance(row) => Some(&row.target.source),
        Entity::Note(row) => Some(&row.run.target.source),
        Entity::Alert(row) => Some(&row.source),
        Entity::Silence(row) => Some(&row.source),
        Entity::Receipt(_) => None,
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
