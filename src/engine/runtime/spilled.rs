//! What was done although the journal could not be written.

use super::clock::clock;
use crate::journal::Spill;
use flightdeck_engine_core::{Effect, Numbered, SlotKey};
use flightdeck_proxy::wire::Route;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A line of the spill file: what was done although the journal could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spilled {
    pub at: Timestamp,
    /// A route that only lowers exposure was sent for this slot.
    pub slot: Option<SlotKey>,
    pub version: u64,
    pub what: String,
}

impl Spilled {
    /// A line that can't be read says nothing that could be acted on.
    pub fn parse(line: &str) -> Option<Spilled> {
        serde_json::from_str(line).inspect_err(|error| tracing::error!(%error, line, "an unreadable spill line")).ok()
    }
}

/// The routes that only take traffic from a candidate.
pub(super) fn lowering(effects: &[Numbered]) -> Vec<(SlotKey, Route)> {
    let lowering = |numbered: &Numbered| match &numbered.effect {
        Effect::Route { slot, route, lowers_exposure: true } => Some((slot.clone(), route.clone())),
        _ => None,
    };
    effects.iter().filter_map(lowering).collect()
}

/// Notes routes that went out before the journal had them. Not on the loop's own thread: a disk that
/// hangs must not keep them from the proxy.
pub(super) async fn spill(file: &mut Option<Spill>, routes: &[(SlotKey, Route)]) {
    let Some(mut open) = file.take() else { return };
    let at = clock();
    let lines: Vec<Spilled> = routes
        .iter()
        .map(|(slot, route)| {
            let what = "the route only lowers exposure, and the journal could not be written".to_owned();
            Spilled { at, slot: Some(slot.clone()), version: route.version, what }
        })
        .collect();
    let written = tokio::task::spawn_blocking(move || {
        for line in lines {
            let text = serde_json::to_string(&line).map_err(|error| error.to_string());
            if let Err(why) = text.and_then(|text| open.line(&text).map_err(|error| sentence(&error))) {
                tracing::error!(%why, ?line, "a route that lowers exposure is in force but recorded nowhere");
            }
        }
        open
    });
    *file = written.await.ok();
}

/// An error with its causes.
pub(super) fn sentence(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
