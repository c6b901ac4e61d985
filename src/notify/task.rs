//! The one loop: reads what happens from the hub, keeps it in the outbox, tells it.

use super::events::{Places, Wanted, of};
use super::outbox::{Outbox, OutboxError, REMEMBERED};
use flightdeck_hub::Hub;
use flightdeck_model::{Body, Entity, EntityRef};
use flightdeck_port::{NotTold, Notification, Sink};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Before the hub is asked anew for its updates, where it sent none any more.
const PAUSE: Duration = Duration::from_secs(1);
/// Before an outbox is tried again that could not be used.
const MENDED: Duration = Duration::from_secs(10);
/// How often the outbox forgets what is long over.
const TIDY: Duration = Duration::from_hours(1);

/// Somebody who is told.
pub struct Destination {
    /// As the settings call it.
    pub name: String,
    /// What they want to know.
    pub wanted: Wanted,
    /// How they are told.
    pub notifier: Arc<dyn Sink>,
}

#[expect(clippy::disallowed_methods, reason = "the loop is a shell: it says when something is told")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// What came of one try: by the destination's index.
type Tried = (usize, Notification, Result<(), NotTold>);

struct Task<'a> {
    outbox: Outbox,
    /// And since when each is told.
    destinations: Vec<(&'a Destination, Timestamp)>,
    /// Destinations that are being told something; each is told one thing after the other.
    busy: BTreeSet<usize>,
    places: Places,
    tries: FuturesUnordered<BoxFuture<'static, Tried>>,
}

/// Runs until it is told to end, or the hub does. What is not told by then is told after the next start. An outbox
/// that can't be used, as on a full disk, is tried again: what happens meanwhile is in the hub's next snapshot.
pub async fn run(file: PathBuf, destinations: Vec<Destination>, hub: Hub, ending: CancellationToken) {
    while let Err(error) = follow(&file, &destinations, &hub, &ending).await {
        tracing::error!(%error, "nobody is told outside until that is mended");
        tokio::select! {
            () = ending.cancelled() => return,
            () = sleep(MENDED) => {}
        }
    }
}

async fn follow(
    file: &Path,
    destinations: &[Destination],
    hub: &Hub,
    ending: &CancellationToken,
) -> Result<(), OutboxError> {
    let (outbox, began) = (Outbox::open(file)?, now());
    let since = destinations.iter().map(|destination| Ok((destination, outbox.since(&destination.name, began)?)));
    let destinations = since.collect::<Result<Vec<_>, OutboxError>>()?;
    let (busy, places) = (BTreeSet::new(), Places::new());
    let mut task = Task { outbox, destinations, busy, places, tries: FuturesUnordered::new() };
    let mut tidy = tokio::time::interval(TIDY);
    loop {
        let Some(mut updates) = hub.subscribe(None).await else { return Ok(()) };
        loop {
            let due = task.start_due()?;
            let wait = due.map_or(TIDY, |due| due.duration_since(now()).try_into().unwrap_or(Duration::ZERO));
            tokio::select! {
                () = ending.cancelled() => return Ok(()),
                update = updates.next() => match update {
                    Some(update) => task.heard(&update.scoped.body)?,
                    None => break,
                },
                Some(tried) = task.tries.next(), if !task.tries.is_empty() => task.tried(tried)?,
                () = sleep(wait) => {}
                _ = tidy.tick() => task.outbox.trim(now())?,
            }
        }
        // It fell behind, or the hub ends; what happened meanwhile is in the next snapshot.
        sleep(PAUSE).await;
    }
}

/// Is it news to a destination that is told since then? What is older than the outbox remembers may have been told and
/// forgotten: sources tell their history again with each start.
fn is_news(at: Timestamp, since: Timestamp, now: Timestamp) -> bool {
    at >= since && now.duration_since(at) < REMEMBERED
}

impl Task<'_> {
    fn heard(&mut self, body: &Body) -> Result<(), OutboxError> {
        let entity = match body {
            Body::Upsert(entity) => entity,
            Body::Remove(EntityRef::Rollout(target)) => {
                self.places.remove(target);
                return Ok(());
            }
            _ => return Ok(()),
        };
        if let Entity::Rollout(row) = entity {
            self.places.insert(row.run.target.clone(), (row.service.clone(), row.environment.clone()));
        }
        let now = now();
        for notification in of(entity, &self.places) {
            for (destination, since) in &self.destinations {
                if is_news(notification.at, *since, now) && destination.wanted.takes(&notification) {
                    self.outbox.put(&destination.name, &notification, now)?;
                }
            }
        }
        Ok(())
    }

    /// Begins what is due; gives when the next one is.
    fn start_due(&mut self) -> Result<Option<Timestamp>, OutboxError> {
        let mut next: Option<Timestamp> = None;
        for (index, (destination, _)) in self.destinations.iter().enumerate() {
            if self.busy.contains(&index) {
                continue;
            }
            let Some((notification, due)) = self.outbox.next(&destination.name)? else { continue };
            if due > now() {
                next = Some(next.map_or(due, |next| next.min(due)));
                continue;
            }
            self.busy.insert(index);
            let notifier = Arc::clone(&destination.notifier);
            let telling = async move {
                let told = notifier.tell(&notification, now()).await;
                (index, notification, told)
            };
            self.tries.push(telling.boxed());
        }
        Ok(next)
    }

    fn tried(&mut self, (index, notification, told): Tried) -> Result<(), OutboxError> {
        self.busy.remove(&index);
        let Some((destination, _)) = self.destinations.get(index) else { return Ok(()) };
        let (name, id) = (&destination.name, &notification.id);
        match told {
            Ok(()) => self.outbox.told(name, id),
            Err(NotTold { why, again }) => {
                let gives_up = self.outbox.failed(name, id, &why, again, now())?;
                if gives_up {
                    tracing::error!(destination = %name, %id, %why, "a notification is given up");
                } else {
                    tracing::warn!(destination = %name, %id, %why, "a notification was not told; it is tried again");
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn what_the_outbox_may_have_told_and_forgotten_is_not_told_again() {
        let day = |day: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * day);
        assert!(is_news(day(30), day(10), day(43)));
        assert!(!is_news(day(30), day(10), day(44)));
        assert!(!is_news(day(9), day(10), day(11)), "it happened before anybody was named");
    }
}
