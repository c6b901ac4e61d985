//! The table of configurations that were put into force.

use super::JournalError;
use crate::model::ConfigRevision;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// Configurations that are kept.
const KEPT: i64 = 200;

/// Version 3: configurations in a table of their own. What was in force before has no text here.
pub(super) fn with_configs(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    connection
        .execute_batch(
            "BEGIN;
             CREATE TABLE configs (revision INTEGER PRIMARY KEY, about TEXT NOT NULL, text TEXT NOT NULL) STRICT;
             PRAGMA user_version = 3;
             COMMIT;",
        )
        .map_err(|source| JournalError::Sqlite { step: "migrate", path: path.to_owned(), source })
}

pub(super) fn insert(connection: &Connection, path: &Path, config: &ConfigRevision) -> Result<(), JournalError> {
    let failed = |source| JournalError::Sqlite { step: "write", path: path.to_owned(), source };
    let unwritable = |source| JournalError::Config { step: "write", path: path.to_owned(), source };
    let about = ConfigRevision { text: None, ..config.clone() };
    let about = serde_json::to_string(&about).map_err(unwritable)?;
    let revision = i64::try_from(config.revision).unwrap_or(i64::MAX);
    let text = config.text.as_deref().unwrap_or_default();
    connection
        .execute(
            "INSERT OR REPLACE INTO configs (revision, about, text) VALUES (?1, ?2, ?3)",
            params![revision, about, text],
        )
        .map_err(failed)?;
    connection.execute("DELETE FROM configs WHERE revision <= ?1", [revision - KEPT]).map_err(failed)?;
    Ok(())
}

pub(super) fn read(
    connection: &Connection,
    path: &Path,
    revision: Option<u64>,
) -> Result<Vec<ConfigRevision>, JournalError> {
    let failed = |source| JournalError::Sqlite { step: "read the configurations in", path: path.to_owned(), source };
    let unreadable = |source| JournalError::Config { step: "read", path: path.to_owned(), source };
    if let Some(revision) = revision {
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        let row: Option<(String, String)> = connection
            .query_row("SELECT about, text FROM configs WHERE revision = ?1", [revision], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(failed)?;
        let Some((about, text)) = row else { return Ok(Vec::new()) };
        let about: ConfigRevision = serde_json::from_str(&about).map_err(unreadable)?;
        return Ok(vec![ConfigRevision { text: Some(text), ..about }]);
    }
    let mut select = connection.prepare("SELECT about FROM configs ORDER BY revision DESC").map_err(failed)?;
    let rows = select.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    rows.map(|about| serde_json::from_str(&about.map_err(failed)?).map_err(unreadable)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Journal;
    use super::*;
    use jiff::Timestamp;
    use tokio::sync::oneshot;

    fn config(revision: u64) -> ConfigRevision {
        ConfigRevision {
            revision,
            at: Timestamp::UNIX_EPOCH,
            by: "ann".to_owned(),
            reason: None,
            path: "/x/flightdeck.toml".to_owned(),
            digest: format!("sha256:{revision}"),
            text: Some(format!("# {revision}")),
        }
    }

    async fn read_of(journal: &Journal, revision: Option<u64>) -> Vec<ConfigRevision> {
        let (answer, answered) = oneshot::channel();
        journal.configs(revision, answer);
        answered.await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn configurations_are_kept_with_the_state_that_they_made_newest_first_and_as_many_as_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let journal = Journal::open(&path, 10).unwrap().journal;
        assert!(read_of(&journal, None).await.is_empty());
        for revision in 1..=203 {
            journal.commit("{}".into(), Vec::new(), Some(Box::new(config(revision)))).await.unwrap();
        }
        drop(journal);
        let journal = Journal::open(&path, 10).unwrap().journal;
        let all = read_of(&journal, None).await;
        assert_eq!((all.len(), all[0].revision, all[199].revision), (200, 203, 4));
        assert!(all.iter().all(|config| config.text.is_none()));
        assert_eq!(read_of(&journal, Some(203)).await, [config(203)]);
        assert!(read_of(&journal, Some(3)).await.is_empty());
    }
}
