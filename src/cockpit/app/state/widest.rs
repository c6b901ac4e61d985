//! What the columns of the Deck have to hold.

use flightdeck_model::{Arm, ArmSample, Rollout};
use unicode_width::UnicodeWidthStr as _;

/// The widest that ever stood in some of the Deck's columns, in columns of the terminal: of all rows, so that
/// nothing moves while one scrolls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Widest {
    /// Names of services.
    pub service: u16,
    /// Names of environments.
    pub environment: u16,
    /// Versions: `1.9.0 → 1.10.0`.
    pub version: u16,
    /// Kinds of workloads; 0 while all are plain services of the engine.
    pub kind: u16,
    /// Names of sources.
    pub source: u16,
    /// Names of those who began rollouts.
    pub author: u16,
    /// Was any request, or connection, ever told of?
    pub requests: bool,
    /// And how long any took?
    pub latencies: bool,
}

impl Widest {
    /// Takes a row in, by the name and the kind that it is shown with. True if it is wider than all before.
    pub(crate) fn note(&mut self, name: &str, kind: &str, rollout: &Rollout) -> bool {
        let before = *self;
        let arm = |arm: Option<&Arm>| arm.map(|arm| width(&arm.version.0));
        let versions: Vec<u16> = [arm(rollout.stable()), arm(rollout.candidate())].into_iter().flatten().collect();
        let arrow = if rollout.candidate().is_some() { 3 } else { 0 };
        let version = versions.into_iter().fold(arrow, u16::saturating_add);
        self.service = self.service.max(width(name));
        self.environment = self.environment.max(width(&rollout.environment.0));
        self.version = self.version.max(version);
        self.note_kind(kind);
        self.source = self.source.max(width(&rollout.run.target.source.0));
        self.author = self.author.max(rollout.author.as_deref().map_or(0, width));
        *self != before
    }

    /// Takes the kind of rows in that are there already. True as above.
    pub(crate) fn note_kind(&mut self, kind: &str) -> bool {
        let before = self.kind;
        if kind != "service" {
            self.kind = self.kind.max(width(kind));
        }
        self.kind != before
    }

    /// Takes numbers in. True if there were none of their sort before.
    pub(crate) fn count(&mut self, samples: &[ArmSample]) -> bool {
        let before = *self;
        self.requests = self.requests || samples.iter().any(|sample| sample.requests > 0);
        self.latencies = self.latencies || samples.iter().any(|sample| sample.p95_us.is_some());
        *self != before
    }
}

fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}
