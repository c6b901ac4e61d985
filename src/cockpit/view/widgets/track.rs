//! A rollout's steps as a track: what is done, where it stands, what is ahead.

use super::pen::Pen;
use crate::view::format::width;
use crate::view::{Scope, Theme};
use flightdeck_model::time::exact;
use flightdeck_model::{Phase, Rollout, Step};

const JOIN: &str = " ─ ";

/// A step in words.
pub(in crate::view) fn words(step: &Step) -> String {
    match step {
        Step::SetWeight(share) => share.to_string(),
        Step::Pause { duration: Some(duration) } => format!("pause {}", exact(*duration)),
        Step::Pause { duration: None } => "pause".to_owned(),
        Step::Analysis { name, duration } => format!("{name} {}", exact(*duration)),
        Step::Approval { count: 1, .. } => "approval".to_owned(),
        Step::Approval { count, .. } => format!("{count} approvals"),
        Step::SetScale(share) => format!("scale {share}"),
        Step::Preview => "preview".to_owned(),
        Step::Batch { instances, .. } => format!("{instances} new"),
        Step::TakeDown => "down".to_owned(),
        Step::Hook { name } | Step::Other(name) => name.clone(),
    }
}

/// `2/6`, counted from 1; `-` where there are no steps.
pub(in crate::view) fn position(rollout: &Rollout) -> String {
    let total = rollout.steps.len();
    match rollout.step {
        Some(step) if total > 0 => format!("{}/{total}", (step as usize + 1).min(total)),
        _ => "-".to_owned(),
    }
}

/// Draws the track on the rest of a row. Where it is too long, steps far from the current one are
/// left out, first behind it and then ahead.
pub(in crate::view) fn draw(pen: &mut Pen<'_>, rollout: &Rollout, theme: &Theme) {
    if rollout.steps.is_empty() {
        pen.put("none", theme.style(Scope::Dim));
        return;
    }
    let current = rollout.step.map_or(rollout.steps.len(), |step| step as usize);
    let ended = !rollout.phase.in_flight() && rollout.phase != Phase::Healthy && rollout.phase != Phase::Degraded;
    let cells: Vec<(String, Scope)> = rollout
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let words = words(step);
            match index.cmp(&current) {
                std::cmp::Ordering::Less => (format!("✓ {words}"), Scope::StepDone),
                std::cmp::Ordering::Equal if ended => (format!("✗ {words}"), Scope::phase(rollout.phase)),
                std::cmp::Ordering::Equal => (format!("▶ {words}"), Scope::StepCurrent),
                std::cmp::Ordering::Greater => (format!("○ {words}"), Scope::StepAhead),
            }
        })
        .collect();
    let long = |cells: &[(String, Scope)]| {
        let texts: u16 = cells.iter().map(|(text, _)| width(text)).sum();
        texts + width(JOIN) * u16::try_from(cells.len().saturating_sub(1)).unwrap_or(u16::MAX)
    };
    let (mut first, mut last) = (0, cells.len());
    let room = pen.left();
    let fits = |first: usize, last: usize| {
        let cut = u16::from(first > 0) * 4 + u16::from(last < cells.len()) * 4;
        long(cells.get(first..last).unwrap_or(&[])) + cut <= room
    };
    while !fits(first, last) && last - first > 1 {
        if first + 1 < current.min(last) {
            first += 1;
        } else if last > current + 1 {
            last -= 1;
        } else {
            first += 1;
        }
    }
    let faint = theme.style(Scope::Faint);
    if first > 0 {
        pen.put("…", faint).put(JOIN, faint);
    }
    for (index, (text, scope)) in cells.iter().enumerate().take(last).skip(first) {
        if index > first {
            pen.put(JOIN, faint);
        }
        pen.put(text, theme.style(*scope));
    }
    if last < cells.len() {
        pen.put(JOIN, faint).put("…", faint);
    }
}
