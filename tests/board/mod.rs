//! The board's answers: attention, filter, order, freshness.

mod dora;
pub mod kit;

use flightdeck::board::{
    AttentionSubject, Board, Filter, Fit, Freshness, Order, Severity, compare_versions, freshness, rank, sort,
};
use flightdeck::model::*;
use kit::*;
use std::cmp::Ordering;
use std::sync::Arc;

fn names(board: &Board) -> Vec<String> {
    rank(board, at(100)).into_iter().map(|entry| format!("{} {}", entry.word, entry.name)).collect()
}

#[test]
fn the_most_dangerous_needs_a_person_first() {
    let failing = rollout("checkout", "production");
    let mut rolling = rollout("cart", "staging");
    rolling.phase = Phase::RollingBack;
    rolling.message = "canary errors 9 %".into();
    let waiting = rollout("payments", "production");
    let mut paused = rollout("search", "production");
    paused.phase = Phase::Paused;
    paused.waits = vec![Wait::Human { what: String::new(), who: Some("bob".into()), since: at(5) }];
    let mut degraded = rollout("catalog", "dev");
    degraded.phase = Phase::Degraded;
    let mut failed = rollout("mail", "production");
    failed.phase = Phase::Failed;
    let mut healthy = rollout("quiet", "production");
    healthy.phase = Phase::Healthy;
    let judged = evidence(&failing, "e1", 50, MetricVerdict::Fail);
    let mut asked = approval(&waiting);
    asked.behind = vec!["1.11.0".into(), "1.12.0".into()];
    let rows = [failing, rolling, waiting, paused, degraded, failed, healthy].map(row);
    let mut board = board(rows);
    apply(&mut board, Body::Upsert(Entity::Evidence(Box::new(judged))));
    apply(&mut board, Body::Upsert(Entity::Approval(Box::new(asked))));
    let stale = Scope { source: "prod-us".into(), part: String::new() };
    let why = "connection refused".to_owned();
    board.apply(&Scoped { scope: stale.clone(), body: Body::Link(LinkState::stale(at(59), why)) });

    let entries = rank(&board, at(100));
    assert_eq!(
        names(&board),
        [
            "failing checkout",
            "rolling back cart",
            "failed mail",
            "approval payments",
            "paused search",
            "degraded catalog",
            "stale prod-us"
        ]
    );
    assert_eq!(entries[0].sentence, "errors 4.1 % against 0.3 %, limit 1 %");
    assert_eq!(entries[1].sentence, "canary errors 9 %");
    assert_eq!(entries[3].sentence, "1.10.0 waits for approval by release-managers; 2 releases queue behind it");
    assert_eq!((entries[3].deadline, entries[3].since), (Some(at(3600)), at(0)));
    assert_eq!(entries[4].sentence, "paused at step 2 of 5 by bob");
    assert_eq!(entries[4].since, at(5));
    assert_eq!(entries[6].subject, AttentionSubject::Source(stale));
    assert_eq!(entries[6].severity, Severity::Stale);
}

#[test]
fn a_job_whose_last_run_failed_needs_a_person_until_it_succeeds() {
    let job = |how: JobEnd| ServiceJob {
        name: "cleanup".to_owned(),
        spec: JobSpec {
            run: vec!["bin/cleanup".to_owned()],
            schedule: Schedule::Every(jiff::SignedDuration::from_hours(1)),
            timeout: jiff::SignedDuration::from_hours(1),
        },
        next: at(3600),
        running: None,
        last: Some(JobRun {
            id: "job-7".to_owned(),
            version: "1.0".into(),
            due: at(0),
            began: at(0),
            ended: Some((at(9), how)),
        }),
        missed: None,
    };
    let told = |job: ServiceJob| {
        let place = Place {
            environment: "production".into(),
            steps: Arc::default(),
            left_out: Vec::new(),
            migrations: Vec::new(),
            one_offs: Vec::new(),
            jobs: vec![job],
            user: None,
        };
        Entity::Service(Service {
            source: "local".into(),
            name: "shop".into(),
            configuration: None,
            kind: None,
            environments: Vec::new(),
            addresses: Vec::new(),
            places: vec![place],
        })
    };
    let mut board = board([told(job(JobEnd::Exited(3)))]);
    let [entry] = rank(&board, at(100)).try_into().unwrap();
    assert_eq!((entry.word, entry.name.as_str(), entry.environment), ("job failed", "shop", Some("production".into())));
    assert_eq!(entry.sentence, "cleanup: exit status 3 (every 1h, job-7)");
    assert_eq!((entry.since, entry.deadline), (at(9), None));
    apply(&mut board, Body::Upsert(told(job(JobEnd::Exited(0)))));
    assert!(rank(&board, at(100)).is_empty());

    let missed = Some(MissedRun { due: at(50), why: Missed::StillRunning });
    apply(&mut board, Body::Upsert(told(ServiceJob { missed, ..job(JobEnd::Exited(0)) })));
    let [entry] = rank(&board, at(100)).try_into().unwrap();
    assert_eq!((entry.word, entry.severity, entry.since), ("job missed", Severity::Degraded, at(50)));
    assert_eq!(entry.sentence, "cleanup: the run before still went on (every 1h)");
}

#[test]
fn a_broken_limit_needs_a_person_unless_the_watchdog_sent_something() {
    let needs = |response: BreachResponse| {
        let mut row = rollout("shop", "production");
        row.phase = Phase::Progressing;
        row.waits.clear();
        let breach = Breach { at: at(40), sentence: "errors 9 % against 0 %".into(), response };
        row.watchdog = Some(Box::new(WatchdogStatus {
            on_breach: OnBreach::Abort,
            since: at(0),
            retried: None,
            measured: None,
            report: None,
            breach: Some(breach),
        }));
        let board = board([Entity::Rollout(Arc::new(row))]);
        rank(&board, at(100)).first().map(|entry| (entry.word, entry.sentence.clone(), entry.since))
    };
    let told = |more: &str| Some(("limit broken", format!("errors 9 % against 0 %; {more}"), at(40)));
    assert_eq!(needs(BreachResponse::Notified), told("nothing is done by itself"));
    let (action, why) = (Action::Abort, "the link is stale".to_owned());
    assert_eq!(
        needs(BreachResponse::Refused { action, why: why.clone() }),
        told("abort was refused: the link is stale")
    );
    assert_eq!(needs(BreachResponse::NotOffered { action, why }), told("abort is not possible: the link is stale"));
    assert_eq!(needs(BreachResponse::Sent { action, command: "w-1".into() }), None);
}

#[test]
fn what_waits_by_itself_or_for_its_approval_is_named_once_or_not_at_all() {
    let mut timed = rollout("timed", "production");
    timed.phase = Phase::Paused;
    timed.waits = vec![Wait::Until { at: at(200) }];
    let mut asked = rollout("asked", "production");
    asked.phase = Phase::Paused;
    asked.waits = vec![Wait::Human { what: "approval".into(), who: None, since: at(1) }];
    let request = approval(&asked);
    let mut held = rollout("held", "production");
    held.phase = Phase::Paused;
    held.waits = vec![Wait::Hold("H-3".into())];
    let board = board([row(timed), row(asked), row(held), Entity::Approval(Box::new(request))]);
    assert_eq!(names(&board), ["approval asked", "paused held"]);
    assert!(rank(&board, at(100))[1].sentence.contains("H-3"));
}

#[test]
fn a_rollout_that_ended_by_its_analysis_is_shown_for_an_hour_and_one_aborted_by_a_person_is_not() {
    let mut judged = rollout("judged", "production");
    judged.phase = Phase::Aborted;
    let mut asked = rollout("asked", "production");
    asked.phase = Phase::Aborted;
    let fail = evidence(&judged, "e1", 0, MetricVerdict::Fail);
    let board = board([row(judged), row(asked), Entity::Evidence(Box::new(fail))]);
    let at_minute = |minute: i64| rank(&board, at(minute * 60)).into_iter().map(|e| e.name).collect::<Vec<_>>();
    assert_eq!(at_minute(59), ["judged"]);
    assert_eq!(at_minute(61), Vec::<String>::new());
}

#[test]
fn a_later_pass_ends_the_alarm_of_an_earlier_fail() {
    let one = rollout("checkout", "production");
    let (fail, pass) = (evidence(&one, "e1", 10, MetricVerdict::Fail), evidence(&one, "e2", 20, MetricVerdict::Pass));
    let mut board = board([row(one), Entity::Evidence(Box::new(fail))]);
    assert_eq!(names(&board), ["failing checkout"]);
    apply(&mut board, Body::Upsert(Entity::Evidence(Box::new(pass))));
    assert_eq!(names(&board), Vec::<String>::new());
}

#[test]
fn every_word_of_a_filter_must_match() {
    let mut rolling = rollout("checkout", "production");
    rolling.phase = Phase::RollingBack;
    let mut paused = rollout("payments", "staging");
    paused.phase = Phase::Paused;
    paused.author = Some("Bob".into());
    let rollouts = [rolling, paused, rollout("search", "dev")];
    let cases: &[(&str, &[&str])] = &[
        ("", &["checkout", "payments", "search"]),
        ("pay", &["payments"]),
        // Letters that are merely in order are no match, initials are.
        ("chkt", &[]),
        ("CHECK", &["checkout"]),
        ("env:prod", &["checkout"]),
        ("env:prod pay", &[]),
        ("!env:prod", &["payments", "search"]),
        ("!pay !search", &["checkout"]),
        ("phase:paused", &["payments"]),
        ("phase:rolling-back", &["checkout"]),
        ("version:1.10", &["checkout", "payments", "search"]),
        ("version:2", &[]),
        ("source:local service:sea", &["search"]),
        ("by:bob", &["payments"]),
        ("env:", &["checkout", "payments", "search"]),
        ("!", &["checkout", "payments", "search"]),
        // A word never matches across two fields.
        ("checkoutprod", &[]),
        ("colour:red", &[]),
    ];
    for (text, expected) in cases {
        let filter = Filter::parse(text, jiff::Timestamp::UNIX_EPOCH);
        let got: Vec<_> = filter.select(rollouts.iter()).into_iter().map(|r| r.service.as_str()).collect();
        assert_eq!(got, *expected, "{text:?}");
        for rollout in &rollouts {
            assert_eq!(filter.matches(rollout), expected.contains(&rollout.service.as_str()), "{text:?}");
        }
    }
    let long = rollout("payments-gateway-worker", "production");
    for (text, fit) in [
        ("payments-gateway-worker", Some(Fit::Whole)),
        ("pay", Some(Fit::Start)),
        ("gate", Some(Fit::Word)),
        ("way", Some(Fit::Inside)),
        ("pgw", Some(Fit::Initials)),
        ("gw pay", Some(Fit::Initials)),
        ("pytw", None),
        ("p !pgw", Some(Fit::Start)),
        ("p !gateway", None),
    ] {
        assert_eq!(Filter::parse(text, jiff::Timestamp::UNIX_EPOCH).fit(&long), fit, "{text:?}");
    }
    assert_eq!(Filter::parse("env:prod GATE", jiff::Timestamp::UNIX_EPOCH).found("payments-gateway"), Some(9..13));
    assert_eq!(Filter::parse("colour:red env:prod", jiff::Timestamp::UNIX_EPOCH).unknown_keys, ["colour"]);
    assert!(
        Filter::parse(" ", jiff::Timestamp::UNIX_EPOCH).is_empty()
            && !Filter::parse("x", jiff::Timestamp::UNIX_EPOCH).is_empty()
    );
}

fn order(board: &Board, order: Order, reverse: bool) -> Vec<String> {
    let mut rows: Vec<&Rollout> = board.rollouts().collect();
    sort(board, &mut rows, order, reverse);
    rows.into_iter().map(|rollout| rollout.service.0.clone()).collect()
}

#[test]
fn lists_are_sorted_by_what_was_asked_and_reversed_whole() {
    let mut a = rollout("a", "staging");
    a.phase = Phase::Healthy;
    a.arms = vec![arm(ArmRole::Stable, "1.9.0", 3, 3, 100)];
    a.since = at(50);
    let mut b = rollout("b", "dev");
    b.arms[1].version = "1.10.0".into();
    b.since = at(10);
    let mut c = rollout("c", "production");
    c.arms[1] = arm(ArmRole::Candidate, "1.10.0-rc1", 3, 3, 50);
    c.since = at(30);
    let sample = |rollout: &Rollout, errors| ArmSample {
        target: rollout.run.target.clone(),
        role: ArmRole::Candidate,
        version: "1.10.0".into(),
        at: at(1),
        window_ms: 1000,
        requests: 100,
        errors,
        p50_us: None,
        p95_us: None,
        p99_us: None,
    };
    let samples = vec![sample(&b, 4), sample(&c, 1)];
    let mut board = board([row(a), row(b), row(c)]);
    apply(&mut board, Body::Samples(samples));
    for (by, expected) in [
        (Order::Risk, ["c", "b", "a"]),
        (Order::Service, ["a", "b", "c"]),
        (Order::Environment, ["b", "a", "c"]),
        (Order::Age, ["b", "c", "a"]),
        (Order::Version, ["a", "c", "b"]),
        (Order::Traffic, ["c", "b", "a"]),
        (Order::Errors, ["b", "c", "a"]),
    ] {
        assert_eq!(order(&board, by, false), expected, "{by:?}");
        let mut turned = expected;
        turned.reverse();
        assert_eq!(order(&board, by, true), turned, "{by:?} reversed");
    }
    assert_eq!(Order::Errors.next(), Order::Risk);
}

#[test]
fn errors_of_late_are_those_of_half_a_minute_whatever_a_window_is() {
    let (a, b) = (rollout("a", "dev"), rollout("b", "dev"));
    let sample = |rollout: &Rollout, seconds, window_ms, errors| ArmSample {
        target: rollout.run.target.clone(),
        role: ArmRole::Candidate,
        version: "1.10.0".into(),
        at: at(seconds),
        window_ms,
        requests: 100,
        errors,
        p50_us: None,
        p95_us: None,
        p99_us: None,
    };
    for window in [1, 15] {
        let mut board = board([row(a.clone()), row(b.clone())]);
        // What failed at `a` is a minute ago.
        let windows = (0..120).step_by(window).flat_map(|second| {
            let failed = if second < 60 { 50 } else { 0 };
            let window_ms = u32::try_from(window).unwrap() * 1000;
            [sample(&a, second, window_ms, failed), sample(&b, second, window_ms, 1)]
        });
        apply(&mut board, Body::Samples(windows.collect()));
        assert_eq!(order(&board, Order::Errors, false), ["b", "a"], "windows of {window} s");
    }
}

#[test]
fn versions_compare_as_people_read_them() {
    for (low, high) in [
        ("1.9.0", "1.10.0"),
        ("1.10.0-rc1", "1.10.0"),
        ("1.10.0-rc2", "1.10.0-rc10"),
        ("v2", "v10"),
        ("1.2", "1.2.1"),
        ("2026-02-01", "2026-11-01"),
        ("9", "10000000000000000000000000"),
    ] {
        assert_eq!(compare_versions(low, high), Ordering::Less, "{low} {high}");
        assert_eq!(compare_versions(high, low), Ordering::Greater, "{high} {low}");
        assert_eq!(compare_versions(low, low), Ordering::Equal);
    }
}

#[test]
fn a_row_is_as_fresh_as_the_watch_that_told_of_it() {
    let one = rollout("checkout", "production");
    let (good, bad) = (scope(), Scope { source: source(), part: "other".into() });
    let mut board = Board::default();
    board.apply(&Scoped { scope: good.clone(), body: Body::Upsert(row(one.clone())) });
    assert_eq!(freshness(&board, &one), Freshness::Connecting);
    board.apply(&Scoped { scope: good, body: Body::Link(LinkState::live(at(0))) });
    let stale = LinkState::stale(at(0), "cut".into());
    board.apply(&Scoped { scope: bad.clone(), body: Body::Link(stale) });
    assert_eq!(freshness(&board, &one), Freshness::Fresh, "another watch of the source is stale, not this one");
    board.apply(&Scoped { scope: bad, body: Body::Upsert(row(rollout("checkout", "production"))) });
    assert_eq!(freshness(&board, &one).problem(at(41)).as_deref(), Some("stale for 41 s: cut"));
}

#[test]
fn a_snapshot_removes_what_it_does_not_tell_again() {
    let (kept, gone) = (rollout("kept", "dev"), rollout("gone", "dev"));
    let mut board = board([row(kept.clone()), row(gone.clone())]);
    apply(&mut board, Body::SnapshotBegin);
    apply(&mut board, Body::Upsert(row(kept.clone())));
    assert!(board.rollout(&gone.run.target).is_some(), "nothing is gone before the list is complete");
    assert!(apply(&mut board, Body::SnapshotEnd));
    assert!(board.rollout(&gone.run.target).is_none() && board.rollout(&kept.run.target).is_some());
}

#[test]
fn of_each_kind_of_record_the_oldest_leave_and_one_kind_takes_no_room_of_another() {
    let shop = rollout("shop", "staging");
    let note = |n: i64| {
        let (id, run) = (format!("n-{n}"), shop.run.clone());
        Entity::Note(Note { id, run, at: at(n), who: "ann".into(), text: "seen".into(), kind: NoteKind::Event })
    };
    let judged = |n: i64| Entity::Evidence(Box::new(evidence(&shop, &format!("e-{n}"), n, MetricVerdict::Pass)));
    let mut board = board((0..2010).map(note).chain((0..2000).map(judged)).chain([row(shop.clone())]));
    let dropped: Vec<_> = board.trim().into_iter().map(|(_, key)| key).collect();
    assert_eq!(dropped, (0..10).map(|n| note(n).key()).collect::<Vec<_>>());
    assert_eq!((board.notes().count(), board.evidence().count(), board.rollout_count()), (2000, 2000, 1));
    assert!(board.trim().is_empty());
}

#[test]
fn a_way_back_meets_its_objective_by_the_longer_of_estimate_and_last_drill() {
    use flightdeck::board::rollback_plan::{Objective, estimate, objective};
    let seconds = jiff::SignedDuration::from_secs;
    let way = |took: Option<i64>, drilled: Option<i64>, rto: Option<i64>| RollbackPlan {
        kind: ServiceKind::Http,
        path: RollbackPath::Start,
        to: "1.0".into(),
        steps: Vec::new(),
        estimate: took.map(seconds),
        measured: u32::from(took.is_some()),
        cannot_undo: Vec::new(),
        rto: rto.map(seconds),
        drilled: drilled.map(|took| (at(0), seconds(took))),
    };
    let rto = seconds(30);
    for (took, drilled, expected) in [
        (None, None, Objective::Unknown(rto)),
        (Some(30), None, Objective::Met(rto)),
        (None, Some(12), Objective::Met(rto)),
        (Some(31), Some(12), Objective::Missed { rto, by: seconds(31) }),
        (Some(12), Some(45), Objective::Missed { rto, by: seconds(45) }),
    ] {
        assert_eq!(objective(&way(took, drilled, Some(30))), expected, "{took:?} {drilled:?}");
    }
    assert_eq!(objective(&way(Some(3), None, None)), Objective::Unset);
    assert_eq!(estimate(&way(None, None, None)), "never measured: try `flightdeck drill`");
    assert_eq!(
        estimate(&way(Some(75), Some(45), None)),
        "traffic back in about 1 m 15 s (n 1); the last drill took 45 s"
    );
}
