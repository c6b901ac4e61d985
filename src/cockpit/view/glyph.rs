//! The sign of every state. A state is never told by colour alone.

use flightdeck_model::{InstanceState, MetricVerdict, Phase, Stage};

/// Of a phase.
pub(super) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Unknown => "?",
        Phase::Initializing => "○",
        Phase::Queued => "…",
        Phase::Progressing => "▶",
        Phase::Paused => "⏸",
        Phase::Degraded => "!",
        Phase::Failed => "✗",
        Phase::Aborted => "■",
        Phase::RollingBack => "↩",
        Phase::Superseded => "»",
        Phase::Healthy => "✓",
    }
}

/// Of an instance.
pub(super) const fn instance(state: &InstanceState) -> (&'static str, &'static str) {
    match state {
        InstanceState::Starting => ("○", "starting"),
        InstanceState::Ready => ("✓", "ready"),
        InstanceState::Unhealthy { .. } => ("!", "unhealthy"),
        InstanceState::Draining => ("↓", "draining"),
        InstanceState::BackingOff { .. } => ("↻", "backing off"),
        InstanceState::Ended { .. } => ("■", "ended"),
    }
}

/// Of a verdict, with its word.
pub(super) const fn verdict(verdict: MetricVerdict) -> (&'static str, &'static str) {
    match verdict {
        MetricVerdict::Pass => ("✓", "passes"),
        MetricVerdict::Fail => ("✗", "fails"),
        MetricVerdict::Missing => ("?", "inconclusive"),
    }
}

/// Of a stage.
pub(super) const fn stage(stage: &Stage) -> &'static str {
    match stage {
        Stage::Requested | Stage::Sent => "→",
        Stage::Accepted | Stage::Observed => "◐",
        Stage::Effective { .. } => "✓",
        Stage::Refused { .. } | Stage::Failed { .. } => "✗",
        Stage::Superseded { .. } => "»",
        Stage::Reverted { .. } => "↩",
        Stage::TimedOut { .. } | Stage::Unknown { .. } => "?",
    }
}
