//! What is selected in full, line by line, broken to the width that there is: nothing is lost at the right border.

use super::panels::selected_key;
use super::rollback_plan;
use super::run;
use super::state::{RolloutPanel, State};
use super::timeline::{Happened, timeline};
use super::wrap::wrap;
use flightdeck_model::{
    Alert, Analysis, Approval, Evidence, Group, Instance, InstanceState, MetricResult, Note, Receipt, Revision, Verdict,
};
use jiff::{SignedDuration, Timestamp};

/// Columns of a line's name and of the gaps around it.
pub const NAME: u16 = 14;
/// Columns that a moment takes in front of what happened.
const MOMENT: u16 = 10;

/// A line of a whole record; the view writes times and lengths.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordLine<'a> {
    /// A name and its text.
    Text(&'static str, String),
    /// A name and a moment.
    At(&'static str, Timestamp),
    /// A name, a moment and what happened then.
    Moment(&'static str, Timestamp, String),
    /// A name and how long; `None`: not known.
    Took(&'static str, Option<SignedDuration>),
    /// Something that happened.
    Note(&'a Note),
    /// A judgement.
    Evidence(&'a Evidence),
    /// One of its limits.
    Metric(&'a MetricResult),
}

/// Lines broken to the width of the page.
pub(super) fn fitted<'a>(state: &State, lines: Vec<RecordLine<'a>>) -> Vec<RecordLine<'a>> {
    let columns = state.columns.saturating_sub(2 + NAME);
    lines.into_iter().flat_map(|line| broken(line, columns)).collect()
}

/// The row that is selected in a panel of the opened rollout, in lines of the width of the page.
#[must_use]
pub fn shown(state: &State) -> Vec<RecordLine<'_>> {
    fitted(state, selected(state))
}

/// The row that is selected in a panel of the opened rollout, in lines of so many columns.
#[must_use]
pub fn within(state: &State, columns: u16) -> Vec<RecordLine<'_>> {
    let columns = columns.saturating_sub(NAME);
    selected(state).into_iter().flat_map(|line| broken(line, columns)).collect()
}

fn broken(line: RecordLine<'_>, columns: u16) -> Vec<RecordLine<'_>> {
    use RecordLine as L;
    match line {
        L::Text(name, text) => wrap(&text, columns).into_iter().map(|text| L::Text(name, text)).collect(),
        L::Note(Note { at, who, text, .. }) => {
            let who = who.strip_prefix("system:").unwrap_or(who);
            first_at("events", *at, &format!("{who}  {text}"), columns)
        }
        L::Moment(name, at, text) => first_at(name, at, &text, columns),
        L::Evidence(Evidence { at, summary, .. }) => first_at("analysis", *at, summary, columns),
        other => vec![other],
    }
}

/// A moment before the first line, and the rest below it.
pub(super) fn first_at(name: &'static str, at: Timestamp, text: &str, columns: u16) -> Vec<RecordLine<'static>> {
    let mut lines = wrap(text, columns.saturating_sub(MOMENT)).into_iter();
    let first = lines.next().unwrap_or_default();
    let rest = lines.map(|text| RecordLine::Text(name, format!("{:10}{text}", "")));
    std::iter::once(RecordLine::Moment(name, at, first)).chain(rest).collect()
}

fn selected(state: &State) -> Vec<RecordLine<'_>> {
    let Some(page) = &state.rollout else { return Vec::new() };
    let key = selected_key(state);
    let is = |of: &str| key.as_deref() == Some(of);
    match page.panel {
        RolloutPanel::Instances => {
            run::instances(state).into_iter().find(|one| is(&one.id)).map_or_else(Vec::new, instance)
        }
        RolloutPanel::Sets => {
            let mut groups = run::detail(state).into_iter().flat_map(|detail| &detail.groups);
            groups.find(|one| is(&one.name)).map_or_else(Vec::new, group)
        }
        RolloutPanel::Timeline => {
            let moments = timeline(state, &page.run);
            let Some(moment) = moments.into_iter().find(|one| is(&one.key())) else { return Vec::new() };
            match moment.what {
                Happened::Event(note) => event(note),
                Happened::Asked(of) | Happened::Came(of, _) => receipt(state, of),
                Happened::Judged(evidence) => judgement(evidence),
                Happened::ApprovalAsked(of) | Happened::Vote(of, _) => approval(of),
                Happened::Analysis(index) => run::analyses(state).nth(index).map_or_else(Vec::new, analysis),
            }
        }
        RolloutPanel::Analysis => {
            let judged = run::evidence(state, &page.run).into_iter().find(|one| is(&one.id)).map(judgement);
            let measured = || run::analyses(state).find(|one| is(&one.name)).map(analysis);
            judged.or_else(measured).unwrap_or_default()
        }
        RolloutPanel::Alerts => {
            let meant = run::alerts(state).into_iter().find(|one| is(&run::alert_key(one)));
            meant.map_or_else(Vec::new, |of| alert(state, of))
        }
        RolloutPanel::Revisions => {
            let mut all = run::detail(state).into_iter().flat_map(|detail| &detail.history);
            all.find(|one| is(&one.revision)).map_or_else(Vec::new, revision)
        }
        RolloutPanel::Actions => {
            let meant = run::receipts(state, &page.run).into_iter().find(|one| is(&one.id.0));
            meant.map_or_else(Vec::new, |of| receipt(state, of))
        }
        RolloutPanel::Plan => {
            rollback_plan::plan(state).into_iter().map(|line| RecordLine::Text(line.name, line.text)).collect()
        }
    }
}

fn text<'a>(name: &'static str, text: impl Into<String>) -> RecordLine<'a> {
    RecordLine::Text(name, text.into())
}

fn instance(of: &Instance) -> Vec<RecordLine<'_>> {
    let (word, why) = match &of.state {
        InstanceState::Starting => ("starting", None),
        InstanceState::Ready => ("ready", None),
        InstanceState::Unhealthy { why } => ("unhealthy", Some(why)),
        InstanceState::Draining => ("draining", None),
        InstanceState::BackingOff { why } => ("backing off", Some(why)),
        InstanceState::Ended { why } => ("ended", Some(why)),
    };
    let mut lines = vec![text("instance", &of.id), text("state", word)];
    lines.extend(why.map(|why| text("because", why)));
    lines.push(text("restarts", of.restarts.to_string()));
    lines.push(text("version", of.version.as_str()));
    lines.extend(of.address.as_ref().map(|address| text("address", address)));
    lines.extend(of.pid.map(|pid| text("process", pid.to_string())));
    lines.extend(of.started.map(|at| RecordLine::At("up since", at)));
    lines.extend(of.logs.as_ref().map(|command| text("output", command)));
    lines
}

fn group(of: &Group) -> Vec<RecordLine<'_>> {
    let mut lines = vec![
        text("name", &of.name),
        text("version", of.version.as_str()),
        text("ready", format!("{} of {}", of.replicas.ready, of.replicas.desired)),
    ];
    lines.extend(of.revision.as_ref().map(|revision| text("revision", revision)));
    lines.extend(of.ends.map(|at| RecordLine::At("scaled down", at)));
    lines
}

fn event(of: &Note) -> Vec<RecordLine<'_>> {
    vec![RecordLine::At("when", of.at), text("who", &of.who), text("what", &of.text)]
}

fn alert<'a>(state: &'a State, of: &'a Alert) -> Vec<RecordLine<'a>> {
    let mut lines = vec![
        text("alert", &of.name),
        text("severity", of.severity.word()),
        text("state", of.state.word()),
        RecordLine::At("since", of.since),
    ];
    if !of.summary.is_empty() {
        lines.push(text("says", &of.summary));
    }
    if let Some(silence) = state.board.silenced_until(of) {
        let ours = if silence.made.is_some() { "" } else { " (not made with flightdeck)" };
        lines.push(text("silenced by", format!("{}{ours}: {}", silence.owner, silence.reason)));
        lines.push(RecordLine::At("until", silence.until));
    }
    lines.extend(of.url.as_ref().map(|url| text("more", url)));
    lines.push(text("source", of.source.as_str()));
    let labels: Vec<String> = of.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    lines.push(text("labels", labels.join(", ")));
    lines
}

fn revision(of: &Revision) -> Vec<RecordLine<'_>> {
    let mut lines = vec![text("revision", &of.revision), text("version", of.version.as_str())];
    lines.extend(of.at.map(|at| RecordLine::At("made", at)));
    lines.extend(of.cause.as_ref().map(|cause| text("cause", cause)));
    lines.extend(of.diff.iter().map(|line| text("differs", line)));
    lines
}

fn approval(of: &Approval) -> Vec<RecordLine<'_>> {
    let mut lines = vec![
        text("approval", of.id.to_string()),
        text("lets through", &of.what),
        text("needs", format!("{} of {}", of.requirement.count, or_anybody(&of.requirement.from))),
        text("asked by", &of.author),
        RecordLine::At("asked", of.requested),
    ];
    lines.extend(of.expires.map(|at| RecordLine::At("lapses", at)));
    for vote in &of.votes {
        let word = if vote.verdict == Verdict::Approved { "approved" } else { "rejected" };
        let why = vote.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
        lines.push(RecordLine::Moment("votes", vote.at, format!("{word} by {}{why}", vote.who)));
    }
    lines
}

fn or_anybody(from: &[String]) -> String {
    if from.is_empty() { "anybody who may act here".to_owned() } else { from.join(", ") }
}

fn judgement(of: &Evidence) -> Vec<RecordLine<'_>> {
    let mut lines = vec![RecordLine::At("when", of.at), text("says", &of.summary)];
    if let Some(report) = &of.analysis {
        let requests = format!("candidate {}, stable {}", report.candidate_requests, report.stable_requests);
        lines.extend([text("template", &report.template), text("requests", requests)]);
        lines.extend(report.metrics.iter().map(|metric| text("limits", format!("{}: {}", metric.name, metric.why))));
    }
    lines
}

fn analysis(of: &Analysis) -> Vec<RecordLine<'_>> {
    let mut lines = vec![text("analysis", &of.name), text("belongs to", &of.belongs), text("stands at", &of.phase)];
    if !of.message.is_empty() {
        lines.push(text("because", &of.message));
    }
    lines.extend(of.started.map(|at| RecordLine::At("began", at)));
    for metric in &of.metrics {
        lines.push(text("metric", format!("{}: {}", metric.name, metric.phase)));
        lines.push(text("limit", &metric.limit));
        if !metric.message.is_empty() {
            lines.push(text("because", &metric.message));
        }
        let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let values: Vec<String> = metric.measurements.iter().map(|one| value(one.value)).collect();
        lines.push(text("measured", if values.is_empty() { "nothing yet".to_owned() } else { values.join(", ") }));
    }
    lines
}

fn receipt<'a>(state: &'a State, of: &'a Receipt) -> Vec<RecordLine<'a>> {
    let mut lines = vec![
        text("action", of.command.action.row().label),
        text("by", &of.actor.name),
        text("reason", of.command.reason.as_deref().unwrap_or("none was given")),
        text("receipt", of.id.to_string()),
    ];
    for one in run::additions(state, &of.id) {
        let Some(first) = one.stages.first() else { continue };
        let words = format!("{}: {}", one.actor.name, one.command.reason.as_deref().unwrap_or_default());
        lines.push(RecordLine::Moment("added", first.at, words));
    }
    for record in &of.stages {
        let detail = record.stage.detail().map_or(String::new(), |detail| format!(": {detail}"));
        lines.push(RecordLine::Moment("stages", record.at, format!("{}{detail}", record.stage.word())));
    }
    if let Some(grade) = &of.grade {
        lines.push(text("forecast", &grade.text));
    }
    lines
}
