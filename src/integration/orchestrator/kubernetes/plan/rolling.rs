//! What kinds that replace pods by themselves have in common.

use super::super::kind::Live;
use super::super::meta::RESTARTED;
use super::patch::Ops;
use super::request::{Plan, refused, seconds};
use flightdeck_model::Refusal;
use jiff::Timestamp;

/// There is nothing to restart.
pub fn no_pods(place: &str) -> Refusal {
    refused(format!("{place} wants no pods: there is nothing to restart"))
}

/// Every pod is replaced by one of the same version.
#[must_use]
pub fn restart(live: &Live, now: Timestamp) -> Plan {
    let at = seconds(now);
    let ops = Ops::unchanged(&live.raw).annotate("/spec/template/metadata", RESTARTED, &at);
    Plan {
        request: live.request(false, ops.body(), format!("restart at {at}")),
        finish: false,
        target: None,
        note: None,
    }
}
