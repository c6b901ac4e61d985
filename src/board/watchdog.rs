//! What a hub's watchdog sees of a rollout and does, in words.

use flightdeck_model::time::age;
use flightdeck_model::{AnalysisReport, BreachResponse, OnBreach, WatchdogStatus, counted};
use jiff::Timestamp;

/// How it stands with a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has numbers of now, and no limit is broken.
    Armed,
    /// It has no numbers of now: whatever happens, it does nothing.
    Blind,
    /// A limit was broken.
    Breached,
}

#[must_use]
pub fn standing(status: &WatchdogStatus, now: Timestamp) -> Standing {
    match &status.breach {
        Some(_) => Standing::Breached,
        None if status.is_blind(now) => Standing::Blind,
        None => Standing::Armed,
    }
}

/// What it would do, in a word for a column.
#[must_use]
pub const fn would(on_breach: OnBreach) -> &'static str {
    match on_breach {
        OnBreach::Notify => "tells",
        OnBreach::Pause => "pauses",
        OnBreach::Abort => "aborts",
    }
}

/// One sentence: whether it is armed, what it would do or did, and on which numbers.
#[must_use]
pub fn sentence(status: &WatchdogStatus, now: Timestamp) -> String {
    if let Some(breach) = &status.breach {
        let (ago, what) = (age(breach.at, now), &breach.sentence);
        return match &breach.response {
            BreachResponse::Notified => format!("limit broken {ago} ago, nothing is done by itself: {what}"),
            BreachResponse::Sent { action, .. } => {
                format!("sent {} {ago} ago, and does no more on this run: {what}", action.name())
            }
            BreachResponse::Refused { action, why } => {
                format!("{} was refused ({why}), tried again with the next numbers: {what}", action.name())
            }
            BreachResponse::NotOffered { action, why } => {
                format!("limit broken {ago} ago, and {} is not possible ({why}): {what}", action.name())
            }
        };
    }
    let would = would(status.on_breach);
    match status.measured {
        None => {
            let since = age(status.since, now);
            format!(
                "blind: in {since} no numbers of the candidate and stable side by side; {would} when a limit is broken"
            )
        }
        Some(measured) if status.is_blind(now) => {
            format!("blind: its numbers are {} old; {would} when a limit is broken", age(measured.until, now))
        }
        Some(_) => {
            let so_far = status.report.as_ref().map_or_else(String::new, so_far);
            format!("armed, {would} when a limit is broken; {so_far}")
        }
    }
}

fn so_far(report: &AnalysisReport) -> String {
    let first = report.metrics.first().map_or("", |metric| metric.why.as_str());
    format!("so far {first} ({} judged)", counted(report.candidate_requests, "request"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_model::{Action, Breach, CommandId, MetricVerdict, WatchdogMeasured};

    #[test]
    fn it_says_whether_it_is_armed_and_never_that_it_is_without_numbers() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let armed = WatchdogStatus {
            retried: None,
            on_breach: OnBreach::Abort,
            since: at(0),
            measured: Some(WatchdogMeasured { until: at(100), of_now_until: at(145) }),
            report: Some(AnalysisReport {
                template: "watchdog production".to_owned(),
                from: at(0),
                to: at(100),
                candidate_requests: 230,
                stable_requests: 900,
                verdict: MetricVerdict::Missing,
                metrics: Vec::new(),
            }),
            breach: None,
        };
        let without = WatchdogStatus { measured: None, report: None, ..armed.clone() };
        let breach = |response| Some(Breach { at: at(90), sentence: "errors 6 %".to_owned(), response });
        let sent = BreachResponse::Sent { action: Action::Abort, command: CommandId("c".to_owned()) };
        let sent = WatchdogStatus { breach: breach(sent), ..armed.clone() };
        let refused = BreachResponse::Refused { action: Action::Pause, why: "it is stale".to_owned() };
        let refused = WatchdogStatus { breach: breach(refused), ..armed.clone() };
        for (status, now, expected, words) in [
            (&armed, 120, Standing::Armed, "armed, aborts when a limit is broken; so far"),
            (&armed, 200, Standing::Blind, "blind: its numbers are 100 s old; aborts when"),
            (
                &without,
                120,
                Standing::Blind,
                "blind: in 2 m no numbers of the candidate and stable side by side; aborts when",
            ),
            (&sent, 120, Standing::Breached, "sent abort 30 s ago, and does no more on this run: errors 6 %"),
            (&refused, 120, Standing::Breached, "pause was refused (it is stale), tried again"),
        ] {
            assert_eq!(standing(status, at(now)), expected, "{status:?}");
            let told = sentence(status, at(now));
            assert!(told.starts_with(words), "{told}");
        }
    }
}
