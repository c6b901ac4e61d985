//! How far what the program told can be believed. Pure.

use flightdeck_model::{Body, LinkState};
use jiff::Timestamp;

/// Of one life of the program.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// A whole list was told.
    complete: bool,
    /// A list is being told that began after the last flaw.
    begun: bool,
    /// Something it said was lost: since when, and why.
    flaw: Option<(Timestamp, String)>,
    /// What it says of its own platform, where that is not well.
    platform: Option<LinkState>,
    /// A new list was asked for.
    asked: bool,
}

impl Health {
    /// A line could not be used: what it told is missing until everything is told anew.
    pub fn flawed(&mut self, why: String, now: Timestamp) {
        let since = self.flaw.take().map_or(now, |(since, _)| since);
        self.flaw = Some((since, why));
        self.begun = false;
    }

    /// What an update means for the whole.
    pub fn told(&mut self, body: &Body) {
        match body {
            Body::SnapshotBegin => self.begun = true,
            Body::SnapshotEnd => {
                self.asked = false;
                if std::mem::take(&mut self.begun) {
                    self.complete = true;
                    self.flaw = None;
                }
            }
            Body::Link(LinkState::Live { .. }) => self.platform = None,
            Body::Link(state) => self.platform = Some(state.clone()),
            _ => {}
        }
    }

    /// Must everything be asked for anew? Says so once.
    pub fn wants_snapshot(&mut self) -> bool {
        let wants = self.flaw.is_some() && !self.asked;
        self.asked |= wants;
        wants
    }

    /// Was a whole list told?
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// What the link says; `None`: as before.
    pub fn link(&self, now: Timestamp) -> Option<LinkState> {
        match (&self.flaw, &self.platform) {
            (Some((since, why)), _) => Some(LinkState::stale(*since, why.clone())),
            (None, Some(platform)) => Some(platform.clone()),
            (None, None) => self.complete.then_some(LinkState::live(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_stale_until_everything_was_told_anew() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut health = Health::default();
        assert_eq!(health.link(at(0)), None);
        health.told(&Body::SnapshotBegin);
        health.flawed("line 2: no JSON".into(), at(1));
        assert!(health.wants_snapshot() && !health.wants_snapshot());
        health.told(&Body::SnapshotEnd);
        assert_eq!(
            health.link(at(2)),
            Some(LinkState::stale(at(1), "line 2: no JSON".into())),
            "a list with a hole is no list"
        );
        assert!(health.wants_snapshot());
        health.told(&Body::SnapshotBegin);
        health.told(&Body::SnapshotEnd);
        assert_eq!(health.link(at(3)), Some(LinkState::live(at(3))));
        let denied = LinkState::Denied { verb: "list".into(), resource: "apps".into() };
        health.told(&Body::Link(denied.clone()));
        assert_eq!(health.link(at(4)), Some(denied));
        health.told(&Body::Link(LinkState::live(at(0))));
        assert_eq!(health.link(at(5)), Some(LinkState::live(at(5))));
    }
}
