//! What a kind says of itself, and what one object of it does. What most kinds share has a default, so that
//! a small kind is a small file.

use super::super::fields::line;
use super::super::forecast;
use super::super::meta::{HOLD_ANNOTATION, HoldMark, annotation, hold, mark_path};
use super::super::objects::PodTemplate;
use super::super::plan::{Body, Ops, Plan, Request, Rest, refused};
use super::super::pod_sets::{PodSets, ReplicaGroup, Set};
use super::super::progress::{self, Seen};
use super::super::resource::Resource;
use super::super::row::RowContext;
use super::super::wire::{Bare, object};
use flightdeck_model::{Action, Forecast, Refusal, Rollout, Stage, sanitize_line};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Object, ObjectMeta};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;

/// A kind of objects that are rows.
pub trait Kind: Debug + Sync {
    /// What the API calls it.
    fn resource(&self) -> Resource;

    /// Reads one of its objects: [`Source::object`] with the types of its spec and status.
    fn read(&self, from: Source<'_>) -> serde_json::Result<Box<dyn Workload>>;

    /// The system that must be installed for it; `None`: every cluster has it.
    fn system(&self) -> Option<&'static str> {
        None
    }

    /// The objects that tell of its sets of pods, and how those are told apart.
    fn pod_sets(&self) -> Option<PodSets> {
        None
    }

    /// The field that makes a workload stand still while it is true, such as `/spec/paused`. Only where there is
    /// one can a workload be held.
    fn pause_field(&self) -> Option<&'static str> {
        None
    }

    /// What must be allowed, for which actions. They are all that can ever be done to it.
    fn rights(&self) -> &'static [Right] {
        &[Right { subresource: None, actions: Right::OF_THE_OBJECT }]
    }

    /// What is listed of it beside its pods and their sets.
    fn listed_beside(&self) -> &'static [Resource] {
        &[]
    }

    /// How far a command about one has come.
    fn progress(&self, seen: Seen<'_>) -> Stage {
        progress::rolling(seen)
    }

    /// What an action would do, where it differs from what is said of every backend.
    fn forecast(&self, action: Action, row: &Rollout) -> Option<Forecast> {
        forecast::rolling(action, row, self.pause_field().is_some())
    }

    /// A set of its pods that was read in full.
    fn set<'v>(&self, object: &'v Value) -> Option<Set<'v>> {
        Some(self.pod_sets()?.set(object))
    }

    /// Says which side each set of one is on, newest revision first.
    fn assign_roles(&self, object: &Value, sets: &mut [Set<'_>]) {
        if let Some(of) = self.pod_sets() {
            of.assign_roles(object, sets);
        }
    }

    /// Is the pod of that name, which may be gone, one of the object's? By it events are told to be about it.
    fn names_pod(&self, _object: &Value, sets: &[Value], pod: &str) -> bool {
        self.pod_sets().is_some_and(|of| of.name_pod(sets, pod))
    }

    /// The labels of the AnalysisRuns and Experiments of one; `None`: it has none.
    fn analysis_labels(&self, _object: &Value, _sets: &[Value]) -> Option<String> {
        None
    }
}

/// A kind is what the API calls it.
impl PartialEq for dyn Kind {
    fn eq(&self, other: &dyn Kind) -> bool {
        self.resource() == other.resource()
    }
}

/// Something that must be allowed to be patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// A part of the object with a right of its own.
    pub subresource: Option<&'static str>,
    /// The actions that need it.
    pub actions: &'static [Action],
}

impl Right {
    /// What patches the object itself.
    pub const OF_THE_OBJECT: &'static [Action] = &[
        Action::Pause,
        Action::Resume,
        Action::Restart,
        Action::Rollback,
        Action::Hold,
        Action::ReleaseHold,
        Action::LetThrough,
    ];
}

/// One object of a kind, as far as rows and commands need it.
pub trait Workload: Debug + Send + Sync {
    fn kind(&self) -> &'static dyn Kind;

    fn meta(&self) -> &ObjectMeta;

    /// Its own template; `None` where it has none.
    fn template(&self) -> Option<&PodTemplate> {
        None
    }

    /// Which pods are its own; `None` where it does not say: then all of its namespace are looked at.
    fn selector(&self) -> Option<&LabelSelector> {
        None
    }

    /// The workload that is no row of its own, since this one takes its template from there.
    fn takes_template_from(&self) -> Option<(Resource, &str)> {
        None
    }

    /// Its row. The sets of pods matter where [`Workload::needs_groups`] says so and may lack: then what they would
    /// tell is left open.
    fn row(&self, context: &RowContext<'_>, groups: &[ReplicaGroup]) -> Rollout;

    /// Can the row be told only with its sets of pods? Then they are fetched.
    fn needs_groups(&self) -> bool {
        false
    }

    /// Is every set of pods that the row tells of among these? A row without one of them would give no
    /// version, or pods to the wrong side.
    fn has_groups(&self, _groups: &[ReplicaGroup]) -> bool {
        true
    }

    /// The set of its newest template, by its row, and the one that it takes the place of.
    fn sides<'g>(&self, row: &Rollout, groups: &'g [ReplicaGroup]) -> [Option<&'g ReplicaGroup>; 2] {
        newest_and_largest(groups, |group| group.name == row.run.revision)
    }

    /// Is there a set of a newer template than the revision that its row is called by?
    fn is_named_late(&self, _revision: &str, _groups: &[ReplicaGroup]) -> bool {
        false
    }

    /// What a command must know besides the object itself.
    fn needs(&self, action: Action) -> Needs {
        let sets = self.kind().pod_sets().filter(|_| action == Action::Rollback);
        Needs { history: sets.map(PodSets::resource), reference: None }
    }

    /// What a command sends, or why nothing is sent.
    fn plan(&self, asked: &Asked<'_>) -> Result<Plan, Refusal> {
        let (place, kind) = (asked.live.place(), self.kind().resource().kind);
        Err(refused(format!("{place} is a {kind}, which knows no {}", asked.action.name())))
    }

    /// What is left to do once a command's first part went through and `Plan::finish` was set, by the object as it
    /// is now. `candidate` is the template that the command was about, `target` the one that it goes back to.
    fn rest(&self, _action: Action, _live: &Live, _candidate: &str, _target: Option<&str>) -> Rest {
        Rest::Nothing
    }

    /// Why a hold must leave it alone; nothing if it need not.
    fn unheld(&self) -> Option<&'static str> {
        None
    }

    /// What a hold tests before it stops it.
    fn hold_tests<'a>(&self, raw: &'a Value) -> Ops<'a> {
        Ops::unchanged(raw)
    }
}

/// The set that is the newest one, and of the others the one with most ready pods.
pub fn newest_and_largest(
    groups: &[ReplicaGroup],
    is_newest: impl Fn(&ReplicaGroup) -> bool,
) -> [Option<&ReplicaGroup>; 2] {
    let newest = groups.iter().find(|group| is_newest(group));
    [newest, groups.iter().filter(|group| !is_newest(group)).max_by_key(|group| group.replicas.ready)]
}

/// What an object is read from.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is handed on at once, never kept")]
pub enum Source<'a> {
    /// JSON. Of its metadata only what rows need is kept.
    Text(&'a str),
    /// The whole object.
    Value(Value),
    /// Its metadata alone, where the rest can't be read.
    Meta(ObjectMeta),
}

impl Source<'_> {
    /// The object with a spec and a status of these types.
    pub fn object<S, U>(self) -> serde_json::Result<Box<dyn Workload>>
    where
        S: DeserializeOwned + Default + Clone,
        U: DeserializeOwned + Default + Clone,
        Object<S, U>: Workload + 'static,
    {
        let object: Object<S, U> = match self {
            Source::Text(text) => object(text)?,
            Source::Value(value) => serde_json::from_value(value)?,
            Source::Meta(metadata) => Object { types: None, metadata, spec: S::default(), status: None },
        };
        Ok(Box::new(object))
    }
}

/// A workload, or as much of it as could be read.
#[derive(Debug)]
pub struct Item {
    pub workload: Box<dyn Workload>,
    /// Why the rest could not be read.
    pub problem: Option<String>,
}

impl Item {
    /// A workload from JSON, or its metadata and why the rest can't be read; `None` if not even that.
    #[must_use]
    pub fn read(kind: &dyn Kind, text: &str) -> Option<Item> {
        match kind.read(Source::Text(text)) {
            Ok(workload) => Some(Item { workload, problem: None }),
            Err(error) => {
                let metadata = serde_json::from_str::<Bare>(text).ok()?.metadata.into_meta();
                let workload = kind.read(Source::Meta(metadata)).ok()?;
                Some(Item { workload, problem: Some(line(&error.to_string())) })
            }
        }
    }
}

/// A workload as it was read: pruned, and as it stands at the server.
#[derive(Debug)]
pub struct Live {
    /// As rows see it.
    pub workload: Box<dyn Workload>,
    pub raw: Value,
}

impl Live {
    /// Parses an object of that kind.
    pub fn parse(kind: &dyn Kind, raw: Value) -> Result<Live, serde_json::Error> {
        Ok(Live { workload: kind.read(Source::Value(raw.clone()))?, raw })
    }

    /// `shop/checkout`.
    #[must_use]
    pub fn place(&self) -> String {
        let meta = self.workload.meta();
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        sanitize_line(&format!("{}/{}", text(&meta.namespace), text(&meta.name)))
    }

    /// A patch of this object.
    #[must_use]
    pub fn request(&self, status: bool, body: Body, what: impl Into<String>) -> Request {
        let meta = self.workload.meta();
        Request {
            resource: self.workload.kind().resource(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            status,
            body,
            fallback: None,
            what: what.into(),
        }
    }

    /// Does it stand still by its field?
    #[must_use]
    pub fn paused(&self) -> bool {
        let field = self.workload.kind().pause_field();
        field.is_some_and(|field| self.raw.pointer(field) == Some(&Value::Bool(true)))
    }

    /// The mark of a hold that it carries.
    #[must_use]
    pub fn mark(&self) -> Option<HoldMark> {
        hold(self.workload.meta())
    }

    /// The hold that keeps it still; a mark on what was resumed since holds nothing.
    #[must_use]
    pub fn held_by(&self) -> Option<HoldMark> {
        self.mark().filter(|_| self.paused())
    }

    /// Operations that take a mark away, whoever's it is.
    #[must_use]
    pub fn without_mark<'a>(&self, ops: Ops<'a>) -> Ops<'a> {
        let path = mark_path();
        let marked = annotation(self.workload.meta(), HOLD_ANNOTATION).is_some();
        if marked { ops.as_read(&path).remove(&path) } else { ops }
    }
}

/// What was read for a command.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub action: Action,
    pub live: &'a Live,
    /// Its revisions, where [`Workload::needs`] asks for them: those that it owns.
    pub history: &'a [Value],
    /// The workload that a Rollout's `workloadRef` names, where [`Workload::needs`] asks for it.
    pub reference: Option<&'a Value>,
    pub now: Timestamp,
}

/// What must be read besides the workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Its revisions, as objects of this kind.
    pub history: Option<Resource>,
    /// This object of its namespace.
    pub reference: Option<(Resource, String)>,
}
