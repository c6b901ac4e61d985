//! What an action does to a service's data, said beforehand.

use super::context::DecisionContext;
use super::plan;
use flightdeck_board::migrations::{asks, standing};
use flightdeck_model::{
    EnvironmentName, Forecast, MigrationRollback, MigrationRow, MigrationStanding, Place, Release, Rollout,
    ServiceName, SourceId, Step, Subject, Version,
};

/// A deployment: which service, where, and the version, where that is known beforehand.
pub(super) struct Deploys<'a> {
    place: Option<&'a Place>,
    release: Option<&'a Release>,
    current: Option<&'a Rollout>,
}

impl<'a> Deploys<'a> {
    pub(super) fn of(
        seen: DecisionContext<'a>,
        source: &SourceId,
        service: &ServiceName,
        environment: &EnvironmentName,
        version: Option<&Version>,
        from: Option<&EnvironmentName>,
    ) -> Deploys<'a> {
        let below = from.and_then(|from| seen.place(source, service, from)).and_then(Rollout::stable);
        let version = version.or(below.map(|arm| &arm.version));
        Deploys {
            place: seen.data(source, service, environment),
            release: version.and_then(|version| seen.board.release(source, service, version)),
            current: seen.place(source, service, environment),
        }
    }

    fn brings(&self, name: &str) -> bool {
        self.release.is_none_or(|release| release.brings(name))
    }

    fn migrations(&self) -> impl Iterator<Item = &'a MigrationRow> + use<'a> {
        self.place.into_iter().flat_map(|place| &place.migrations)
    }

    fn named(&self, which: impl Fn(&MigrationRow) -> bool) -> Vec<&'a str> {
        self.migrations().filter(|row| which(row)).map(|row| row.name.as_str()).collect()
    }

    /// The plan that it goes through: as configured now where that is known, without migrations that are
    /// not run.
    pub(super) fn steps(&self) -> Option<Vec<Step>> {
        let place = self.place?;
        let runs = |step: &&Step| match step {
            Step::Hook { name } => {
                place.migration(name).is_none_or(|row| row.state != MigrationStanding::Applied && self.brings(name))
            }
            _ => true,
        };
        Some(place.steps.iter().filter(runs).cloned().collect())
    }

    /// Adds what it runs, waits for, and leaves as it is.
    pub(super) fn tell(&self, forecast: &mut Forecast, what: &str, target: &str) {
        let not_applied = |row: &MigrationRow| row.state == MigrationStanding::NotApplied;
        let runs = self.named(|row| not_applied(row) && self.brings(&row.name));
        if !runs.is_empty() {
            forecast.lines.push(format!("runs before anything of {what} starts: migration {}", runs.join(", ")));
            if self.current.is_none() {
                let say = format!("if its data is there already, say so first: flightdeck migration applied {target}");
                forecast.warnings.push(say);
            }
        }
        let stays = self.named(|row| row.state == MigrationStanding::Applied && !self.brings(&row.name));
        if !stays.is_empty() {
            forecast
                .lines
                .push(format!("stays in place, though {what} does not bring it: migration {}", stays.join(", ")));
        }
        let left = self.named(|row| not_applied(row) && !self.brings(&row.name));
        if !left.is_empty() {
            forecast.lines.push(format!("not run, since {what} does not bring it: migration {}", left.join(", ")));
        }
        for row in self.migrations().filter(|row| asks(row) && self.brings(&row.name)) {
            let why = standing(row);
            forecast.warnings.push(format!("migration {}: {why}; it waits there for a person's word", row.name));
        }
        let flying = self.current.is_some_and(|current| current.phase.in_flight());
        let back = self.named(|row| flying && row.rollback == MigrationRollback::TakenBack);
        if !back.is_empty() {
            forecast
                .warnings
                .push(format!("if that is replaced, its way back takes back: migration {}", back.join(", ")));
        }
        let left_out: Vec<_> = self.place.into_iter().flat_map(|place| &place.left_out).map(plan::words).collect();
        if !left_out.is_empty() {
            let what = left_out.join(", ");
            forecast.lines.push(format!("left out, since nothing serves there to compare with: {what}"));
        }
    }
}

/// What the end of this rollout leaves of what it did to the data, where there is no version to return to.
pub(super) fn no_rollback(seen: DecisionContext<'_>, rollout: &Rollout) -> Vec<String> {
    let version = rollout.candidate().map(|arm| &arm.version);
    let rows = seen.data_of(rollout).into_iter().flat_map(|place| &place.migrations);
    let own = rows.filter(|row| version.is_some() && row.version.as_ref() == version);
    own.filter_map(|row| match (&row.state, &row.rollback) {
        (MigrationStanding::Running, _) => Some(format!("migration {} runs: it would be cut off half way", row.name)),
        (_, MigrationRollback::Stays { why }) => Some(format!("not taken back: migration {}: {why}", row.name)),
        _ => None,
    })
    .collect()
}

/// What going on says of a migration that a rollout waits at.
pub(super) fn word_on(seen: DecisionContext<'_>, rollout: &Rollout, applied: bool) -> Option<String> {
    let Some(Step::Hook { name }) = rollout.step.and_then(|step| rollout.steps.get(step as usize)) else { return None };
    seen.data_of(rollout)?.migration(name).filter(|row| asks(row))?;
    Some(if applied {
        format!("says that migration {name} is applied as it stands: it is not run")
    } else {
        format!("says that migration {name} is not applied: it runs now")
    })
}

/// A person's word on migrations.
pub(super) fn settle(seen: DecisionContext<'_>, subject: &Subject) -> Forecast {
    let Subject::Migrations { source, service, environment, names, applied } = subject else {
        return Forecast::default();
    };
    let rows = seen.data(source, service, environment).into_iter().flat_map(|place| &place.migrations);
    let meant: Vec<&MigrationRow> = rows.filter(|row| names.is_empty() || names.contains(&row.name)).collect();
    let list: Vec<_> = meant.iter().map(|row| format!("{} ({})", row.name, standing(row))).collect();
    let list = if list.is_empty() { names.join(", ") } else { list.join(", ") };
    let mut warnings = Vec::new();
    let line = if *applied {
        "the record says from now on that they are applied: nothing is run, and no way back takes them back"
    } else {
        let there = meant.iter().filter(|row| row.state == MigrationStanding::Applied);
        warnings.extend(there.map(|row| format!("{} is recorded as applied: it would be run once more", row.name)));
        "the record says from now on that nothing of them is there: the next version that brings them runs them"
    };
    Forecast {
        lines: vec![format!("{service} in {environment}: {list}"), line.to_owned()],
        warnings,
        ..Forecast::default()
    }
}
