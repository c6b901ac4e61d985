//! One watch: lists, then follows, and says how it fares. It never gives up.

use super::super::client::Cluster;
use super::super::kind::{Item, Kind};
use super::super::requests::{Failure, PAGE, Place, page, watch};
use super::super::shared::{Connection, now};
use super::super::wire::{Bare, Line, Page, PageMeta, Skimmed};
use super::pulse::Life;
use jiff::Timestamp;
use kube::core::Status;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// The first pause after a failure; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST: Duration = Duration::from_secs(10);
/// Between two tries of what an administrator has to change first.
const SELDOM: Duration = Duration::from_mins(1);
/// So quiet a resumed watch has caught up.
const CAUGHT_UP: Duration = Duration::from_millis(300);
/// A resumed watch that is never quiet has caught up after so long: what was missed is sent first.
const CAUGHT_UP_AT_LATEST: Duration = Duration::from_secs(2);

/// What a part tells its source.
#[derive(Debug)]
pub(super) enum Heard {
    /// All objects follow.
    Begin,
    /// Objects as they are.
    Objects(Vec<Item>),
    /// Deleted objects' uids.
    Gone(Vec<String>),
    /// All objects have been told.
    Complete,
    /// Followed from here on.
    Live,
    /// There is no such resource.
    Absent,
    /// Not allowed.
    Denied { verb: &'static str },
    /// Out of date since the last word, where there was one.
    Stale { why: String, heard: Option<Timestamp> },
    /// The credentials of that connection are refused.
    Unauthorized(Arc<Cluster>, String),
}

impl Heard {
    /// Does it show that the server is there?
    pub const fn is_word(&self) -> bool {
        !matches!(self, Heard::Begin | Heard::Stale { .. })
    }
}

/// What is watched.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub index: usize,
    pub kind: &'static dyn Kind,
    pub place: Place,
    pub selector: Option<String>,
}

pub(super) type Sender = mpsc::Sender<(usize, Heard)>;

/// The source is gone: nobody listens.
struct Over;

enum Ended {
    Failed { failure: Failure, verb: &'static str },
    Over,
}

impl From<Over> for Ended {
    fn from(_: Over) -> Ended {
        Ended::Over
    }
}

/// Follows a part on whatever connection there is, until nobody listens any more. While the server is
/// silent nothing is asked of it; the source says so for all parts.
pub(super) async fn follow(
    part: Part,
    connections: channel::Receiver<Connection>,
    mut life: channel::Receiver<Life>,
    sender: Sender,
) {
    let lives = life.clone();
    let mut following =
        Following { part, connections, life: lives, sender, version: None, failed: 0, live: false, heard: None };
    while let Some(cluster) = following.connected().await {
        let Ok(Life { silences, .. }) = life.wait_for(|life| life.alive).await.map(|life| *life) else { return };
        let ended = tokio::select! {
            ended = following.run(&cluster) => ended,
            _ = life.wait_for(|life| life.silences != silences) => {
                following.live = false;
                continue;
            }
        };
        match ended {
            Ended::Over => return,
            Ended::Failed { failure, verb } => {
                if following.failed(&cluster, failure, verb).await.is_err() {
                    return;
                }
            }
        }
    }
}

struct Following {
    part: Part,
    connections: channel::Receiver<Connection>,
    /// Whether the server is there.
    life: channel::Receiver<Life>,
    sender: Sender,
    /// Where a watch goes on; none: list first.
    version: Option<String>,
    /// Failures in a row.
    failed: u32,
    live: bool,
    /// When the last word came.
    heard: Option<Timestamp>,
}

impl Following {
    async fn connected(&mut self) -> Option<Arc<Cluster>> {
        let connection = self.connections.wait_for(Result::is_ok).await.ok()?;
        connection.as_ref().ok().map(Arc::clone)
    }

    async fn tell(&self, heard: Heard) -> Result<(), Over> {
        self.sender.send((self.part.index, heard)).await.map_err(|_| Over)
    }

    /// Runs until something fails.
    async fn run(&mut self, cluster: &Cluster) -> Ended {
        loop {
            let resumed = self.version.is_some();
            if !resumed && let Err(ended) = self.list(cluster).await {
                return ended;
            }
            if let Err(ended) = self.watch(cluster, resumed).await {
                return ended;
            }
        }
    }

    async fn list(&mut self, cluster: &Cluster) -> Result<(), Ended> {
        let failed = |failure| Ended::Failed { failure, verb: "list" };
        self.tell(Heard::Begin).await?;
        let (kind, place) = (self.part.kind, self.part.place.clone());
        let selector = self.part.selector.clone();
        let ask = |next: Option<String>| {
            let (place, selector) = (&place, selector.as_deref());
            async move { page(&cluster.reader, place, selector, PAGE, next.as_deref()).await }
        };
        let mut text = ask(None).await.map_err(failed)?;
        let version = loop {
            let meta = skim(&text).map_err(failed)?;
            // The next page is on its way while this one is read.
            let read = spawn_blocking(move || read_page(kind, &text));
            let next = meta.next.filter(|next| !next.is_empty());
            let last = next.is_none();
            let following = async {
                match next {
                    Some(next) => ask(Some(next)).await,
                    None => Ok(Vec::new()),
                }
            };
            let (items, following) = tokio::join!(read, following);
            let items = items.map_err(|error| failed(Failure::Other(format!("a page was not read: {error}"))))?;
            self.tell(Heard::Objects(items.map_err(failed)?)).await?;
            if last {
                break meta.resource_version.filter(|version| !version.is_empty());
            }
            text = following.map_err(failed)?;
        };
        let none = || failed(Failure::Other("the list has no version to follow it from".to_owned()));
        let version = version.ok_or_else(none)?;
        self.tell(Heard::Complete).await?;
        // Not before all of it was told: this may be cut off at each wait.
        self.version = Some(version);
        Ok(())
    }

    /// One watch until the server ends it, as it does every few seconds.
    async fn watch(&mut self, cluster: &Cluster, resumed: bool) -> Result<(), Ended> {
        let failed = |failure| Ended::Failed { failure, verb: "watch" };
        let version = self.version.clone().unwrap_or_default();
        let selector = self.part.selector.as_deref();
        let mut lines = watch(&cluster.reader, &self.part.place, selector, &version).await.map_err(failed)?;
        if !resumed {
            self.is_live().await?;
        }
        let mut at_latest = pin!(sleep(CAUGHT_UP_AT_LATEST));
        loop {
            let next = if self.live {
                lines.next().await
            } else {
                // What was missed comes at once.
                let next = tokio::select! {
                    next = timeout(CAUGHT_UP, lines.next()) => next.ok(),
                    () = &mut at_latest => None,
                };
                let Some(next) = next else {
                    self.failed = 0;
                    self.is_live().await?;
                    continue;
                };
                next
            };
            let next = next.map_err(failed)?;
            self.heard = Some(now());
            let Some(text) = next else {
                self.failed = 0;
                self.is_live().await?;
                return Ok(());
            };
            let changes = read_lines(self.part.kind, &text).map_err(failed)?;
            for heard in changes.heard {
                self.tell(heard).await?;
            }
            if let Some(version) = changes.version {
                self.version = Some(version);
            }
            if let Some(failure) = changes.failure {
                return Err(failed(failure));
            }
            self.failed = 0;
        }
    }

    async fn is_live(&mut self) -> Result<(), Over> {
        if !self.live {
            self.tell(Heard::Live).await?;
            (self.live, self.heard) = (true, Some(now()));
        }
        Ok(())
    }

    /// Says what failed and waits before the next try.
    async fn failed(&mut self, cluster: &Arc<Cluster>, failure: Failure, verb: &'static str) -> Result<(), Over> {
        self.live = false;
        let mut pause = PAUSE.saturating_mul(1 << self.failed.min(6)).min(LONGEST);
        self.failed = self.failed.saturating_add(1);
        let heard = match failure {
            Failure::Expired => {
                self.version = None;
                self.stale("what it was followed from is too old: it is read anew".to_owned())
            }
            Failure::Forbidden => {
                // Without watch it is read again from time to time.
                self.version = None;
                pause = SELDOM;
                Heard::Denied { verb }
            }
            Failure::Absent => {
                self.version = None;
                pause = SELDOM;
                Heard::Absent
            }
            Failure::Unauthorized(why) => Heard::Unauthorized(Arc::clone(cluster), why),
            Failure::Other(why) => self.stale(why),
        };
        self.tell(heard).await?;
        // Not all at the same moment.
        let pause = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
        self.connections.mark_unchanged();
        let silences = self.life.borrow().silences;
        let is_back = self.life.wait_for(|life| life.alive && life.silences != silences);
        tokio::select! {
            () = sleep(pause) => {}
            // It was silent meanwhile and is back.
            _ = is_back => {}
            // A new connection is tried at once.
            _ = self.connections.changed() => {}
        }
        Ok(())
    }
}

impl Following {
    const fn stale(&self, why: String) -> Heard {
        Heard::Stale { why, heard: self.heard }
    }
}

/// What a page says of itself.
fn skim(text: &[u8]) -> Result<PageMeta, Failure> {
    serde_json::from_slice::<Skimmed>(text).map(|page| page.metadata).map_err(|_| garbled())
}

fn garbled() -> Failure {
    Failure::Other("the server does not answer as an API server does".to_owned())
}

fn read_page(kind: &dyn Kind, text: &[u8]) -> Result<Vec<Item>, Failure> {
    let page: Page<'_> = serde_json::from_slice(text).map_err(|_| garbled())?;
    Ok(page.items.unwrap_or_default().into_iter().filter_map(|one| Item::read(kind, one.get())).collect())
}

#[derive(Default)]
struct Changes {
    heard: Vec<Heard>,
    version: Option<String>,
    failure: Option<Failure>,
}

/// What some lines of a watch say, in their order.
fn read_lines(kind: &dyn Kind, text: &[u8]) -> Result<Changes, Failure> {
    let garbled = |_| Failure::Other("a line of the watch can't be read".to_owned());
    let mut changes = Changes::default();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace)) {
        let line: Line<'_> = serde_json::from_slice(line).map_err(garbled)?;
        let object = line.object.get();
        if line.kind == "ERROR" {
            let status: Status = serde_json::from_str(object).map_err(garbled)?;
            changes.failure = Some(Failure::of_status(&status));
            return Ok(changes);
        }
        let meta = serde_json::from_str::<Bare>(object).map(|bare| bare.metadata);
        let Ok(meta) = meta else { continue };
        changes.version = meta.resource_version.or(changes.version);
        match (line.kind.as_ref(), changes.heard.last_mut()) {
            ("ADDED" | "MODIFIED", Some(Heard::Objects(items))) => items.extend(Item::read(kind, object)),
            ("ADDED" | "MODIFIED", _) => {
                changes.heard.push(Heard::Objects(Item::read(kind, object).into_iter().collect()));
            }
            ("DELETED", Some(Heard::Gone(uids))) => uids.extend(meta.uid),
            ("DELETED", _) => changes.heard.push(Heard::Gone(meta.uid.into_iter().collect())),
            // Bookmarks only tell a version, and so does what a later server adds.
            _ => {}
        }
    }
    Ok(changes)
}

#[cfg(test)]
#[path = "part_tests.rs"]
mod tests;
