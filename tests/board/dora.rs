//! DORA's figures, each case counted by hand.

use super::kit::{self, at, rollout, target};
use flightdeck::board::dora::{Dora, Figure, Spread, Window, by_place, dora};
use flightdeck::model::DeploymentKind::{Deploy, Drill, Restart, Rollback};
use flightdeck::model::DeploymentOutcome::{Aborted, Failed, RolledBack, Succeeded, Superseded};
use flightdeck::model::*;
use jiff::SignedDuration;

const HOUR: i64 = 3600;

/// Began so many hours after the start, and took an hour.
fn ended(hour: i64, from: &str, to: &str, kind: DeploymentKind, outcome: DeploymentOutcome) -> RolloutRecord {
    let run = Run { target: target("shop", "production"), revision: format!("r-{hour}") };
    RolloutRecord {
        run,
        from: Some(from.into()),
        to: to.into(),
        started: at(hour * HOUR),
        ended: at((hour + 1) * HOUR),
        kind,
        // A rollback's own record names no share.
        reached: Some(if kind == Rollback { Ppm::ZERO } else { Ppm::ALL }),
        ..kit::ended(&rollout("shop", "production"), outcome)
    }
}

/// Ten days from the start on.
fn window() -> Window {
    Window::before(at(240 * HOUR), SignedDuration::from_hours(240))
}

fn of(records: &[RolloutRecord]) -> Dora {
    dora(records.iter(), window())
}

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

fn figure<T>(value: T, n: u64) -> Figure<T> {
    Figure { value: Some(value), n }
}

const fn none<T>() -> Figure<T> {
    Figure { value: None, n: 0 }
}

/// Deployments, how many of them failed, how many are rework, and the median recovery.
#[expect(clippy::cast_precision_loss, reason = "a few")]
fn counts(of: &Dora) -> (u64, f64, f64, Option<SignedDuration>) {
    let n = of.fail_rate.n as f64;
    (of.fail_rate.n, of.fail_rate.value.unwrap() * n, of.rework_rate.value.unwrap() * n, of.recovery.value)
}

#[test]
fn without_records_there_is_no_figure_and_never_zero() {
    let nothing = of(&[]);
    assert_eq!((nothing.lead_time, nothing.frequency, nothing.recovery), (none(), none(), none()));
    assert_eq!((nothing.fail_rate, nothing.rework_rate, nothing.rollback), (none(), none(), none()));
    assert_eq!((nothing.manual, nothing.unknown), (none(), 0));
}

#[test]
fn lead_time_is_from_the_commit_and_only_where_its_time_is_known() {
    let mut records: Vec<_> = (0..10).map(|n| ended(n * 10, "1", "2", Deploy, Succeeded)).collect();
    // Commits 1 to 9 hours before the end, and one without a time.
    for (record, lead) in records.iter_mut().zip(1..10) {
        record.commit_at = Some(record.ended - hours(lead));
    }
    let found = of(&records);
    assert_eq!(found.lead_time, figure(Spread { median: hours(5), p90: hours(9) }, 9));
    assert_eq!(found.frequency, figure(1.0, 10), "ten in ten days");
    // What is known begins eight days before the end: so many days, not the window's.
    let later: Vec<_> = (0..8).map(|n| ended(48 + n * 10, "1", "2", Deploy, Succeeded)).collect();
    assert_eq!(of(&later).frequency, figure(1.0, 8));
    // Two are no rate, nor are many of one day.
    assert_eq!(of(&records[..2]).frequency, Figure { value: None, n: 2 });
    let today: Vec<_> = (0..8).map(|n| ended(230 + n, "1", "2", Deploy, Succeeded)).collect();
    assert_eq!(of(&today).frequency, Figure { value: None, n: 8 });
    // Eight of them: between the fourth and the fifth; the eighth is the 90th of a hundred.
    let eight = of(&records[..8]);
    assert_eq!(eight.lead_time, figure(Spread { median: SignedDuration::from_mins(270), p90: hours(8) }, 8));
    // Neither what was taken back nor a clock that is wrong makes a fast change.
    records[0].outcome = Aborted;
    records[1].commit_at = Some(records[1].ended + hours(1));
    assert_eq!(of(&records).lead_time, figure(Spread { median: hours(6), p90: hours(9) }, 7));
}

#[test]
fn a_rollback_is_a_deployment_and_rework_and_what_it_took_back_failed() {
    let records = [
        ended(0, "1.0", "1.1", Deploy, Succeeded),
        ended(10, "1.1", "1.2", Deploy, Succeeded),
        ended(20, "1.2", "1.1", Rollback, RolledBack),
        ended(30, "1.1", "1.3", Deploy, Succeeded),
    ];
    // 1.2 got all traffic at 11:00 and 1.1 had it back at 21:00; 1.3 is planned work.
    assert_eq!(counts(&of(&records)), (4, 1.0, 1.0, Some(hours(10))));
}

#[test]
fn a_rollback_of_a_rollback_makes_the_first_one_fail_and_the_last_one_recovers_both() {
    let records = [
        ended(0, "1.0", "1.1", Deploy, Succeeded),
        ended(10, "1.1", "1.0", Rollback, RolledBack),
        ended(12, "1.0", "0.9", Rollback, RolledBack),
    ];
    // 1.1 failed at 1:00, the first rollback at 11:00; 0.9 held from 13:00 on: 12 and 2 hours.
    assert_eq!(counts(&of(&records)), (3, 2.0, 2.0, Some(hours(7))));
    assert_eq!(of(&records).recovery.n, 2);
}

#[test]
fn what_failed_on_its_way_in_recovers_when_it_is_taken_back_and_what_fixes_it_is_rework() {
    let mut aborted = ended(0, "1.0", "1.1", Deploy, Aborted);
    aborted.reached = Some(Ppm::percent(25));
    aborted.rollback = Some(SignedDuration::from_secs(4));
    let fixed = ended(10, "1.0", "1.2", Deploy, Succeeded);
    let later = ended(20, "1.2", "1.3", Deploy, Succeeded);
    let found = of(&[aborted.clone(), fixed.clone(), later.clone()]);
    assert_eq!(counts(&found), (3, 1.0, 1.0, Some(SignedDuration::from_secs(4))));
    assert_eq!(found.rollback, figure(SignedDuration::from_secs(4), 1));
    // Where nobody measured that users were back, they are when the next one has all traffic.
    aborted.rollback = None;
    assert_eq!(counts(&of(&[aborted, fixed, later])), (3, 1.0, 1.0, Some(hours(10))));
}

#[test]
fn a_rollback_that_did_not_come_up_is_no_deployment_but_tells_that_one_failed() {
    let mut broken = ended(10, "1.1", "1.0", Rollback, Failed);
    broken.reached = Some(Ppm::ZERO);
    let records = [ended(0, "1.0", "1.1", Deploy, Succeeded), broken, ended(20, "1.1", "1.2", Deploy, Succeeded)];
    assert_eq!(counts(&of(&records)), (2, 1.0, 1.0, Some(hours(20))));
}

#[test]
fn what_nothing_recovered_yet_has_failed_without_a_time() {
    let mut failed = ended(0, "1.0", "1.1", Deploy, Failed);
    failed.reached = Some(Ppm::percent(50));
    let found = of(&[failed]);
    assert_eq!((found.fail_rate, found.recovery), (figure(1.0, 1), none()));
}

#[test]
fn drills_restarts_and_what_never_reached_users_count_nowhere() {
    let mut drill = ended(0, "1.1", "1.1", Drill, Succeeded);
    drill.rollback = Some(SignedDuration::from_secs(3));
    drill.steps = Some(5);
    let mut nobody = ended(20, "1.1", "1.2", Deploy, Aborted);
    nobody.reached = Some(Ppm::ZERO);
    let mut replaced = ended(30, "1.1", "1.3", Deploy, Superseded);
    replaced.reached = Some(Ppm::ZERO);
    let records = [drill, ended(10, "1.1", "1.1", Restart, Succeeded), nobody, replaced];
    assert_eq!(of(&records), of(&[]));
    // One that was replaced when it had users is one, and not a failed one.
    let mut met = ended(40, "1.1", "1.4", Deploy, Superseded);
    met.reached = Some(Ppm::percent(10));
    assert_eq!(counts(&of(&[met])), (1, 0.0, 0.0, None));
}

#[test]
fn where_a_record_does_not_tell_whether_users_met_it_that_is_said() {
    let mut records = [ended(0, "1.0", "1.1", Deploy, Succeeded), ended(10, "1.1", "1.2", Deploy, Aborted)];
    records[0].reached = None;
    records[1].reached = None;
    let found = of(&records);
    assert_eq!((found.fail_rate, found.unknown), (figure(0.0, 1), 1), "what succeeded did reach them");
}

#[test]
fn steps_by_hand_are_a_share_of_all_steps() {
    let mut records = [ended(0, "1.0", "1.1", Deploy, Succeeded), ended(10, "1.1", "1.2", Deploy, Succeeded)];
    (records[0].steps, records[0].manual_steps) = (Some(6), 3);
    (records[1].steps, records[1].manual_steps) = (Some(2), 1);
    assert_eq!(of(&records).manual, figure(0.5, 8));
}

#[test]
fn the_window_takes_what_ended_in_it_and_looks_before_it_for_what_that_belongs_to() {
    let before = ended(-20, "1.0", "1.1", Deploy, Succeeded);
    let back = ended(10, "1.1", "1.0", Rollback, RolledBack);
    // The failure belongs to a day before the window; the rollback is in it.
    assert_eq!(counts(&of(&[before, back])), (1, 0.0, 1.0, None));
}

#[test]
fn places_are_told_apart() {
    let mut staging = ended(10, "1.1", "1.0", Rollback, RolledBack);
    staging.environment = "staging".into();
    staging.run.target = target("shop", "staging");
    let records = [ended(0, "1.0", "1.1", Deploy, Succeeded), staging];
    let places = by_place(records.iter(), window());
    let names: Vec<_> = places.keys().map(|(_, environment)| environment.as_str()).collect();
    assert_eq!(names, ["production", "staging"]);
    assert_eq!(counts(places.values().next().unwrap()), (1, 0.0, 0.0, None));
    // One name at two backends: each has its own line of versions, the counts are of both.
    let mut other = ended(20, "1.1", "1.0", Rollback, RolledBack);
    other.run.target.source = "elsewhere".into();
    assert_eq!(counts(&of(&[records[0].clone(), other])), (2, 0.0, 1.0, None));
}
