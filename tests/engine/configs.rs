//! Several configurations on one engine: each changes and ends what it brought, and nothing else.

use super::world::*;
use flightdeck::engine::core::*;
use flightdeck::model::*;

/// `search` in staging and production, on addresses of its own, of the configuration of that name.
fn search() -> Spec {
    let placements = [("staging".into(), placement(11, &[])), ("production".into(), placement(12, &[]))];
    let mut spec = Spec { name: "search".into(), ..Spec::default() };
    spec.environments.insert("staging".into(), EnvironmentSpec::default());
    spec.environments.insert("production".into(), EnvironmentSpec::default());
    spec.services.insert("search".into(), service(placements.into_iter().collect()));
    spec
}

/// The shop serves, and search was applied beside it.
fn both() -> Story {
    let mut story = Story::serving(spec(&canary_steps()));
    story.apply_with(search(), Vec::new()).unwrap();
    story
}

fn places(story: &Story) -> Vec<String> {
    story.state.slots.keys().map(ToString::to_string).collect()
}

fn why(story: &mut Story, spec: Spec) -> String {
    let before = story.state.clone();
    let why = story.apply_with(spec, Vec::new()).expect_err("it is refused").why;
    assert_eq!((&story.state.spec, &story.state.configs), (&before.spec, &before.configs), "nothing was done");
    why
}

#[test]
fn a_configuration_changes_and_ends_what_it_brought_and_nothing_else() {
    let mut story = both();
    let all = ["search@production", "search@staging", "shop@production", "shop@staging"];
    assert_eq!(places(&story), all);
    let shop = story.slot();

    let mut more = search();
    more.services.get_mut(&"search".into()).unwrap().placements.get_mut(&"production".into()).unwrap().replicas = 4;
    assert_eq!(diff(&story.state, &more), ["~ search in production: replicas 3 → 4"]);
    story.apply_with(more, Vec::new()).unwrap();
    let mut fewer = search();
    fewer.services.get_mut(&"search".into()).unwrap().placements.remove(&"staging".into());
    fewer.environments.remove(&"staging".into());
    story.apply_with(fewer, Vec::new()).unwrap();
    assert_eq!(places(&story), ["search@production", "shop@production", "shop@staging"]);
    assert_eq!(story.slot().pools, shop.pools);

    // What is another's can't be asked to be removed either.
    let remove = vec![ServicePlace::of("shop@production")];
    let refused = story.apply_with(Spec { name: "search".into(), ..Spec::default() }, remove).unwrap_err();
    assert!(refused.why.contains("shop@production is asked to be removed, but it would not leave"), "{refused}");
    story.apply_with(Spec { name: "search".into(), ..Spec::default() }, Vec::new()).unwrap();
    assert_eq!(places(&story), ["shop@production", "shop@staging"]);
    assert!(!story.state.configs.contains_key(&"search".into()), "an empty one is none");
    assert_eq!(story.state.configs.len(), 1);
    story.deploy("production", "1.1").unwrap();
}

#[test]
fn the_default_one_owns_only_what_it_brought_too() {
    let mut story = both();
    let mut gone = spec(&canary_steps());
    gone.services.clear();
    let refused = story.apply_with(gone.clone(), Vec::new()).unwrap_err();
    assert!(refused.why.contains("--remove shop@production") && !refused.why.contains("search"), "{refused}");
    story.apply_with(gone, vec![ServicePlace::of("shop")]).unwrap();
    story.pass(5);
    assert_eq!(places(&story), ["search@production", "search@staging"]);
}

#[test]
fn what_is_of_another_configuration_is_not_taken_over() {
    let mut story = both();
    let mut takes = search();
    takes.services.insert("shop".into(), service([("staging".into(), placement(30, &[]))].into_iter().collect()));
    assert_eq!(
        why(&mut story, takes),
        "shop is of the configuration default (/x/flightdeck.toml), and a service is of one configuration; nothing was applied"
    );
    let mut listens = search();
    let placements = &mut listens.services.get_mut(&"search".into()).unwrap().placements;
    placements.get_mut(&"staging".into()).unwrap().listen = Some(address(2));
    assert_eq!(
        why(&mut story, listens.clone()),
        "search in staging and shop in production of the configuration default (/x/flightdeck.toml) listen on the \
         same address 127.0.0.1:20002 and both want every request; nothing was applied"
    );
    let placements = &mut listens.services.get_mut(&"search".into()).unwrap().placements;
    placements.get_mut(&"staging".into()).unwrap().ingress.paths = vec!["/search".to_owned()];
    story.apply_with(listens, Vec::new()).unwrap();
}

#[test]
fn an_environment_is_what_those_say_that_do_not_only_name_it() {
    let mut story = both();
    let production = |story: &Story| story.state.spec.environments[&"production".into()].clone();
    assert_eq!(production(&story), environment(2), "search only names it");

    let mut same = search();
    same.environments.insert("production".into(), environment(2));
    story.apply_with(same.clone(), Vec::new()).unwrap();
    let mut critical = spec(&canary_steps());
    critical.environments.get_mut(&"production".into()).unwrap().tier = Tier::Critical;
    assert_eq!(
        why(&mut story, critical.clone()),
        "production: tier is otherwise in the configuration search (/x/flightdeck.toml); nothing was applied"
    );
    story.apply_with(search(), Vec::new()).unwrap();
    story.apply_with(critical, Vec::new()).unwrap();
    assert_eq!(production(&story).tier, Tier::Critical);

    // Search relies on what is said there.
    let mut silent = spec(&canary_steps());
    silent.environments.insert("production".into(), EnvironmentSpec::default());
    let refused = why(&mut story, silent);
    assert!(refused.starts_with("production is used by the configuration search"), "{refused}");
    let mut backwards = search();
    let from = EnvironmentSpec {
        promote_from: Some("production".into()),
        order: 1,
        only_named: false,
        ..EnvironmentSpec::default()
    };
    backwards.environments.insert("early".into(), from);
    let refused = why(&mut story, backwards);
    assert!(refused.starts_with("early takes its versions from production, whose order must be lower"), "{refused}");
}

#[test]
fn each_has_analyses_of_its_own_under_one_name() {
    let mut story = both();
    let judged =
        vec![Step::SetWeight(Ppm::percent(10)), Step::Analysis { name: "golden".to_owned(), duration: seconds(5) }];
    let mut own = search();
    own.services
        .insert("search".into(), service([("production".into(), placement(12, &judged))].into_iter().collect()));
    let refused = why(&mut story, own.clone());
    assert!(refused.contains("there is no analysis golden"), "that of the default one is not for it: {refused}");
    own.analyses.insert("golden".to_owned(), golden(Missing::Fail));
    story.apply_with(own, Vec::new()).unwrap();
    for version in ["1.0", "1.1"] {
        story.input(&Input::ReleaseAdded(release("search", version)));
        story.command_as("ann", Action::Deploy, deployment("search", "production", version), None).unwrap();
        story.pass(2);
    }
    let run = story.state.slots[&key("search", "production")].run.clone().unwrap();
    assert_eq!(run.templates["golden"].missing, Missing::Fail);
}

#[test]
fn what_is_being_taken_down_is_remembered_whatever_is_applied_meanwhile() {
    let mut story = both();
    story.stops = false;
    let mut gone = spec(&canary_steps());
    gone.services.clear();
    story.apply_with(gone, vec![ServicePlace::of("shop")]).unwrap();
    story.apply_with(search(), Vec::new()).unwrap();
    let served = story.state.removed["shop@production"].release.clone();
    assert_eq!(served.map(|release| release.version), Some("1.0".into()), "search has nothing to do with it");
    story.stops = true;
    story.flush();
    story.pass(5);
    story.apply_with(spec(&canary_steps()), Vec::new()).unwrap();
    story.pass(3);
    assert_eq!(story.row().stable().unwrap().version.as_str(), "1.0");
}

#[test]
fn what_left_one_configuration_comes_up_in_another_as_it_ran() {
    let mut story = both();
    let mut without = spec(&canary_steps());
    let shop = without.services.remove(&"shop".into()).unwrap();
    story.apply_with(without, vec![ServicePlace::of("shop")]).unwrap();
    story.pass(5);
    let mut takes = search();
    takes.services.insert("shop".into(), shop);
    story.apply_with(takes, Vec::new()).unwrap();
    story.pass(3);
    assert_eq!(story.row().stable().unwrap().version.as_str(), "1.0");
    let whose = story.state.config_of(&"shop".into()).map(|(name, _)| name.as_str());
    assert_eq!(whose, Some("search"));
}

#[test]
fn what_a_journal_of_before_says_is_all_of_the_default_one() {
    let story = Story::serving(spec(&canary_steps()));
    let mut old = serde_json::to_value(&story.state).unwrap();
    assert!(old.as_object_mut().unwrap().remove("configs").is_some());
    old["spec"]["analyses"] = serde_json::to_value(&spec(&[]).analyses).unwrap();
    let mut read = State::read(&old.to_string()).unwrap();
    read.configs.get_mut(&ConfigName::default()).unwrap().path = "/x/flightdeck.toml".to_owned();
    assert_eq!(read, State::read(&serde_json::to_string(&story.state).unwrap()).unwrap());
    assert_eq!(read.configuration(&ConfigName::default()), spec(&canary_steps()));
}
