//! The table of finished rollouts.

use super::JournalError;
use flightdeck_model::{DeploymentKind, DeploymentOutcome, Renamed, RolloutRecord};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// Version 2: finished rollouts in a table of their own. Version 1 kept the newest 500 inside the
/// state, where what reads it from now on passes over them.
pub(super) fn with_history(connection: &mut Connection, path: &Path) -> Result<(), JournalError> {
    #[derive(serde::Deserialize)]
    struct Before {
        #[serde(default)]
        deployments: Vec<RolloutRecord>,
    }
    let failed = |source| JournalError::Sqlite { step: "migrate", path: path.to_owned(), source };
    let transaction = connection.transaction().map_err(failed)?;
    transaction
        .execute_batch(
            "CREATE TABLE deployments (
                 id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, ended_ms INTEGER NOT NULL, body TEXT NOT NULL
             ) STRICT;
             PRAGMA user_version = 2;",
        )
        .map_err(failed)?;
    let state: Option<String> =
        transaction.query_row("SELECT state FROM journal", [], |row| row.get(0)).optional().map_err(failed)?;
    if let Some(text) = state {
        let mut before: Before = serde_json::from_str(&text).map_err(unreadable(path))?;
        for of in &mut before.deployments {
            of.kind = kind_before(of);
        }
        insert(&transaction, path, &before.deployments)?;
    }
    transaction.commit().map_err(failed)
}

/// Version 1 did not write what a rollout was for, but its engine ended only rollbacks as rolled
/// back, and only a restart brought in what served already.
fn kind_before(of: &RolloutRecord) -> DeploymentKind {
    match of.outcome {
        DeploymentOutcome::RolledBack => DeploymentKind::Rollback,
        _ if of.from.as_ref() == Some(&of.to) => DeploymentKind::Restart,
        _ => DeploymentKind::Deploy,
    }
}

fn unreadable(path: &Path) -> impl Fn(serde_json::Error) -> JournalError {
    move |source| JournalError::Deployment { step: "read", path: path.to_owned(), source }
}

pub(super) fn insert(connection: &Connection, path: &Path, ended: &[RolloutRecord]) -> Result<(), JournalError> {
    let failed = |source| JournalError::Sqlite { step: "write", path: path.to_owned(), source };
    let unwritable = |source| JournalError::Deployment { step: "write", path: path.to_owned(), source };
    if ended.is_empty() {
        return Ok(());
    }
    let mut insert = connection
        .prepare(
            "INSERT INTO deployments (run, ended_ms, body) VALUES (?1, ?2, ?3)
             ON CONFLICT (run) DO UPDATE SET ended_ms = excluded.ended_ms, body = excluded.body",
        )
        .map_err(failed)?;
    for of in ended {
        let run = serde_json::to_string(&of.run).map_err(unwritable)?;
        let body = serde_json::to_string(of).map_err(unwritable)?;
        insert.execute(params![run, of.ended.as_millisecond(), body]).map_err(failed)?;
    }
    Ok(())
}

/// Finished rollouts go on under the service's new name; what it was called when each ended stays beside it.
pub(super) fn rename(connection: &Connection, Renamed { from, to }: &Renamed) -> Result<(), rusqlite::Error> {
    connection.execute(
        "UPDATE deployments
         SET body = json_set(body, '$.called', coalesce(body ->> '$.called', ?1), '$.service', ?2)
         WHERE body ->> '$.service' = ?1",
        params![from.as_str(), to.as_str()],
    )?;
    Ok(())
}

pub(super) fn read_newest(
    connection: &Connection,
    path: &Path,
    newest: usize,
) -> Result<Vec<RolloutRecord>, JournalError> {
    let failed = |source| JournalError::Sqlite { step: "read the history in", path: path.to_owned(), source };
    let mut select = connection.prepare("SELECT body FROM deployments ORDER BY id DESC LIMIT ?1").map_err(failed)?;
    let limit = i64::try_from(newest).unwrap_or(i64::MAX);
    let rows = select.query_map([limit], |row| row.get::<_, String>(0)).map_err(failed)?;
    let mut deployments = Vec::new();
    for body in rows {
        deployments.push(serde_json::from_str(&body.map_err(failed)?).map_err(unreadable(path))?);
    }
    deployments.reverse();
    Ok(deployments)
}

pub(super) fn forget(connection: &Connection, keep: u64, before: Timestamp) -> Result<(), rusqlite::Error> {
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    connection.execute(
        "DELETE FROM deployments WHERE ended_ms < ?1
         OR id NOT IN (SELECT id FROM deployments ORDER BY id DESC LIMIT ?2)",
        params![before.as_millisecond(), keep],
    )?;
    Ok(())
}

/// Finished rollouts for tests.
#[cfg(test)]
pub(crate) mod kit {
    use flightdeck_model::*;
    use jiff::{SignedDuration, Timestamp};

    /// One of shop in production, that ended so many seconds after 1970.
    pub(crate) fn ended(revision: usize, at: i64) -> RolloutRecord {
        let target = Target {
            source: "local".into(),
            kind: "service".into(),
            namespace: Some("production".into()),
            name: "shop".into(),
            uid: "slot-1".into(),
            first_name: None,
        };
        RolloutRecord {
            run: Run { target, revision: format!("r-{revision}") },
            service: "shop".into(),
            called: None,
            environment: "production".into(),
            from: None,
            to: "1.0".into(),
            author: Some("ann".into()),
            writer: None,
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::from_second(at).unwrap(),
            outcome: DeploymentOutcome::Succeeded,
            cause: "all steps passed".into(),
            kind: DeploymentKind::Deploy,
            digest: None,
            commit: None,
            commit_at: None,
            pipeline_run: None,
            step_times: Vec::new(),
            reached: None,
            rollback: None,
            waited: Some(SignedDuration::ZERO),
            manual_steps: 0,
            steps: Some(0),
            diagnosis: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Journal, Opened};
    use super::kit::ended;
    use super::*;
    use flightdeck_model::ConfigRevision;

    fn revisions(opened: &Opened) -> Vec<&str> {
        opened.deployments.iter().map(|of| of.run.revision.as_str()).collect()
    }

    #[tokio::test]
    async fn finished_rollouts_go_on_under_the_new_name_of_their_service_and_know_the_one_of_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let journal = Journal::open(&path, 10).unwrap().journal;
        let other = RolloutRecord { service: "cart".into(), ..ended(9, 50) };
        journal.commit("1".into(), vec![other.clone(), ended(1, 100)], None).await.unwrap();
        let config = |revision, from: &str, to: &str| {
            let renamed = vec![Renamed { from: from.into(), to: to.into() }];
            Some(Box::new(ConfigRevision { renamed, ..super::super::configs::kit::config(revision, "default") }))
        };
        // What ended just before is stored in the same commit.
        journal.commit("2".into(), vec![ended(2, 200)], config(1, "shop", "store")).await.unwrap();
        let later = RolloutRecord { service: "store".into(), ..ended(3, 300) };
        journal.commit("3".into(), vec![later], config(2, "store", "market")).await.unwrap();
        drop(journal);
        let found = Journal::open(&path, 10).unwrap().deployments;
        let names: Vec<_> =
            found.iter().map(|of| (of.service.as_str(), of.called.as_ref().map_or("", |of| of.as_str()))).collect();
        assert_eq!(names, [("cart", ""), ("market", "shop"), ("market", "shop"), ("market", "store")]);
        let mut same = ended(1, 100);
        for (from, to) in [("shop", "store"), ("store", "market")] {
            same.rename(&Renamed { from: from.into(), to: to.into() });
        }
        assert_eq!((&found[1], &found[0]), (&same, &other), "as the rows that were told already");
    }

    #[tokio::test]
    async fn finished_rollouts_are_stored_once_read_newest_first_and_forgotten_by_number_and_age() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let journal = Journal::open(&path, 10).unwrap().journal;
        journal.commit("1".into(), vec![ended(1, 100), ended(2, 200)], None).await.unwrap();
        // The answer to that one was lost, say: the next commit has them too.
        journal.commit("2".into(), vec![ended(1, 100), ended(2, 200), ended(3, 300)], None).await.unwrap();
        journal.commit("3".into(), (4..=6).map(|n| ended(n, 400)).collect(), None).await.unwrap();
        drop(journal);
        let opened = Journal::open(&path, 4).unwrap();
        assert_eq!(revisions(&opened), ["r-3", "r-4", "r-5", "r-6"], "the newest, oldest first");
        opened.journal.forget(5, Timestamp::from_second(300).unwrap());
        drop(opened);
        assert_eq!(revisions(&Journal::open(&path, 10).unwrap()), ["r-3", "r-4", "r-5", "r-6"]);
        Journal::open(&path, 0).unwrap().journal.forget(2, Timestamp::UNIX_EPOCH);
        assert_eq!(revisions(&Journal::open(&path, 10).unwrap()), ["r-5", "r-6"]);
    }

    #[tokio::test]
    async fn a_journal_of_version_1_gives_its_history_to_the_table() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let old = Connection::open(&path).unwrap();
        // As version 1 wrote it: with the fields that it knew.
        let mut records = [ended(1, 100), ended(2, 200), ended(3, 300)];
        (records[1].from, records[1].outcome) = (Some("1.1".into()), DeploymentOutcome::RolledBack);
        records[2].from = Some("1.0".into());
        let mut bodies = records.clone().map(|of| serde_json::to_value(of).unwrap());
        for body in &mut bodies {
            for newer in ["kind", "digest", "commit_at", "reached", "rollback", "waited", "manual_steps", "steps"] {
                body.as_object_mut().unwrap().remove(newer);
            }
        }
        let state = serde_json::json!({ "source": "local", "deployments": bodies }).to_string();
        old.execute_batch(
            "CREATE TABLE journal (id INTEGER PRIMARY KEY CHECK (id = 1), state TEXT NOT NULL) STRICT;
             PRAGMA user_version = 1;",
        )
        .unwrap();
        old.execute("INSERT INTO journal VALUES (1, ?1)", (&state,)).unwrap();
        drop(old);
        let opened = Journal::open(&path, 10).unwrap();
        assert_eq!(opened.state.as_ref(), Some(&state));
        records[1].kind = DeploymentKind::Rollback;
        records[2].kind = DeploymentKind::Restart;
        for record in &mut records {
            (record.waited, record.steps) = (None, None);
        }
        assert_eq!(opened.deployments, records);
        drop(opened);
        assert_eq!(revisions(&Journal::open(&path, 10).unwrap()), ["r-1", "r-2", "r-3"], "migrated once");
    }
}
