//! What is told as spans, in OTLP's JSON. A run is one trace: its rollout is the root, its steps, the commands about it
//! and what happened meanwhile are inside. All ids follow from what is told, so that the same told again is the same
//! span. Sources: opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding"; semantic-conventions,
//! docs/registry/attributes. Pure.

use super::attributes::{Attributes, short};
use flightdeck_model::{DeploymentKind, DeploymentOutcome, Ppm, RolloutRecord, Stage, StageRecord, Step, StepRecord};
use flightdeck_port::{BreachNews, CommandNews, Notification, NotifyEvent};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// `SPAN_KIND_INTERNAL`: nobody asked the service for anything, so that no rollout counts among its requests.
const INTERNAL: u8 = 1;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// One span.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    trace_id: String,
    #[serde(rename = "spanId")]
    id: String,
    #[serde(rename = "parentSpanId", skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Attributes,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<SpanEvent>,
    /// Without: nothing is known to have gone wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

/// A moment within a span.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanEvent {
    time_unix_nano: String,
    name: &'static str,
    attributes: Attributes,
}

#[derive(Debug, Clone, Serialize)]
struct Status {
    code: u8,
    message: String,
}

impl Status {
    fn error(why: &str) -> Status {
        Status { code: ERROR, message: short(why) }
    }
}

/// The body of `POST /v1/traces`.
pub(super) fn request(of: &Notification) -> Value {
    let spans = match (&of.rollout, &of.command) {
        (Some(rollout), _) => with_steps(of, rollout),
        (None, Some(command)) => vec![commanded(of, command)],
        (None, None) => vec![moment(of)],
    };
    json!({"resourceSpans": [{
        "resource": {"attributes": resource(of)},
        "scopeSpans": [{"scope": {"name": "flightdeck", "version": env!("CARGO_PKG_VERSION")}, "spans": spans}],
    }]})
}

/// Whose spans they are: the service's, of the version that was brought in, where that is known.
fn resource(of: &Notification) -> Attributes {
    let mut all = Attributes::default();
    if of.service.is_empty() || of.event == NotifyEvent::Test {
        all.text("service.name", "flightdeck");
        return all;
    }
    all.text("service.name", &of.service);
    all.text("service.version", &of.to);
    all.text("deployment.environment.name", &of.environment);
    if let Some(RolloutRecord { commit, pipeline_run, .. }) = of.rollout.as_deref() {
        all.text("vcs.ref.head.revision", commit.as_deref().unwrap_or_default());
        all.text("cicd.pipeline.run.url.full", pipeline_run.as_deref().unwrap_or_default());
    }
    all
}

fn with_steps(of: &Notification, rollout: &RolloutRecord) -> Vec<Span> {
    let root = root_id(&of.trace_id);
    let status = match rollout.outcome {
        DeploymentOutcome::Failed | DeploymentOutcome::Aborted | DeploymentOutcome::RolledBack => {
            Some(Status::error(&rollout.cause))
        }
        DeploymentOutcome::Succeeded | DeploymentOutcome::Superseded => None,
    };
    let steps = rollout.step_times.iter().map(|record| step(of, &root, record, status.as_ref()));
    let steps: Vec<Span> = steps.collect();
    let (kind, service) = (rollout.kind.word(), &rollout.service);
    let span = Span {
        id: root,
        parent: None,
        attributes: of_rollout(of, rollout, status.is_some()),
        status,
        ..span(of, format!("{kind} {service}"), (rollout.started, rollout.ended))
    };
    std::iter::once(span).chain(steps).collect()
}

fn of_rollout(of: &Notification, rollout: &RolloutRecord, wrong: bool) -> Attributes {
    let outcome = rollout.outcome.word().replace(' ', "_");
    let mut all = Attributes::default();
    all.text("deployment.id", &of.run);
    all.text("deployment.status", &outcome);
    all.text("error.type", if wrong { &outcome } else { "" });
    all.text("user.name", rollout.author.as_deref().unwrap_or_default());
    let digest = rollout.digest.as_deref().unwrap_or_default();
    all.text("artifact.hash", digest.strip_prefix("sha256:").unwrap_or(digest));
    all.text("flightdeck.source", &of.source);
    all.text("flightdeck.rollout.kind", rollout.kind.word());
    all.text("flightdeck.rollout.from", of.from.as_deref().unwrap_or_default());
    all.text("flightdeck.rollout.cause", &rollout.cause);
    let seconds = |took: jiff::SignedDuration| took.as_secs_f64();
    all.number("flightdeck.rollout.reached", rollout.reached.map(Ppm::fraction));
    all.number("flightdeck.rollout.rollback_seconds", rollout.rollback.map(seconds));
    all.number("flightdeck.rollout.waited_seconds", rollout.waited.map(seconds));
    if rollout.kind == DeploymentKind::Deploy {
        all.count("flightdeck.rollout.manual_steps", u64::from(rollout.manual_steps));
    }
    all
}

fn step(of: &Notification, root: &str, record: &StepRecord, end: Option<&Status>) -> Span {
    let StepRecord { index, step, began, ended, done } = record;
    let name = words(step);
    let mut attributes = Attributes::default();
    attributes.text("cicd.pipeline.task.name", &name);
    attributes.count("flightdeck.step.number", u64::from(*index) + 1);
    attributes.flag("flightdeck.step.done", *done);
    // What ended the rollout ended this one.
    let status = end.filter(|_| !done).cloned();
    let id = span_id(&["step", &of.trace_id, &index.to_string(), &began.to_string()]);
    Span { id, parent: Some(root.to_owned()), attributes, status, ..span(of, name, (*began, *ended)) }
}

fn words(step: &Step) -> String {
    match step {
        Step::SetWeight(share) => format!("weight {share}"),
        Step::SetScale(share) => format!("scale {share}"),
        Step::Pause { .. } => "pause".to_owned(),
        Step::Analysis { name, .. } => format!("analysis {name}"),
        Step::Approval { .. } => "approval".to_owned(),
        Step::Preview => "preview".to_owned(),
        Step::Batch { instances, .. } => format!("batch {instances}"),
        Step::TakeDown => "take down".to_owned(),
        Step::Hook { name } => format!("hook {name}"),
        Step::Other(what) => what.clone(),
    }
}

/// From when it was asked for until its end was known.
fn commanded(of: &Notification, command: &CommandNews) -> Span {
    let CommandNews { id, action, reason, stages } = command;
    let (first, last) = (stages.first(), stages.last());
    let began = first.map_or(of.at, |record| record.at);
    let mut attributes = Attributes::default();
    attributes.text("user.name", of.author.as_deref().unwrap_or_default());
    attributes.text("deployment.id", &of.run);
    attributes.text("flightdeck.source", &of.source);
    attributes.text("flightdeck.command.id", id.as_str());
    attributes.text("flightdeck.command.action", action.name());
    attributes.text("flightdeck.command.reason", reason.as_deref().unwrap_or_default());
    let stage = last.map(|record| &record.stage);
    attributes.text("flightdeck.command.stage", &stage.map(|stage| stage.word().replace(' ', "_")).unwrap_or_default());
    let wrong =
        stage.filter(|stage| matches!(stage, Stage::Refused { .. } | Stage::Failed { .. } | Stage::TimedOut { .. }));
    attributes.text("error.type", &wrong.map(|stage| stage.word().replace(' ', "_")).unwrap_or_default());
    Span {
        id: span_id(&["command", id.as_str()]),
        attributes,
        events: stages.iter().map(came).collect(),
        status: wrong.map(|stage| Status::error(stage.detail().unwrap_or_default())),
        ..span(of, action.name().to_owned(), (began, of.at.max(began)))
    }
}

/// A command came a stage further.
fn came(record: &StageRecord) -> SpanEvent {
    let mut attributes = Attributes::default();
    attributes.text("flightdeck.command.detail", record.stage.detail().unwrap_or_default());
    SpanEvent { time_unix_nano: nanoseconds(record.at), name: record.stage.word(), attributes }
}

/// What has no length: a breach, the wait for a person that begins.
fn moment(of: &Notification) -> Span {
    let mut attributes = Attributes::default();
    attributes.text("deployment.id", &of.run);
    attributes.text("flightdeck.source", &of.source);
    attributes.text("flightdeck.why", &of.why);
    if let Some(BreachNews { on_breach, report, .. }) = of.breach.as_deref() {
        attributes.text("flightdeck.breach.on_breach", on_breach.word());
        if let Some(report) = report {
            attributes.count("flightdeck.breach.candidate_requests", report.candidate_requests);
            attributes.count("flightdeck.breach.stable_requests", report.stable_requests);
        }
        for metric in report.iter().flat_map(|report| &report.metrics) {
            attributes.number(&format!("flightdeck.breach.{}.candidate", metric.name), metric.candidate);
            attributes.number(&format!("flightdeck.breach.{}.stable", metric.name), metric.stable);
            attributes.number(&format!("flightdeck.breach.{}.max", metric.name), metric.max);
            attributes.text(&format!("flightdeck.breach.{}.limit", metric.name), &metric.limit);
        }
    }
    let status = of.breach.as_ref().map(|_| Status::error(&of.why));
    Span { attributes, status, ..span(of, of.event.word().to_owned(), (of.at, of.at)) }
}

/// What all have: inside the run's rollout, where there is a run.
fn span(of: &Notification, name: String, (began, ended): (Timestamp, Timestamp)) -> Span {
    Span {
        trace_id: of.trace_id.clone(),
        id: span_id(&["notification", &of.id]),
        parent: (!of.run.is_empty() && of.event != NotifyEvent::Test).then(|| root_id(&of.trace_id)),
        name,
        kind: INTERNAL,
        start_time_unix_nano: nanoseconds(began),
        end_time_unix_nano: nanoseconds(ended),
        attributes: Attributes::default(),
        events: Vec::new(),
        status: None,
    }
}

/// The span of a run's rollout.
fn root_id(trace_id: &str) -> String {
    span_id(&["rollout", trace_id])
}

/// 64 bits of a hash, in hexadecimal.
fn span_id(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in std::iter::once(&"span").chain(parts) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(8).fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}"); // writing to a String can't fail
        id
    })
}

/// Since 1970, as a string, since 64 bits are too many for numbers in JSON.
fn nanoseconds(at: Timestamp) -> String {
    at.as_nanosecond().max(0).to_string()
}
