//! `status`: one screen of text.

use super::get::{self, step, traffic, versions};
use super::links::{Links, Need};
use super::output::{Cell, Format, Table, Tone, print};
use super::target::{Rows, name};
use super::{Context, Failure, unexpected, watch};
use crate::client::Link;
use crate::model::{
    ApprovalState, Hold, HoldId, HoldTarget, LinkState, Phase, Query, Reply, Rollout, Watch, sanitize_line,
};
use serde_json::json;
use std::collections::BTreeMap;

/// Prints it.
pub(super) async fn run(context: &Context, links: &Links) -> Result<(), Failure> {
    let mut hubs = Vec::new();
    for link in &links.each {
        match link.query(Query::WhoAmI).await? {
            Reply::WhoAmI { actor, enforced } => hubs.push((link.place(), actor, enforced)),
            other => return Err(unexpected(&other)),
        }
    }
    let rows = links.rows(Need::Alerts).await?;
    let ill = rows.watches.iter().filter(|watch| !matches!(watch.state, LinkState::Live { only: None, .. }));
    let ill: Vec<&Watch> = ill.collect();
    let rollouts: Vec<_> = rows.rollouts().collect();
    let needs = needs(&rows);
    let flying: Vec<_> = rollouts.iter().copied().filter(|rollout| rollout.phase.in_flight()).collect();
    match context.output.format {
        Format::Name => {
            super::output::print_lines(&flying.iter().map(|r| name(r)).collect::<Vec<_>>())?;
            return rows.whole();
        }
        Format::Json | Format::Yaml => {
            let first = hubs.first();
            context.output.document(&json!({
                "server": links.each.iter().find_map(Link::server).map(|client| client.socket().display().to_string()),
                "actor": first.map(|(_, actor, _)| actor),
                "enforced": hubs.iter().all(|(.., enforced)| *enforced),
                "hubs": hubs.iter().map(|(place, actor, enforced)| {
                    json!({ "place": place, "actor": actor, "enforced": enforced })
                }).collect::<Vec<_>>(),
                "unseen": rows.sight.unseen,
                "not_live": ill,
                "holds": rows.holds().collect::<Vec<_>>(),
                "environments": rows.environments().collect::<Vec<_>>(),
                "needs_you": needs.iter().map(|need| json!({ "object": need.0, "why": need.2 })).collect::<Vec<_>>(),
                "in_flight": flying,
            }))?;
            return rows.whole();
        }
        Format::Table => {}
    }
    let mut text = String::new();
    for (place, actor, enforced) in &hubs {
        let policy = if *enforced { "policy enforced" } else { "policy advisory" };
        text += &[actor.name.as_str(), " at ", place, ", ", policy, "\n"].concat();
    }
    for Watch { scope, state } in &ill {
        let what = sanitize_line(format!("{} {}", scope.source, scope.part).trim_end());
        text += &context.output.paint(Tone::Warn, &format!("{what} {}", sanitize_line(&watch::link(state))));
        text.push('\n');
    }
    text += &context.output.columns(&environments(&rows));
    for (id, of) in holds(&rows) {
        let Some(first) = of.first() else { continue };
        let (held, undone): (usize, usize) =
            of.iter().fold((0, 0), |(held, undone), hold| (held + hold.held().count(), undone + hold.undone().count()));
        let sources: Vec<_> = of.iter().map(|hold| hold.source.as_str()).collect();
        let why = first.reason.as_deref().unwrap_or("no reason given");
        let undone = if undone == 0 { String::new() } else { format!(", {undone} undone from outside") };
        let words = format!("hold {id} by {} at {}, {held} held{undone}: {why}", first.owner, sources.join(", "));
        text += &context.output.paint(Tone::Warn, &sanitize_line(&words));
        text.push('\n');
    }
    let whole = rows.sight.unseen.is_empty();
    text += &part(
        context,
        ("Needs you", whole),
        needs.into_iter().map(|(object, tone, why)| vec![object.into(), Cell { text: why, tone }]).collect(),
    );
    let told = flying.iter().map(|row| {
        let phase = Cell { text: row.phase.word().to_owned(), tone: get::tone(row.phase) };
        let traffic = match row.candidate().filter(|_| row.is_worker()) {
            Some(arm) => arm.running(),
            None => format!("traffic {}", traffic(row)),
        };
        let step = format!("step {}", step(row));
        vec![name(row).into(), versions(row).into(), step.into(), traffic.into(), phase, row.message.as_str().into()]
    });
    text += &part(context, ("In flight", whole), told.collect());
    print(&text)?;
    rows.whole()
}

/// Holds by their id, over all sources that have it.
fn holds(rows: &Rows) -> BTreeMap<&HoldId, Vec<&Hold>> {
    let mut by_id: BTreeMap<&HoldId, Vec<&Hold>> = BTreeMap::new();
    for hold in rows.holds() {
        by_id.entry(&hold.id).or_default().push(hold);
    }
    by_id
}

fn part(context: &Context, (head, whole): (&str, bool), rows: Vec<Vec<Cell>>) -> String {
    if rows.is_empty() {
        return format!("{head}: nothing{}\n", if whole { "" } else { " that could be seen" });
    }
    let columns = context.output.columns(&Table { heads: &[], rows });
    columns.lines().fold(format!("{head}:\n"), |text, line| text + "  " + line + "\n")
}

fn environments(rows: &Rows) -> Table {
    let mut environments: Vec<_> = rows.environments().collect();
    environments.sort_by_key(|environment| environment.order);
    let rows = environments.iter().map(|environment| {
        let (source, name) = (&environment.source, &environment.name);
        let of = |rollout: &&Rollout| rollout.run.target.source == *source && rollout.environment == *name;
        let here: Vec<_> = rows.rollouts().filter(of).collect();
        let alike = environments.iter().filter(|other| other.name == *name).count() > 1;
        let count = |wanted: fn(&Rollout) -> bool| here.iter().filter(|rollout| wanted(rollout)).count();
        let (well, flying, ill) = (
            count(|rollout| rollout.phase == Phase::Healthy),
            count(|rollout| rollout.phase.in_flight()),
            count(|rollout| matches!(rollout.phase, Phase::Degraded | Phase::Failed | Phase::Aborted | Phase::Unknown)),
        );
        let tone = if ill > 0 { Tone::Bad } else { Tone::Plain };
        vec![
            Cell::from(if alike { format!("{source}/{name}") } else { name.to_string() }),
            format!("{well} healthy").into(),
            format!("{flying} in flight").into(),
            Cell { text: format!("{ill} not well"), tone },
        ]
    });
    Table { heads: &[], rows: rows.collect() }
}

/// What waits for a person, worst first: object, tone, why.
fn needs(rows: &Rows) -> Vec<(String, Tone, String)> {
    let ill = rows
        .rollouts()
        .filter(|row| matches!(row.phase, Phase::Failed | Phase::Degraded | Phase::RollingBack))
        .map(|row| (name(row), get::tone(row.phase), format!("{}: {}", row.phase.word(), row.message)));
    let approvals = rows.approvals().filter(|approval| approval.state == ApprovalState::Pending).map(|approval| {
        let (object, since) = (format!("{}@{}", approval.service, approval.environment), get::at(approval.requested));
        let why =
            format!("waits for approval {} of {} since {since}: {}", approval.id, approval.to.version, approval.what);
        (object, Tone::Warn, why)
    });
    let paused = rows
        .rollouts()
        .filter(|row| row.phase == Phase::Paused && row.awaits_human())
        .filter(|row| !rows.approvals().any(|a| a.run == row.run && a.state == ApprovalState::Pending))
        .map(|row| (name(row), Tone::Warn, format!("paused since {}: {}", get::at(row.since), row.message)));
    let undone = rows.holds().flat_map(|hold| {
        let words = |target: &HoldTarget| format!("hold {} undone: {}", hold.id, target.note);
        hold.undone().map(move |target| (target.run.target.to_string(), Tone::Bad, words(target)))
    });
    let places = rows.services().flat_map(|service| service.places.iter().map(move |place| (service, place)));
    let jobs = places.flat_map(|(service, place)| {
        let object = format!("{}@{}", service.name, place.environment);
        place.jobs.iter().filter_map(move |job| {
            let tone = if job.failure().is_some() { Tone::Bad } else { Tone::Warn };
            Some((object.clone(), tone, format!("job {} {}", job.name, job.trouble()?)))
        })
    });
    undone.chain(ill).chain(jobs).chain(approvals).chain(paused).collect()
}
