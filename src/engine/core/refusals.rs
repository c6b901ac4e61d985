//! Why something is not done.

use flightdeck_model::{Refusal, RefusalKind};

/// Done, or why not; then nothing has changed.
pub(super) type Done = Result<(), Refusal>;

/// It can't be done as things are.
pub(super) fn no(why: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::NotApplicable, why)
}

/// What is meant is not here.
pub(super) fn not_found(why: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::NotFound, why)
}

/// A configuration or a release that nothing could make fit.
pub(super) fn invalid(why: &str) -> Refusal {
    Refusal::new(RefusalKind::Invalid, format!("{why}; nothing was applied"))
}
