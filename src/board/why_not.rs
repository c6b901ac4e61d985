//! Why an action does not go with a rollout as it stands.

use flightdeck_model::{Action, Phase, Ppm, Rollout, Step, Wait};

/// A sentence that says why the rollout does not take the action now, and what does help.
#[must_use]
pub fn why_not(rollout: &Rollout, action: Action) -> String {
    let name = format!("{} in {}", rollout.service, rollout.environment);
    let serving = rollout.stable().or_else(|| rollout.candidate()).map_or("-", |arm| arm.version.as_str());
    if let (Some(hold), Action::Promote | Action::PromoteFull | Action::Resume) = (rollout.held_by(), action) {
        return format!("{name} is held by {hold}: release that hold first, or let this one through");
    }
    if action == Action::LetThrough {
        return format!("{name} is not held");
    }
    let steps = matches!(action, Action::Abort | Action::Promote | Action::PromoteFull | Action::Retry);
    if steps && rollout.steps.is_empty() && rollout.offers.contains(Action::Rollback) && rollout.in_flight() {
        // It never has any, whatever it is doing.
        let kind = &rollout.run.target.kind;
        return format!(
            "{name}: a {kind} has no steps to {}; roll back returns to the version before",
            action.row().label
        );
    }
    match rollout.phase {
        Phase::Healthy => match action {
            Action::Abort | Action::Pause | Action::Resume | Action::Promote | Action::PromoteFull => {
                let instead = if action == Action::Abort { "; roll back returns to the version before" } else { "" };
                format!("{name} has no rollout in flight: {serving} serves{instead}")
            }
            Action::Retry => format!("{name} did not fail: {serving} serves"),
            Action::Rollback | Action::Drill => format!("{name} has no version before {serving} to return to"),
            _ => not_offered(&name, rollout, action),
        },
        Phase::Aborted | Phase::Failed => match action {
            Action::Promote | Action::PromoteFull | Action::Resume => {
                format!("{name} {}: retry starts it again from its first step", rollout.phase.word())
            }
            Action::Abort | Action::Rollback | Action::Pause => {
                format!(
                    "{name} {} already: {}; deploy another version to change that",
                    rollout.phase.word(),
                    what_users_get(rollout)
                )
            }
            _ => not_offered(&name, rollout, action),
        },
        Phase::Superseded => format!("{name}: this rollout was replaced by a newer one"),
        Phase::RollingBack => match action {
            Action::Abort | Action::Rollback => format!("{name} {} already", going_back(rollout)),
            _ => format!("{name} {}: wait until it has ended", going_back(rollout)),
        },
        Phase::Queued => match action {
            Action::Promote | Action::Resume | Action::PromoteFull => {
                format!("{name} waits in line and has not begun: {}", waiting(rollout))
            }
            _ => not_offered(&name, rollout, action),
        },
        Phase::Paused => match action {
            Action::Pause => format!("{name} is paused already"),
            Action::Retry => format!("{name} is still in flight: promote, resume or abort it"),
            Action::Resume => format!("{name} was not paused by a person: {}", waiting(rollout)),
            Action::Promote if asks_approval(rollout) => format!("{name} waits for an approval: approve it instead"),
            _ => not_offered(&name, rollout, action),
        },
        Phase::Progressing | Phase::Initializing => match action {
            Action::Resume => format!("{name} is not paused"),
            Action::Retry => format!("{name} is still in flight: abort it first"),
            Action::Promote if asks_approval(rollout) => format!("{name} waits for an approval: approve it instead"),
            Action::Promote => format!("{name} goes on by itself: {}", waiting(rollout)),
            Action::Restart => format!("{name} has a rollout in flight: restart when it has ended"),
            _ => not_offered(&name, rollout, action),
        },
        // What is wrong with it is why.
        Phase::Degraded | Phase::Unknown if !rollout.message.is_empty() => {
            format!("{}: {}", not_offered(&name, rollout, action), rollout.message)
        }
        Phase::Degraded | Phase::Unknown => not_offered(&name, rollout, action),
    }
}

/// What is left to users after a rollout that did not succeed.
fn what_users_get(rollout: &Rollout) -> String {
    let Some(stable) = rollout.stable() else {
        return "nothing was there before it, and nothing serves".to_owned();
    };
    let version = &stable.version;
    if rollout.is_worker() {
        return stable.running();
    }
    match stable.traffic.actual {
        Some(Ppm::ALL) => format!("stable {version} has the traffic"),
        Some(Ppm::ZERO) => format!("stable {version} is what is left, and nothing of it serves"),
        Some(share) => format!("stable {version} has {share} of the traffic"),
        None => format!("stable {version} is what is left; its share is not known"),
    }
}

fn going_back(rollout: &Rollout) -> String {
    match rollout.stable() {
        Some(stable) => format!("is on its way back to {}", stable.version),
        None => "is being taken down (nothing was there before it)".to_owned(),
    }
}

fn not_offered(name: &str, rollout: &Rollout, action: Action) -> String {
    format!("its backend does not offer {} for {name} while it is {}", action.name(), rollout.phase.word())
}

fn asks_approval(rollout: &Rollout) -> bool {
    let step = rollout.step.and_then(|step| rollout.steps.get(step as usize));
    matches!(step, Some(Step::Approval { .. }))
}

/// What it waits for, in words.
fn waiting(rollout: &Rollout) -> String {
    let words = rollout.waits.iter().map(|wait| match wait {
        Wait::Human { what, .. } => what.clone(),
        Wait::Until { at } => format!("it goes on at {at}"),
        Wait::Analysis { name, .. } => format!("analysis {name} is under way"),
        Wait::Health => "instances are not ready yet".to_owned(),
        Wait::Gate(id) => format!("gate {id} is closed"),
        Wait::Hold(id) => format!("hold {id} is in force"),
    });
    let words: Vec<String> = words.filter(|text| !text.is_empty()).collect();
    match (words.is_empty(), rollout.message.is_empty()) {
        (false, _) => words.join("; "),
        (true, false) => rollout.message.clone(),
        (true, true) => format!("it is {}", rollout.phase.word()),
    }
}
