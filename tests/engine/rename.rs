//! A service that is renamed: it is the same one, and nothing of it is started or routed anew.

use super::world::*;
use flightdeck::engine::core::*;
use flightdeck::model::*;

/// The shop under another name.
fn renamed(mut spec: Spec) -> Spec {
    let mut shop = spec.services.remove(&"shop".into()).unwrap();
    shop.renamed_from = Some("shop".into());
    spec.services.insert("store".into(), shop);
    spec
}

fn shop() -> Spec {
    spec(&canary_steps())
}

fn row_at(story: &Story, key: &SlotKey) -> Rollout {
    row(&story.state, key, story.now).unwrap()
}

fn deploy(story: &mut Story, service: &str, version: &str) -> Result<Outcome, Refusal> {
    story.command_as("ann", Action::Deploy, deployment(service, "production", version), None)
}

#[test]
fn it_goes_on_with_all_that_is_known_of_it_and_nothing_is_started_or_routed() {
    let mut story = Story::serving(shop());
    story.deploy("production", "1.1").unwrap();
    story.act(Action::PromoteFull).unwrap();
    story.pass(10);
    story.deploy("production", "1.2").unwrap();
    story.act(Action::Abort).unwrap();
    story.pass(5);
    let everything = Selector { service: Some("shop".into()), ..Selector::default() };
    let scope = Subject::Scope { selector: everything, frozen: Vec::new(), hold: None };
    story.command_as("eve", Action::Hold, scope, None).unwrap();
    let (before, row_before) = (story.slot(), story.row());
    let (proxy, launches, releases) = (story.proxy.clone(), story.launches.len(), story.state.releases.len());

    let diff_before = diff(&story.state, &renamed(shop()));
    assert_eq!(diff_before, ["~ service shop: renamed store, as it runs"]);
    assert!(why_not_apply(&story.state, &renamed(shop()), &[]).is_none());
    let outcome = story.input(&applied(renamed(shop()), Vec::new()));
    assert_eq!((outcome.refused, outcome.effects.len()), (None, 0));
    assert_eq!(outcome.renamed, [Renamed { from: "shop".into(), to: "store".into() }]);
    story.pass(5);

    let place = key("store", "production");
    let slot = story.state.slots[&place].clone();
    assert_eq!((&slot.pools, &slot.routing, &slot.lineage), (&before.pools, &before.routing, &before.lineage));
    assert_eq!((&story.proxy, story.launches.len()), (&proxy, launches), "nobody noticed");
    assert!(!story.state.slots.keys().any(|key| key.service.as_str() == "shop"));
    let row = row_at(&story, &place);
    assert_eq!((row.service.as_str(), row.run.target.to_string().as_str()), ("store", "local/production/store"));
    assert_eq!(row.run, row_before.run, "it is the same run to whoever knows it");
    assert_eq!((row.phase, row.offers, row.facts), (row_before.phase, row_before.offers, row_before.facts));
    assert_eq!(row.rollback_plan, row_before.rollback_plan);
    let of_store = &story.state.releases[&ServiceName::from("store")];
    assert_eq!((story.state.releases.len(), of_store.len()), (releases, 4));
    assert!(of_store.values().all(|release| release.service.as_str() == "store"));
    assert_eq!(story.state.holds[0].selector.service, Some("store".into()));
    let notes: Vec<_> = slot.notes.iter().map(|note| note.text.as_str()).collect();
    assert!(notes.contains(&"shop is called store from now on"), "{notes:?}");

    // Held as it was, then on to the next version on the same address.
    deploy(&mut story, "store", "1.2").unwrap();
    story.pass(2);
    assert_eq!(row_at(&story, &place).phase, Phase::Queued);
    let id = story.state.holds[0].id.clone();
    story.command_as("eve", Action::ReleaseHold, Subject::Hold { source: None, id }, None).unwrap();
    story.pass(2);
    assert_eq!(story.traffic(), [("1.1".to_owned(), 90), ("1.2".to_owned(), 10)]);
    let run = row_at(&story, &place).run;
    story.command_as("bob", Action::PromoteFull, Subject::Run(run), None).unwrap();
    story.pass(5);
    let ended = story.ended.last().unwrap();
    assert_eq!((ended.service.as_str(), &ended.run.target), ("store", &row_before.run.target));
    assert_eq!(story.traffic(), [("1.2".to_owned(), 100)]);
    let newest = story.launches.last().unwrap();
    assert!(newest.instance.starts_with("store-production-") && newest.slot == place, "{newest:?}");
}

#[test]
fn applied_again_it_is_done() {
    let mut story = Story::serving(shop());
    story.apply_with(renamed(shop()), Vec::new()).unwrap();
    let slots = story.state.slots.clone();
    assert_eq!(diff(&story.state, &renamed(shop())), [""; 0]);
    let outcome = story.input(&applied(renamed(shop()), Vec::new()));
    assert_eq!((outcome.refused, outcome.renamed), (None, Vec::new()));
    let called: Vec<_> = slots.values().map(|slot| &slot.names).collect();
    assert_eq!(story.state.slots.values().map(|slot| &slot.names).collect::<Vec<_>>(), called);
    // And so without the key, and once more under a third name.
    let mut third = renamed(shop());
    let mut now = third.services.remove(&"store".into()).unwrap();
    now.renamed_from = Some("store".into());
    third.services.insert("market".into(), now);
    let target = row_at(&story, &key("store", "production")).run.target;
    story.apply_with(third, Vec::new()).unwrap();
    let market = key("market", "production");
    let slot = &story.state.slots[&market];
    assert_eq!(slot.names, [ServiceName::from("shop"), "store".into()]);
    assert_eq!((slot.listener(false).as_str(), row_at(&story, &market).run.target), ("shop@production", target));
    assert_eq!(names_of(&story, "market"), ["shop", "store", "market"]);
}

fn names_of(story: &Story, service: &str) -> Vec<String> {
    let names = names(&story.state, &service.into(), &"production".into());
    names.into_iter().map(|name| name.0).collect()
}

#[test]
fn the_name_before_is_free_and_what_takes_it_is_another_service() {
    let mut story = Story::serving(shop());
    story.apply_with(renamed(shop()), Vec::new()).unwrap();
    let placements = [("production".into(), placement(40, &[]))].into_iter().collect();
    let mut other = Spec { name: "other".into(), ..Spec::default() };
    other.environments.insert("production".into(), EnvironmentSpec::default());
    other.services.insert("shop".into(), service(placements));
    story.apply_with(other, Vec::new()).unwrap();
    story.input(&Input::ReleaseAdded(release("shop", "9.0")));
    deploy(&mut story, "shop", "9.0").unwrap();
    story.pass(5);
    let (shop, before) = (story.slot(), story.state.slots[&key("store", "production")].clone());
    assert_ne!(shop.target(&"local".into()), before.target(&"local".into()));
    assert_eq!((before.listener(false).as_str(), shop.listener(false)), ("shop@production", shop.uid.clone()));
    assert_eq!(story.proxy[&shop.uid].listen, address(40));
    assert_eq!(story.state.of_listener("shop@production"), Some((before.key.clone(), false)));
    assert_eq!(story.state.of_listener(&format!("{}!preview", shop.uid)), Some((shop.key.clone(), true)));
    assert_eq!(
        (names_of(&story, "store"), names_of(&story, "shop")),
        (vec!["store".to_owned()], vec!["shop".to_owned()])
    );
    // That the name is taken again is nothing to the one that left it.
    story.apply_with(renamed(self::shop()), Vec::new()).unwrap();
}

#[test]
fn what_is_remembered_of_a_place_that_left_goes_along() {
    let mut story = Story::serving(shop());
    let mut without = shop();
    without.services.get_mut(&"shop".into()).unwrap().placements.remove(&"staging".into());
    story.apply_with(without.clone(), vec![ServicePlace::of("shop@staging")]).unwrap();
    story.pass(5);
    story.apply_with(renamed(without), Vec::new()).unwrap();
    story.apply_with(renamed(shop()), Vec::new()).unwrap();
    story.pass(5);
    let staging = row_at(&story, &key("store", "staging"));
    assert_eq!(staging.stable().unwrap().version.as_str(), "1.0");
}

#[test]
fn what_cannot_be_renamed_is_refused_and_nothing_is_done() {
    let refused = |story: &mut Story, spec: Spec| {
        let before = (story.state.spec.clone(), story.state.slots.len(), story.state.releases.clone());
        let why = story.apply_with(spec.clone(), Vec::new()).expect_err("it is refused").why;
        assert_eq!(why_not_apply(&story.state, &spec, &[]).unwrap().why, why, "and says so before");
        assert_eq!((story.state.spec.clone(), story.state.slots.len(), story.state.releases.clone()), before);
        why
    };
    let mut story = Story::serving(shop());
    let mut both = renamed(shop());
    both.services.extend(shop().services);
    assert_eq!(refused(&mut story, both), "store can't be renamed from shop: both exist; nothing was applied");
    let mut unknown = shop();
    unknown.services.get_mut(&"shop".into()).unwrap().renamed_from = Some("stall".into());
    assert_eq!(
        refused(&mut story, unknown),
        "there is no service stall that shop could be renamed from; take its renamed_from away; nothing was applied"
    );
    let foreign = Spec { name: "other".into(), ..renamed(shop()) };
    assert_eq!(
        refused(&mut story, foreign),
        "store can't be renamed from shop, which is of the configuration default; nothing was applied"
    );
    let mut twice = renamed(shop());
    let same = twice.services[&ServiceName::from("store")].clone();
    twice.services.insert("stand".into(), same);
    assert!(refused(&mut story, twice).starts_with("stand and store are both renamed from shop"));
    let other = Release {
        artifacts: vec![ArtifactRef { digest: "sha256:other".into(), ..artifact() }],
        ..release("store", "1.0")
    };
    story.input(&Input::ReleaseAdded(other));
    assert!(refused(&mut story, renamed(shop())).starts_with("store 1.0 is stored already with other content"));
    story.input(&Input::ReleaseRemoved { service: "store".into(), version: "1.0".into() });
    // What is refused after the rename undoes that, too.
    let mut gone = renamed(shop());
    gone.services.get_mut(&"store".into()).unwrap().placements.remove(&"staging".into());
    assert!(refused(&mut story, gone).contains("it would end what runs: store in staging"));
    story.deploy("production", "1.1").unwrap();
    assert_eq!(
        refused(&mut story, renamed(shop())),
        "shop@production: 1.1 (r-2) is in flight there; rename shop once it has ended; nothing was applied"
    );
    story.act(Action::Abort).unwrap();
    story.pass(5);
    story.apply_with(renamed(shop()), Vec::new()).unwrap();
}

fn artifact() -> ArtifactRef {
    release("store", "1.0").artifacts.remove(0)
}

#[test]
fn a_journal_of_before_renames_is_read_and_one_of_after_keeps_them() {
    let mut story = Story::serving(shop());
    let mut old = serde_json::to_value(&story.state).unwrap();
    for slot in old["slots"].as_array_mut().unwrap() {
        let slot = slot.as_object_mut().unwrap();
        assert!(slot.remove("names").is_some() && slot.remove("listener").is_some());
    }
    assert_eq!(State::read(&old.to_string()).unwrap().slots, State::read(&text(&story)).unwrap().slots);
    story.apply_with(renamed(shop()), Vec::new()).unwrap();
    let read = State::read(&text(&story)).unwrap();
    assert_eq!(read.slots.keys().collect::<Vec<_>>(), story.state.slots.keys().collect::<Vec<_>>());
    let slot = &read.slots[&key("store", "production")];
    assert_eq!((slot.listener(true).as_str(), slot.names.len()), ("shop@production!preview", 1));
}

fn text(story: &Story) -> String {
    serde_json::to_string(&story.state).unwrap()
}
