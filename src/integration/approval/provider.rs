//! What the kinds of systems of approvals have in common in the registry.

use super::client::{Cache, Client, Problem, now};
use super::system::{ApprovalSystem, Known};
use flightdeck_model::{counted, counted_do};
use flightdeck_port::{Checked, Configured, WrongSetting};
use std::collections::BTreeMap;
use std::time::Duration;

/// More often than this nothing is asked: each look is a request a place and some for each of what waits there.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_hours(1);

/// Places that are named in a table, at a key of it.
pub(super) struct Places<'a> {
    pub key: &'static str,
    pub names: &'a [String],
    /// `a repository`
    pub what: &'static str,
    /// `OWNER/NAME`
    pub form: &'static str,
    pub example: &'static str,
    /// May one be called so?
    pub is_one: fn(&str) -> bool,
}

impl Places<'_> {
    pub fn check(&self) -> Result<(), WrongSetting> {
        let Places { key, names, what, form, example, is_one } = self;
        if names.is_empty() {
            return Err(WrongSetting::at(key, format!("expected at least one, such as \"{example}\"")));
        }
        if let Some(wrong) = names.iter().find(|name| !is_one(name)) {
            return Err(WrongSetting::at(key, format!("expected {form}, found {wrong:?}")));
        }
        let mut all: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        all.sort_unstable();
        all.dedup();
        if all.len() < names.len() {
            return Err(WrongSetting::at(key, format!("{what} is named twice")));
        }
        Ok(())
    }
}

/// A part of a path to a project, of what such names may be made of.
pub(super) fn is_name(part: &str) -> bool {
    let dots = part.chars().all(|c| c == '.');
    !dots && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

pub(super) fn check_every(every: Duration) -> Result<(), WrongSetting> {
    if (SOONEST..=LATEST).contains(&every) {
        return Ok(());
    }
    Err(WrongSetting::at("every", format!("expected a duration from 5s to 1h, found {every:?}")))
}

/// A table that can't be used.
pub(super) fn wrong(configured: &Configured, error: WrongSetting) -> Checked {
    Checked::Bad { what: error.what, todo: format!("correct [sources.{}] in config.toml", configured.name) }
}

/// Asks who it is, and each place what waits there.
pub(super) async fn looked(system: &dyn ApprovalSystem, url: &str) -> Checked {
    let cache = &mut Cache::default();
    let login = match system.login(cache).await {
        Ok(login) => login,
        Err(Problem::Forbidden(_) | Problem::Missing(_)) => None,
        Err(problem) => return bad(system.client(), &problem, url),
    };
    let (mut waiting, mut unread) = (0, Vec::new());
    let known = Known { login: login.as_deref(), now: now() };
    for place in system.places() {
        match system.look(place, cache, &BTreeMap::new(), known).await {
            Ok(seen) => waiting += seen.gates.values().filter(|gate| gate.waiting.is_some()).count(),
            Err(problem) => unread.push(format!("{place}: {}", system.client().sentence(&problem))),
        }
    }
    if !unread.is_empty() {
        let todo = format!("give the token the rights that {} names on each of them", system.words().rights.1);
        return Checked::Bad { what: unread.join("; "), todo };
    }
    let who = login.as_deref().unwrap_or("nobody it names");
    let (waiting, place) = (counted_do(waiting, "deployment", "wait"), system.words().place);
    let many = counted(system.places().len(), place);
    Checked::Good(format!("as {who}: {waiting} for a yes (looked at: {many}); the right to decide shows with each"))
}

fn bad(client: &Client, problem: &Problem, url: &str) -> Checked {
    let todo = match problem {
        Problem::Unauthorized(_) => "make a new token, and put it where its reference points to".to_owned(),
        Problem::Limited(_) => "wait, or look less often (every)".to_owned(),
        _ => format!("see whether {url} is the address of its REST API, and reachable from here"),
    };
    Checked::Bad { what: client.sentence(problem), todo }
}
