//! `drill`: rehearses the way back in an environment whose users can bear it, and measures it.

use super::act::{self, ActArgs, Until};
use super::links::{Links, Need};
use super::output::{Table, say};
use super::target::Rows;
use super::{Code, Context, Failure, complete, confirm, target, unexpected};
use crate::board::rollback_plan::estimate;
use crate::client::{Link, fresh_id};
use crate::model::time::span;
use crate::model::{
    Action, Command, DeploymentKind, Query, Reply, RollbackPlan, Rollout, RolloutRecord, Run, Subject, Tier,
};
use clap::Args;
use jiff::SignedDuration;
use serde::Serialize;
use std::collections::BTreeSet;

/// Options of `drill`.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// Which service, or source/service where several sources have it.
    #[arg(value_name = "SERVICE", add = complete::services())]
    pub service: String,
    /// Where; not where customers are hurt.
    #[arg(long = "in", value_name = "ENV", add = complete::environments())]
    pub environment: String,
    /// Why; goes into the ledger.
    #[arg(short, long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Go on without asking. Scripts need it: without a terminal nothing is asked, it is refused.
    #[arg(short, long)]
    pub yes: bool,
    /// How long to wait for both ways, such as 90s or 5m.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub timeout: SignedDuration,
}

/// What a drill found out.
#[derive(Debug, Serialize)]
struct Measured {
    run: Run,
    /// What served before and serves again.
    version: Option<String>,
    /// What it went back to.
    to: Option<String>,
    /// From the decision until all traffic was back.
    rollback: SignedDuration,
    /// What was said beforehand; `None`: never measured.
    estimate: Option<SignedDuration>,
    /// How many times that was of.
    n: u32,
    /// The objective.
    rto: Option<SignedDuration>,
    /// Is what was measured within it?
    meets_rto: Option<bool>,
}

/// Rolls back, returns, and tells how long the way back took.
pub(super) async fn run(context: &Context, links: &Links, args: &DrillArgs) -> Result<(), Failure> {
    context.may_change()?;
    let rows = links.rows(Need::Named(&args.service)).await?;
    let (source, service) = target::service(&rows, &args.service, Some(&args.environment))?;
    let rollout = target::rollout(&rows, &format!("{source}/{}/{service}", args.environment))?;
    bearable(&rows, rollout)?;
    let (run, way) = (rollout.run.clone(), rollout.rollback_plan.clone());
    let way = way.as_deref();
    let link = links.of(Some(&source))?;
    let subject = Subject::Run(run.clone());
    let prepared = act::prepare(link, Action::Drill, subject.clone()).await?;
    if args.yes {
        // Who is asked sees it there.
        prepared.forecast.lines.iter().for_each(|line| say(line));
        prepared.forecast.all_warnings().for_each(|warning| say(&warning));
    }
    let (wait, timeout) = (Some(Until::Effect), Some(args.timeout));
    let act = ActArgs { reason: args.reason.clone(), yes: args.yes, wait, timeout };
    let confirmed = confirm::confirm(&prepared, &act)?;
    let command =
        Command { id: fresh_id(), action: Action::Drill, subject, pin: confirmed.pin, reason: confirmed.reason };
    let before: BTreeSet<Run> = drills(link, &run).await?.into_iter().map(|of| of.run).collect();
    let id = command.id.clone();
    let receipt = act::followed(link, &id.0, &act, link.submit(command)).await?;
    act::outcome(&receipt)?;
    let drill = drills(link, &run).await?.into_iter().find(|of| !before.contains(&of.run));
    let Some((drill, rollback)) = drill.and_then(|of| of.rollback.map(|took| (of, took))) else {
        return Err(Failure::failed("the drill has ended, but no time to roll back was recorded"));
    };
    tell(context, &drill, rollback, way)
}

/// Nobody rehearses on customers.
fn bearable(rows: &Rows, rollout: &Rollout) -> Result<(), Failure> {
    let here = rows
        .environments()
        .find(|environment| environment.source == rollout.run.target.source && environment.name == rollout.environment);
    if here.is_none_or(|environment| environment.tier != Tier::Critical) {
        return Ok(());
    }
    let what = format!("refused: {} is critical, and a drill sends its users back and forth", rollout.environment);
    Err(Failure::new(Code::Refused, what).todo("rehearse it in an environment below"))
}

/// The drills that are known of a target.
async fn drills(link: &Link, run: &Run) -> Result<Vec<RolloutRecord>, Failure> {
    let entities = match link.query(Query::Board).await? {
        Reply::Board(entities) => entities,
        other => return Err(unexpected(&other)),
    };
    let rows = Rows { entities, ..Rows::default() };
    let of_it = |of: &&RolloutRecord| of.kind == DeploymentKind::Drill && of.run.target == run.target;
    Ok(rows.deployments().filter(of_it).cloned().collect())
}

fn tell(
    context: &Context,
    drill: &RolloutRecord,
    rollback: SignedDuration,
    way: Option<&RollbackPlan>,
) -> Result<(), Failure> {
    let rto = way.and_then(|way| way.rto);
    let measured = Measured {
        run: drill.run.clone(),
        version: drill.from.as_ref().map(ToString::to_string),
        to: way.map(|way| way.to.to_string()),
        rollback,
        estimate: way.and_then(|way| way.estimate),
        n: way.map_or(0, |way| way.measured),
        rto,
        meets_rto: rto.map(|rto| rollback <= rto),
    };
    let met = match (rto, measured.meets_rto) {
        (Some(rto), Some(true)) => format!("{}: met", span(rto)),
        (Some(rto), _) => format!("{}: missed", span(rto)),
        (None, _) => "none is set".to_owned(),
    };
    let table = Table {
        heads: &["DRILL", "TIME TO ROLL BACK", "SAID BEFORE", "RTO"],
        rows: vec![vec![
            format!("{}@{}", drill.service, drill.environment).into(),
            span(rollback).into(),
            way.map_or_else(|| "no plan".to_owned(), estimate).into(),
            met.into(),
        ]],
    };
    context.output.data(&measured, &table, &[drill.run.to_string()])
}
