use super::*;
use flightdeck_model::{ArmRole, Phase, PodNames, Ppm, Replicas, Run, SourceId, Strategy, Traffic, TrafficSource};

fn asked(naming: Naming, sources: &[String]) -> Asked<'_> {
    let words = Words {
        requests: "http_requests_total of the pods".into(),
        status: "label code nor status".into(),
        labels: "the label pod".into(),
        scope: ", or a `selector`",
    };
    Asked { naming, sources, every: SignedDuration::from_secs(15), words }
}

fn plain() -> Asked<'static> {
    asked(Naming::PodSet, &[])
}

fn measured(rows: &[Arc<Rollout>], answers: &Answers, asked: &Asked<'_>, now: Timestamp) -> Measured {
    super::measured(&asked.measurable(rows), answers, asked, now)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn row(source: &str, name: &str, arms: &[(ArmRole, &str, PodNames)]) -> Arc<Rollout> {
    let target = Target {
        source: SourceId::from(source),
        kind: "Deployment".into(),
        namespace: Some("shop".into()),
        name: name.into(),
        uid: format!("{source}-{name}"),
        first_name: None,
    };
    let traffic = Traffic { desired: Ppm::ALL, actual: None, how: TrafficSource::Replicas };
    let arm = |(role, version, pods): &(ArmRole, &str, PodNames)| Arm {
        role: role.clone(),
        version: (*version).into(),
        digest: None,
        replicas: Replicas::default(),
        traffic,
        pods: Some(pods.clone()),
        service: None,
    };
    Arc::new(Rollout {
        strategy: Strategy::Rolling,
        arms: arms.iter().map(arm).collect(),
        phase: Phase::Progressing,
        ..Rollout::bare(Run { target, revision: "2".into() }, name.into(), "production".into(), at(0))
    })
}

fn set(name: &str) -> PodNames {
    PodNames::Set(name.into())
}

fn workload(name: &str) -> PodNames {
    PodNames::Workload(name.into())
}

fn vector(values: &[(&str, f64)]) -> Vector {
    let values = values.iter().map(|(set, value)| (vec!["shop".to_owned(), (*set).to_owned()], *value)).collect();
    Vector { values, ..Vector::default() }
}

fn moving() -> Arc<Rollout> {
    row("east", "web", &[(ArmRole::Stable, "1.0", set("web-58bb4f")), (ArmRole::Candidate, "1.1", set("web-7d5f9c"))])
}

/// Role, requests, errors and p95 of each sample.
fn told(measured: &Measured) -> Vec<(String, u64, u64, Option<u32>)> {
    let of = |sample: &ArmSample| {
        (format!("{} {}", sample.target.name, sample.role), sample.requests, sample.errors, sample.p95_us)
    };
    measured.samples.iter().map(of).collect()
}

#[test]
fn each_arm_gets_the_numbers_of_its_own_pods() {
    let answers = Answers {
        requests: vector(&[("web-58bb4f", 40.0), ("web-7d5f9c", 4.0), ("other-5c5c5c", 100.0)]),
        errors: vector(&[("web-58bb4f", 0.0), ("web-7d5f9c", 2.0), ("other-5c5c5c", 100.0)]),
        p95: vector(&[("web-58bb4f", 180_000.0), ("web-7d5f9c", 212_000.0)]),
        ..Answers::default()
    };
    let measured = measured(&[moving()], &answers, &plain(), at(1_764_476_700));
    assert_eq!(
        told(&measured),
        [("web stable".into(), 600, 0, Some(180_000)), ("web candidate".into(), 60, 30, Some(212_000))]
    );
    let candidate = &measured.samples[1];
    assert_eq!((candidate.version.as_str(), candidate.window_ms, candidate.at), ("1.1", 15_000, at(1_764_476_700)));
    assert!(measured.warnings.is_empty(), "{:?}", measured.warnings);
}

#[test]
fn without_numbers_there_is_no_sample_and_no_traffic_is_zero() {
    let answers = |requests: &[(&str, f64)], errors: &[(&str, f64)]| Answers {
        requests: vector(requests),
        errors: vector(errors),
        ..Answers::default()
    };
    let (own, now) = (plain(), at(30));
    // The candidate was not scraped yet.
    let one = measured(&[moving()], &answers(&[("web-58bb4f", 4.0)], &[("web-58bb4f", 0.0)]), &own, now);
    assert_eq!(told(&one), [("web stable".into(), 60, 0, None)]);
    let idle = measured(&[moving()], &answers(&[("web-7d5f9c", 0.0)], &[("web-7d5f9c", 0.0)]), &own, now);
    assert_eq!(told(&idle), [("web candidate".into(), 0, 0, None)]);
    let none = measured(&[moving()], &answers(&[], &[]), &own, now);
    assert!(none.samples.is_empty());
    assert_eq!(none.warnings, ["no http_requests_total of the pods of shop/web"]);
    // Requests without a status: what can't be known is not shown as healthy.
    let unknown = measured(&[moving()], &answers(&[("web-7d5f9c", 4.0)], &[]), &own, now);
    assert!(unknown.samples.is_empty());
    assert!(unknown.warnings[0].contains("shop/web has no label code nor status: errors are not known"));
}

#[test]
fn a_settled_workload_has_the_pods_of_all_its_sets_and_no_others() {
    let rows = [
        row("east", "web", &[(ArmRole::Stable, "1.0", workload("web"))]),
        row("east", "web-api", &[(ArmRole::Stable, "1.0", workload("web-api"))]),
        row("east", "web-store", &[(ArmRole::Stable, "1.0", set("web-store"))]),
        row("east", "web-xkcdb", &[(ArmRole::Stable, "1.0", PodNames::Untold)]),
    ];
    // `web-db` is a StatefulSet that nobody shows; `web-store` and `web-xkcdb` are rows of their own.
    let of: Vec<(&str, f64)> = ["web-58bb4f", "web-7d5f9c", "web-api-6c9d7", "web-db", "web-store", "web-xkcdb"]
        .into_iter()
        .zip([1.0, 2.0, 4.0, 100.0, 8.0, 100.0])
        .collect();
    let quantiles = vector(&[("web-58bb4f", 100_000.0), ("web-7d5f9c", 300_000.0)]);
    let errors = vector(&of.iter().map(|(set, _)| (*set, 0.0)).collect::<Vec<_>>());
    let answers = Answers { requests: vector(&of), errors, p95: quantiles, ..Answers::default() };
    let measured = measured(&rows, &answers, &plain(), at(30));
    assert_eq!(
        told(&measured),
        [
            ("web stable".into(), 45, 0, Some(300_000)),
            ("web-api stable".into(), 60, 0, None),
            ("web-store stable".into(), 120, 0, None),
        ]
    );
    assert_eq!(measured.warnings, ["the label pod does not tell the sides of shop/web-xkcdb apart"]);
}

#[test]
fn workloads_of_one_name_in_two_clusters_get_nothing_until_it_is_told_which_are_meant() {
    let stable = |source| row(source, "web", &[(ArmRole::Stable, "1.0", workload("web"))]);
    let rows = [stable("east"), stable("west")];
    let answers = || Answers {
        requests: vector(&[("web-58bb4f", 4.0)]),
        errors: vector(&[("web-58bb4f", 0.0)]),
        ..Answers::default()
    };
    let both = measured(&rows, &answers(), &plain(), at(30));
    assert!(both.samples.is_empty());
    assert!(both.warnings[0].contains("shop/web: name the `sources`"), "{:?}", both.warnings);
    let west = measured(&rows, &answers(), &asked(Naming::PodSet, &["west".to_owned()]), at(30));
    assert_eq!(west.samples.len(), 1);
    assert_eq!(west.samples[0].target.source.as_str(), "west");
}

#[test]
fn rows_without_pods_are_left_to_others() {
    let mut engine = row("local", "web", &[(ArmRole::Stable, "1.0", set("web"))]);
    assert_eq!(plain().measurable(&[Arc::clone(&engine)]).len(), 1);
    Arc::make_mut(&mut engine).arms[0].pods = None;
    assert_eq!(plain().measurable(&[engine]).len(), 0);
}

#[test]
fn what_is_rounded_away_in_one_window_comes_with_another() {
    let window = SignedDuration::from_secs(15);
    for (rate, in_an_hour) in [(0.0, 0), (1.0 / 60.0, 60), (0.4, 1440), (12.5, 45_000), (1e6, 3_600_000_000)] {
        let total: u64 = (1..=240).map(|window_no| counted(rate, at(1_764_475_200 + window_no * 15), window)).sum();
        assert!(total.abs_diff(in_an_hour) <= 1, "{rate}: {total}");
    }
}

#[test]
fn what_may_lack_something_gives_no_quantile_and_a_clock_that_is_off_is_told() {
    let now = at(1_764_476_700);
    let warned = Vector { warnings: vec!["bucket label is missing".into()], ..vector(&[("web-7d5f9c", 200_000.0)]) };
    let requests = Vector { at: Some(1_764_476_400.0), ..vector(&[("web-7d5f9c", 4.0)]) };
    let answers = Answers {
        requests,
        errors: vector(&[("web-7d5f9c", 0.0)]),
        p95: warned,
        p99: vector(&[("web-7d5f9c", 1e15)]),
        ..Answers::default()
    };
    let measured = measured(&[moving()], &answers, &plain(), now);
    assert_eq!((measured.samples[0].p95_us, measured.samples[0].p99_us), (None, None));
    assert_eq!(
        measured.warnings,
        ["its clock is 300 s behind the one here", "p95 is left out: bucket label is missing"]
    );
}

#[test]
fn many_rows_are_counted_and_hostile_names_are_clean() {
    let rows: Vec<_> =
        (0..5).map(|n| row("east", &format!("web\u{1b}[2J{n}"), &[(ArmRole::Stable, "1.0", workload("x"))])).collect();
    let measured = measured(&rows, &Answers::default(), &plain(), at(30));
    assert!(
        measured.warnings[0].ends_with(", 2 more") && !measured.warnings[0].contains('\u{1b}'),
        "{:?}",
        measured.warnings
    );
}

#[test]
fn each_way_to_tell_sides_apart_finds_those_of_its_row() {
    let mut moving = moving();
    for (arm, service) in Arc::make_mut(&mut moving).arms.iter_mut().zip(["web", "web-canary"]) {
        arm.service = Some(service.into());
    }
    let lone = row("east", "pay", &[(ArmRole::Stable, "1.0", workload("pay"))]);
    let rows = [moving, lone];
    let key = |parts: &[&str]| -> Key { parts.iter().map(|part| (*part).to_owned()).collect() };
    let (pay, stable, candidate) = ("pay stable", "web stable", "web candidate");
    for (naming, keys, found) in [
        (Naming::Template, vec![key(&["shop", "58bb4f"]), key(&["shop", "7d5f9c"])], vec![stable, candidate]),
        (Naming::Workload, vec![key(&["shop", "web"]), key(&["shop", "pay"]), key(&["x", "pay"])], vec![pay]),
        (Naming::Version, vec![key(&["shop", "web", "1.1"]), key(&["shop", "pay", "1.0"])], vec![candidate, pay]),
        (
            Naming::Service,
            vec![key(&["shop-web"]), key(&["shop-web-canary-80"]), key(&["shop-pay-80@kubernetes"]), key(&["other"])],
            vec![stable, candidate, pay],
        ),
        (Naming::Side, vec![key(&["production", "web", "1.1", "candidate"])], vec![candidate]),
    ] {
        let requests = Vector { values: keys.iter().map(|key| (key.clone(), 4.0)).collect(), ..Vector::default() };
        let errors = Vector { values: keys.iter().map(|key| (key.clone(), 0.0)).collect(), ..Vector::default() };
        let answers = Answers { requests, errors, ..Answers::default() };
        let measured = measured(&rows, &answers, &asked(naming, &[]), at(30));
        let names: Vec<_> = told(&measured).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, found, "{naming:?}: {:?}", measured.warnings);
    }
}

#[test]
fn a_service_of_one_name_in_two_namespaces_is_of_neither_unless_its_namespace_is_told() {
    let mut other = row("east", "web", &[(ArmRole::Stable, "1.0", workload("web"))]);
    let one = Arc::clone(&other);
    let target = &mut Arc::make_mut(&mut other).run.target;
    (target.namespace, target.uid) = (Some("pay".into()), "u-2".into());
    let of = |name: &str| {
        let values = || [(vec![name.to_owned()], 4.0)].into_iter().collect();
        let answers = Answers {
            requests: Vector { values: values(), ..Vector::default() },
            errors: Vector { values: values(), ..Vector::default() },
            ..Answers::default()
        };
        measured(&[Arc::clone(&one), Arc::clone(&other)], &answers, &asked(Naming::Service, &[]), at(30))
    };
    let both = of("web@file");
    assert!(both.samples.is_empty() && both.warnings[0].contains("pay/web, shop/web"), "{:?}", both.warnings);
    let pay = of("pay-web-80@kubernetes");
    assert_eq!(pay.samples.len(), 1);
    assert_eq!(pay.samples[0].target.namespace.as_deref(), Some("pay"));
}
