use super::*;
use flightdeck_model::{Ppm, Replicas, Run, SourceId, Traffic, TrafficSource};
use jiff::Timestamp;

fn row(source: &str, name: &str, arms: &[(ArmRole, Option<PodNames>, Option<&str>)]) -> Rollout {
    let target = Target {
        source: SourceId::from(source),
        kind: "Deployment".into(),
        namespace: Some("shop".into()),
        name: name.into(),
        uid: format!("{source}-{name}"),
        first_name: None,
    };
    let arm = |(role, pods, service): &(ArmRole, Option<PodNames>, Option<&str>)| Arm {
        role: role.clone(),
        version: "1.0".into(),
        digest: None,
        replicas: Replicas::default(),
        traffic: Traffic { desired: Ppm::ALL, actual: None, how: TrafficSource::Replicas },
        pods: pods.clone(),
        service: service.map(str::to_owned),
    };
    let run = Run { target, revision: "2".into() };
    let bare = Rollout::bare(run, name.into(), "production".into(), Timestamp::UNIX_EPOCH);
    Rollout { arms: arms.iter().map(arm).collect(), ..bare }
}

#[expect(clippy::unnecessary_wraps, reason = "as an arm has it")]
fn set(name: &str) -> Option<PodNames> {
    Some(PodNames::Set(name.into()))
}

fn key(parts: &[&str]) -> Key {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// The last parts of the keys that each row has.
fn told(naming: Naming, rows: &[Rollout], found: &[Key]) -> Vec<Option<Result<Vec<String>, Unmeasured>>> {
    let all: Vec<&Rollout> = rows.iter().collect();
    let services = Services::of(&all, naming, found);
    let last = |keys: BTreeSet<&Key>| keys.into_iter().map(|key| key.join(" ")).collect();
    rows.iter().map(|row| services.of_row(row).map(|found| found.map(last))).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "as the answer is")]
fn some(keys: &[&str]) -> Option<Result<Vec<String>, Unmeasured>> {
    Some(Ok(keys.iter().map(|key| (*key).to_owned()).collect()))
}

#[test]
fn versions_that_came_and_went_are_the_services_and_no_others() {
    let rows = [
        row("east", "web", &[(ArmRole::Stable, set("web-58bb4f"), None)]),
        // As a ReplicaSet of web would be called, and none: a StatefulSet.
        row("east", "web-xkcdb", &[(ArmRole::Stable, set("web-xkcdb"), None)]),
        row("east", "web-admin", &[(ArmRole::Stable, Some(PodNames::Workload("web-admin".into())), None)]),
        row("east", "db", &[(ArmRole::Stable, Some(PodNames::Untold), None)]),
        row("east", "none", &[(ArmRole::Stable, set("none-58bb4f"), None)]),
        row("east", "outside", &[(ArmRole::Stable, None, None)]),
    ];
    let sets = ["web-58bb4f", "web-7d5f9c", "web-xkcdb", "web-admin-7d5f9c", "db", "other-7d5f9c"];
    let found: Vec<Key> = sets.iter().map(|set| key(&["shop", set])).collect();
    assert_eq!(
        told(Naming::PodSet, &rows, &found),
        [
            some(&["shop web-58bb4f", "shop web-7d5f9c"]),
            some(&["shop web-xkcdb"]),
            some(&["shop web-admin-7d5f9c"]),
            some(&["shop db"]),
            Some(Err(Unmeasured::NoSeries)),
            None,
        ]
    );
}

#[test]
fn numbers_that_two_rows_say_to_be_theirs_are_neithers() {
    let web = |source: &str| row(source, "web", &[(ArmRole::Stable, set("web-58bb4f"), None)]);
    let rows = [web("east"), web("west")];
    let found = [key(&["shop", "web-7d5f9c"])];
    let contested = Some(Err(Unmeasured::Contested));
    assert_eq!(told(Naming::PodSet, &rows, &found), [contested.clone(), contested]);
    let missing = Some(Err(Unmeasured::NoSeries));
    assert_eq!(told(Naming::PodSet, &rows, &[]), [missing.clone(), missing]);
}

#[test]
fn each_way_to_tell_sides_apart_has_what_outlives_a_version_or_says_that_it_has_not() {
    let pods = || set("web-58bb4f");
    let web =
        row("east", "web", &[(ArmRole::Stable, pods(), Some("web")), (ArmRole::Candidate, None, Some("web-next"))]);
    let plain = row("east", "api", &[(ArmRole::Stable, pods(), None)]);
    let two = row("east", "two", &[(ArmRole::Stable, pods(), None), (ArmRole::Candidate, pods(), None)]);
    let one = |naming, row: &Rollout, found: &[&[&str]]| {
        let found: Vec<Key> = found.iter().map(|parts| key(parts)).collect();
        told(naming, std::slice::from_ref(row), &found).remove(0)
    };
    let untold = Some(Err(Unmeasured::NotToldApart));
    assert_eq!(one(Naming::Template, &web, &[&["shop", "58bb4f"]]), untold);
    assert_eq!(one(Naming::Workload, &web, &[&["shop", "web"]]), some(&["shop web"]));
    let versions: &[&[&str]] = &[&["shop", "web", "1.0"], &["shop", "web", "0.9"], &["shop", "api", "1.0"]];
    assert_eq!(one(Naming::Version, &web, versions), some(&["shop web 0.9", "shop web 1.0"]));
    let services: &[&[&str]] = &[&["shop-web-80@kubernetes"], &["shop-web-next-80@kubernetes"], &["shop-api-80"]];
    assert_eq!(one(Naming::Service, &web, services), some(&["shop-web-80@kubernetes", "shop-web-next-80@kubernetes"]));
    assert_eq!(one(Naming::Service, &plain, services), some(&["shop-api-80"]));
    assert_eq!(one(Naming::Service, &two, services), untold);
    let sides: &[&[&str]] = &[
        &["production", "web", "1.0", "stable"],
        &["production", "web", "0.9", "candidate"],
        &["production", "web", "0.9", "shadow"],
        &["production", "web", "0.9", "preview"],
        &["staging", "web", "1.0", "stable"],
    ];
    assert_eq!(one(Naming::Side, &web, sides), some(&["production web 0.9 candidate", "production web 1.0 stable"]));
}
