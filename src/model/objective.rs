//! What a service promises its users (a service level objective), and what is left of the errors that it allows.

use super::Ppm;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// By what a request counts as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Indicator {
    /// It did not fail.
    Availability,
    /// It was answered within so many microseconds.
    Latency { within_us: u64 },
}

/// A promise: so large a share of a service's requests is good, over a window that ends now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// As the settings call it.
    pub name: String,
    pub indicator: Indicator,
    /// The share that is to be good, less than all.
    pub target: Ppm,
    pub window: SignedDuration,
    pub burn: BurnLimit,
}

/// From when on a budget burns too fast: at no less than this rate over both windows. The long one says that it
/// matters, the short one that it still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BurnLimit {
    /// 1 spends exactly the budget in the objective's window.
    pub rate: f64,
    pub long: SignedDuration,
    pub short: SignedDuration,
}

/// What is done while a budget burns too fast.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBurn {
    /// It is said.
    #[default]
    Notify,
    /// Nothing is promoted.
    Refuse,
}

/// Requests of a service in a window, whichever version answered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// No less than zero; not whole where a system estimates what was between two samples.
    pub requests: f64,
    /// Of those, not good; never more than them.
    pub bad: f64,
    /// For how much of the window there are numbers at all, where that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covers: Option<SignedDuration>,
}

/// What is known of one window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowStatus {
    /// The newest numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// Why there are no newer ones, where they were asked for in vain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Numbers of a window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    #[serde(flatten)]
    pub tally: Tally,
    /// The window's end.
    pub at: Timestamp,
    /// Up to then those are of now.
    pub of_now_until: Timestamp,
}

/// An objective of a rollout's service, with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveStatus {
    #[serde(flatten)]
    pub objective: Objective,
    /// What its environment asks for.
    pub on_burn: OnBurn,
    /// The window of the objective.
    pub budget: WindowStatus,
    /// The windows of the burn rates.
    pub long: WindowStatus,
    pub short: WindowStatus,
    /// Since when it is seen to burn too fast without a break, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burning_since: Option<Timestamp>,
}

/// Why a number of an objective is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKnown<'a> {
    /// Nobody has answered.
    Unasked,
    /// The numbers are of then, and no newer ones came, for this reason where one was told.
    Old { at: Timestamp, why: Option<&'a str> },
    /// There are none, for this reason.
    Unmeasured(&'a str),
    /// There was no request.
    NoRequests,
}

impl Objective {
    /// How many times as fast as the objective allows requests go bad; `None` without a request.
    #[must_use]
    pub fn burn_rate(&self, tally: &Tally) -> Option<f64> {
        let allowed = self.target.rest().fraction();
        (tally.requests > 0.0 && allowed > 0.0).then(|| tally.bad / tally.requests / allowed)
    }
}

impl WindowStatus {
    /// Its numbers, where they are of now.
    ///
    /// # Errors
    /// Why there are none.
    pub fn known(&self, now: Timestamp) -> Result<&Counted, NotKnown<'_>> {
        match (&self.counted, &self.why) {
            (Some(counted), _) if now <= counted.of_now_until => Ok(counted),
            (Some(counted), why) => Err(NotKnown::Old { at: counted.at, why: why.as_deref() }),
            (None, Some(why)) => Err(NotKnown::Unmeasured(why)),
            (None, None) => Err(NotKnown::Unasked),
        }
    }
}

impl ObjectiveStatus {
    /// The share of the budget that is left: 1 untouched, below 0 overspent.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn budget_left(&self, now: Timestamp) -> Result<f64, NotKnown<'_>> {
        Ok(1.0 - self.rate(&self.budget, now)?)
    }

    /// How fast the budget burns over the long window.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn long_burn(&self, now: Timestamp) -> Result<f64, NotKnown<'_>> {
        self.rate(&self.long, now)
    }

    /// How fast the budget burns over the short window.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn short_burn(&self, now: Timestamp) -> Result<f64, NotKnown<'_>> {
        self.rate(&self.short, now)
    }

    /// Does it burn too fast? One window below the limit is enough for a no, whatever the other does.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn burns_too_fast(&self, now: Timestamp) -> Result<bool, NotKnown<'_>> {
        let (long, short) = (self.long_burn(now), self.short_burn(now));
        let below = |rate: &Result<f64, _>| rate.is_ok_and(|rate| rate < self.objective.burn.rate);
        if below(&long) || below(&short) {
            return Ok(false);
        }
        long.and(short).map(|_| true)
    }

    /// For how much of its window there are numbers, where that is not all of it.
    #[must_use]
    pub fn covers_only(&self) -> Option<SignedDuration> {
        let covers = self.budget.counted?.tally.covers?;
        (covers < self.objective.window).then_some(covers)
    }

    fn rate<'a>(&self, window: &'a WindowStatus, now: Timestamp) -> Result<f64, NotKnown<'a>> {
        self.objective.burn_rate(&window.known(now)?.tally).ok_or(NotKnown::NoRequests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn window(requests: f64, bad: f64) -> WindowStatus {
        let tally = Tally { requests, bad, covers: None };
        WindowStatus { counted: Some(Counted { tally, at: at(100), of_now_until: at(200) }), why: None }
    }

    fn status(budget: WindowStatus, long: WindowStatus, short: WindowStatus) -> ObjectiveStatus {
        let hours = SignedDuration::from_hours;
        let burn = BurnLimit { rate: 14.4, long: hours(1), short: SignedDuration::from_mins(5) };
        let objective = Objective {
            name: "checkout".to_owned(),
            indicator: Indicator::Availability,
            target: Ppm(999_000),
            window: hours(720),
            burn,
        };
        ObjectiveStatus { objective, on_burn: OnBurn::Notify, budget, long, short, burning_since: None }
    }

    fn near(found: Result<f64, NotKnown<'_>>, wanted: f64) -> bool {
        found.is_ok_and(|found| (found - wanted).abs() < 1e-9)
    }

    #[test]
    fn a_budget_is_spent_by_what_is_bad_and_may_be_overspent() {
        // A million requests at 99.9 % may have a thousand failures.
        for (bad, left) in [(0.0, 1.0), (130.0, 0.87), (1000.0, 0.0), (3000.0, -2.0)] {
            let status = status(window(1e6, bad), WindowStatus::default(), WindowStatus::default());
            assert!(near(status.budget_left(at(150)), left), "{bad}: {:?}", status.budget_left(at(150)));
        }
    }

    #[test]
    fn both_windows_must_burn_and_one_below_the_limit_is_a_no() {
        let (fast, slow, none) = (window(1000.0, 14.5), window(1000.0, 14.3), window(0.0, 0.0));
        let unknown = WindowStatus { counted: None, why: Some("401".to_owned()) };
        for (long, short, burns) in [
            (&fast, &fast, Ok(true)),
            (&fast, &slow, Ok(false)),
            (&slow, &fast, Ok(false)),
            (&slow, &unknown, Ok(false)),
            (&unknown, &slow, Ok(false)),
            (&fast, &unknown, Err(NotKnown::Unmeasured("401"))),
            (&fast, &none, Err(NotKnown::NoRequests)),
            (&none, &none, Err(NotKnown::NoRequests)),
            (&fast, &WindowStatus::default(), Err(NotKnown::Unasked)),
        ] {
            let status = status(WindowStatus::default(), long.clone(), short.clone());
            assert_eq!(status.burns_too_fast(at(150)), burns, "{long:?} {short:?}");
        }
        assert!(near(status(none, fast.clone(), slow).long_burn(at(150)), 14.5));
    }

    #[test]
    fn what_was_not_seen_or_is_old_is_not_known() {
        let untouched = status(window(0.0, 0.0), WindowStatus::default(), WindowStatus::default());
        assert_eq!(untouched.budget_left(at(150)), Err(NotKnown::NoRequests), "never 100 % of nothing");
        let mut old = status(window(1e6, 1.0), window(10.0, 10.0), window(10.0, 10.0));
        assert_eq!(old.burns_too_fast(at(200)), Ok(true));
        assert_eq!(old.burns_too_fast(at(201)), Err(NotKnown::Old { at: at(100), why: None }));
        old.budget.why = Some("it refuses".to_owned());
        assert_eq!(old.budget_left(at(201)), Err(NotKnown::Old { at: at(100), why: Some("it refuses") }));
        assert!(old.budget_left(at(200)).is_ok(), "one that failed between two is no matter yet");
    }

    #[test]
    fn less_than_the_window_is_said() {
        let mut status = status(window(1e6, 1.0), WindowStatus::default(), WindowStatus::default());
        assert_eq!(status.covers_only(), None, "it was not looked at");
        for (covers, told) in [(720, None), (360, Some(360))] {
            status.budget.counted.as_mut().unwrap().tally.covers = Some(SignedDuration::from_hours(covers));
            assert_eq!(status.covers_only(), told.map(SignedDuration::from_hours));
        }
    }

    #[test]
    fn it_travels_as_it_is() {
        let sent = status(window(12.5, 0.5), window(1.0, 0.0), WindowStatus::default());
        let json = serde_json::to_value(&sent).unwrap();
        assert_eq!(json["budget"]["counted"]["requests"], 12.5);
        assert_eq!(serde_json::from_value::<ObjectiveStatus>(json).unwrap(), sent);
    }
}
