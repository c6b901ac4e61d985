//! What is still to be told, in SQLite: it survives a crash between the fact and the telling. A fact that is put in
//! again is the same one.

use flightdeck_port::Notification;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::path::{Path, PathBuf};

/// After so long without success nobody is told any more.
pub const GIVE_UP: SignedDuration = SignedDuration::from_hours(24);
/// What was told or given up is remembered so long, so that it is not told again.
pub(super) const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 14);
/// Before the second try; doubles each time.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(5);
/// The longest.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(15);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS destinations (name TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
  id TEXT NOT NULL,
  destination TEXT NOT NULL,
  body TEXT NOT NULL,
  created INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  due INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  why TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (id, destination)
) STRICT;
CREATE INDEX IF NOT EXISTS by_due ON outbox (destination, state, due);
";

/// Why the outbox can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// SQLite said no.
    #[error("cannot {step} the outbox of notifications {}: {source}", path.display())]
    Sqlite {
        /// What was tried.
        step: &'static str,
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    /// What it holds is no notification.
    #[error("the outbox of notifications holds what can't be read")]
    Body(#[source] serde_json::Error),
}

/// What a destination was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    pub destination: String,
    /// Still tried.
    pub waiting: u32,
    /// Given up in the last two weeks.
    pub given_up: u32,
    /// Why the newest try failed; empty: none was made.
    pub why: String,
}

/// The store. Its calls take milliseconds and block.
#[derive(Debug)]
pub struct Outbox {
    store: Connection,
    path: PathBuf,
}

impl Outbox {
    /// Opens it, and makes it where there is none.
    pub fn open(path: &Path) -> Result<Outbox, OutboxError> {
        let wrong = |step, source| OutboxError::Sqlite { step, path: path.to_owned(), source };
        let store = Connection::open(path).map_err(|error| wrong("open", error))?;
        store.busy_timeout(std::time::Duration::from_secs(5)).map_err(|error| wrong("open", error))?;
        store.pragma_update(None, "journal_mode", "WAL").map_err(|error| wrong("open", error))?;
        store.pragma_update(None, "synchronous", "FULL").map_err(|error| wrong("open", error))?;
        store.execute_batch(SCHEMA).map_err(|error| wrong("lay out", error))?;
        Ok(Outbox { store, path: path.to_owned() })
    }

    fn wrong(&self, step: &'static str) -> impl Fn(rusqlite::Error) -> OutboxError {
        let path = self.path.clone();
        move |source| OutboxError::Sqlite { step, path: path.clone(), source }
    }

    /// Since when a destination is told: what was before it was named is not news to it.
    pub fn since(&self, destination: &str, now: Timestamp) -> Result<Timestamp, OutboxError> {
        let wrong = self.wrong("write");
        self.store
            .execute("INSERT OR IGNORE INTO destinations VALUES (?1, ?2)", params![destination, now.as_millisecond()])
            .map_err(&wrong)?;
        let since: i64 = self
            .store
            .query_row("SELECT since FROM destinations WHERE name = ?1", [destination], |row| row.get(0))
            .map_err(&wrong)?;
        Ok(Timestamp::from_millisecond(since).unwrap_or(now))
    }

    /// Puts a notification in. False: it is there already, told or not.
    pub fn put(&self, destination: &str, it: &Notification, now: Timestamp) -> Result<bool, OutboxError> {
        let body = serde_json::to_string(it).map_err(OutboxError::Body)?;
        let now = now.as_millisecond();
        let sql = "INSERT OR IGNORE INTO outbox (id, destination, body, created, due) VALUES (?1, ?2, ?3, ?4, ?4)";
        let put = self.store.execute(sql, params![it.id, destination, body, now]).map_err(self.wrong("write"))?;
        Ok(put > 0)
    }

    /// The next one that a destination is to be told, and when that is due.
    pub fn next(&self, destination: &str) -> Result<Option<(Notification, Timestamp)>, OutboxError> {
        let sql =
            "SELECT body, due FROM outbox WHERE destination = ?1 AND state = 'waiting' ORDER BY due, created LIMIT 1";
        let found: Option<(String, i64)> = self
            .store
            .query_row(sql, [destination], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(self.wrong("read"))?;
        let Some((body, due)) = found else { return Ok(None) };
        let it = serde_json::from_str(&body).map_err(OutboxError::Body)?;
        Ok(Some((it, Timestamp::from_millisecond(due).unwrap_or_default())))
    }

    /// It was told.
    pub fn told(&self, destination: &str, id: &str) -> Result<(), OutboxError> {
        let sql =
            "UPDATE outbox SET state = 'told', attempts = attempts + 1, why = '' WHERE destination = ?1 AND id = ?2";
        self.store.execute(sql, [destination, id]).map(drop).map_err(self.wrong("write"))
    }

    /// It was not told. True: it is given up.
    pub fn failed(
        &self,
        destination: &str,
        id: &str,
        why: &str,
        again: bool,
        now: Timestamp,
    ) -> Result<bool, OutboxError> {
        let wrong = self.wrong("write");
        let sql = "SELECT attempts, created FROM outbox WHERE destination = ?1 AND id = ?2";
        let (attempts, created): (u32, i64) =
            self.store.query_row(sql, [destination, id], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&wrong)?;
        let pause = FIRST_PAUSE.checked_mul(1 << attempts.min(12)).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
        let due = now.checked_add(pause).unwrap_or(now);
        let age = now.duration_since(Timestamp::from_millisecond(created).unwrap_or(now));
        let gives_up = !again || age >= GIVE_UP;
        let state = if gives_up { "given_up" } else { "waiting" };
        let sql = "UPDATE outbox SET state = ?3, attempts = attempts + 1, due = ?4, why = ?5 WHERE destination = ?1 AND id = ?2";
        self.store.execute(sql, params![destination, id, state, due.as_millisecond(), why]).map_err(&wrong)?;
        Ok(gives_up)
    }

    /// Forgets what is long over.
    pub fn trim(&self, now: Timestamp) -> Result<(), OutboxError> {
        let before = now.checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN).as_millisecond();
        let sql = "DELETE FROM outbox WHERE state <> 'waiting' AND created < ?1";
        self.store.execute(sql, [before]).map(drop).map_err(self.wrong("tidy"))
    }

    /// What was not told, by destination; those that were told everything are left out.
    pub fn undelivered(&self) -> Result<Vec<Undelivered>, OutboxError> {
        let wrong = self.wrong("read");
        let sql = "SELECT destination, SUM(state = 'waiting'), SUM(state = 'given_up'),
            COALESCE((SELECT why FROM outbox AS newest WHERE newest.destination = outbox.destination AND why <> ''
                ORDER BY created DESC LIMIT 1), '')
            FROM outbox WHERE state IN ('waiting', 'given_up') GROUP BY destination ORDER BY destination";
        let mut statement = self.store.prepare(sql).map_err(&wrong)?;
        let rows = statement
            .query_map([], |row| {
                Ok(Undelivered {
                    destination: row.get(0)?,
                    waiting: row.get(1)?,
                    given_up: row.get(2)?,
                    why: row.get(3)?,
                })
            })
            .map_err(&wrong)?;
        rows.collect::<Result<_, _>>().map_err(&wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_port::NotifyEvent;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn notification(id: &str) -> Notification {
        Notification {
            id: id.to_owned(),
            event: NotifyEvent::Failed,
            at: at(0),
            source: "local".into(),
            service: "shop".into(),
            environment: "production".into(),
            run: "shop/r-1".into(),
            trace_id: String::new(),
            from: None,
            to: "2.0".into(),
            author: None,
            why: "because".into(),
            breach: None,
            rollout: None,
            command: None,
        }
    }

    #[test]
    fn a_try_that_failed_is_due_later_and_later_and_given_up_after_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(&dir.path().join("notify.db")).unwrap();
        let it = notification("msg_1");
        assert!(outbox.put("hook", &it, at(0)).unwrap());
        assert!(!outbox.put("hook", &it, at(1)).unwrap(), "it is the same one");
        assert_eq!(outbox.next("hook").unwrap(), Some((it.clone(), at(0))));
        assert_eq!(outbox.next("other").unwrap(), None);
        let mut now = at(0);
        let mut pauses = Vec::new();
        while !outbox.failed("hook", "msg_1", "503", true, now).unwrap() {
            let (_, due) = outbox.next("hook").unwrap().unwrap();
            pauses.push(due.duration_since(now).as_secs());
            now = due;
        }
        assert_eq!(pauses[..4], [5, 10, 20, 40]);
        assert_eq!(pauses.last(), Some(&900));
        assert!(now.duration_since(at(0)) >= GIVE_UP);
        assert_eq!(outbox.next("hook").unwrap(), None);
        let missed = outbox.undelivered().unwrap();
        assert_eq!((missed[0].waiting, missed[0].given_up, missed[0].why.as_str()), (0, 1, "503"));
        // It is not told again, though its fact is seen again.
        assert!(!outbox.put("hook", &it, now).unwrap());
    }

    #[test]
    fn what_another_try_can_not_help_is_given_up_at_once_and_told_ones_are_forgotten_late() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("notify.db");
        let outbox = Outbox::open(&file).unwrap();
        outbox.put("hook", &notification("msg_1"), at(0)).unwrap();
        outbox.put("hook", &notification("msg_2"), at(0)).unwrap();
        assert!(outbox.failed("hook", "msg_1", "410 Gone", false, at(1)).unwrap());
        outbox.told("hook", "msg_2").unwrap();
        drop(outbox);
        let outbox = Outbox::open(&file).unwrap();
        outbox.trim(at(3600)).unwrap();
        assert!(!outbox.put("hook", &notification("msg_2"), at(3600)).unwrap());
        outbox.trim(at(15 * 86_400)).unwrap();
        assert!(outbox.undelivered().unwrap().is_empty());
    }

    #[test]
    fn what_was_before_a_destination_was_named_is_no_news_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("notify.db");
        assert_eq!(Outbox::open(&file).unwrap().since("hook", at(100)).unwrap(), at(100));
        assert_eq!(Outbox::open(&file).unwrap().since("hook", at(200)).unwrap(), at(100), "it was named before");
    }
}
