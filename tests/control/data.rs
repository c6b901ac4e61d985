//! What is said beforehand of a service's data, and of the plan of a first version.

use super::{prepared, run};
use crate::board::kit::*;
use flightdeck::board::Board;
use flightdeck::model::*;

fn migration(
    name: &str,
    state: MigrationStanding,
    version: Option<&str>,
    rollback_plan: MigrationRollback,
) -> MigrationRow {
    MigrationRow { name: name.to_owned(), state, version: version.map(Into::into), rollback: rollback_plan }
}

fn stays(why: &str) -> MigrationRollback {
    MigrationRollback::Stays { why: why.to_owned() }
}

/// `checkout` in `production`, with this data and these stored versions: each with what it brings.
fn world(rows: &[Rollout], migrations: &[MigrationRow], releases: &[(&str, Option<&[&str]>)], first: bool) -> Board {
    let hook = |row: &MigrationRow| Step::Hook { name: row.name.clone() };
    let approval = Step::Approval { count: 1, from: Vec::new(), expires: None };
    let place = Place {
        one_offs: Vec::new(),
        jobs: Vec::new(),
        environment: "production".into(),
        steps: migrations.iter().map(hook).chain([Step::SetWeight(Ppm::percent(25)), approval]).collect(),
        left_out: if first { vec![Step::Pause { duration: None }] } else { Vec::new() },
        migrations: migrations.to_vec(),
        user: None,
    };
    let service = Entity::Service(Service {
        kind: None,
        source: source(),
        name: "checkout".into(),
        configuration: None,
        environments: vec!["production".into()],
        addresses: Vec::new(),
        places: vec![place],
    });
    let release = |(version, brings): &(&str, Option<&[&str]>)| {
        Entity::Release(Release {
            source: source(),
            service: "checkout".into(),
            version: (*version).into(),
            artifacts: Vec::new(),
            commit: None,
            commit_at: None,
            pipeline_run: None,
            author: "dora".into(),
            added: at(0),
            migrations: brings.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        })
    };
    board(rows.iter().cloned().map(row).chain([service]).chain(releases.iter().map(release)))
}

fn deploy(board: &Board, version: &str) -> Forecast {
    let subject = Subject::NewRollout {
        source: source(),
        service: "checkout".into(),
        environment: "production".into(),
        version: Some(version.into()),
        from: None,
    };
    prepared(board, Action::Deploy, &subject).forecast
}

#[test]
fn a_deployment_says_what_it_runs_waits_for_and_leaves() {
    let data = [
        migration("m-1", MigrationStanding::Applied, Some("1.9.0"), stays("another rollout ran it")),
        migration("m-2", MigrationStanding::Applied, Some("1.10.0"), MigrationRollback::TakenBack),
        migration("m-3", MigrationStanding::HalfWay { why: "exit status 1".into() }, None, stays("look at it")),
        migration("m-4", MigrationStanding::NotApplied, None, MigrationRollback::Nothing),
    ];
    let releases: [(&str, Option<&[&str]>); 2] = [("1.8.0", Some(&["m-1"])), ("2.0.0", None)];
    let board = world(&[rollout("checkout", "production")], &data, &releases, false);
    let old = deploy(&board, "1.8.0");
    assert!(old.lines.contains(&"begins with 25 % of traffic".to_owned()), "{old:?}");
    assert!(old.lines.contains(&"stays in place, though 1.8.0 does not bring it: migration m-2".to_owned()), "{old:?}");
    assert!(old.lines.contains(&"not run, since 1.8.0 does not bring it: migration m-4".to_owned()), "{old:?}");
    assert!(!old.lines.iter().any(|line| line.starts_with("runs")), "{old:?}");
    assert!(old.warnings.iter().any(|line| line.ends_with("its way back takes back: migration m-2")), "{old:?}");
    let new = deploy(&board, "2.0.0");
    assert!(new.lines.contains(&"runs before anything of 2.0.0 starts: migration m-4".to_owned()), "{new:?}");
    assert!(new.lines.iter().any(|line| line == "ahead: hook m-3, hook m-4, approval by 1"), "{new:?}");
    let waits = "migration m-3: failed half way: exit status 1; it waits there for a person's word";
    assert!(new.warnings.iter().any(|line| line == waits), "{new:?}");
}

#[test]
fn a_first_version_says_what_is_left_out_and_asks_about_data_that_was_there() {
    let data = [migration("m-1", MigrationStanding::NotApplied, None, MigrationRollback::Nothing)];
    let first = deploy(&world(&[], &data, &[("1.0", None)], true), "1.0");
    let left_out = "left out, since nothing serves there to compare with: pause until promoted";
    assert!(first.lines.iter().any(|line| line == left_out), "{first:?}");
    assert!(first.lines.iter().any(|line| line.contains("approval by 1")), "{first:?}");
    assert!(first.warnings[0].ends_with("flightdeck migration applied checkout@production"), "{first:?}");
}

#[test]
fn an_abort_without_a_version_to_return_to_says_what_stays() {
    let mut one = rollout("checkout", "production");
    one.arms.retain(|arm| arm.role == ArmRole::Candidate);
    let version = one.arms[0].version.clone();
    let data = [
        migration("m-1", MigrationStanding::Applied, Some(version.as_str()), stays("there is no version to return to")),
        migration("m-2", MigrationStanding::Running, Some(version.as_str()), stays("it runs")),
    ];
    let abort = prepared(&world(&[one.clone()], &data, &[], true), Action::Abort, &run(&one)).forecast;
    let said = "not taken back: migration m-1: there is no version to return to";
    assert!(abort.warnings.iter().any(|line| line == said), "{abort:?}");
    assert!(abort.warnings.iter().any(|line| line == "migration m-2 runs: it would be cut off half way"), "{abort:?}");
}

#[test]
fn who_goes_on_at_a_migration_is_told_what_that_says() {
    let mut one = rollout("checkout", "production");
    one.steps = [Step::Hook { name: "m-1".into() }, Step::SetWeight(Ppm::ALL)].into();
    one.step = Some(0);
    let data =
        [migration("m-1", MigrationStanding::Unknown { why: "restored".into() }, None, stays("it is not known"))];
    let board = world(&[one.clone()], &data, &[], false);
    let words = |action| prepared(&board, action, &run(&one)).forecast.lines[0].clone();
    assert_eq!(words(Action::Promote), "says that migration m-1 is applied as it stands: it is not run");
    assert_eq!(words(Action::Resume), "says that migration m-1 is not applied: it runs now");
}

#[test]
fn a_word_on_migrations_says_what_follows_from_it() {
    let data = [migration("m-1", MigrationStanding::Applied, Some("1.9.0"), MigrationRollback::TakenBack)];
    let board = world(&[rollout("checkout", "production")], &data, &[], false);
    let subject = |applied, environment: &str| Subject::Migrations {
        source: source(),
        service: "checkout".into(),
        environment: environment.into(),
        names: vec!["m-1".into()],
        applied,
    };
    let not = prepared(&board, Action::Migration, &subject(false, "production"));
    assert!(matches!(not.decision, Decision::Allow { friction: Friction::Yes }), "{not:?}");
    assert_eq!(not.forecast.lines[0], "checkout in production: m-1 (applied)");
    assert_eq!(not.forecast.warnings, ["m-1 is recorded as applied: it would be run once more"]);
    let elsewhere = prepared(&board, Action::Migration, &subject(true, "dev")).decision;
    let Decision::Refuse(refusal) = elsewhere else { panic!("{elsewhere:?}") };
    assert_eq!(refusal.why, "checkout does not run in dev; it runs in production");
}
