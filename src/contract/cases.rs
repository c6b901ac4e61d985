//! The cases: what is asked of every backend.

use super::harness::Harness;
use super::{Situation, Stop, checks};
use crate::model::Action;
use serde::{Serialize, Serializer};

/// One thing that a backend owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Case {
    /// Rows and their changes come by themselves, with the backend's own source.
    Watch,
    /// After the watch was cut, what changed meanwhile is there and the link is live again.
    Reconnect,
    /// An action, followed to its effect.
    Effect(Action, Situation),
    /// A hold stops what is in scope, and its release lets it go on.
    Hold,
    /// What a rollout does not take as it stands is refused.
    NotOffered,
    /// A rollout that does not exist is refused.
    NotFound,
    /// What raises exposure needs a pin, and one for that action.
    BadPin,
    /// Another version came in since the person looked: refused by the hub.
    PinChanged,
    /// The same, and only the backend can know: it refuses in the step that acts.
    PinChangedAtBackend,
    /// The right is missing.
    Denied,
    /// The workload is gone.
    Gone,
    /// The answer is late: nothing else waits for it, its outcome is unknown until it is seen.
    Slow,
    /// The answer is lost: unknown, observed until known, never sent again.
    Cut,
    /// The same command twice is carried out once; its id for another command is refused.
    Repeated,
    /// While the platform can't be watched only what reduces exposure is let through.
    Stale,
    /// No action says that it was taken while the platform can't be reached, and nothing is answered as
    /// if it were not there.
    Lost,
    /// An action that nothing carries out is never effective; once something does, it is.
    NoController(Action, Situation),
    /// Somebody else's version comes before the action could have its effect: it never has one.
    Superseded(Action, Situation),
    /// What was effective, and fails by itself afterwards, does not stay so.
    FailedAfterwards,
}

impl Case {
    /// Every case, in the order of tables.
    pub const ALL: &'static [Case] = &[
        Case::Watch,
        Case::Reconnect,
        Case::Effect(Action::Promote, Situation::Paused),
        Case::Effect(Action::PromoteFull, Situation::Paused),
        Case::Effect(Action::Pause, Situation::InFlight),
        Case::Effect(Action::Resume, Situation::InFlight),
        Case::Effect(Action::Abort, Situation::Paused),
        Case::Effect(Action::Abort, Situation::InFlight),
        Case::Effect(Action::Rollback, Situation::Settled),
        Case::Effect(Action::Rollback, Situation::InFlight),
        Case::Effect(Action::Retry, Situation::Aborted),
        Case::Effect(Action::Restart, Situation::Settled),
        Case::Effect(Action::Approve, Situation::Approval),
        Case::Effect(Action::Reject, Situation::Approval),
        Case::Effect(Action::Deploy, Situation::Settled),
        Case::Hold,
        Case::NotOffered,
        Case::NotFound,
        Case::BadPin,
        Case::PinChanged,
        Case::PinChangedAtBackend,
        Case::Denied,
        Case::Gone,
        Case::Slow,
        Case::Cut,
        Case::Repeated,
        Case::Stale,
        Case::Lost,
        Case::NoController(Action::Promote, Situation::Paused),
        Case::NoController(Action::PromoteFull, Situation::Paused),
        Case::NoController(Action::Pause, Situation::InFlight),
        Case::NoController(Action::Resume, Situation::InFlight),
        Case::NoController(Action::Abort, Situation::Paused),
        Case::NoController(Action::Rollback, Situation::Settled),
        Case::NoController(Action::Rollback, Situation::InFlight),
        Case::NoController(Action::Retry, Situation::Aborted),
        Case::NoController(Action::Restart, Situation::Settled),
        Case::Superseded(Action::Promote, Situation::Paused),
        Case::Superseded(Action::Rollback, Situation::Settled),
        Case::Superseded(Action::Restart, Situation::Settled),
        Case::FailedAfterwards,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Case::Watch => "watch".to_owned(),
            Case::Reconnect => "snapshot after reconnect".to_owned(),
            Case::Effect(action, Situation::InFlight) => format!("{} while moving", action.name()),
            Case::Effect(action, situation) => format!("{} when {}", action.name(), situation.word()),
            Case::Hold => "hold and release".to_owned(),
            Case::NotOffered => "refused: not offered".to_owned(),
            Case::NotFound => "refused: not found".to_owned(),
            Case::BadPin => "refused: no pin, wrong pin".to_owned(),
            Case::PinChanged => "refused: pin changed".to_owned(),
            Case::PinChangedAtBackend => "refused: pin changed, at the backend".to_owned(),
            Case::Denied => "refused: denied".to_owned(),
            Case::Gone => "refused: gone".to_owned(),
            Case::Slow => "slow answer".to_owned(),
            Case::Cut => "cut mid-request".to_owned(),
            Case::Repeated => "same command twice".to_owned(),
            Case::Stale => "stale".to_owned(),
            Case::Lost => "the platform is lost".to_owned(),
            Case::NoController(action, Situation::InFlight) => format!("no controller: {} while moving", action.name()),
            Case::NoController(action, situation) => {
                format!("no controller: {} when {}", action.name(), situation.word())
            }
            Case::Superseded(action, _) => format!("superseded by another: {}", action.name()),
            Case::FailedAfterwards => "failed afterwards".to_owned(),
        }
    }
}

impl Serialize for Case {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.words())
    }
}

pub(super) async fn run(case: Case, harness: &mut Harness) -> Result<(), Stop> {
    match case {
        Case::Watch => checks::watch(harness).await,
        Case::Reconnect => checks::reconnect(harness).await,
        Case::Effect(action, situation) => checks::effect(harness, action, situation).await,
        Case::Hold => checks::hold(harness).await,
        Case::NotOffered => checks::not_offered(harness).await,
        Case::NotFound => checks::not_found(harness).await,
        Case::BadPin => checks::bad_pin(harness).await,
        Case::PinChanged => checks::pin_changed(harness).await,
        Case::PinChangedAtBackend => checks::pin_changed_at_backend(harness).await,
        Case::Denied => checks::denied(harness).await,
        Case::Gone => checks::gone(harness).await,
        Case::Slow => checks::slow(harness).await,
        Case::Cut => checks::cut(harness).await,
        Case::Repeated => checks::repeated(harness).await,
        Case::Stale => checks::stale(harness).await,
        Case::Lost => checks::lost(harness).await,
        Case::NoController(action, situation) => checks::no_controller(harness, action, situation).await,
        Case::Superseded(action, situation) => checks::superseded(harness, action, situation).await,
        Case::FailedAfterwards => checks::failed_afterwards(harness).await,
    }
}
