use super::*;
use crate::metrics::arms::Words;
use crate::metrics::naming::Naming;
use flightdeck_model::{ArmRole, Phase, PodNames, Ppm, Replicas, Run, Target, Traffic, TrafficSource};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn moment(there: i64) -> Moment {
    Moment { there, here: at(there + 300) }
}

#[test]
fn windows_join_and_begin_anew_after_a_long_silence() {
    let window = |from, to| Next::Window(Window { from: moment(from), to: moment(to) });
    for (what, last, to, next) in [
        ("the first answer", None, 1000, Next::Begin),
        ("the next", Some(1000), 1015, window(1000, 1015)),
        ("after a missed one", Some(1000), 1030, window(1000, 1030)),
        ("after ten minutes", Some(1000), 1600, window(1000, 1600)),
        ("after more", Some(1000), 1601, Next::Begin),
        ("the same moment", Some(1000), 1000, Next::Wait),
        ("a clock that went back a little", Some(1000), 990, Next::Wait),
        ("a clock that went back far", Some(1000), 100, Next::Begin),
    ] {
        assert_eq!(Next::after(last.map(moment), moment(to)), next, "{what}");
    }
}

#[test]
fn a_moment_is_in_whole_seconds_there_and_as_long_ago_here() {
    // Its clock is five minutes ahead.
    let moment = Moment::before(1_764_477_000.75, at(1_764_476_700), SignedDuration::from_secs(30));
    assert_eq!(moment.there, 1_764_476_970);
    assert_eq!(moment.here, Timestamp::from_millisecond(1_764_476_669_250).unwrap());
}

fn row(phase: Phase) -> Rollout {
    let target = Target {
        source: "east".into(),
        kind: "Rollout".into(),
        namespace: Some("shop".into()),
        name: "web".into(),
        uid: "u".into(),
        first_name: None,
    };
    let arm = |role, version: &str, set: &str| Arm {
        role,
        version: version.into(),
        digest: None,
        replicas: Replicas::default(),
        traffic: Traffic { desired: Ppm::ZERO, actual: None, how: TrafficSource::Replicas },
        pods: Some(PodNames::Set(set.into())),
        service: None,
    };
    Rollout {
        phase,
        arms: vec![arm(ArmRole::Stable, "1.0", "web-58bb4f"), arm(ArmRole::Candidate, "1.1", "web-7d5f9c")],
        ..Rollout::bare(Run { target, revision: "2".into() }, "web".into(), "production".into(), at(0))
    }
}

fn vector(values: &[(&str, f64)]) -> Vector {
    let of = |(set, value): &(&str, f64)| (vec!["shop".to_owned(), (*set).to_owned()], *value);
    Vector { values: values.iter().map(of).collect(), ..Vector::default() }
}

fn told(row: &Rollout, grown: &Grown) -> Vec<ArmIncrease> {
    let words = Words { requests: String::new(), status: String::new(), labels: String::new(), scope: "" };
    let asked = Asked { naming: Naming::PodSet, sources: &[], every: SignedDuration::from_secs(15), words };
    increases(&[row], grown, &asked, Window { from: moment(1000), to: moment(1015) })
}

#[test]
fn an_arm_has_what_its_counters_grew_by_and_nothing_where_they_were_not_there() {
    let grown = Grown {
        requests: vector(&[("web-58bb4f", 600.0), ("other-5c5c5c", 7.0)]),
        errors: vector(&[("web-58bb4f", 3.0), ("other-5c5c5c", 7.0)]),
        ..Grown::default()
    };
    let stable = told(&row(Phase::Progressing), &grown);
    assert_eq!(stable.len(), 1, "the candidate's pods are new: {stable:?}");
    let stable = &stable[0];
    assert_eq!((stable.requests, stable.errors, stable.role.clone()), (600, 3, ArmRole::Stable));
    assert_eq!((stable.from, stable.to, stable.version.as_str()), (at(1300), at(1315), "1.0"));
    // Which failed is not known: nothing to judge by.
    let unknown = Grown { requests: vector(&[("web-7d5f9c", 600.0)]), ..Grown::default() };
    assert_eq!(told(&row(Phase::Progressing), &unknown), []);
    // Nothing was asked of it: that is something to know.
    let idle =
        Grown { requests: vector(&[("web-7d5f9c", 0.0)]), errors: vector(&[("web-7d5f9c", 0.0)]), ..Grown::default() };
    assert_eq!(told(&row(Phase::Progressing), &idle)[0].requests, 0);
    // Whatever comes, errors are a part of requests.
    let odd =
        Grown { requests: vector(&[("web-7d5f9c", 5.0)]), errors: vector(&[("web-7d5f9c", 8.0)]), ..Grown::default() };
    assert_eq!(told(&row(Phase::Progressing), &odd)[0].errors, 5);
}

#[test]
fn latency_is_told_in_flight_only_each_at_the_lower_bound_of_its_bucket() {
    let key = vec!["shop".to_owned(), "web-7d5f9c".to_owned()];
    let grown = |buckets: &[(f64, f64)]| Grown {
        requests: vector(&[("web-7d5f9c", 100.0)]),
        errors: vector(&[("web-7d5f9c", 0.0)]),
        buckets: [(key.clone(), buckets.to_vec())].into_iter().collect(),
    };
    // As they come: by the text of their bounds, `+Inf` first.
    let usual = [(f64::INFINITY, 100.0), (100_000.0, 60.0), (250_000.0, 90.0), (50_000.0, 60.0)];
    let histogram = |phase, buckets: &[(f64, f64)]| told(&row(phase), &grown(buckets))[0].latency.0.clone();
    let counted = histogram(Phase::Progressing, &usual);
    assert_eq!(
        counted.into_iter().collect::<Vec<_>>(),
        [(bucket_of(0), 60), (bucket_of(100_000), 30), (bucket_of(250_000), 10)]
    );
    assert!(histogram(Phase::Healthy, &usual).is_empty(), "at rest nobody judges");
    // Pods of one set with other bounds: their sums are no histogram.
    assert!(histogram(Phase::Progressing, &[(f64::INFINITY, 100.0), (100_000.0, 60.0), (200_000.0, 50.0)]).is_empty());
}
