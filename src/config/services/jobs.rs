//! Programs that a service has run by the clock.

use super::hooks;
use super::known::{NAME, SECOND, is_name, or};
use crate::reader::{Table, Value, quoted};
use flightdeck_model::{EnvironmentName, JobSpec, Placement, Schedule, ServiceKind};
use jiff::SignedDuration;
use jiff::civil::Time;
use std::collections::BTreeMap;

/// Jobs of one service: each of its placements may get them all.
const MOST_JOBS: usize = 100;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const TIMES: &str = "a time of day in UTC such as \"04:00\", or a list of them";
const TIME: &str = "a time of day in UTC such as \"04:00\"";

/// A job with its place, and where it runs.
pub(super) struct Job<'d> {
    name: &'d str,
    value: Value<'d>,
    spec: JobSpec,
    environments: Vec<&'d str>,
}

/// `[service.X.job.NAME]`. `places` are the environments of the service.
pub(super) fn jobs<'d>(value: &Value<'d>, kind: ServiceKind, places: &[&'d str]) -> Option<Vec<Job<'d>>> {
    let table = value.map()?;
    if table.len() > MOST_JOBS {
        value.wrong(&format!("expected at most {MOST_JOBS} jobs, found {}", table.len()), None);
        return None;
    }
    let all: Vec<_> = table.entries().map(|(name, value)| job(name, value, kind, places)).collect();
    all.into_iter().collect()
}

fn job<'d>(name: &'d str, value: Value<'d>, kind: ServiceKind, places: &[&'d str]) -> Option<Job<'d>> {
    let named = is_name(name);
    if !named {
        value.wrong_key(&format!("expected {NAME}"), None);
    }
    let table = value.table(&["run", "every", "at", "timeout", "in"])?;
    let run = table.need("run", hooks::RUN).and_then(|value| hooks::program(&value, kind, "job"));
    let schedule = schedule(&table, &value);
    let timeout = or(&table, "timeout", SignedDuration::from_hours(1), |value| value.duration(SECOND));
    let environments = or(&table, "in", places.to_vec(), |value| environments(&value, places));
    let spec = JobSpec { run: run?, schedule: schedule?, timeout: timeout? };
    Some(Job { name, value, spec, environments: environments? }).filter(|_| named)
}

fn schedule(table: &Table<'_>, job: &Value<'_>) -> Option<Schedule> {
    match (table.get("every"), table.get("at")) {
        (Some(every), None) => every.duration(MINUTE).map(Schedule::Every),
        (None, Some(at)) => times(&at).map(Schedule::At),
        (Some(every), Some(_)) => {
            every.wrong_key("expected either this or \"at\"", None);
            None
        }
        (None, None) => {
            job.wrong_key("expected when it runs: every = \"1h\", or at = \"04:00\" (UTC)", None);
            None
        }
    }
}

fn times(value: &Value<'_>) -> Option<Vec<Time>> {
    if value.is_text() {
        return time(value).map(|time| vec![time]);
    }
    let all: Vec<_> = value.list(TIMES)?.iter().map(time).collect();
    let mut all = all.into_iter().collect::<Option<Vec<_>>>()?;
    if all.is_empty() {
        value.wrong("expected at least one time, found none", None);
        return None;
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// Hours and minutes, two digits each.
fn time(value: &Value<'_>) -> Option<Time> {
    let text = value.text(TIME)?;
    let read = |text: &str| Time::strptime("%H:%M", text).ok();
    let time = read(text).filter(|time| time.strftime("%H:%M").to_string() == text);
    if time.is_none() {
        let meant = read(text.trim()).or_else(|| read(&format!("{text}:00")));
        value.expected(TIME, meant.map(|time| quoted(&time.strftime("%H:%M").to_string())));
    }
    time
}

fn environments<'d>(value: &Value<'d>, places: &[&'d str]) -> Option<Vec<&'d str>> {
    let all: Vec<_> = value
        .list("a list of environments such as [\"production\"]")?
        .iter()
        .map(|value| {
            let name = value.text("the name of an environment")?;
            let found = places.iter().find(|place| **place == name).copied();
            if found.is_none() {
                let meant = value.nearest(name, places.iter().copied()).map(quoted);
                value.expected("an environment that the service runs in", meant);
            }
            found
        })
        .collect();
    let all = all.into_iter().collect::<Option<Vec<_>>>()?;
    if all.is_empty() {
        value.wrong("expected at least one environment, found none; left out it is all of the service", None);
        return None;
    }
    Some(all)
}

/// Gives each placement its jobs; `None` (noted) if logs could not tell one from a hook.
pub(super) fn place(jobs: &[Job<'_>], placements: &mut BTreeMap<EnvironmentName, Placement>) -> Option<()> {
    let mut fine = true;
    for job in jobs {
        if let Some((environment, _)) =
            placements.iter().find(|(_, of)| of.hooks.iter().any(|hook| hook.name == job.name))
        {
            let what = format!("expected a name that no hook or migration has, one of {environment} has it");
            job.value.wrong_key(&what, None);
            fine = false;
        }
        for environment in &job.environments {
            if let Some(placement) = placements.get_mut(&EnvironmentName::from(*environment)) {
                placement.jobs.insert(job.name.to_owned(), job.spec.clone());
            }
        }
    }
    fine.then_some(())
}
