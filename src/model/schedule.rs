//! Jobs: programs that a service has run by the clock, and what is known of each.

use super::{JobEnd, Version};
use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// When a job is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Schedule {
    /// At each multiple of this since the epoch, so that no restart moves it.
    Every(SignedDuration),
    /// Each day at these times, in UTC.
    At(Vec<Time>),
}

impl Schedule {
    /// The first time after `now` at which it is due.
    #[must_use]
    pub fn after(&self, now: Timestamp) -> Timestamp {
        self.around(now).filter(|at| *at > now).min().unwrap_or(Timestamp::MAX)
    }

    /// The last time until `now` at which it was due.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Timestamp {
        self.around(now).filter(|at| *at <= now).max().unwrap_or(Timestamp::MIN)
    }

    /// Its times in the turn of `now`, in the one before and in the one after. A turn is a span, or a day.
    fn around(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let (turn, offsets) = match self {
            Schedule::Every(span) => (*span, vec![SignedDuration::ZERO]),
            Schedule::At(times) => (DAY, times.iter().map(|time| time.duration_since(Time::midnight())).collect()),
        };
        let millis = |span: SignedDuration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let turn = millis(turn).max(1);
        let begun = now.as_millisecond().div_euclid(turn);
        let turns = [begun - 1, begun, begun.saturating_add(1)].map(|number| number.saturating_mul(turn));
        turns.into_iter().flat_map(move |start| {
            let times = offsets.clone().into_iter().map(move |offset| start.saturating_add(millis(offset)));
            times.filter_map(|at| Timestamp::from_millisecond(at).ok())
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Every(span) => write!(f, "every {span:#}"),
            Schedule::At(times) => {
                let times: Vec<String> = times.iter().map(|time| time.strftime("%H:%M").to_string()).collect();
                write!(f, "at {} UTC", times.join(", "))
            }
        }
    }
}

/// A job as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Program and arguments, inside the unpacked artifact of the stable version; placeholders as in a hook's.
    pub run: Vec<String>,
    pub schedule: Schedule,
    /// It is killed after so long.
    pub timeout: SignedDuration,
}

/// A job of a service in an environment, as far as the clock has brought it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceJob {
    /// Unique in its service.
    pub name: String,
    /// As it is configured now.
    #[serde(flatten)]
    pub spec: JobSpec,
    /// When it is due next.
    pub next: Timestamp,
    /// The run that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<JobRun>,
    /// The newest run that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<JobRun>,
    /// The newest time that passed without a run, since it last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<MissedRun>,
}

/// A run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// By which its output is asked for.
    pub id: String,
    /// Whose artifact it is run in.
    pub version: Version,
    /// The time that it is the run of, and no other is; of one that a person asked for, when that was.
    pub due: Timestamp,
    /// When it was asked for.
    pub began: Timestamp,
    /// When it ended, and how; `None`: it runs.
    pub ended: Option<(Timestamp, JobEnd)>,
}

/// A time that passed without a run. It is not made up for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedRun {
    pub due: Timestamp,
    pub why: Missed,
}

/// Why a job was not run when it was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Nobody was there to begin it.
    ServerDown,
    /// There was no version to run it with.
    NothingStable,
    /// The run before still went on.
    StillRunning,
}

impl ServiceJob {
    /// When its newest ended run ended and how, if it failed.
    #[must_use]
    pub fn failure(&self) -> Option<(Timestamp, &JobEnd)> {
        let (at, how) = self.last.as_ref()?.ended.as_ref()?;
        (*how != JobEnd::Exited(0)).then_some((*at, how))
    }

    /// What is wrong with it, in words; `None`: nothing.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let id = self.last.as_ref().map_or("", |run| run.id.as_str());
        let failed = self.failure().map(|(at, how)| format!("failed at {at:.0}: {how} ({id})"));
        let said: Vec<String> = failed.into_iter().chain(self.missed.as_ref().map(MissedRun::to_string)).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}

impl fmt::Display for MissedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missed at {:.0}: {}", self.due, self.why)
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Missed::ServerDown => "the server was down",
            Missed::NothingStable => "nothing was stable",
            Missed::StillRunning => "the run before still went on",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(schedule: &Schedule, now: &str) -> [String; 2] {
        let now = now.parse().unwrap();
        [schedule.until(now), schedule.after(now)].map(|at| at.to_string())
    }

    #[test]
    fn a_schedule_knows_the_times_around_any_other() {
        let every = |minutes| Schedule::Every(SignedDuration::from_mins(minutes));
        let at = |times: &[&str]| Schedule::At(times.iter().map(|time| time.parse().unwrap()).collect());
        for (schedule, now, expected) in [
            (every(60), "2026-11-30T04:59:59Z", ["2026-11-30T04:00:00Z", "2026-11-30T05:00:00Z"]),
            (every(60), "2026-11-30T05:00:00Z", ["2026-11-30T05:00:00Z", "2026-11-30T06:00:00Z"]),
            (every(1), "1969-12-31T23:59:30Z", ["1969-12-31T23:59:00Z", "1970-01-01T00:00:00Z"]),
            (at(&["04:00"]), "2026-11-30T03:59:59Z", ["2026-11-29T04:00:00Z", "2026-11-30T04:00:00Z"]),
            (at(&["04:00"]), "2026-11-30T04:00:00Z", ["2026-11-30T04:00:00Z", "2026-12-01T04:00:00Z"]),
            (at(&["04:00", "16:30"]), "2026-11-30T12:00:00Z", ["2026-11-30T04:00:00Z", "2026-11-30T16:30:00Z"]),
            (at(&["00:00"]), "2026-12-31T12:00:00Z", ["2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"]),
        ] {
            assert_eq!(times(&schedule, now), expected, "{schedule} around {now}");
        }
        let never = Schedule::Every(SignedDuration::MAX);
        assert_eq!(never.after("2026-11-30T04:00:00Z".parse().unwrap()), Timestamp::MAX);
        assert_eq!(every(90).to_string(), "every 1h 30m");
        assert_eq!(at(&["04:00", "16:30"]).to_string(), "at 04:00, 16:30 UTC");
    }
}
