//! Questions and their answers.

use super::effects::{inspect, read};
use super::following::now;
use super::inbox::{Done, Preparing};
use super::state::State;
use super::submit::subject_run;
use flightdeck_board::Board;
use flightdeck_control::{budget_warnings, direction, prepare, prepare_live};
use flightdeck_ledger::{Against, Ledger, export, verify_against};
use flightdeck_model::{
    Action, Actor, Decision, Detail, Direction, Entity, Forecast, LogLines, Prepared, Query, Receipt, Refusal,
    RefusalKind, Reply, Rollout, Selector, Subject, Watch,
};
use tokio::sync::oneshot;

impl State {
    /// Answers at once where the board is enough, else from a task.
    pub fn query(&mut self, actor: Actor, query: Query, answer: oneshot::Sender<Reply>) {
        let reply = match query {
            Query::Prepare { action, subject } => return self.prepare(actor, action, subject, answer),
            Query::Inspect { run } => {
                let orchestrator = self.orchestrator(&run.target.source);
                self.tasks.spawn(async move { Done::Inspected { result: inspect(orchestrator, run).await, answer } });
                return;
            }
            Query::Board => Reply::Board(self.board.entities().map(|(_, entity)| entity).collect()),
            Query::Current => {
                let rows = self.board.entities().map(|(_, entity)| entity);
                Reply::Board(rows.filter(|entity| !is_over(entity)).collect())
            }
            Query::Watches => {
                let all = self.board.links().map(|(scope, state)| (scope.clone(), state.clone()));
                Reply::Watches(all.map(|(scope, state)| Watch { scope, state }).collect())
            }
            Query::WhoAmI => Reply::WhoAmI { actor, enforced: self.settings.policy.enforced },
            Query::VerifyLedger => return self.aside(answer, |ledger| verified(ledger, Against::default())),
            Query::VerifyLedgerAgainst { witness, key } => {
                return self.aside(answer, |ledger| verified(ledger, Against { witness, key }));
            }
            Query::ExportLedger => return self.aside(answer, exported),
            Query::LedgerKey => return self.aside(answer, public_key),
            Query::Ledger { limit } => return self.aside(answer, move |ledger| records(ledger, limit)),
            Query::Diff { .. } | Query::Logs { .. } | Query::Outputs { .. } | Query::Configs { .. } => {
                Reply::Refused(Refusal::new(
                    RefusalKind::NotApplicable,
                    "configurations and outputs of instances are known to the server that hosts the engine",
                ))
            }
        };
        let _ = answer.send(reply); // the asker may be gone
    }

    /// Answers from a task what only the ledger knows.
    fn aside<F>(&mut self, answer: oneshot::Sender<Reply>, ask: impl FnOnce(Ledger) -> F)
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let asked = ask(self.settings.ledger.clone());
        self.tasks.spawn(async move {
            let _ = answer.send(asked.await); // the asker may be gone
            Done::Answered
        });
    }

    /// A raising confirmation reads the live object before it opens; a reducing one opens at once.
    fn prepare(&mut self, actor: Actor, action: Action, subject: Subject, answer: oneshot::Sender<Reply>) {
        let run = subject_run(&subject).cloned();
        match run {
            Some(run) if direction(&self.board, action, &subject) == Direction::Raises => {
                let orchestrator = self.orchestrator(&run.target.source);
                self.tasks.spawn(async move {
                    let live = read(orchestrator, run).await;
                    Done::Prepared { asked: Box::new(Preparing { actor, action, subject, answer }), live }
                });
            }
            _ => {
                let untaken = self.untaken(action, &subject);
                let mut prepared = prepare(&self.settings.policy, &self.board, &actor, action, &subject, now());
                if let Some(forecast) = self.own_forecast(action, self.row(&subject)) {
                    prepared.forecast.take_over(forecast);
                }
                if let Subject::Scope { selector, .. } = &subject {
                    let (lines, warnings) = self.held_how(action, &subject, selector);
                    prepared.forecast.lines.extend(lines);
                    prepared.forecast.warnings.extend(warnings);
                }
                warn_of_budgets(&self.board, &mut prepared);
                if let Some(refusal) = untaken {
                    prepared.decision = Decision::Refuse(refusal);
                }
                let _ = answer.send(Reply::Prepared(Box::new(prepared))); // the asker may be gone
            }
        }
    }

    /// What a hold does beyond stopping: to rollouts that begin while it is in force, by the backends that
    /// take it; and what can't be held there, or is frozen with it.
    fn held_how(&self, action: Action, subject: &Subject, selector: &Selector) -> (Vec<String>, Vec<String>) {
        let backends = self.recipients(action, subject);
        let said = backends.iter().map(|backend| backend.capabilities());
        let lines = said.map(|said| format!("{}: {}", said.source, said.later)).collect();
        let (_, unable) = self.holders(selector);
        let mut warnings: Vec<String> = Vec::new();
        for (source, why) in unable {
            let moves = self.board.rollouts().filter(|row| row.run.target.source == source && selector.holds(row));
            let names: Vec<String> = moves.map(|row| format!("{} in {}", row.service, row.environment)).collect();
            let goes_on = if names.is_empty() { String::new() } else { format!("; {} goes on", names.join(", ")) };
            warnings.push(format!("{why}{goes_on}"));
        }
        for row in self.board.rollouts().filter(|row| selector.holds(row)) {
            let bar = row.denial(Action::Hold).filter(|_| !warnings.iter().any(|known| known.contains("read-only")));
            warnings.extend(bar.map(|why| format!("{} in {}: {why}: it goes on", row.service, row.environment)));
            warnings.extend(self.own_forecast(action, Some(row)).into_iter().flat_map(|own| own.warnings));
        }
        (lines, warnings)
    }

    pub fn was_prepared(&self, asked: Preparing, live: Result<Box<Rollout>, Refusal>) {
        let (policy, board) = (&self.settings.policy, &self.board);
        let Preparing { actor, action, subject, answer } = asked;
        let reply = match live {
            Ok(live) => {
                let mut prepared = prepare_live(policy, board, &live, &actor, action, &subject, now());
                if let Some(forecast) = self.own_forecast(action, Some(&live)) {
                    prepared.forecast.take_over(forecast);
                }
                warn_of_budgets(board, &mut prepared);
                Reply::Prepared(Box::new(prepared))
            }
            Err(refusal) => Reply::Refused(refusal),
        };
        let _ = answer.send(reply); // the asker may be gone
    }

    /// What the backend itself says that an action would do, where it says something of its own.
    pub fn own_forecast(&self, action: Action, row: Option<&Rollout>) -> Option<Forecast> {
        let row = row?;
        self.orchestrator(&row.run.target.source)?.forecast(action, row)
    }

    /// Adds the receipts, which only the hub has.
    pub fn was_inspected(&self, result: Result<Box<Detail>, Refusal>) -> Reply {
        match result {
            Ok(mut detail) => {
                let run = &detail.rollout.run;
                let about = self.board.receipts().filter(|receipt| concerns(receipt, run));
                let mut receipts: Vec<Receipt> = about.cloned().collect();
                receipts.sort_by_key(|receipt| receipt.stages.first().map(|record| record.at));
                detail.receipts = receipts;
                Reply::Detail(detail)
            }
            Err(refusal) => Reply::Refused(refusal),
        }
    }
}

/// Whatever a backend forecasts, it knows of no error budget. A refusal speaks for itself.
fn warn_of_budgets(board: &Board, prepared: &mut Prepared) {
    if matches!(prepared.decision, Decision::Allow { .. }) {
        let warnings = budget_warnings(board, prepared.action, &prepared.subject, now());
        prepared.forecast.warnings.extend(warnings);
    }
}

/// A board has thousands of these, and who acts on what is there now needs none.
fn is_over(entity: &Entity) -> bool {
    match entity {
        Entity::RolloutRecord(_) | Entity::Note(_) | Entity::Evidence(_) => true,
        Entity::Receipt(receipt) => receipt.stage().is_final(),
        _ => false,
    }
}

fn concerns(receipt: &Receipt, run: &flightdeck_model::Run) -> bool {
    subject_run(&receipt.command.subject) == Some(run) || receipt.targets.iter().any(|target| target.run == *run)
}

fn internal(why: &dyn std::fmt::Display) -> Reply {
    Reply::Refused(Refusal::new(RefusalKind::Internal, why.to_string()))
}

fn lines(lines: Vec<String>) -> Reply {
    Reply::Lines(LogLines { lines })
}

async fn verified(ledger: Ledger, against: Against) -> Reply {
    let dir = ledger.dir().to_owned();
    match tokio::task::spawn_blocking(move || verify_against(&dir, &against)).await {
        Ok(Ok(verified)) => lines(verified.lines()),
        Ok(Err(broken)) => internal(&broken),
        Err(error) => internal(&format_args!("the check itself failed: {error}")),
    }
}

async fn exported(ledger: Ledger) -> Reply {
    // Without a new checkpoint the export has the newest there is, and the copy is still one.
    if let Err(error) = ledger.checkpoint().await {
        tracing::warn!(%error, "the export gets no new checkpoint");
    }
    let dir = ledger.dir().to_owned();
    match tokio::task::spawn_blocking(move || export(&dir)).await {
        Ok(Ok(all)) => lines(all),
        Ok(Err(error)) => internal(&error),
        Err(error) => internal(&format_args!("the export itself failed: {error}")),
    }
}

async fn public_key(ledger: Ledger) -> Reply {
    match ledger.checkpoint().await {
        Ok(Some(signed)) => lines(vec![signed.key]),
        Ok(None) => internal(&"the ledger has no records yet, and so no key"),
        Err(error) => internal(&error),
    }
}

async fn records(ledger: Ledger, limit: u32) -> Reply {
    let records = match ledger.records(limit).await {
        Ok(records) => records,
        Err(error) => return internal(&error),
    };
    match records.iter().map(serde_json::to_string).collect() {
        Ok(all) => lines(all),
        Err(error) => internal(&error),
    }
}
