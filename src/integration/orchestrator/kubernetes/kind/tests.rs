//! The registry, and what a kind is that says only what it must.

use super::{Asked, KINDS, Kind, Live, Needs, Source, Workload, actions, named, watched};
use crate::orchestrator::kubernetes::meta::HoldMark;
use crate::orchestrator::kubernetes::plan::{HoldPlan, Rest, plan_hold};
use crate::orchestrator::kubernetes::pod_sets::ReplicaGroup;
use crate::orchestrator::kubernetes::resource::Resource;
use crate::orchestrator::kubernetes::row::{RowContext, WorkloadStatus, assemble};
use crate::orchestrator::kubernetes::settings::KubernetesSettings;
use flightdeck_model::{Action, HoldId, Phase, Rollout, Selector};
use jiff::Timestamp;
use kube::core::{Object, ObjectMeta};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

const RESOURCE: Resource = Resource { group: "batch", version: "v1", kind: "Job", plural: "jobs" };

#[derive(Debug)]
struct Jobs;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Nothing {}

impl Kind for Jobs {
    fn resource(&self) -> Resource {
        RESOURCE
    }

    fn read(&self, from: Source<'_>) -> serde_json::Result<Box<dyn Workload>> {
        from.object::<Nothing, Nothing>()
    }
}

impl Workload for Object<Nothing, Nothing> {
    fn kind(&self) -> &'static dyn Kind {
        &Jobs
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn row(&self, context: &RowContext<'_>, _groups: &[ReplicaGroup]) -> Rollout {
        assemble(context, RESOURCE, &self.metadata, WorkloadStatus::rolling(Phase::Healthy, "1".to_owned()))
    }
}

fn row(workload: &dyn Workload) -> Rollout {
    let settings = KubernetesSettings::new("east".into());
    let context = RowContext { settings: &settings, denied: &Arc::default(), pods: None, now: Timestamp::UNIX_EPOCH };
    workload.row(&context, &[])
}

#[test]
fn each_kind_is_found_by_its_names_and_has_a_row_of_metadata_alone() {
    for kind in KINDS {
        let Resource { kind: name, plural, .. } = kind.resource();
        for word in [name, plural, &name.to_uppercase()] {
            assert!(named(word).is_some_and(|found| found == *kind), "{word}");
        }
        let meta = ObjectMeta { name: Some("web".into()), uid: Some("u".into()), ..ObjectMeta::default() };
        let row = row(kind.read(Source::Meta(meta)).unwrap().as_ref());
        assert_eq!((row.run.target.kind.as_str(), row.run.target.name.as_str()), (name, "web"));
        assert!(row.offers.iter().all(|action| actions().contains(action)), "{name}");
    }
    assert!(named("Job").is_none());
}

#[test]
fn a_source_watches_the_kinds_that_it_names_or_all() {
    let mut settings = KubernetesSettings::new("east".into());
    assert_eq!(watched(&settings).len(), KINDS.len());
    settings.kinds = ["StatefulSet", "Rollout"].map(|name| named(name).unwrap().resource()).into();
    let names: Vec<_> = watched(&settings).iter().map(|kind| kind.resource().plural).collect();
    assert_eq!(names, ["rollouts", "statefulsets"]);
}

#[test]
fn a_kind_with_a_row_alone_refuses_every_command_and_is_never_held() {
    let raw: Value = json!({"metadata": {"name": "backup", "namespace": "shop", "uid": "u"}, "spec": {}});
    let live = Live::parse(&Jobs, raw).unwrap();
    let workload = live.workload.as_ref();
    let shown = row(workload);
    assert_eq!((shown.phase, shown.run.target.to_string().contains("backup")), (Phase::Healthy, true));
    assert!(!workload.needs_groups() && workload.has_groups(&[]));
    for action in [Action::Restart, Action::Rollback, Action::Promote] {
        assert_eq!(workload.needs(action), Needs::default());
        let asked = Asked { action, live: &live, history: &[], reference: None, now: Timestamp::UNIX_EPOCH };
        let why = workload.plan(&asked).expect_err("a refusal").why;
        let expected = format!("shop/backup is a Job, which knows no {}; nothing was done", action.name());
        assert_eq!(why, expected);
        assert_eq!(workload.rest(action, &live, "", None), Rest::Nothing);
    }
    let mark = HoldMark {
        id: HoldId::from("H-1"),
        owner: "anna".into(),
        reason: None,
        since: Timestamp::UNIX_EPOCH,
        selector: Selector::default(),
        paused_before: false,
        unheld: Vec::new(),
    };
    assert_eq!(plan_hold(&live, &mark), HoldPlan::Cannot("a Job can't be paused: it goes on".into()));
    let forecast = Jobs.forecast(Action::Hold, &shown).unwrap();
    assert!(forecast.warnings[0].contains("is a Job, which can't be paused"), "{forecast:?}");
}
