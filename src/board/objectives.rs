//! Objectives of services and their error budgets, in words.

use flightdeck_model::time::{age, age_changes, span};
use flightdeck_model::{Counted, Indicator, NotKnown, Objective, ObjectiveStatus, Ppm};
use jiff::{SignedDuration, Timestamp};

/// How it stands with an objective; the worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its budget burns too fast.
    Burning,
    /// Nothing is left of its budget.
    Spent,
    /// Its budget, or how fast that burns, is not known.
    NotKnown,
    /// There is some budget left, and it does not burn too fast.
    Kept,
}

#[must_use]
pub fn standing(status: &ObjectiveStatus, now: Timestamp) -> Standing {
    match (status.burns_too_fast(now), status.budget_left(now)) {
        (Ok(true), _) => Standing::Burning,
        (_, Ok(left)) if left <= 0.0 => Standing::Spent,
        (Ok(false), Ok(_)) => Standing::Kept,
        _ => Standing::NotKnown,
    }
}

/// A row's objectives, the one that is worst first.
#[must_use]
pub fn ranked(all: &[ObjectiveStatus], now: Timestamp) -> Vec<&ObjectiveStatus> {
    let mut ranked: Vec<&ObjectiveStatus> = all.iter().collect();
    let left = |status: &ObjectiveStatus| status.budget_left(now).unwrap_or(f64::MAX);
    ranked.sort_by(|a, b| standing(a, now).cmp(&standing(b, now)).then(left(a).total_cmp(&left(b))));
    ranked
}

/// `checkout: 99.9 % without failure over 30 d`, `checkout: 99 % within 300 ms over 30 d`.
#[must_use]
pub fn promise(objective: &Objective) -> String {
    format!("{}: {}", objective.name, what(objective))
}

/// `99.9 % without failure over 30 d`.
fn what(objective: &Objective) -> String {
    let of = match objective.indicator {
        Indicator::Availability => "without failure".to_owned(),
        Indicator::Latency { within_us } => format!("within {}", within(within_us)),
    };
    format!("{} {of} over {}", share(objective.target), span(objective.window))
}

/// A sentence of which the first words matter most, where not all may fit: `checkout availability: 87 % of …`.
#[must_use]
pub fn line(status: &ObjectiveStatus, now: Timestamp) -> String {
    let of = match status.objective.indicator {
        Indicator::Availability => "availability",
        Indicator::Latency { .. } => "latency",
    };
    format!("{} {of}: {}; promised: {}", status.objective.name, state(status, now), what(&status.objective))
}

/// One sentence: the promise, what is left of its budget, how fast that burns, or why that is not known.
#[must_use]
pub fn sentence(status: &ObjectiveStatus, now: Timestamp) -> String {
    format!("{}; {}", promise(&status.objective), state(status, now))
}

/// The same without the promise.
#[must_use]
pub fn state(status: &ObjectiveStatus, now: Timestamp) -> String {
    let since = status.burning_since.filter(|_| standing(status, now) == Standing::Burning);
    let since = since.map_or_else(String::new, |since| format!(", too fast since {}", age(since, now)));
    match (status.budget_left(now), rates(status, now)) {
        (Err(why), Err(other)) if why == other => format!("budget and burn rate are not known: {}", words(why, now)),
        (left, rates) => {
            let left = left.map_or_else(
                |why| format!("budget not known: {}", words(why, now)),
                |left| format!("{}{}", budget(left), of_less(status)),
            );
            let rates = rates.unwrap_or_else(|why| format!("burn rate not known: {}", words(why, now)));
            format!("{left}; {rates}{since}")
        }
    }
}

/// When the words for a row's objectives change next by themselves: numbers get old, and older.
#[must_use]
pub fn changes(all: &[ObjectiveStatus], now: Timestamp) -> Option<Timestamp> {
    const NEXT: SignedDuration = SignedDuration::from_millis(1);
    let of = |status: &ObjectiveStatus| {
        let counted = [&status.budget, &status.long, &status.short].map(|window| window.counted);
        let moment = |counted: Counted| match counted.of_now_until {
            until if now <= until => until.saturating_add(NEXT).unwrap_or(Timestamp::MAX),
            _ => age_changes(counted.at, now),
        };
        let since = status.burning_since.map(|since| age_changes(since, now));
        counted.into_iter().flatten().map(moment).chain(since).min()
    };
    all.iter().filter_map(of).min()
}

/// `87 %`, `99.9 %`, `-20 %`: the share of a budget that is left, never rounded up.
#[must_use]
pub fn percent(left: f64) -> String {
    // What floating point makes of a whole number is that number.
    let percent = (left * 1e8).round() / 1e6;
    let shown = if percent.abs() < 10.0 || (99.0..=100.0).contains(&percent) {
        (percent * 10.0).floor() / 10.0
    } else {
        percent.floor()
    };
    // Never the whole before it is; and there is a zero below zero.
    format!("{} %", if left < 1.0 { shown.min(99.9) } else { shown } + 0.0)
}

/// What is left of a budget, for a column: `87 %`, or `87 %?` where a part of its window was seen only.
///
/// # Errors
/// Why it is not known.
pub fn left(status: &ObjectiveStatus, now: Timestamp) -> Result<String, NotKnown<'_>> {
    let doubt = if status.covers_only().is_some() { "?" } else { "" };
    Ok(format!("{}{doubt}", percent(status.budget_left(now)?)))
}

/// `0.4×`, `16×`: how many times as fast as the objective allows.
#[must_use]
pub fn times(rate: f64) -> String {
    let shown = if rate < 10.0 { (rate * 10.0).round() / 10.0 } else { rate.round() };
    format!("{shown}×")
}

/// `99.95 %`.
#[must_use]
pub fn share(target: Ppm) -> String {
    format!("{} %", f64::from(target.0) / 1e4)
}

/// Why something is not known.
#[must_use]
pub fn words(why: NotKnown<'_>, now: Timestamp) -> String {
    match why {
        NotKnown::Unasked => "no source of metrics has told it".to_owned(),
        NotKnown::Old { at, why: None } => format!("its numbers are {} old", age(at, now)),
        NotKnown::Old { at, why: Some(why) } => format!("its numbers are {} old: {why}", age(at, now)),
        NotKnown::Unmeasured(why) => why.to_owned(),
        NotKnown::NoRequests => "there were no requests".to_owned(),
    }
}

/// `burns 0.4× over 1 h and 1.2× over 5 m`.
fn rates<'a>(status: &'a ObjectiveStatus, now: Timestamp) -> Result<String, NotKnown<'a>> {
    let burn = &status.objective.burn;
    let one = |rate: Result<f64, NotKnown<'a>>, window: SignedDuration| match rate {
        Ok(rate) => format!("{} over {}", times(rate), span(window)),
        Err(why) => format!("not known over {} ({})", span(window), words(why, now)),
    };
    let (long, short) = (status.long_burn(now), status.short_burn(now));
    match (&long, &short) {
        (Err(why), Err(other)) if why == other => Err(*why),
        _ => Ok(format!("burns {} and {}", one(long, burn.long), one(short, burn.short))),
    }
}

fn budget(left: f64) -> String {
    if left < 0.0 {
        format!("budget overspent by {}", percent(left).trim_start_matches('-'))
    } else {
        format!("{} of the budget left", percent(left))
    }
}

/// That there are numbers for a part of the window only.
fn of_less(status: &ObjectiveStatus) -> String {
    let window = status.objective.window;
    match status.covers_only() {
        None => String::new(),
        Some(covers) if covers < window / 100 => format!(" as far as seen, hardly any of {}", span(window)),
        Some(covers) => format!(" as far as seen, {} of {}", span(covers), span(window)),
    }
}

fn within(micros: u64) -> String {
    if micros.is_multiple_of(1000) { format!("{} ms", micros / 1000) } else { format!("{micros} µs") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_model::{BurnLimit, OnBurn, Tally, WindowStatus};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn window(requests: f64, bad: f64) -> WindowStatus {
        let tally = Tally { requests, bad, covers: None };
        WindowStatus { counted: Some(Counted { tally, at: at(960), of_now_until: at(1100) }), why: None }
    }

    fn status(budget: WindowStatus, long: WindowStatus, short: WindowStatus) -> ObjectiveStatus {
        let hours = SignedDuration::from_hours;
        let burn = BurnLimit { rate: 14.4, long: hours(1), short: SignedDuration::from_mins(5) };
        let (name, indicator) = ("checkout".to_owned(), Indicator::Availability);
        let objective = Objective { name, indicator, target: Ppm(999_000), window: hours(720), burn };
        ObjectiveStatus { objective, on_burn: OnBurn::Notify, budget, long, short, burning_since: None }
    }

    #[test]
    fn it_says_what_is_left_how_fast_it_burns_and_what_is_not_known() {
        let none = WindowStatus::default;
        let refused = || WindowStatus { counted: None, why: Some("401 Unauthorized".to_owned()) };
        let kept = status(window(1e6, 130.0), window(1000.0, 0.4), window(100.0, 0.12));
        let mut burning = status(window(1e6, 1200.0), window(1000.0, 16.0), window(100.0, 2.2));
        burning.burning_since = Some(at(700));
        let spent = status(window(1e6, 1000.0), window(1000.0, 0.0), window(100.0, 0.0));
        let mut partly = status(window(1e6, 130.0), window(1000.0, 0.4), refused());
        partly.budget.counted.as_mut().unwrap().tally.covers = Some(SignedDuration::from_hours(48));
        for (status, now, expected, told) in [
            (&kept, 1000, Standing::Kept, "87 % of the budget left; burns 0.4× over 1 h and 1.2× over 5 m"),
            (
                &burning,
                1000,
                Standing::Burning,
                "budget overspent by 20 %; burns 16× over 1 h and 22× over 5 m, too fast since 5 m",
            ),
            (&spent, 1000, Standing::Spent, "0 % of the budget left; burns 0× over 1 h and 0× over 5 m"),
            (
                &partly,
                1000,
                Standing::Kept,
                "87 % of the budget left as far as seen, 2 d of 30 d; burns 0.4× over 1 h and not known over \
                 5 m (401 Unauthorized)",
            ),
            (&burning, 1101, Standing::NotKnown, "budget and burn rate are not known: its numbers are 2 m old"),
            (
                &status(refused(), refused(), refused()),
                1000,
                Standing::NotKnown,
                "budget and burn rate are not known: 401 Unauthorized",
            ),
            (
                &status(none(), window(10.0, 0.0), window(0.0, 0.0)),
                1000,
                Standing::NotKnown,
                "budget not known: no source of metrics has told it; burns 0× over 1 h and not known over 5 m (there \
                 were no requests)",
            ),
            (
                &status(window(10.0, 0.0), none(), none()),
                1000,
                Standing::NotKnown,
                "100 % of the budget left; burn rate not known: no source of metrics has told it",
            ),
        ] {
            assert_eq!(standing(status, at(now)), expected, "{told}");
            assert_eq!(state(status, at(now)), told);
        }
        let words = line(&kept, at(1000));
        assert!(words.starts_with("checkout availability: 87 % of the budget left; burns 0.4×"), "{words}");
        assert!(words.ends_with("; promised: 99.9 % without failure over 30 d"), "{words}");
        assert_eq!([left(&kept, at(1000)), left(&partly, at(1000))], [Ok("87 %".to_owned()), Ok("87 %?".to_owned())]);
        assert!(sentence(&kept, at(1000)).starts_with("checkout: 99.9 % without failure over 30 d; 87 %"));
    }

    #[test]
    fn words_change_when_numbers_get_old_and_then_with_their_age() {
        let mut all = [status(window(10.0, 0.0), window(10.0, 0.0), WindowStatus::default())];
        let next = |all: &[ObjectiveStatus], now| changes(all, at(now)).map(Timestamp::as_millisecond);
        assert_eq!(next(&all, 1000), Some(1_100_001), "they are of now until then");
        assert_eq!(next(&all, 1101), Some(1_140_000), "3 m from then on");
        all[0].burning_since = Some(at(940));
        assert_eq!(next(&all, 1000), Some(1_001_000));
        assert_eq!(next(&[status(WindowStatus::default(), WindowStatus::default(), WindowStatus::default())], 0), None);
    }

    #[test]
    fn no_share_is_rounded_up() {
        for (left, told) in [
            (1.0, "100 %"),
            (0.999_99, "99.9 %"),
            (0.999_999_999_999, "99.9 %"),
            (1.0 - 0.07 / 0.1, "30 %"),
            (1.0 - 0.02 / 0.001, "-1900 %"),
            (0.875, "87 %"),
            (0.0499, "4.9 %"),
            (0.0, "0 %"),
            (-0.001, "-0.1 %"),
            (-1.5, "-150 %"),
        ] {
            assert_eq!(percent(left), told, "{left}");
        }
        assert_eq!(
            [times(0.0), times(0.04), times(9.96), times(14.4), times(1e6)],
            ["0×", "0×", "10×", "14×", "1000000×"]
        );
    }

    #[test]
    fn the_worst_comes_first() {
        let one = |name: &str, budget, long, short| {
            let mut one = status(budget, long, short);
            one.objective.name = name.to_owned();
            one
        };
        let calm = || window(1000.0, 0.0);
        let all = [
            one("kept", window(1e6, 100.0), calm(), calm()),
            one("less", window(1e6, 500.0), calm(), calm()),
            one("unknown", WindowStatus::default(), calm(), calm()),
            one("spent", window(1e6, 5000.0), calm(), calm()),
            one("burning", window(1e6, 0.0), window(10.0, 1.0), window(10.0, 1.0)),
        ];
        let names: Vec<_> = ranked(&all, at(1000)).iter().map(|status| status.objective.name.as_str()).collect();
        assert_eq!(names, ["burning", "spent", "unknown", "less", "kept"]);
        let mut fast = all[0].objective.clone();
        fast.indicator = Indicator::Latency { within_us: 300_000 };
        assert_eq!(promise(&fast), "kept: 99.9 % within 300 ms over 30 d");
    }
}
