//! The source's own loop: keeps the connection, runs the watches, owns the rows, and tells what changes.

mod ended;
mod groups;
mod holds;
mod owners;
mod part;
mod places;
mod pods;
mod pulse;
mod store;

use super::access::{Access, Bars, everywhere, within};
use super::client::{Cluster, ConnectError, connect, doing};
use super::kind::{Kind, watched};
use super::requests::Place;
use super::settings::KubernetesSettings;
use super::shared::{Shared, now};
use flightdeck_model::{Body, LinkState, Scope, Scoped};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt as _, StreamExt as _};
use groups::Fetches;
pub(super) use groups::sets;
use jiff::Timestamp;
use part::{Heard, Part, follow};
use pods::{PodReads, PodsFound};
use pulse::{Beat, Life, pulse};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use store::{News, RowUpdate, Store};
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Pages and events that may wait for the loop; then the watches wait. Few: a page holds hundreds of objects.
const WAITING: usize = 4;
/// The first pause after a connection failed; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(30);
/// A connection that is not there after so long says what it waits for.
const SLOW: Duration = Duration::from_secs(14);
/// Between two counts of the pods of a workload that lacks some.
const RECOUNT: Duration = Duration::from_secs(5);
/// Namespaces whose permissions are asked about at once.
const ASKED: usize = 4;

/// The stream of a source's updates. It never ends.
pub(super) fn watch(shared: Arc<Shared>) -> BoxStream<'static, Scoped> {
    // Tasks begin when the stream is first asked, within its runtime, and end with it.
    let begin = async move { Source::new(&shared) };
    let updates = |source| futures::stream::unfold(source, Source::next);
    futures::stream::once(begin).flat_map(updates).boxed()
}

/// What a part has said of itself.
struct Watched {
    scope: Scope,
    part: Part,
    link: LinkState,
    /// It was complete once.
    known: bool,
    /// Its list was read, and its end is told once every row of it is.
    ending: bool,
    /// That it is followed is told after that, too.
    live: bool,
}

/// Something that was asked beside the watches.
enum Found {
    Connection(Result<Cluster, ConnectError>),
    /// It takes its time: what it waits for, and itself.
    Slow(String, BoxFuture<'static, Result<Cluster, ConnectError>>),
    Access(Arc<Cluster>, Result<Access, String>),
    Namespace {
        namespace: String,
        denied: Result<Bars, String>,
    },
    Groups(groups::Fetched),
    Pods(PodsFound),
    /// It is time to count the pods again of what lacked some.
    Recount(pods::Key),
    /// It is time to read again what could not be read.
    Again(usize, String),
    /// It is time to connect anew.
    Renew,
}

struct Source {
    shared: Arc<Shared>,
    own: Scope,
    /// What was last said of the whole.
    link: LinkState,
    /// There was a connection once.
    known: bool,
    /// Begun with the first connection: only then it is known where to look.
    parts: Vec<Watched>,
    tasks: JoinSet<()>,
    sender: part::Sender,
    heard: mpsc::Receiver<(usize, Heard)>,
    beats: mpsc::Receiver<Beat>,
    /// Does the server answer at all?
    life: channel::Sender<Life>,
    /// When the last word came from it.
    last: (Instant, Timestamp),
    asked: FuturesUnordered<BoxFuture<'static, Found>>,
    connecting: bool,
    failed: u32,
    access: Access,
    /// Namespaces that are being asked about, or wait for it.
    open: VecDeque<String>,
    asking: BTreeSet<String>,
    store: Store,
    fetches: Fetches,
    pods: PodReads,
    out: VecDeque<Scoped>,
}

impl Source {
    fn new(shared: &Arc<Shared>) -> Source {
        let settings = shared.settings();
        let own = Scope { source: settings.source.clone(), part: String::new() };
        let ((sender, heard), (beat, beats)) = (mpsc::channel(WAITING), mpsc::channel(1));
        let mut tasks = JoinSet::new();
        tasks.spawn(pulse(shared.connection.subscribe(), beat));
        let link = LinkState::Connecting;
        let mut source = Source {
            out: VecDeque::from([Scoped { scope: own.clone(), body: Body::Link(link.clone()) }]),
            own,
            link,
            known: false,
            parts: Vec::new(),
            tasks,
            sender,
            heard,
            beats,
            life: channel::channel(Life { alive: true, silences: 0 }).0,
            last: (Instant::now(), now()),
            asked: FuturesUnordered::new(),
            connecting: false,
            failed: 0,
            access: Access::default(),
            open: VecDeque::new(),
            asking: BTreeSet::new(),
            store: Store::new(&settings),
            fetches: Fetches::default(),
            pods: PodReads::default(),
            shared: Arc::clone(shared),
        };
        source.connect_after(Duration::ZERO);
        source
    }

    async fn next(mut self) -> Option<(Scoped, Source)> {
        loop {
            if let Some(scoped) = self.out.pop_front() {
                return Some((scoped, self));
            }
            tokio::select! {
                Some((part, heard)) = self.heard.recv() => {
                    if heard.is_word() {
                        self.last = (Instant::now(), now());
                    }
                    self.heard(part, heard);
                }
                Some(beat) = self.beats.recv() => self.beat(beat),
                Some(found) = self.asked.next(), if !self.asked.is_empty() => self.found(found),
                // The parts never end before this does.
                else => return None,
            }
            self.ask();
        }
    }

    fn connect_after(&mut self, pause: Duration) {
        if std::mem::replace(&mut self.connecting, true) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let connecting = async move {
            sleep(pause).await;
            let (doing, told) = doing();
            let settings = shared.settings();
            let mut connecting = async move { connect(&settings, &doing).await }.boxed();
            match timeout(SLOW, &mut connecting).await {
                Ok(outcome) => Found::Connection(outcome),
                Err(_) => Found::Slow(told.borrow().clone(), connecting),
            }
        };
        self.asked.push(connecting.boxed());
    }

    /// Starts what waits to be asked, as much as may be at once.
    fn ask(&mut self) {
        let Ok(cluster) = self.shared.cluster() else { return };
        while self.asking.len() < ASKED
            && let Some(namespace) = self.open.pop_front()
        {
            self.asking.insert(namespace.clone());
            let (cluster, kinds) = (Arc::clone(&cluster), self.access.partial());
            let ask = async move {
                let denied = within(&cluster.reader, &kinds, &namespace).await;
                Found::Namespace { namespace, denied }
            };
            self.asked.push(ask.boxed());
        }
        while let Some(fetch) = self.fetches.next() {
            let cluster = Arc::clone(&cluster);
            self.asked.push(async move { Found::Groups(fetch.run(&cluster.reader).await) }.boxed());
        }
        while let Some(read) = self.pods.next() {
            let cluster = Arc::clone(&cluster);
            self.asked.push(async move { Found::Pods(read.run(&cluster.reader).await) }.boxed());
        }
    }

    fn tell(&mut self, body: Body) {
        self.out.push_back(Scoped { scope: self.own.clone(), body });
    }

    fn found(&mut self, found: Found) {
        match found {
            Found::Connection(Ok(cluster)) => self.connected(Arc::new(cluster)),
            Found::Connection(Err(error)) => {
                self.connecting = false;
                let pause = PAUSE.saturating_mul(1 << self.failed.min(6)).min(LONGEST);
                self.failed = self.failed.saturating_add(1);
                self.disconnected(error.to_string());
                self.connect_after(pause.mul_f64(0.75 + fastrand::f64() / 2.0));
            }
            Found::Slow(why, connecting) => {
                // One that is renewed is still good.
                if self.shared.cluster().is_err() {
                    self.own_stale(why);
                }
                self.asked.push(connecting.map(Found::Connection).boxed());
            }
            Found::Renew => self.connect_after(Duration::ZERO),
            Found::Access(cluster, Ok(access)) => {
                if self.shared.cluster().is_ok_and(|current| Arc::ptr_eq(&current, &cluster)) {
                    self.access = access;
                    self.share_access();
                    self.asking.clear();
                    self.open.clear();
                    self.rebar(None);
                }
            }
            Found::Access(cluster, Err(why)) => {
                tracing::warn!(source = %self.own.source, %why, "permissions are not known");
                self.ask_access(cluster, LONGEST);
            }
            Found::Namespace { namespace, denied } => {
                self.asking.remove(&namespace);
                match denied {
                    Ok(denied) => {
                        self.access.learn(namespace.clone(), denied);
                        self.share_access();
                        self.rebar(Some(&namespace));
                    }
                    // Asked again with the next row of that namespace.
                    Err(why) => tracing::warn!(source = %self.own.source, namespace, %why, "permissions are not known"),
                }
            }
            Found::Groups(fetched) => {
                for (part, uid, groups) in self.fetches.done(fetched) {
                    if groups.is_err() {
                        let again = Found::Again(part, uid.clone());
                        self.asked.push(sleep(LONGEST).map(|()| again).boxed());
                    }
                    self.row_of(part, &uid, News::Sets(groups));
                }
            }
            Found::Pods(PodsFound { key, pods }) => {
                self.pods.done();
                let pause = if pods.is_ok() { RECOUNT } else { LONGEST };
                let again = Found::Recount(key.clone());
                self.asked.push(sleep(pause).map(|()| again).boxed());
                self.row_of(key.0, &key.1, News::Pods(pods));
            }
            Found::Recount(key) => {
                self.pods.rested(&key);
                if let Some(want) = self.store.short(key.0, &key.1) {
                    self.pods.want(key, want);
                }
            }
            Found::Again(part, uid) => {
                if let (Some(want), Some(watched)) = (self.store.unread(part, &uid), self.parts.get(part)) {
                    self.fetches.want(part, watched.part.kind, want);
                }
            }
        }
    }

    fn connected(&mut self, cluster: Arc<Cluster>) {
        self.connecting = false;
        self.failed = 0;
        if let Some(at) = cluster.renew_at() {
            let wait = at.duration_since(now()).try_into().unwrap_or(LONGEST);
            // Credentials that end at once are not asked for in a circle.
            self.asked.push(sleep(wait.max(LONGEST)).map(|()| Found::Renew).boxed());
        }
        self.last = (Instant::now(), now());
        self.life.send_modify(|life| life.alive = true);
        if !self.known {
            self.known = true;
            self.begin(cluster.only.as_deref());
        }
        drop(self.shared.connection.send_replace(Ok(Arc::clone(&cluster))));
        self.own_live(&cluster);
        self.ask_access(cluster, Duration::ZERO);
    }

    /// Begins the watches, of that namespace alone where no other may be looked at.
    fn begin(&mut self, only: Option<&str>) {
        if let Some(namespace) = only {
            self.shared.narrow(namespace);
        }
        let settings = self.shared.settings();
        self.store = Store::new(&settings);
        for part in parts(&settings) {
            let (connections, life) = (self.shared.connection.subscribe(), self.life.subscribe());
            self.tasks.spawn(follow(part.clone(), connections, life, self.sender.clone()));
            let scope = Scope { source: settings.source.clone(), part: part.place.name() };
            self.out.push_back(Scoped { scope: scope.clone(), body: Body::Link(LinkState::Connecting) });
            let link = LinkState::Connecting;
            self.parts.push(Watched { scope, part, link, known: false, ending: false, live: false });
        }
    }

    fn own_live(&mut self, cluster: &Cluster) {
        let only = cluster.only.as_ref().map(|namespace| format!("namespace {namespace}"));
        self.own_link(LinkState::Live { as_of: now(), only });
    }

    fn own_stale(&mut self, why: String) {
        let since = match &self.link {
            LinkState::Stale { since, .. } => *since,
            _ => self.last.1,
        };
        self.own_link(LinkState::Stale { since, why, never: !self.known });
    }

    fn own_link(&mut self, link: LinkState) {
        if self.link != link {
            self.link = link.clone();
            self.tell(Body::Link(link));
        }
    }

    /// The server answers, or it does not: then all that it told may be old.
    fn beat(&mut self, beat: Beat) {
        let Life { alive, .. } = *self.life.borrow();
        match beat {
            Beat::Heard => {
                self.last = (Instant::now(), now());
                if !alive {
                    // Each part says itself when it has caught up.
                    self.life.send_modify(|life| life.alive = true);
                    if let Ok(cluster) = self.shared.cluster() {
                        self.own_live(&cluster);
                    }
                }
            }
            Beat::Silent { asked, why } if self.last.0 < asked => {
                if alive {
                    self.life.send_modify(|life| *life = Life { alive: false, silences: life.silences + 1 });
                }
                self.own_stale(why.clone());
                for index in 0..self.parts.len() {
                    self.stale(index, why.clone(), Some(self.last.1));
                }
            }
            Beat::Silent { .. } => {}
        }
    }

    fn ask_access(&mut self, cluster: Arc<Cluster>, pause: Duration) {
        let shared = Arc::clone(&self.shared);
        let ask = async move {
            sleep(pause).await;
            let access = everywhere(&cluster.reader, &shared.settings()).await;
            Found::Access(cluster, access)
        };
        self.asked.push(ask.boxed());
    }

    fn disconnected(&mut self, why: String) {
        drop(self.shared.connection.send_replace(Err(why.clone())));
        self.own_stale(why);
    }

    /// For reads beside the watch.
    fn share_access(&self) {
        self.shared.access.store(Arc::new(self.access.clone()));
    }

    /// Rows say anew what is denied: everywhere, or in one namespace.
    fn rebar(&mut self, namespace: Option<&str>) {
        for (part, row) in self.store.rebar(&self.access, namespace) {
            if let Some(watched) = self.parts.get(part) {
                self.out.push_back(Scoped { scope: watched.scope.clone(), body: Body::Upsert(row) });
            }
        }
        for namespace in self.store.namespaces() {
            if self.access.is_open(&namespace) && !self.asking.contains(&namespace) && !self.open.contains(&namespace) {
                self.open.push_back(namespace);
            }
        }
    }

    fn heard(&mut self, index: usize, heard: Heard) {
        let Some(watched) = self.parts.get(index) else { return };
        let scope = watched.scope.clone();
        match heard {
            Heard::Begin => self.begin_list(index),
            Heard::Objects(items) => {
                for item in items {
                    let wants = self.store.take(index, item);
                    if let Some(namespace) = wants.namespace.filter(|of| self.access.is_open(of))
                        && !self.asking.contains(&namespace)
                        && !self.open.contains(&namespace)
                    {
                        self.open.push_back(namespace);
                    }
                    self.row_of(index, &wants.uid, News::Object);
                }
            }
            Heard::Gone(uids) => {
                for uid in uids {
                    let told = self.store.remove(index, &uid);
                    self.told(index, told);
                }
            }
            Heard::Complete => self.complete(index),
            // Of before the server fell silent: the part says so again.
            Heard::Live if !self.life.borrow().alive => {}
            Heard::Live => self.live(index),
            Heard::Absent => {
                // Complete, and empty.
                self.begin_list(index);
                self.complete(index);
                self.link(index, absent(&self.parts, index));
            }
            Heard::Denied { verb } => {
                let resource = scope.part.clone();
                self.link(index, LinkState::Denied { verb: verb.to_owned(), resource });
            }
            Heard::Stale { why, heard } => self.stale(index, why, heard),
            Heard::Unauthorized(cluster, why) => {
                self.stale(index, why.clone(), None);
                // Other parts may have said so before.
                if self.shared.cluster().is_ok_and(|current| Arc::ptr_eq(&current, &cluster)) {
                    self.disconnected(why);
                    self.connect_after(PAUSE);
                }
            }
        }
    }

    fn begin_list(&mut self, index: usize) {
        self.store.begin(index);
        if let Some(watched) = self.parts.get_mut(index) {
            (watched.ending, watched.live) = (false, false);
            self.out.push_back(Scoped { scope: watched.scope.clone(), body: Body::SnapshotBegin });
        }
    }

    fn complete(&mut self, index: usize) {
        for told in self.store.complete(index) {
            self.told(index, told);
        }
        if let Some(watched) = self.parts.get_mut(index) {
            watched.ending = true;
        }
        self.end(index);
    }

    fn live(&mut self, index: usize) {
        if let Some(watched) = self.parts.get_mut(index) {
            watched.live = true;
        }
        self.end(index);
    }

    /// Tells the end of a list, and that a part is live, once every row of it is told: whoever waits for that
    /// has all of them, complete.
    fn end(&mut self, index: usize) {
        let Some(watched) = self.parts.get_mut(index) else { return };
        if !(watched.ending || watched.live) || !self.store.is_whole(index) {
            return;
        }
        if std::mem::take(&mut watched.ending) {
            self.store.end(index);
            self.out.push_back(Scoped { scope: watched.scope.clone(), body: Body::SnapshotEnd });
        }
        if std::mem::take(&mut watched.live) {
            self.link(index, LinkState::live(now()));
        }
    }

    fn stale(&mut self, index: usize, why: String, heard: Option<Timestamp>) {
        let Some(watched) = self.parts.get(index) else { return };
        let since = match &watched.link {
            LinkState::Stale { since, .. } => *since,
            _ => heard.unwrap_or_else(now),
        };
        let never = !watched.known;
        self.link(index, LinkState::Stale { since, why, never });
    }

    fn link(&mut self, index: usize, link: LinkState) {
        let Some(watched) = self.parts.get_mut(index) else { return };
        watched.known |= link.is_complete();
        watched.live = false;
        if watched.link != link {
            watched.link = link.clone();
            self.out.push_back(Scoped { scope: watched.scope.clone(), body: Body::Link(link) });
        }
    }

    /// Tells the row of an object as it is now, and what follows from it.
    fn row_of(&mut self, index: usize, uid: &str, news: News) {
        let mut told = self.store.row(index, uid, news, &self.access, now());
        if let Some(want) = told.pods.take() {
            self.pods.want((index, uid.to_owned()), want);
        }
        self.told(index, told);
    }

    fn told(&mut self, index: usize, told: RowUpdate) {
        let Some(watched) = self.parts.get(index) else { return };
        if let Some(want) = told.want {
            self.fetches.want(index, watched.part.kind, want);
        }
        // A service is there before its rollouts, and history before what came after it.
        let own = told.own.into_iter().map(|body| Scoped { scope: self.own.clone(), body });
        let row = told.row.into_iter().map(|body| Scoped { scope: watched.scope.clone(), body });
        let elsewhere = told.elsewhere.into_iter().filter_map(|(part, body)| {
            let scope = self.parts.get(part)?.scope.clone();
            Some(Scoped { scope, body })
        });
        self.out.extend(own.chain(row).chain(elsewhere));
        self.end(index);
    }
}

fn absent(parts: &[Watched], index: usize) -> LinkState {
    let kind = parts.get(index).map(|watched| watched.part.kind);
    let why = match kind.and_then(Kind::system) {
        Some(system) => format!("{system} is not installed there"),
        None => format!("{} does not exist there", kind.map_or("", |kind| kind.resource().group)),
    };
    LinkState::Absent { why }
}

fn parts(settings: &KubernetesSettings) -> Vec<Part> {
    let namespaces: Vec<Option<&str>> = if settings.namespaces.is_empty() {
        vec![None]
    } else {
        settings.namespaces.iter().map(|namespace| Some(namespace.as_str())).collect()
    };
    let kinds = watched(settings).into_iter();
    let pairs = kinds.flat_map(|kind| namespaces.iter().map(move |namespace| (kind, *namespace)));
    let selector = settings.selector.clone();
    pairs
        .enumerate()
        .map(|(index, (kind, namespace))| Part {
            index,
            kind,
            place: Place::of(kind.resource(), namespace),
            selector: selector.clone(),
        })
        .collect()
}
