//! The engine's journal: its state, pending effects included, durable before any effect is carried
//! out, and the history of finished rollouts, each in a row of its own. SQLite in WAL mode with
//! synchronous=FULL, on a thread of its own.

mod configs;
mod history;
#[cfg(test)]
pub(crate) use history::kit;

use flightdeck_model::{ConfigRevision, RolloutRecord};
use flightdeck_platform::failpoint;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Version of what is stored; older is migrated, newer refused.
pub const JOURNAL_VERSION: u32 = 5;
/// Pages of SQLite's log that are folded into the file once nothing was asked for a while: within a commit
/// that would take a hundred times as long as the commit.
const LONG_LOG: usize = 500;
/// So long is a while.
const QUIET: Duration = Duration::from_millis(250);
/// Bytes set aside for the spill file.
const SPILL: u64 = 64 << 10;

/// Why the journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// SQLite said no.
    #[error("cannot {step} the journal {path}")]
    Sqlite {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    /// A finished rollout in it can't be read or written.
    #[error("cannot {step} a finished rollout in the journal {path}")]
    Deployment {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// A configuration of before can't be read or written.
    #[error("cannot {step} a configuration in the journal {path}")]
    Config {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// The spill file can't be used.
    #[error("cannot {step} {path}")]
    Spill {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Written by a newer program.
    #[error(
        "the journal {path} is of version {found}, this program knows {JOURNAL_VERSION} and older: use the newer program"
    )]
    Newer { path: PathBuf, found: u32 },
    /// Its thread ended.
    #[error("the journal's thread is gone")]
    Gone,
}

/// What its thread is asked for.
enum Order {
    /// A new state, the rollouts that ended with it, and the configuration that came into force with it.
    Commit {
        state: String,
        ended: Vec<RolloutRecord>,
        config: Option<Box<ConfigRevision>>,
        done: oneshot::Sender<Result<(), JournalError>>,
    },
    /// The configurations that were in force; of one revision its text, too.
    Configs { revision: Option<u64>, answer: oneshot::Sender<Result<Vec<ConfigRevision>, JournalError>> },
    /// Keep no more finished rollouts than this, and none that ended before.
    Forget { keep: u64, before: Timestamp },
}

/// A journal that was opened, and what it holds.
#[derive(Debug)]
pub struct Opened {
    /// The handle.
    pub journal: Journal,
    /// The engine's state as JSON; none in a new journal.
    pub state: Option<String>,
    /// The newest finished rollouts, oldest first.
    pub deployments: Vec<RolloutRecord>,
}

/// A handle on the journal's thread.
#[derive(Debug)]
pub struct Journal {
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// Makes of a journal of any older version, of an empty one too, one of this version: each step commits its own.
fn upgrade(connection: &mut Connection, path: &Path, from: u32) -> Result<(), JournalError> {
    let failed = |step| move |source| JournalError::Sqlite { step, path: path.to_owned(), source };
    if from < 1 {
        connection
            .execute_batch(
                "BEGIN;
                 CREATE TABLE journal (id INTEGER PRIMARY KEY CHECK (id = 1), state TEXT NOT NULL) STRICT;
                 PRAGMA user_version = 1;
                 COMMIT;",
            )
            .map_err(failed("make"))?;
    }
    if from < 2 {
        history::with_history(connection, path)?;
    }
    if from < 3 {
        configs::with_configs(connection, path)?;
    }
    if from < 4 {
        // Nothing moves. An older program would start instances without what their environment says.
        connection.execute_batch("PRAGMA user_version = 4").map_err(failed("upgrade"))?;
    }
    if from < 5 {
        // An older program would also speak HTTP to services of other kinds.
        configs::with_names(connection, path)?;
    }
    Ok(())
}

impl Journal {
    /// Opens or makes the journal, with at most so many finished rollouts read from it. Blocks.
    pub fn open(path: &Path, newest: usize) -> Result<Opened, JournalError> {
        let failed = |step| move |source| JournalError::Sqlite { step, path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(failed("open"))?;
        connection
            .execute_batch(
                // Where it is never quiet, a commit folds the log in after all.
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=500;
                 PRAGMA wal_autocheckpoint=2000;",
            )
            .map_err(failed("set up"))?;
        let version: u32 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed("read the version of"))?;
        if version > JOURNAL_VERSION {
            return Err(JournalError::Newer { path: path.to_owned(), found: version });
        }
        upgrade(&mut connection, path, version)?;
        let state = connection
            .query_row("SELECT state FROM journal", [], |row| row.get(0))
            .optional()
            .map_err(failed("read"))?;
        let deployments = history::read_newest(&connection, path, newest)?;
        let (orders, receiver) = mpsc::channel();
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || work(&mut connection, &path, &receiver))
            .map_err(|source| JournalError::Spill { step: "start a thread for", path: "journal".into(), source })?;
        Ok(Opened { journal: Journal { orders: Some(orders), thread: Some(thread) }, state, deployments })
    }

    /// Stores a new state and the rollouts that ended with it, in one transaction. It is on disk when
    /// this gives `Ok`. A rollout that was stored already, by a commit whose answer was lost, is
    /// stored once.
    pub async fn commit(
        &self,
        state: String,
        ended: Vec<RolloutRecord>,
        config: Option<Box<ConfigRevision>>,
    ) -> Result<(), JournalError> {
        let (done, answer) = oneshot::channel();
        let orders = self.orders.as_ref().ok_or(JournalError::Gone)?;
        orders.send(Order::Commit { state, ended, config, done }).map_err(|_| JournalError::Gone)?;
        answer.await.map_err(|_| JournalError::Gone)?
    }

    /// Has the configurations answered that were in force, newest first; of one revision with its text.
    pub fn configs(&self, revision: Option<u64>, answer: oneshot::Sender<Result<Vec<ConfigRevision>, JournalError>>) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(Order::Configs { revision, answer }); // whoever asks sees that nothing is answered
        }
    }

    /// Removes finished rollouts beyond the newest so many, and those that ended before a time.
    pub fn forget(&self, keep: u64, before: Timestamp) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(Order::Forget { keep, before }); // without its thread nothing is kept anyway
        }
    }
}

impl Drop for Journal {
    /// Waits for what is being written, so that the file is closed when the engine is.
    fn drop(&mut self) {
        self.orders.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic in there was reported by its hook
        }
    }
}

fn work(connection: &mut Connection, path: &Path, orders: &mpsc::Receiver<Order>) {
    // Pages that commits have added to the log, at most: each writes the state anew, as far as it is new.
    let mut log = 0;
    loop {
        let next = if log < LONG_LOG {
            orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            orders.recv_timeout(QUIET)
        };
        let order = match next {
            Ok(order) => order,
            Err(RecvTimeoutError::Timeout) => {
                fold(connection);
                log = 0;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        match order {
            Order::Commit { state, ended, config, done } => {
                failpoint::pass("journal-before-commit");
                log += state.len() / 4096 + 4;
                let result = write(connection, path, &state, (&ended, config.as_deref()));
                failpoint::pass("journal-after-commit");
                let _ = done.send(result); // whoever asked may be gone
            }
            Order::Configs { revision, answer } => {
                let _ = answer.send(configs::read(connection, path, revision)); // whoever asked may be gone
            }
            Order::Forget { keep, before } => {
                if let Err(error) = history::forget(connection, keep, before) {
                    tracing::warn!(%error, "cannot remove old finished rollouts from the journal");
                }
            }
        }
    }
}

/// Takes over into the file what is in its log. What can't be taken over stays there, and is as durable.
fn fold(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, "cannot fold the journal's log into its file");
    }
}

fn write(
    connection: &mut Connection,
    path: &Path,
    state: &str,
    (ended, config): (&[RolloutRecord], Option<&ConfigRevision>),
) -> Result<(), JournalError> {
    let failed = |source| JournalError::Sqlite { step: "write", path: path.to_owned(), source };
    let transaction = connection.transaction().map_err(failed)?;
    transaction
        .execute(
            "INSERT INTO journal (id, state) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
            (state,),
        )
        .map_err(failed)?;
    history::insert(&transaction, path, ended)?;
    if let Some(config) = config {
        configs::insert(&transaction, path, config)?;
        for renamed in &config.renamed {
            history::rename(&transaction, renamed).map_err(failed)?;
        }
    }
    transaction.commit().map_err(failed)
}

/// Set aside before it is needed: takes a line when the journal can't, even on a full disk.
#[derive(Debug)]
pub struct Spill {
    file: File,
    path: PathBuf,
    used: u64,
}

impl Spill {
    /// Opens or makes the file; gives the lines that an earlier run left.
    pub fn open(path: &Path) -> Result<(Spill, Vec<String>), JournalError> {
        let failed = |step| move |source| JournalError::Spill { step, path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(failed("open"))?;
        let mut text = String::new();
        Read::by_ref(&mut file).take(SPILL).read_to_string(&mut text).map_err(failed("read"))?;
        let lines = text.trim_end_matches('\0').lines().map(str::to_owned).collect();
        let used = text.trim_end_matches('\0').len() as u64;
        if (text.len() as u64) < SPILL {
            // Written rather than reserved, so that every file system keeps the blocks.
            let zeros = vec![0; usize::try_from(SPILL - text.len() as u64).unwrap_or_default()];
            file.write_all(&zeros).and_then(|()| file.sync_all()).map_err(failed("set aside"))?;
        }
        Ok((Spill { file, path: path.to_owned(), used }, lines))
    }

    /// Writes one line, durable when this gives `Ok`. Blocks.
    pub fn line(&mut self, line: &str) -> Result<(), JournalError> {
        let failed = |step| {
            let path = self.path.clone();
            move |source| JournalError::Spill { step, path, source }
        };
        let bytes = format!("{}\n", line.replace(['\n', '\0'], " ")).into_bytes();
        if self.used + bytes.len() as u64 > SPILL {
            return Err(failed("write to")(io::Error::from(io::ErrorKind::StorageFull)));
        }
        self.file
            .seek(SeekFrom::Start(self.used))
            .and_then(|_| self.file.write_all(&bytes))
            .and_then(|()| self.file.sync_data())
            .map_err(failed("write to"))?;
        self.used += bytes.len() as u64;
        Ok(())
    }

    /// Its lines are in the journal now.
    pub fn clear(&mut self) -> Result<(), JournalError> {
        if self.used == 0 {
            return Ok(());
        }
        let zeros = vec![0; usize::try_from(self.used).unwrap_or_default()];
        self.file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&zeros))
            .and_then(|()| self.file.sync_data())
            .map_err(|source| JournalError::Spill { step: "clear", path: self.path.clone(), source })?;
        self.used = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_committed_is_there_again_and_a_newer_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let opened = Journal::open(&path, 10).unwrap();
        assert_eq!((opened.state, opened.deployments), (None, Vec::new()));
        for state in ["1", "2"] {
            opened.journal.commit(state.into(), Vec::new(), None).await.unwrap();
        }
        drop(opened.journal);
        let opened = Journal::open(&path, 10).unwrap();
        assert_eq!(opened.state, Some("2".into()));
        drop(opened);
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 7").unwrap();
        let error = Journal::open(&path, 10).unwrap_err().to_string();
        assert!(error.contains("is of version 7") && error.contains("use the newer program"), "{error}");
    }

    #[tokio::test]
    async fn no_commit_folds_the_log_in_but_a_quiet_moment_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let journal = Journal::open(&path, 10).unwrap().journal;
        for n in 0..20 {
            journal.commit((n % 10).to_string().repeat(300_000), Vec::new(), None).await.unwrap();
        }
        let size = || std::fs::metadata(&path).unwrap().len();
        assert!(size() < 100_000, "{} bytes in the file", size());
        let folded = async {
            while size() < 300_000 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), folded).await.expect("it is folded in");
    }

    #[test]
    fn the_spill_file_takes_lines_up_to_its_size_and_gives_them_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spill");
        let (mut spill, lines) = Spill::open(&path).unwrap();
        assert!(lines.is_empty());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), SPILL);
        spill.line("a\nb").unwrap();
        spill.line("c").unwrap();
        assert!(spill.line(&"x".repeat(70_000)).is_err());
        let (mut spill, lines) = Spill::open(&path).unwrap();
        assert_eq!(lines, ["a b", "c"]);
        spill.clear().unwrap();
        assert!(Spill::open(&path).unwrap().1.is_empty());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), SPILL);
    }
}
