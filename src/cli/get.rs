//! `get`: rows of one kind.

use super::links::{Links, Need};
use super::output::{Cell, Table, Tone, say};
use super::target::{self, Rows};
use super::{Context, Failure, act, alerts, apply, history, migration, objectives, silence};
use crate::model::{
    Action, Approval, ApprovalState, Entity, Environment, Facts, Hold, Instance, Phase, Place, Receipt, Release,
    Rollout, Service, ServiceKind, ServicePlace,
};
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// What runs where, and what is in flight.
    Rollouts,
    /// Requests for a yes, settled ones included.
    Approvals,
    /// Services.
    Services,
    /// Service configurations that are in force on the server.
    Configurations,
    /// Environments, in the order of promotion.
    Environments,
    /// What was asked for and how far it came.
    Receipts,
    /// Stored releases.
    Releases,
    /// Holds in force.
    Holds,
    /// Alerts that fire, silenced ones included, and the rollouts that they concern.
    Alerts,
    /// What services promise, what is left of each error budget, and how fast it burns.
    Objectives,
    /// Running copies of versions; `logs` shows what they wrote.
    Instances,
    /// Migrations of services' data, and where each stands.
    Migrations,
    /// Finished rollouts, newest first.
    Deployments,
    /// The figures of software delivery (DORA) of each service in each environment.
    Dora,
}

/// Options of `get`.
#[derive(Debug, Clone, Args)]
pub struct GetArgs {
    /// Rows of which kind.
    #[arg(value_enum)]
    pub kind: Kind,
    /// Only this one: a TARGET, an id or a name; of deployments and dora, a service.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Only of this service.
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only in this environment.
    #[arg(long, value_name = "ENV", visible_alias = "env")]
    pub environment: Option<String>,
    /// Only what ended within this time, such as 7d or 36h (deployments and dora; dora without it: 30d).
    #[arg(long, value_name = "DURATION", value_parser = history::length)]
    pub since: Option<SignedDuration>,
    /// At most so many, the first ones; of receipts the newest.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

impl GetArgs {
    /// Everything of one kind.
    pub(super) const fn all(kind: Kind) -> GetArgs {
        GetArgs { kind, name: None, service: None, environment: None, since: None, limit: None }
    }
}

/// A row in all its forms.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) json: Value,
    pub(super) cells: Vec<Cell>,
}

/// Lists.
pub(super) async fn run(context: &Context, links: &Links, args: &GetArgs) -> Result<(), Failure> {
    if args.since.is_some() && !matches!(args.kind, Kind::Deployments | Kind::Dora) {
        return Err(Failure::usage("--since is for what has ended").todo("get deployments, or get dora"));
    }
    if args.kind == Kind::Configurations {
        return apply::in_force(context, args.name.as_deref()).await;
    }
    let rows = match args.kind {
        Kind::Receipts | Kind::Deployments | Kind::Dora => links.all_rows().await?,
        Kind::Alerts => links.rows(Need::Alerts).await?,
        _ => links.rows(Need::All).await?,
    };
    if args.kind == Kind::Alerts {
        silence::told(&rows)?;
    }
    let mut list = list(&rows, args, now())?;
    if list.is_empty()
        && let Some(named) = args.name.as_ref()
        && let Some(name) = renamed(&rows, named)
    {
        say(&format!("{named} is called {name} now"));
        list = self::list(&rows, &GetArgs { name: Some(name), ..args.clone() }, now())?;
    }
    let limit = args.limit.unwrap_or(usize::MAX);
    if args.kind == Kind::Receipts {
        // They stand in the order in which they came: the newest are the last ones.
        list.drain(..list.len().saturating_sub(limit));
    }
    list.truncate(limit);
    if let (Some(name), true) = (&args.name, list.is_empty()) {
        return Err(rows.absent(&format!("{name:?}"), nothing(&rows, args, name)));
    }
    let names: Vec<_> = list.iter().map(|row| row.name.clone()).collect();
    let json: Vec<_> = list.iter().map(|row| &row.json).collect();
    let table = Table { heads: heads(args.kind), rows: list.iter().map(|row| row.cells.clone()).collect() };
    if rows.sight.unseen.is_empty() {
        context.output.data(&json, &table, &names)?;
    } else {
        // No list of rows alone, or what could not be seen would read as what is not there.
        context.output.data(&json!({ "rows": json, "unseen": rows.sight.unseen }), &table, &names)?;
    }
    rows.whole()
}

/// What a service is called now that was called so, with the environment that was named.
fn renamed(rows: &Rows, name: &str) -> Option<String> {
    let place = ServicePlace::of(name);
    let ended = rows.deployments().find(|of| of.called.as_ref() == Some(&place.service)).map(|of| &of.service);
    let first = |of: &&Rollout| of.run.target.first_name.as_deref() == Some(place.service.as_str());
    let service = ended.or_else(|| rows.rollouts().find(first).map(|of| &of.service))?.clone();
    (service != place.service).then(|| ServicePlace { service, ..place }.to_string())
}

fn nothing(rows: &Rows, args: &GetArgs, name: &str) -> Failure {
    let of = match args.kind {
        // One could be of a thousand: their services are what can be asked for.
        Kind::Deployments | Kind::Dora => Kind::Services,
        kind => kind,
    };
    let names = list(rows, &GetArgs::all(of), Timestamp::MAX).unwrap_or_default();
    let names: Vec<_> = names.into_iter().map(|row| row.name).collect();
    let failure = Failure::usage(format!("there is no {name:?}"));
    failure.todo(if names.is_empty() {
        "there are none at all".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    })
}

const fn heads(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Rollouts => &["ROLLOUT", "VERSION", "STEP", "TRAFFIC", "READY", "PHASE", "MESSAGE"],
        Kind::Approvals => &["APPROVAL", "FOR", "VERSION", "WHAT", "BY", "SINCE", "VOTES", "STATE"],
        Kind::Services => &["SERVICE", "SOURCE", "KIND", "CONFIGURATION", "ENVIRONMENTS", "JOBS", "RUNNING"],
        Kind::Configurations => &[], // told by `apply`
        Kind::Environments => &["ENVIRONMENT", "SOURCE", "ORDER", "TIER"],
        Kind::Receipts => &["RECEIPT", "ACTION", "OBJECT", "BY", "STAGE", "DETAIL"],
        Kind::Releases => &["SERVICE", "VERSION", "ADDED", "BY", "COMMIT", "DIGEST"],
        Kind::Migrations => &["MIGRATION", "OF", "STATE", "RUN WITH", "A WAY BACK"],
        Kind::Holds => &["HOLD", "SOURCE", "SCOPE", "OWNER", "SINCE", "HELD", "REASON"],
        Kind::Alerts => &["ALERT", "NAME", "SEVERITY", "STATE", "CONCERNS", "SINCE", "SUMMARY"],
        Kind::Objectives => objectives::HEADS,
        Kind::Deployments => &["ENDED", "ROLLOUT", "VERSION", "KIND", "OUTCOME", "TOOK", "ROLLBACK", "BY", "CAUSE"],
        Kind::Dora => &[
            "OF",
            "DEPLOYS A DAY",
            "LEAD TIME P50 / P90",
            "RECOVERY",
            "FAIL RATE",
            "REWORK",
            "ROLLBACK",
            "BY HAND",
            "UNKNOWN",
        ],
        Kind::Instances => &["INSTANCE", "OF", "VERSION", "ROLE", "STATE", "PID", "ADDRESS", "RESTARTS"],
    }
}

#[expect(clippy::disallowed_methods, reason = "a command line is a shell: it has the clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn list(rows: &Rows, args: &GetArgs, now: Timestamp) -> Result<Vec<Row>, Failure> {
    match args.kind {
        Kind::Dora => return history::dora(rows, args, now),
        Kind::Migrations => return migration::rows(rows, args),
        Kind::Alerts => return alerts::rows(rows, args),
        Kind::Objectives => return objectives::rows(rows, args, now),
        _ => {}
    }
    let mut list = Vec::new();
    let names = target::Names::of(rows);
    for entity in &rows.entities {
        let row = match (args.kind, entity) {
            (Kind::Rollouts, Entity::Rollout(row)) if of(args, &row.service.0, &row.environment.0) => {
                rollout(row, names.name(row))?
            }
            (Kind::Approvals, Entity::Approval(row)) if of(args, &row.service.0, &row.environment.0) => approval(row)?,
            (Kind::Services, Entity::Service(row)) if of_service(args, &row.name.0) => service(row)?,
            (Kind::Environments, Entity::Environment(row)) => environment(row)?,
            (Kind::Receipts, Entity::Receipt(row)) => receipt(row)?,
            (Kind::Releases, Entity::Release(row)) if of_service(args, &row.service.0) => release(row)?,
            (Kind::Holds, Entity::Hold(row)) => hold(row)?,
            (Kind::Instances, Entity::Instance(row))
                if of(args, &row.target.name, row.target.namespace.as_deref().unwrap_or_default()) =>
            {
                instance(row)?
            }
            (Kind::Deployments, Entity::RolloutRecord(row))
                if of(args, &row.service.0, &row.environment.0) && history::wanted(args, now, row) =>
            {
                history::deployment(row)?
            }
            _ => continue,
        };
        list.push((order(entity), matches(args, entity, &row.name), row));
    }
    list.sort_by_key(|(order, ..)| *order);
    Ok(list.into_iter().filter(|(_, named, _)| *named).map(|(_, _, row)| row).collect())
}

pub(super) fn of(args: &GetArgs, service: &str, environment: &str) -> bool {
    of_service(args, service) && args.environment.as_ref().is_none_or(|wanted| wanted == environment)
}

fn of_service(args: &GetArgs, service: &str) -> bool {
    args.service.as_ref().is_none_or(|wanted| wanted == service)
}

fn matches(args: &GetArgs, entity: &Entity, name: &str) -> bool {
    args.name.as_ref().is_none_or(|wanted| {
        wanted == name
            || match entity {
                Entity::RolloutRecord(_) => true,
                Entity::Rollout(rollout) => target::means(wanted, rollout),
                _ => false,
            }
    })
}

/// Environments by promotion, what has ended with the newest first, what else has a time by that, the rest as the server has it.
fn order(entity: &Entity) -> (i128, u32) {
    match entity {
        Entity::Environment(environment) => (0, environment.order),
        Entity::Receipt(receipt) => (receipt.stages.first().map_or(0, |first| first.at.as_nanosecond()), 0),
        Entity::Approval(approval) => (approval.requested.as_nanosecond(), 0),
        Entity::RolloutRecord(deployment) => (-deployment.ended.as_nanosecond(), 0),
        _ => (0, 0),
    }
}

pub(super) fn value<T: serde::Serialize>(row: &T) -> Result<Value, Failure> {
    serde_json::to_value(row).map_err(|error| Failure::failed(format!("a row can't be written as JSON: {error}")))
}

/// The row as JSON with the tokens that `--pin` takes.
fn pinned<T: serde::Serialize>(
    row: &T,
    facts: &Facts,
    actions: impl Iterator<Item = Action>,
) -> Result<Value, Failure> {
    let mut json = value(row)?;
    let pins = actions.map(|action| (action.name().to_owned(), json!(facts.pin(action).to_string()))).collect();
    if let Value::Object(fields) = &mut json {
        fields.insert("pins".to_owned(), Value::Object(pins));
    }
    Ok(json)
}

/// How good a phase is.
pub(super) const fn tone(phase: Phase) -> Tone {
    match phase {
        Phase::Healthy => Tone::Good,
        Phase::Failed | Phase::Degraded | Phase::Aborted => Tone::Bad,
        Phase::Paused | Phase::RollingBack | Phase::Unknown => Tone::Warn,
        Phase::Initializing | Phase::Queued | Phase::Progressing | Phase::Superseded => Tone::Plain,
    }
}

/// `1.9.0 → 1.10.0`, or what runs.
pub(super) fn versions(rollout: &Rollout) -> String {
    match (rollout.stable(), rollout.candidate()) {
        (Some(stable), Some(candidate)) => format!("{} → {}", stable.version, candidate.version),
        (Some(one), None) | (None, Some(one)) => one.version.to_string(),
        (None, None) => "-".to_owned(),
    }
}

/// `2/6`, or nothing without steps.
pub(super) fn step(rollout: &Rollout) -> String {
    match rollout.step {
        Some(step) if !rollout.steps.is_empty() => {
            format!("{}/{}", (step as usize + 1).min(rollout.steps.len()), rollout.steps.len())
        }
        _ => "-".to_owned(),
    }
}

/// The candidate's share: in force, and wanted where that differs.
pub(super) fn traffic(rollout: &Rollout) -> String {
    match rollout.candidate().map(|arm| arm.traffic).filter(|_| !rollout.is_worker()) {
        None => "-".to_owned(),
        Some(traffic) => match traffic.actual {
            Some(actual) if actual == traffic.desired => actual.to_string(),
            Some(actual) => format!("{actual} of {}", traffic.desired),
            None => format!("{}?", traffic.desired),
        },
    }
}

fn rollout(row: &Rollout, name: String) -> Result<Row, Failure> {
    let ready: Vec<_> = row.arms.iter().map(|arm| format!("{}/{}", arm.replicas.ready, arm.replicas.desired)).collect();
    let cells = vec![
        name.as_str().into(),
        versions(row).into(),
        step(row).into(),
        traffic(row).into(),
        ready.join(" + ").into(),
        Cell { text: row.phase.word().to_owned(), tone: tone(row.phase) },
        row.message.as_str().into(),
    ];
    Ok(Row { name, json: pinned(row, &row.facts, row.offers.iter())?, cells })
}

fn approval(row: &Approval) -> Result<Row, Failure> {
    let yes = row.votes.iter().filter(|vote| vote.verdict == crate::model::Verdict::Approved).count();
    let from = row.from.as_ref().map(|from| format!("{} → ", from.version)).unwrap_or_default();
    let state = match &row.state {
        ApprovalState::Pending => "pending".to_owned(),
        ApprovalState::Approved => "approved".to_owned(),
        ApprovalState::Rejected => "rejected".to_owned(),
        ApprovalState::Expired => "expired".to_owned(),
        ApprovalState::Superseded { by } => format!("superseded by {by}"),
    };
    let cells = vec![
        row.id.to_string().into(),
        format!("{}@{}", row.service, row.environment).into(),
        format!("{from}{}", row.to.version).into(),
        row.what.as_str().into(),
        row.author.as_str().into(),
        at(row.requested).into(),
        format!("{yes}/{}", row.requirement.count).into(),
        state.into(),
    ];
    let actions = [Action::Approve, Action::Reject].into_iter().filter(|_| row.state == ApprovalState::Pending);
    Ok(Row { name: row.id.to_string(), json: pinned(row, &row.facts, actions)?, cells })
}

fn service(row: &Service) -> Result<Row, Failure> {
    let environments: Vec<_> = row.environments.iter().map(ToString::to_string).collect();
    let jobs = row.places.iter().flat_map(|place| &place.jobs);
    let jobs: BTreeSet<String> = jobs.map(|job| format!("{} {}", job.name, job.spec.schedule)).collect();
    let jobs = if jobs.is_empty() { "-".to_owned() } else { jobs.into_iter().collect::<Vec<_>>().join(", ") };
    let running: Vec<_> = row.places.iter().flat_map(running).collect();
    let running = if running.is_empty() { "-".to_owned() } else { running.join(", ") };
    let configuration = row.configuration.as_ref().map_or("-", |name| name.as_str());
    let cells = vec![
        row.name.to_string().into(),
        row.source.to_string().into(),
        row.kind.map_or("-", ServiceKind::word).into(),
        configuration.into(),
        environments.join(", ").into(),
        jobs.into(),
        running.into(),
    ];
    Ok(Row { name: row.name.to_string(), json: value(row)?, cells })
}

/// What runs once beside the instances, by the id that `run --end` and `logs` take: `job-7 bin/console by ann`.
fn running(place: &Place) -> Vec<String> {
    let by_hand = place.one_offs.iter().filter(|of| of.ended.is_none());
    let jobs = place.jobs.iter().filter_map(|job| Some((&job.name, job.running.as_ref()?)));
    let by_clock = jobs.filter(|(_, run)| place.one_offs.iter().all(|of| of.id != run.id));
    let by_hand = by_hand.map(|of| format!("{} {} by {}", of.id, of.run.first().map_or("", String::as_str), of.by));
    by_hand.chain(by_clock.map(|(name, run)| format!("{} {name}", run.id))).collect()
}

fn environment(row: &Environment) -> Result<Row, Failure> {
    let json = value(row)?;
    let tier = json.get("tier").and_then(Value::as_str).unwrap_or_default().to_owned();
    let cells =
        vec![row.name.to_string().into(), row.source.to_string().into(), row.order.to_string().into(), tier.into()];
    Ok(Row { name: row.name.to_string(), json, cells })
}

fn receipt(row: &Receipt) -> Result<Row, Failure> {
    let cells = act::table(std::slice::from_ref(row)).rows.concat();
    Ok(Row { name: row.id.to_string(), json: value(row)?, cells })
}

fn release(row: &Release) -> Result<Row, Failure> {
    let digests: Vec<_> = row.artifacts.iter().map(|artifact| artifact.digest.clone()).collect();
    let cells = vec![
        row.service.to_string().into(),
        row.version.to_string().into(),
        at(row.added).into(),
        row.author.as_str().into(),
        row.commit.as_deref().unwrap_or("-").into(),
        digests.join(" ").into(),
    ];
    Ok(Row { name: format!("{} {}", row.service, row.version), json: value(row)?, cells })
}

fn hold(row: &Hold) -> Result<Row, Failure> {
    let (held, undone) = (row.held().count(), row.undone().count());
    let undone = if undone == 0 { String::new() } else { format!(", {undone} undone") };
    let cells = vec![
        row.id.to_string().into(),
        row.source.to_string().into(),
        row.selector.to_string().into(),
        row.owner.as_str().into(),
        at(row.since).into(),
        format!("{held}/{}{undone}", row.targets.len()).into(),
        row.reason.as_deref().unwrap_or("-").into(),
    ];
    Ok(Row { name: row.id.to_string(), json: value(row)?, cells })
}

fn instance(row: &Instance) -> Result<Row, Failure> {
    let word = |json: Option<&Value>| json.and_then(Value::as_str).unwrap_or_default().replace('_', " ");
    let json = value(row)?;
    let why = word(json.pointer("/state/data/why"));
    let state = format!("{} {why}", word(json.pointer("/state/type")));
    let cells = vec![
        row.id.as_str().into(),
        row.target.to_string().into(),
        row.version.to_string().into(),
        word(json.pointer("/role/type")).into(),
        state.trim_end().into(),
        row.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()).into(),
        row.address.as_deref().unwrap_or("-").into(),
        row.restarts.to_string().into(),
    ];
    Ok(Row { name: row.id.clone(), json, cells })
}

/// A moment to the second, in UTC: the same on every machine that prints it.
pub(super) fn at(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
