//! The words that all rooms speak: plain serde data, no I/O, no clock, no randomness.
//!
//! [`Update`]s travel from integrations to people, [`Command`]s travel back, a [`Query`] gets one
//! [`Reply`]. Enums are adjacently tagged (`type`, `data`) so that the same JSON serves a channel,
//! HTTP, a recording and JSON lines on stdio.

mod action;
mod alert;
mod approval;
mod bounds;
mod command;
mod config;
mod confine;
mod connections;
mod count;
mod detail;
mod diagnosis;
mod entity;
mod evidence;
mod facts;
mod forecast;
mod histogram;
mod hold;
mod ids;
mod ingress;
mod instance;
mod objective;
mod one_off;
mod output;
mod phase;
mod query;
mod receipt;
mod record;
mod refusal;
mod rollout;
mod samples;
mod schedule;
mod secret;
mod service;
mod service_kind;
mod share;
mod spec;
mod strategy;
mod text;
pub mod time;
mod update;
mod watchdog;

pub use action::{Action, ActionRow, ActionSet, Aim, Confirmation, Direction, SubjectKind, Surface};
pub use alert::{
    Alert, AlertAbout, AlertSeverity, AlertState, LONGEST_SILENCE, MadeSilence, SHORTEST_SILENCE, Silence,
    USUAL_SILENCE,
};
pub use approval::{Approval, ApprovalState, ReleaseRef, Requirement, Reviewers, Verdict, Vote};
pub use bounds::{LONGEST_NAME, bounded};
pub use command::{Actor, Command, Role, Selector, ServicePlace, Subject};
pub use config::{ConfigRevision, InForce, Renamed};
pub use confine::{KeptBy, Limit, LimitKept, Limits, RunAs};
pub use connections::{AccessLog, Connections, Draining};
pub use count::{are, counted, counted_do, times};
pub use detail::{Analysis, AnalysisMetric, Detail, Group, Measurement, Revision};
pub use diagnosis::{Cause, Diagnosis, PortOwner};
pub use entity::{Entity, EntityRef, Note, NoteKind};
pub use evidence::{AnalysisReport, Evidence, MetricResult, MetricVerdict};
pub use facts::{Fact, FactChange, Facts, Pin, PinError};
pub use forecast::{Decision, Forecast, Friction, Prepared};
pub use histogram::{BUCKETS, Histogram, bucket_floor, bucket_of};
pub use hold::{Hold, HoldTarget};
pub use ids::{
    ApprovalId, CommandId, ConfigName, EnvironmentName, HoldId, HubId, ReceiptId, Run, ServiceName, SilenceId,
    SourceId, Target, Version,
};
pub use ingress::{CertificateFiles, CertificatePart, CertificateState, Ingress, UnfitCertificate};
pub use instance::{Instance, InstanceState};
pub use objective::{BurnLimit, Counted, Indicator, NotKnown, Objective, ObjectiveStatus, OnBurn, Tally, WindowStatus};
pub use one_off::{JobEnd, OneOff};
pub use output::{Output, OutputOf};
pub use phase::{DeploymentKind, DeploymentOutcome, Phase, RollbackPath};
pub use query::{LogLines, Query, Reply};
pub use receipt::{Grade, Proof, Receipt, SourceResult, Stage, StageRecord, TargetResult};
pub use record::{NOT_RECORDED, RolloutRecord, StepRecord};
pub use refusal::{Refusal, RefusalKind};
pub use rollout::{
    Arm, ArmRole, BackendAnalysis, Denied, FailingInstances, ManagedBy, PodNames, Replicas, RollbackPlan, Rollout,
    Traffic, TrafficSource, Wait,
};
pub use samples::{ArmSample, SAMPLE_HISTORY};
pub use schedule::{JobRun, JobSpec, Missed, MissedRun, Schedule, ServiceJob};
pub use secret::{NoSecretRef, SecretRef};
pub use service::{
    ArtifactRef, Environment, Listening, MigrationRollback, MigrationRow, MigrationStanding, Place, Release, Service,
    ServiceAddress, Tier,
};
pub use service_kind::ServiceKind;
pub use share::Ppm;
pub use spec::{
    AnalysisTemplate, Concurrency, EnvironmentSpec, HealthSpec, HookOn, HookSpec, Judge, Listens, Metric, MetricLimit,
    Migration, Missing, Overrides, Placement, Probe, Program, ServiceSpec, Spec, StickyKey, StopSpec,
};
pub use strategy::{Step, Strategy};
pub use text::{escape_hidden, has_hidden, sanitize, sanitize_json, sanitize_line};
pub use update::{
    Body, Envelope, HEARTBEAT_HEADER, LinkState, READS_ALERTS, READS_HEADER, Scope, Scoped, Update, WIRE_HEADER,
    WIRE_VERSION, Watch,
};
pub use watchdog::{Breach, BreachResponse, OnBreach, WatchdogMeasured, WatchdogStatus};
