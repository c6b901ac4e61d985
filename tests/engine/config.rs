//! Configurations: what runs ends by its name only, comes back as it ran, and is in force as far as it listens.

use super::world::*;
use flightdeck::engine::core::*;
use flightdeck::model::*;

fn without(spec: &Spec, environment: &str) -> Spec {
    let mut spec = spec.clone();
    spec.services.get_mut(&"shop".into()).unwrap().placements.remove(&environment.into());
    spec
}

fn http(path: &str) -> Probe {
    Probe::Http { path: path.to_owned() }
}

fn named(names: &[&str]) -> Vec<ServicePlace> {
    names.iter().map(|name| ServicePlace::of(name)).collect()
}

#[test]
fn what_runs_is_ended_by_its_name_only() {
    let mut story = Story::serving(spec(&canary_steps()));
    let before = story.state.clone();
    let all = story.state.configuration(&ConfigName::default());
    let gone = without(&all, "production");
    let refused = story.apply_with(gone.clone(), Vec::new()).unwrap_err();
    assert_eq!(
        refused.why,
        "it would end what runs: shop in production (3 instances of 1.0, 100 % of its traffic). If that is meant, \
         say so by name: --remove shop@production; nothing was applied"
    );
    let refused = story.apply_with(Spec::default(), named(&["shop@production"])).unwrap_err();
    assert!(refused.why.contains("--remove shop@staging") && !refused.why.contains("--remove shop@production"));
    let refused = story.apply_with(all.clone(), named(&["shop"])).unwrap_err();
    assert!(refused.why.contains("shop is asked to be removed, but it would not leave"), "{refused}");
    assert_eq!((&story.state.spec, &story.state.slots), (&before.spec, &before.slots), "nothing was done");
    assert!(diff(&story.state, &gone)[0].contains("it runs: 3 instances of 1.0, 100 % of its traffic"));

    story.apply_with(gone, named(&["shop@production"])).unwrap();
    story.pass(5);
    assert!(!story.proxy.contains_key("shop@production"));
    // What does not run needs no name.
    let fewer = story.state.configuration(&ConfigName::default());
    let mut more = fewer.clone();
    more.services.insert("cart".into(), service([("staging".into(), placement(9, &[]))].into_iter().collect()));
    story.apply_with(more, Vec::new()).unwrap();
    story.apply_with(fewer, Vec::new()).unwrap();
}

#[test]
fn what_was_removed_is_put_back_as_it_ran_with_what_succeeded_and_for_how_long() {
    let mut whole = spec(&canary_steps());
    let production = whole.environments.get_mut(&"production".into()).unwrap();
    (production.promote_from, production.soak) = (Some("staging".into()), seconds(100));
    let mut story = Story::new(whole.clone());
    story.deploy("staging", "1.0").unwrap();
    story.pass(150);
    let served = |story: &Story| story.state.slots[&key("shop", "staging")].served.clone();
    let before = served(&story);
    assert!(before[0].1 >= seconds(100), "{before:?}");
    story.apply_with(without(&whole, "staging"), named(&["shop@staging"])).unwrap();
    story.pass(5);
    assert!(!story.state.slots.contains_key(&key("shop", "staging")));
    assert!(
        diff(&story.state, &whole).iter().any(|line| line.contains("1.0 comes up again, as it ran")),
        "{:?}",
        diff(&story.state, &whole)
    );
    story.apply_with(whole, Vec::new()).unwrap();
    story.pass(3);
    let row = story.row_of("staging");
    assert_eq!((row.phase, row.stable().unwrap().version.as_str()), (Phase::Healthy, "1.0"), "{}", row.message);
    let after = served(&story);
    assert_eq!((after.len(), &after[0].0), (1, &before[0].0));
    assert!(after[0].1 >= before[0].1, "{after:?} is less than {before:?}");
    assert_eq!(story.state.slots[&key("shop", "staging")].lineage.len(), 1);
    story.deploy("production", "1.0").expect("it has soaked where it comes from");
}

#[test]
fn an_address_that_was_lost_is_not_listening_until_it_is_listened_on_again() {
    let mut story = Story::serving(spec(&canary_steps()));
    let address = |story: &Story| {
        let rows = story.rows().into_iter();
        let services: Vec<Service> =
            rows.filter_map(|row| if let Entity::Service(of) = row { Some(of) } else { None }).collect();
        services[0].addresses.iter().find(|of| of.environment.as_str() == "production").unwrap().listening.clone()
    };
    assert_eq!((address(&story), story.row().listening), (Listening::Open, Some(Listening::Open)));
    let version = story.slot().routing.acked.unwrap().version;
    let why = "127.0.0.1:20002 is in use by another program".to_owned();
    story.routes = false;
    let slot = key("shop", "production");
    story.input(&Input::RouteRefused { slot: slot.clone(), preview: false, version, newer: None, why: why.clone() });
    let row = story.row();
    assert_eq!((row.phase, address(&story)), (Phase::Degraded, Listening::Refused { why: why.clone() }));
    assert!(row.message.starts_with("not listening: 127.0.0.1:20002 is in use"), "{}", row.message);
    assert_eq!(row.stable().unwrap().traffic.actual, None, "nobody knows what users get");
    let notes = |story: &Story| story.slot().notes.iter().filter(|note| note.text.contains("was refused")).count();
    let said = notes(&story);
    // Tried again every second, and said once.
    for _ in 0..3 {
        story.pass(2);
        let version = story.slot().routing.version;
        story.input(&Input::RouteRefused {
            slot: slot.clone(),
            preview: false,
            version,
            newer: None,
            why: why.clone(),
        });
    }
    assert_eq!(notes(&story), said);
    story.routes = true;
    story.flush();
    story.pass(3);
    assert_eq!((story.row().phase, address(&story)), (Phase::Healthy, Listening::Open), "{}", story.row().message);
}

#[test]
fn an_address_that_is_taken_before_anything_runs_there_is_told() {
    let mut story = Story::new(spec(&canary_steps()));
    let why = "127.0.0.1:20002 is in use by another program".to_owned();
    let slot = key("shop", "production");
    assert_eq!(story.slot().listening(address(2)), Listening::Closed);
    story.input(&Input::Tried { slot: slot.clone(), why: Some(why.clone()) });
    assert_eq!(story.slot().listening(address(2)), Listening::Refused { why });
    story.input(&Input::Tried { slot, why: None });
    assert_eq!(story.slot().listening(address(2)), Listening::Closed);
}

fn texts(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn secrets(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, SecretRef> {
    pairs.iter().map(|(name, from)| ((*name).to_owned(), from.parse().unwrap())).collect()
}

/// A shop that is another one in production, with a hook there.
fn unlike() -> Spec {
    let mut spec = super::hooks::with(&[super::hooks::hook("ask", HookOn::Before)]);
    let shop = spec.services.get_mut(&"shop".into()).unwrap();
    shop.env = texts(&[("LOG", "info"), ("DB", "sqlite")]);
    shop.secrets = secrets(&[("KEY", "file:/s/{environment}/{service}")]);
    let health = HealthSpec { probe: Probe::Http { path: "/ready".into() }, ..shop.health.clone() };
    shop.placements.get_mut(&"production".into()).unwrap().overrides = Overrides {
        run: Some(vec!["bin/other".into()]),
        env: texts(&[("LOG", "warn")]),
        secrets: secrets(&[("DB", "env:DB_{environment}")]),
        health: Some(health),
        stop: Some(StopSpec { signal: "INT".into(), grace: seconds(3) }),
        ..Overrides::default()
    };
    spec
}

#[test]
fn what_is_started_is_what_its_environment_says() {
    let mut story = Story::serving(unlike());
    let of = |story: &Story, environment: &str| {
        let mut launches = story.launches.iter().rev();
        launches.find(|launch| launch.slot.environment.as_str() == environment).unwrap().clone()
    };
    let staging = of(&story, "staging");
    assert_eq!((staging.run, staging.env), (vec!["bin/app".into()], texts(&[("DB", "sqlite"), ("LOG", "info")])));
    assert_eq!(staging.secrets, secrets(&[("KEY", "file:/s/staging/shop")]));
    assert_eq!((&staging.health.probe, staging.stop.signal.as_str()), (&http("/healthz"), "TERM"));
    let production = of(&story, "production");
    assert_eq!((production.run, production.env), (vec!["bin/other".into()], texts(&[("LOG", "warn")])));
    assert_eq!(production.secrets, secrets(&[("DB", "env:DB_production"), ("KEY", "file:/s/production/shop")]));
    assert_eq!((&production.health.probe, production.stop.signal.as_str()), (&http("/ready"), "INT"));
    assert!(story.slot().pools.values().flat_map(|pool| pool.instances.values()).all(|of| of.stop.signal == "INT"));

    story.deploy("production", "1.1").unwrap();
    let hook = story.jobs_run.last().unwrap();
    assert_eq!((hook.env["LOG"].as_str(), hook.env.get("DB")), ("warn", None));
    assert_eq!(hook.secrets, secrets(&[("DB", "env:DB_production"), ("KEY", "file:/s/production/shop")]));
}

#[test]
fn a_change_in_one_environment_is_one_of_that_environment() {
    let mut story = Story::serving(unlike());
    let mut next = unlike();
    let shop = next.services.get_mut(&"shop".into()).unwrap();
    let production = &mut shop.placements.get_mut(&"production".into()).unwrap().overrides;
    production.env = texts(&[("LOG", "error")]);
    production.stop = None;
    let later = "(for instances started from now on)";
    let expected = format!("~ shop in production: env changed {later}, stop changed {later}");
    assert_eq!(diff(&story.state, &next), [expected]);
    // What is overridden changes nothing where it is.
    let shop = next.services.get_mut(&"shop".into()).unwrap();
    shop.env = texts(&[("LOG", "debug"), ("DB", "sqlite")]);
    let lines = diff(&story.state, &next);
    assert!(lines.iter().any(|line| *line == format!("~ shop in staging: env changed {later}")), "{lines:?}");
    story.apply(next).unwrap();
    story.deploy("production", "1.1").unwrap();
    story.pass(3);
    let launch = story.launches.last().unwrap();
    assert_eq!(
        (launch.version.as_str(), launch.env["LOG"].as_str(), launch.stop.signal.as_str()),
        ("1.1", "error", "TERM")
    );
}

#[test]
fn what_was_written_before_environments_differed_is_read() {
    let mut spec = spec(&canary_steps());
    spec.services.get_mut(&"shop".into()).unwrap().secrets = secrets(&[("KEY", "file:/s/key")]);
    let mut old = serde_json::to_value(&spec).unwrap();
    let shop = &mut old["services"]["shop"];
    assert_eq!(shop["secrets"]["KEY"], "file:/s/key", "as it always was");
    for environment in ["staging", "production"] {
        assert!(shop["placements"][environment].as_object_mut().unwrap().remove("overrides").is_some());
    }
    assert_eq!(serde_json::from_value::<Spec>(old).unwrap(), spec);
}
