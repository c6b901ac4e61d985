//! What the columns of the Deck have to hold.

use flightdeck_model::{Arm, Rollout};
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
    /// Kinds of workloads; 0 while all are services of the engine, which has one kind.
    pub kind: u16,
    /// Names of sources.
    pub source: u16,
}

impl Widest {
    /// Takes a row in, by the name that it is shown with. True if it is wider than all before.
    pub(super) fn note(&mut self, name: &str, rollout: &Rollout) -> bool {
        let before = *self;
        let width = |text: &str| u16::try_from(text.width()).unwrap_or(u16::MAX);
        let arm = |arm: Option<&Arm>| arm.map(|arm| width(&arm.version.0));
        let versions: Vec<u16> = [arm(rollout.stable()), arm(rollout.candidate())].into_iter().flatten().collect();
        let arrow = if rollout.candidate().is_some() { 3 } else { 0 };
        let version = versions.into_iter().fold(arrow, u16::saturating_add);
        self.service = self.service.max(width(name));
        self.environment = self.environment.max(width(&rollout.environment.0));
        self.version = self.version.max(version);
        let target = &rollout.run.target;
        if target.kind != "service" {
            self.kind = self.kind.max(width(&target.kind));
        }
        self.source = self.source.max(width(&target.source.0));
        *self != before
    }
}
