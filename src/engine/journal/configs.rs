//! The table of configurations that were put into force.

use super::JournalError;
use flightdeck_model::ConfigRevision;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// Configurations that are kept of one name.
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

/// Version 5: configurations by name. An older program would take that of one name for all there is, and route a
/// renamed service by a name that the proxy does not know it by.
pub(super) fn with_names(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    connection
        .execute_batch(
            "BEGIN;
             ALTER TABLE configs ADD COLUMN name TEXT NOT NULL DEFAULT 'default';
             PRAGMA user_version = 5;
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
    let name = config.name.as_str();
    connection
        .execute(
            "INSERT OR REPLACE INTO configs (revision, about, text, name) VALUES (?1, ?2, ?3, ?4)",
            params![revision, about, text, name],
        )
        .map_err(failed)?;
    connection
        .execute(
            "DELETE FROM configs WHERE name = ?1 AND revision NOT IN
             (SELECT revision FROM configs WHERE name = ?1 ORDER BY revision DESC LIMIT ?2)",
            params![name, KEPT],
        )
        .map_err(failed)?;
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

/// Configurations for tests.
#[cfg(test)]
pub(super) mod kit {
    use flightdeck_model::ConfigRevision;
    use jiff::Timestamp;

    /// One with a text of its own.
    pub(in super::super) fn config(revision: u64, name: &str) -> ConfigRevision {
        ConfigRevision {
            revision,
            name: name.into(),
            in_force: true,
            renamed: Vec::new(),
            services: Vec::new(),
            at: Timestamp::UNIX_EPOCH,
            by: "ann".to_owned(),
            reason: None,
            path: "/x/flightdeck.toml".to_owned(),
            digest: format!("sha256:{revision}"),
            text: Some(format!("# {revision}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Journal;
    use super::kit::config;
    use super::*;
    use tokio::sync::oneshot;

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
        let name = |revision| if revision == 2 { "shop" } else { "default" };
        for revision in 1..=203 {
            journal.commit("{}".into(), Vec::new(), Some(Box::new(config(revision, name(revision))))).await.unwrap();
        }
        drop(journal);
        let journal = Journal::open(&path, 10).unwrap().journal;
        let all = read_of(&journal, None).await;
        assert_eq!((all.len(), all[0].revision, all[199].revision), (201, 203, 4));
        assert_eq!((all[200].revision, all[200].name.as_str()), (2, "shop"), "others are no reason to forget it");
        assert!(all.iter().all(|config| config.text.is_none()));
        assert_eq!(read_of(&journal, Some(203)).await, [config(203, "default")]);
        assert!(read_of(&journal, Some(3)).await.is_empty());
    }
    #[tokio::test]
    async fn a_journal_of_before_names_has_its_configurations_under_the_default_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        drop(Journal::open(&path, 10).unwrap());
        let before = Connection::open(&path).unwrap();
        let about = r#"{"revision":7,"at":"1970-01-01T00:00:00Z","by":"ann","reason":null,"path":"/x/flightdeck.toml","digest":"sha256:7"}"#;
        before.execute_batch("ALTER TABLE configs DROP COLUMN name; PRAGMA user_version = 4;").unwrap();
        before.execute("INSERT INTO configs (revision, about, text) VALUES (7, ?1, '# 7')", [about]).unwrap();
        drop(before);
        let journal = Journal::open(&path, 10).unwrap().journal;
        journal.commit("{}".into(), Vec::new(), Some(Box::new(config(8, "shop")))).await.unwrap();
        let all = read_of(&journal, None).await;
        let names: Vec<_> = all.iter().map(|config| (config.revision, config.name.as_str())).collect();
        assert_eq!(names, [(8, "shop"), (7, "default")]);
    }
}
