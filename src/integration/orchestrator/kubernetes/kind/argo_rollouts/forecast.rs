//! What an action really does to a Rollout, said before it is done.

use crate::orchestrator::kubernetes::forecast::{newest, of, pods, restart, version};
use crate::orchestrator::kubernetes::progress::ready;
use crate::orchestrator::kubernetes::row::RESUME;
use flightdeck_model::{Action, Arm, Fact, Forecast, Ppm, RollbackPath, Rollout, Strategy, TrafficSource, Wait};

/// See [`crate::orchestrator::kubernetes::kind::Kind::forecast`].
pub(super) fn forecast(action: Action, row: &Rollout) -> Option<Forecast> {
    Some(match action {
        Action::Promote if row.strategy == Strategy::BlueGreen => switch(row),
        Action::PromoteFull => promote_full(row),
        Action::Pause => pause(row),
        Action::Hold => Forecast { warnings: vec![unscaled(row)], ..Forecast::default() },
        Action::Abort => abort(row),
        Action::Retry => retry(row),
        Action::Restart => restart(row, "evicted and made anew, no more at once than may be unavailable"),
        Action::Rollback => undo(row),
        _ => return None,
    })
}

fn by_hand(row: &Rollout) -> bool {
    row.waits.iter().any(|wait| match wait {
        Wait::Human { what, .. } => what == RESUME,
        Wait::Hold(_) => true,
        _ => false,
    })
}

/// Stable can't carry everything at once.
fn short(row: &Rollout) -> Option<String> {
    let stable = row.stable()?;
    let whole = row.arms.iter().map(|arm| arm.replicas.desired).max().unwrap_or(0);
    (stable.replicas.ready < whole || !ready(stable)).then(|| {
        format!(
            "{}: until it has grown it carries everything with {} of up to {whole} pods",
            pods(stable),
            stable.replicas.ready
        )
    })
}

fn abort(row: &Rollout) -> Forecast {
    let candidate = version(newest(row), "the candidate");
    let mut lines = vec![match row.stable() {
        Some(Arm { version, replicas, .. }) => format!(
            "all traffic goes back to {version} ({} of {} pods ready); {candidate} is scaled down",
            replicas.ready, replicas.desired
        ),
        None => format!("{candidate} is scaled down"),
    }];
    lines.push(format!(
        "the description still names {candidate}: it stays aborted until a retry, an undo or a new version"
    ));
    let mut warnings: Vec<String> = short(row).into_iter().collect();
    if by_hand(row) {
        lines.push("the pause or hold ends too, or the candidate's pods would stay".to_owned());
    }
    if let Some(window) = row.facts.0.get(&Fact::Window) {
        warnings.push(format!(
            "rollbackWindow {window}: if this is a return to one of the last {window} revisions, its controller takes the abort back"
        ));
    }
    Forecast { lines, warnings, ..Forecast::default() }
}

/// A router sends a share that the pods behind it were not made for.
fn overloaded(row: &Rollout) -> Option<String> {
    let (arm, stable) = (row.candidate()?, row.stable()?);
    if arm.traffic.how == TrafficSource::Replicas {
        return None;
    }
    let all = u64::from(stable.replicas.desired.max(arm.replicas.desired));
    let needed = (all * u64::from(arm.traffic.desired.0)).div_ceil(1_000_000);
    (u64::from(arm.replicas.ready) * 2 < needed)
        .then(|| format!("{} for {} of traffic: that share would take about {needed}", pods(arm), arm.traffic.desired))
}

fn switch(row: &Rollout) -> Forecast {
    let mut lines = Vec::new();
    let candidate = newest(row);
    if let Some(arm) = candidate {
        lines.push(format!("all traffic goes to {} in one switch of its service", pods(arm)));
    }
    if let Some(stable) = row.stable() {
        lines.push(format!("way back: abort switches back to {} while its pods are still up", stable.version));
    }
    let warnings = candidate.filter(|arm| !ready(arm)).map(|arm| format!("{}: the switch waits for them", pods(arm)));
    Forecast { lines, warnings: warnings.into_iter().collect(), ..Forecast::default() }
}

fn promote_full(row: &Rollout) -> Forecast {
    let candidate = version(newest(row), "the candidate");
    let mut lines = vec![format!("{candidate} gets all traffic and becomes stable as soon as its pods are ready")];
    if by_hand(row) {
        lines.push("the pause ends too".to_owned());
    }
    lines.push("way back: abort works until it is stable, roll back after that".to_owned());
    let mut warnings = vec!["skips every step, pause and analysis that is left".to_owned()];
    warnings.extend(overloaded(row));
    let step = u32::try_from(row.steps.len()).ok().filter(|steps| *steps > 0);
    Forecast { lines, warnings, step, ..Forecast::default() }
}

/// `spec.paused` halts the scaling of a Rollout, an autoscaler's included.
fn unscaled(row: &Rollout) -> String {
    format!("{} is not scaled while it stands still: what an autoscaler asks for waits, too", row.service)
}

fn pause(row: &Rollout) -> Forecast {
    let candidate = version(newest(row), "what comes next");
    let share = newest(row).and_then(|arm| arm.traffic.actual).unwrap_or(Ppm::ZERO);
    Forecast {
        lines: vec![format!(
            "{candidate} keeps {share} of traffic; nothing is scaled and no step begins until it is resumed"
        )],
        // spec.paused halts scaling, the one of a rollback included.
        warnings: vec![
            "while it is paused a failing analysis can't take the candidate's pods away; abort can".to_owned(),
            unscaled(row),
        ],
        ..Forecast::default()
    }
}

fn retry(row: &Rollout) -> Forecast {
    let candidate = version(newest(row), "what was aborted");
    let mut lines = vec![format!("{candidate} is brought in again from the first of {} steps", row.steps.len())];
    if by_hand(row) {
        lines.push("it is paused by hand and goes on once it is resumed".to_owned());
    }
    of(lines)
}

fn undo(row: &Rollout) -> Forecast {
    let current = version(newest(row).or_else(|| row.stable()), "the current version");
    if let (Some(stable), Some(_)) = (row.stable(), newest(row)) {
        let mut lines = vec![format!(
            "the template goes back to {}, which is stable: no steps are taken, {current} is scaled down",
            stable.version
        )];
        lines.push(pods(stable));
        if by_hand(row) {
            lines.push("the pause or hold ends too, or the candidate's pods would stay".to_owned());
        }
        return Forecast {
            lines,
            warnings: short(row).into_iter().collect(),
            path: Some(RollbackPath::Warm),
            ..Forecast::default()
        };
    }
    let mut lines = match (row.strategy, row.steps.len()) {
        (Strategy::BlueGreen, _) => {
            vec![format!(
                "the version that served before comes up beside {current} and gets all traffic in one switch once \
                 its pods are ready; pauses and analyses are skipped"
            )]
        }
        (_, 0) => vec![format!("pods of {current} are replaced by those of the revision before")],
        (_, steps) => vec![format!(
            "the version that served before gets all traffic as soon as its pods are ready: the {steps} steps are \
             skipped, analyses with them"
        )],
    };
    if let Some(window) = row.facts.0.get(&Fact::Window) {
        lines.push(format!("rollbackWindow {window}: within it all steps are skipped"));
    }
    let unknown = "where nothing shows which version served before, the newest other one only begins by its steps, \
                   and promote full lets it through: the answer says so";
    let by_steps = !row.steps.is_empty() || row.strategy == Strategy::BlueGreen;
    let warnings = by_steps.then(|| unknown.to_owned()).into_iter().collect();
    Forecast { lines, warnings, path: Some(RollbackPath::Start), ..Forecast::default() }
}
