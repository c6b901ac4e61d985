use super::super::super::images;
use super::*;
use flightdeck_model::{HoldTarget, Replicas};
use serde_json::{Value, json};

fn item(kind: &str, object: &Value) -> Item {
    Item::read(named(kind).unwrap(), &object.to_string()).unwrap()
}

fn deployment(name: &str, change: &Value) -> Item {
    let mut object = json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "generation": 1,
            "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {"spec": {"containers": [{"name": "app", "image": "x:v2"}]}}},
        "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2},
    });
    json_patch::merge(&mut object, change);
    item("Deployment", &object)
}

fn rolling() -> Value {
    json!({"status": {"replicas": 3, "updatedReplicas": 1, "availableReplicas": 3}})
}

struct World {
    store: Store,
}

impl World {
    fn new() -> World {
        let namespaces = vec!["shop".to_owned()];
        World { store: Store::new(&KubernetesSettings { namespaces, ..KubernetesSettings::new("east".into()) }) }
    }

    fn take(&mut self, item: Item) -> RowUpdate {
        let wants = self.store.take(0, item);
        self.news(&wants.uid, News::Object)
    }

    fn row(&mut self, uid: &str, groups: Option<Vec<ReplicaGroup>>) -> RowUpdate {
        self.news(uid, groups.map_or(News::Object, |groups| News::Sets(Ok(groups))))
    }

    fn news(&mut self, uid: &str, news: News) -> RowUpdate {
        self.store.row(0, uid, news, &Access::default(), Timestamp::UNIX_EPOCH)
    }

    /// Takes in an object, and its sets of pods where its row waits for them.
    fn whole(&mut self, item: Item) -> RowUpdate {
        let uid = item.workload.meta().uid.clone().unwrap_or_default();
        let told = self.take(item);
        let sets = || vec![group("x", "1", "v1"), group("y", "2", "v2")];
        if self.store.is_whole(0) { told } else { self.row(&uid, Some(sets())) }
    }

    fn unread(&mut self, uid: &str, why: &str) -> RowUpdate {
        self.news(uid, News::Sets(Err(why.to_owned())))
    }

    /// A Rollout of the part beside.
    fn rollout(&mut self, change: &Value) -> RowUpdate {
        let mut object = json!({
            "metadata": {"name": "r", "namespace": "shop", "uid": "r", "generation": 1},
            "spec": {"replicas": 1, "workloadRef": {"kind": "Deployment", "name": "a"}, "strategy": {"canary": {}}},
            "status": {"observedGeneration": "1", "currentPodHash": "h", "stableRS": "h",
                "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
        });
        json_patch::merge(&mut object, change);
        let wants = self.store.take(1, item("Rollout", &object));
        let own = vec![group("r-h", "1", "v2")];
        self.store.row(1, &wants.uid, News::Sets(Ok(own)), &Access::default(), Timestamp::UNIX_EPOCH)
    }
}

fn group(name: &str, revision: &str, version: &str) -> ReplicaGroup {
    ReplicaGroup {
        name: name.into(),
        hash: name.rsplit('-').next().unwrap_or_default().into(),
        revision: Some(revision.into()),
        images: images::one(&format!("x:{version}")),
        replicas: Replicas { ready: 1, desired: 1 },
        created: None,
        ends: None,
    }
}

fn row_in(told: &RowUpdate) -> Arc<Rollout> {
    let [Body::Upsert(Entity::Rollout(row))] = told.row.as_slice() else { panic!("{:?}", words(&told.row)) };
    Arc::clone(row)
}

fn words(bodies: &[Body]) -> Vec<String> {
    let word = |body: &Body| match body {
        Body::Upsert(Entity::Rollout(row)) => format!("{} {}", row.service, row.phase.word()),
        Body::Upsert(Entity::Service(service)) => format!("service {}", service.name),
        Body::Upsert(Entity::Environment(environment)) => format!("environment {}", environment.name),
        Body::Upsert(Entity::Hold(hold)) => {
            let one = |target: &HoldTarget| format!("{}={}", target.run.target.name, target.held);
            format!("hold {}: {}", hold.id, hold.targets.iter().map(one).collect::<Vec<_>>().join(" "))
        }
        Body::Upsert(Entity::RolloutRecord(run)) => format!("{} {:?}", run.run.revision, run.outcome),
        Body::Remove(key) => match key {
            EntityRef::Rollout(target) => format!("no {}", target.name),
            EntityRef::Service(_, name) => format!("no service {name}"),
            EntityRef::Environment(_, name) => format!("no environment {name}"),
            EntityRef::Hold(_, id) => format!("no hold {id}"),
            other => format!("no {other:?}"),
        },
        other => format!("{other:?}"),
    };
    bodies.iter().map(word).collect()
}

#[test]
fn a_list_tells_what_is_new_and_what_is_gone() {
    let mut world = World::new();
    let told = world.take(deployment("a", &json!({})));
    assert_eq!(
        (words(&told.own), words(&told.row)),
        (vec!["environment east".into(), "service a".into()], vec!["a healthy".into()])
    );
    assert_eq!(words(&world.take(deployment("b", &json!({}))).own), ["service b"]);
    assert!(words(&world.take(deployment("b", &json!({}))).row).is_empty(), "nothing changed");
    world.store.begin(0);
    world.take(deployment("b", &json!({})));
    let gone = world.store.complete(0);
    assert_eq!(
        gone.iter().map(|told| (words(&told.own), words(&told.row))).collect::<Vec<_>>(),
        [(vec!["no service a".into()], vec!["no a".into()])]
    );
    let told = world.store.remove(0, "b");
    assert_eq!(
        (words(&told.own), words(&told.row)),
        (vec!["no service b".into(), "no environment east".into()], vec!["no b".into()])
    );
    assert!(world.store.remove(0, "b").row.is_empty());
}

#[test]
fn a_row_in_flight_waits_for_its_sets_of_pods() {
    let mut world = World::new();
    assert!(world.take(deployment("a", &json!({}))).want.is_none());
    let told = world.take(deployment("a", &rolling()));
    assert!(told.want.is_some() && told.row.is_empty() && !world.store.is_whole(0), "it would give no version");
    assert!(world.store.is_whole(1) && world.store.is_whole(7));
    let told = world.row("a", Some(vec![group("x", "1", "v1"), group("y", "2", "v2")]));
    assert_eq!(
        (row_in(&told).stable().unwrap().version.as_str(), told.want),
        ("v1", None),
        "read once for each change"
    );
    assert!(world.store.is_whole(0));
    let more =
        world.take(deployment("a", &json!({"status": {"replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}})));
    assert_eq!(row_in(&more).stable().unwrap().version.as_str(), "v1", "what is known need not be waited for");
    assert!(more.want.is_some(), "and it is read again");
    assert_eq!(words(&world.take(deployment("a", &json!({}))).own), ["2 Succeeded"]);
    assert!(world.row("a", Some(Vec::new())).row.is_empty(), "what comes late changes nothing");
}

#[test]
fn a_row_whose_sets_of_pods_cannot_be_read_says_so() {
    let mut world = World::new();
    assert!(world.take(deployment("a", &rolling())).row.is_empty());
    let row = row_in(&world.unread("a", "you lack list on replicasets in shop"));
    assert_eq!(row.stable().unwrap().version.as_str(), "unknown");
    assert!(
        row.message.ends_with("; its sets of pods can't be read: you lack list on replicasets in shop"),
        "{}",
        row.message
    );
    assert!(world.store.is_whole(0) && world.store.unread(0, "a").is_some());
    assert!(world.take(deployment("a", &json!({}))).want.is_none());
    assert!(world.store.unread(0, "a").is_none());
}

#[test]
fn a_list_that_is_read_again_tells_what_did_not_change() {
    let mut world = World::new();
    world.take(deployment("a", &json!({})));
    world.store.begin(0);
    assert_eq!(
        words(&world.take(deployment("a", &json!({}))).row),
        ["a healthy"],
        "boards drop what a list does not tell"
    );
    world.store.complete(0);
    world.store.end(0);
    assert!(world.take(deployment("a", &json!({}))).row.is_empty());
}

#[test]
fn a_deployment_that_a_rollout_owns_is_no_row_unless_it_has_pods_of_its_own() {
    let nothing = json!({"spec": {"replicas": 0}, "status": {"replicas": 0, "updatedReplicas": 0, "readyReplicas": 0, "availableReplicas": 0}});
    let mut world = World::new();
    assert_eq!(words(&world.take(deployment("a", &nothing)).row), ["a healthy"]);
    let told = world.rollout(&json!({}));
    assert_eq!(words(&told.row), ["r healthy"]);
    let elsewhere: Vec<Body> = told.elsewhere.iter().map(|(_, body)| body.clone()).collect();
    assert_eq!(
        (words(&elsewhere), words(&told.own)),
        (vec!["no a".into()], vec!["service r".into(), "no service a".into()])
    );
    assert!(world.take(deployment("a", &nothing)).row.is_empty(), "nor does it come back");
    let row = row_in(&world.take(deployment("a", &json!({}))));
    assert!(row.offers.iter().next().is_none(), "who acts on it acts on its owner");
    assert!(row.message.ends_with("; Rollout r takes its template from here and is what to act on"), "{}", row.message);
    assert_eq!(words(&world.take(deployment("a", &nothing)).row), ["no a"]);
    let told = world.store.remove(1, "r");
    assert_eq!(told.elsewhere.iter().map(|(part, _)| *part).collect::<Vec<_>>(), [0]);
    let other = world.rollout(&json!({"spec": {"workloadRef": {"name": "b"}}}));
    assert!(other.elsewhere.is_empty());
    assert_eq!(words(&world.take(deployment("b", &nothing)).row), Vec::<String>::new(), "named before it was seen");
}

#[test]
fn an_object_that_cannot_be_read_is_a_row_that_says_so() {
    let mut world = World::new();
    let told = world.take(deployment("a", &json!({"spec": {"replicas": "three"}})));
    let [Body::Upsert(Entity::Rollout(row))] = told.row.as_slice() else { panic!("{:?}", words(&told.row)) };
    assert_eq!(row.phase, Phase::Unknown);
    assert!(row.message.starts_with("its object can't be read: invalid type: string"), "{}", row.message);
    assert!(row.offers.iter().next().is_none() && told.want.is_none());
}

#[test]
fn a_hold_is_what_its_marks_say() {
    let mark = |id: &str, paused: bool| {
        let mark = json!({"id": id, "owner": "ann", "reason": null, "since": "2026-01-01T00:00:00Z", "selector": {}});
        json!({"metadata": {"annotations": {"flightdeck.dev/hold": mark.to_string()}}, "spec": {"paused": paused}})
    };
    let mut world = World::new();
    world.take(deployment("a", &json!({})));
    world.take(deployment("b", &json!({})));
    assert_eq!(words(&world.take(deployment("a", &mark("H-1", true))).own), ["hold H-1: a=true"]);
    assert_eq!(words(&world.take(deployment("b", &mark("H-1", true))).own), ["hold H-1: a=true b=true"]);
    assert!(words(&world.take(deployment("b", &mark("H-1", true))).own).is_empty());
    assert_eq!(words(&world.take(deployment("b", &mark("H-1", false))).own), ["hold H-1: a=true b=false"]);
    assert_eq!(words(&world.take(deployment("b", &mark("H-2", true))).own), ["hold H-1: a=true", "hold H-2: b=true"]);
    assert_eq!(words(&world.take(deployment("a", &json!({}))).own), ["no hold H-1"]);
    assert_eq!(words(&world.store.remove(0, "b").own), ["no hold H-2", "no service b"]);
}

/// A rolling Deployment with the mark of a hold; `unheld` are uids that the mark tells as not held.
fn held(paused: bool, unheld: &[&str]) -> Value {
    let target = |uid: &&str| {
        json!({"run": {"target": {"source": "x", "kind": "Deployment", "namespace": "shop", "name": uid, "uid": uid},
            "revision": "2"}, "held": false, "note": "let through by ann: the fix"})
    };
    let unheld: Vec<Value> = unheld.iter().map(target).collect();
    let mark = json!({"id": "H-1", "owner": "ann", "reason": null, "since": "2026-01-01T00:00:00Z", "selector": {},
        "unheld": unheld});
    let mut object = rolling();
    json_patch::merge(
        &mut object,
        &json!({"metadata": {"annotations": {"flightdeck.dev/hold": mark.to_string()}}, "spec": {"paused": paused}}),
    );
    object
}

/// What the newest hold of these says of each target: its name, held, undone.
fn targets(bodies: &[Body]) -> Vec<(String, bool, bool)> {
    let newest = bodies.iter().rev().find_map(|body| match body {
        Body::Upsert(Entity::Hold(hold)) => Some(hold.targets.clone()),
        _ => None,
    });
    newest.into_iter().flatten().map(|target| (target.run.target.name, target.held, target.undone)).collect()
}

#[test]
fn a_hold_that_somebody_undid_from_outside_is_told_until_its_rollout_is_over() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.whole(deployment(name, &held(true, &[])));
    }
    // Resumed past its mark.
    let told = world.whole(deployment("a", &held(false, &[])));
    assert_eq!(targets(&told.own), [("a".into(), false, true), ("b".into(), true, false), ("c".into(), true, false)]);
    // Its mark taken away, and resumed.
    let told = world.whole(deployment("b", &rolling()));
    assert_eq!(targets(&told.own), [("a".into(), false, true), ("b".into(), false, true), ("c".into(), true, false)]);
    // Over: nothing goes on any more that should not.
    let told = world.whole(deployment("b", &json!({})));
    assert_eq!(targets(&told.own), [("a".into(), false, true), ("c".into(), true, false)]);
    // The last mark goes: the hold is released.
    let mut mark_of_a = world.whole(deployment("a", &json!({}))).own;
    mark_of_a.extend(world.whole(deployment("c", &rolling())).own);
    assert!(words(&mark_of_a).contains(&"no hold H-1".to_owned()), "{:?}", words(&mark_of_a));
}

#[test]
fn what_was_let_through_is_not_taken_for_undone() {
    let mut world = World::new();
    for name in ["a", "b"] {
        world.whole(deployment(name, &held(true, &[])));
    }
    world.whole(deployment("b", &held(true, &["a"])));
    let told = world.whole(deployment("a", &rolling()));
    assert_eq!(targets(&told.own), [("a".into(), false, false), ("b".into(), true, false)]);
}

#[test]
fn rows_share_their_plans() {
    let mut plans = HashSet::new();
    let mut world = World::new();
    let told = world.take(deployment("a", &json!({})));
    let [Body::Upsert(Entity::Rollout(row))] = told.row.as_slice() else { panic!("{:?}", words(&told.row)) };
    let plan = |weight| -> Arc<[Step]> { vec![Step::SetWeight(flightdeck_model::Ppm::percent(weight))].into() };
    let mut rows = [plan(20), plan(20), plan(30)].map(|steps| Rollout { steps, ..(**row).clone() });
    for row in &mut rows {
        share(&mut plans, row);
    }
    assert!(Arc::ptr_eq(&rows[0].steps, &rows[1].steps) && !Arc::ptr_eq(&rows[0].steps, &rows[2].steps));
}

#[test]
fn what_lacks_pods_has_them_counted_until_it_has_all() {
    let mut world = World::new();
    let short = json!({"status": {"readyReplicas": 1, "availableReplicas": 1, "conditions": [
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]}});
    let told = world.take(deployment("a", &short));
    assert_eq!(told.pods.map(|want| want.selector), Some("app=a".to_owned()));
    let crash = json!({"status": {"containerStatuses": [{"restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 3}}}]}});
    let mut pods = Pods::default();
    pods.count(&crash, Timestamp::UNIX_EPOCH);
    let told = world.news("a", News::Pods(Ok(pods)));
    let [Body::Upsert(Entity::Rollout(row))] = told.row.as_slice() else { panic!("{:?}", told.row) };
    assert_eq!(
        row.failing.iter().map(flightdeck_model::FailingInstances::counted).collect::<Vec<_>>(),
        ["CrashLoopBackOff"]
    );
    assert!(row.message.starts_with("1 pod: CrashLoopBackOff, exit status 3; 4 restarts; "), "{}", row.message);
    assert!(world.store.short(0, "a").is_some());
    // They can't be read any more: that is said, and why nothing more is.
    let told = world.news("a", News::Pods(Err("you lack list on pods in shop".to_owned())));
    let [Body::Upsert(Entity::Rollout(row))] = told.row.as_slice() else { panic!("{:?}", told.row) };
    assert!(row.failing.is_empty());
    assert!(row.message.ends_with("; why its pods are not ready can't be read: you lack list on pods in shop"));
    // All are there.
    let told = world.take(deployment("a", &json!({})));
    let [Body::Upsert(Entity::Rollout(row))] = told.row.as_slice() else { panic!("{:?}", told.row) };
    assert_eq!((row.failing.len(), row.message.as_str()), (0, "2 of 2 pods are available"));
    assert!(told.pods.is_none() && world.store.short(0, "a").is_none());
}
