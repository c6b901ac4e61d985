//! What an action really does to a workload here, said before it is done. Pure.

use super::progress::ready;
use flightdeck_model::{Action, Arm, ArmRole, Forecast, Phase, RollbackPath, Rollout};

/// Of what replaces its pods by itself.
#[must_use]
pub fn rolling(action: Action, row: &Rollout, pauses: bool) -> Option<Forecast> {
    Some(match action {
        Action::Hold if !pauses => Forecast {
            warnings: vec![format!("{} is a {}, which can't be paused: it goes on", row.service, row.run.target.kind)],
            ..Forecast::default()
        },
        Action::Pause => of(vec![
            "its controller replaces no more pods until it is resumed; pods that are starting still come up".to_owned(),
        ]),
        Action::Resume => of(vec!["its controller goes on replacing pods".to_owned()]),
        Action::Restart => restart(row, "replaced as by a new version"),
        Action::Rollback => undo(row),
        _ => return None,
    })
}

/// With what comes of it where a tool owns the description.
#[must_use]
pub fn with_owner(mut forecast: Forecast, action: Action, row: &Rollout) -> Forecast {
    forecast.warnings.extend(owner(action, row));
    forecast
}

/// Does the newest side lack pods that never became ready?
#[must_use]
pub fn is_stuck(row: &Rollout) -> bool {
    newest(row).is_some_and(|arm| !ready(arm)) || matches!(row.phase, Phase::Degraded)
}

pub fn of(lines: Vec<String>) -> Forecast {
    Forecast { lines, ..Forecast::default() }
}

pub fn version(arm: Option<&Arm>, else_words: &str) -> String {
    arm.map_or_else(|| else_words.to_owned(), |arm| arm.version.to_string())
}

/// The side that is being brought in, behind whatever address.
pub fn newest(row: &Rollout) -> Option<&Arm> {
    row.arms.iter().find(|arm| matches!(arm.role, ArmRole::Candidate | ArmRole::Preview))
}

pub fn pods(arm: &Arm) -> String {
    format!("{} has {} of {} pods ready", arm.version, arm.replicas.ready, arm.replicas.desired)
}

/// Whatever owns the description puts it back, and where to go back instead.
fn owner(action: Action, row: &Rollout) -> Option<String> {
    let by = row.managed_by.as_ref()?;
    let (tool, name) = (&by.tool, &by.name);
    match action {
        Action::Rollback => {
            let instead = match tool.as_str() {
                "Helm" => "its next upgrade does; `helm rollback` goes back for good".to_owned(),
                "Flux" if name.starts_with("HelmRelease") => {
                    "revert the chart version or values in its source instead".to_owned()
                }
                _ => "revert the commit in its Git repository instead".to_owned(),
            };
            Some(format!("{tool} ({name}) owns the template and will put it back: {instead}"))
        }
        Action::Restart => Some(format!("{tool} ({name}) owns the template and may take the restart's mark out again")),
        Action::Pause | Action::Resume => Some(format!("{tool} ({name}) may turn the pause back if it states it")),
        _ => None,
    }
}

pub fn restart(row: &Rollout, how: &str) -> Forecast {
    let version = version(row.stable(), "its version");
    of(vec![format!("every pod is {how}; {version} stays")])
}

fn undo(row: &Rollout) -> Forecast {
    let current = version(newest(row).or_else(|| row.stable()), "the current version");
    let back = match row.stable().filter(|stable| newest(row).is_some() && stable.version.as_str() != "unknown") {
        Some(stable) => stable.version.to_string(),
        None => "the revision before".to_owned(),
    };
    let path = if newest(row).is_some() { RollbackPath::Warm } else { RollbackPath::Start };
    let lines = vec![format!(
        "pods of {current} are replaced by those of {back}, as in a new version; this makes a new revision"
    )];
    Forecast { lines, path: Some(path), ..Forecast::default() }
}
