//! Programs around a rollout: hooks and migrations.

use super::kind;
use super::known::{MILLISECOND, NAME, is_name, or};
use super::program::command;
use crate::reader::{Table, Value};
use flightdeck_model::{HookOn, HookSpec, Migration, ServiceKind};
use jiff::SignedDuration;

/// What a hook's command line may contain.
const PLACEHOLDERS: [&str; 6] = ["version", "environment", "service", "listen", "preview", "flightdeck"];
/// What only an instance's may.
const INSTANCES: [&str; 2] = ["port", "instance"];
/// "Temporary failure" of sysexits.h.
const TEMPFAIL: i32 = 75;
pub(super) const RUN: &str = "a list of texts such as [\"bin/smoke\", \"{listen}\"]";

/// A hook with the place of its name.
#[derive(Clone)]
pub(super) struct Named<'d> {
    pub(super) spec: HookSpec,
    name: Value<'d>,
}

/// `hooks = […]` of a placement.
pub(super) fn around<'d>(value: &Value<'d>, of: ServiceKind) -> Option<Vec<Named<'d>>> {
    let all: Vec<_> = value.list("a list of hooks")?.iter().map(|value| hook(value, of)).collect();
    all.into_iter().collect()
}

/// Migrations of one service: each of its placements gets them all.
const MOST_MIGRATIONS: usize = 100;

/// `[[service.X.migration]]`.
pub(super) fn migrations<'d>(value: &Value<'d>, of: ServiceKind) -> Option<Vec<Named<'d>>> {
    let all = value.list("a list of tables: [[service.NAME.migration]]")?;
    if all.len() > MOST_MIGRATIONS {
        value.wrong(&format!("expected at most {MOST_MIGRATIONS} migrations, found {}", all.len()), None);
        return None;
    }
    let all: Vec<_> = all.iter().map(|value| migration(value, of)).collect();
    let all: Option<Vec<_>> = all.into_iter().collect();
    all.filter(|all| unique(all))
}

/// `{ hook = { … } }` among steps.
pub(super) fn inline<'d>(value: &Value<'d>, of: ServiceKind) -> Option<Named<'d>> {
    let table = value.table(&["name", "run", "timeout", "retries", "backoff", "transient", "irreversible"])?;
    common(&table, HookOn::Step, of)
}

/// All of a placement, migrations first; `None` (noted) if two have one name.
pub(super) fn all<'d>(
    migrations: &[Named<'d>],
    around: Vec<Named<'d>>,
    inline: Vec<Named<'d>>,
) -> Option<Vec<HookSpec>> {
    let all: Vec<_> = migrations.iter().cloned().chain(around).chain(inline).collect();
    unique(&all).then(|| all.into_iter().map(|hook| hook.spec).collect())
}

fn unique(hooks: &[Named<'_>]) -> bool {
    let mut fine = true;
    for (index, hook) in hooks.iter().enumerate() {
        let (earlier, _) = hooks.split_at(index);
        if let Some(other) = earlier.iter().find(|other| other.spec.name == hook.spec.name) {
            hook.name.expected(&format!("a name that {} does not have", other.name.path), None);
            fine = false;
        }
    }
    fine
}

fn hook<'d>(value: &Value<'d>, of: ServiceKind) -> Option<Named<'d>> {
    let keys = ["name", "run", "on", "every", "timeout", "retries", "backoff", "transient", "irreversible"];
    let table = value.table(&keys)?;
    let expected = "when it runs: \"before\", \"after\", \"rollback\" or \"while\"";
    let on = table.need("on", expected).and_then(|value| {
        value.word(&[("before", "before"), ("after", "after"), ("rollback", "rollback"), ("while", "while")])
    });
    let every = or(&table, "every", None, |value| value.duration(MILLISECOND * 10).map(Some));
    let on = match (on, every) {
        (Some("while"), Some(None)) => {
            table.need("every", "the time between two runs such as \"10s\"");
            None
        }
        (Some("while"), Some(Some(every))) => Some(HookOn::While { every }),
        (Some(_), Some(Some(_))) => {
            let every = table.get("every")?;
            every.wrong_key("expected only in a hook with on = \"while\"", None);
            None
        }
        (Some("before"), _) => Some(HookOn::Before),
        (Some("after"), _) => Some(HookOn::After),
        (Some(_), _) => Some(HookOn::Rollback),
        (None, _) => None,
    };
    let hook = common(&table, on.unwrap_or(HookOn::Before), of);
    on.and(hook)
}

fn common<'d>(table: &Table<'d>, on: HookOn, of: ServiceKind) -> Option<Named<'d>> {
    let name = name(table);
    let run = table.need("run", RUN).and_then(|value| program(&value, of, "hook"));
    let timeout = or(table, "timeout", SignedDuration::from_secs(30), |value| value.duration(MILLISECOND * 100));
    let retries = or(table, "retries", 0, |value| value.count(0..=100));
    let backoff = or(table, "backoff", SignedDuration::from_secs(1), |value| value.duration(MILLISECOND * 10));
    let transient = or(table, "transient", vec![TEMPFAIL], |value| transient(&value));
    let irreversible = or(table, "irreversible", None, |value| reason(&value).map(Some));
    let name = name?;
    Some(Named {
        spec: HookSpec {
            name: name.1.to_owned(),
            run: run?,
            on,
            timeout: timeout?,
            retries: retries?,
            backoff: backoff?,
            transient: transient?,
            migration: None,
            irreversible: irreversible?,
        },
        name: name.0,
    })
}

fn migration<'d>(value: &Value<'d>, of: ServiceKind) -> Option<Named<'d>> {
    let table = value.table(&["name", "run", "back", "irreversible", "timeout"])?;
    let name = name(&table);
    let run = table.need("run", RUN).and_then(|value| program(&value, of, "hook"));
    let back = or(&table, "back", Vec::new(), |value| program(&value, of, "hook"));
    let timeout = or(&table, "timeout", SignedDuration::from_mins(5), |value| value.duration(MILLISECOND * 100));
    let irreversible = or(&table, "irreversible", None, |value| reason(&value).map(Some));
    if let (Some(_), Some(why)) = (table.get("back"), table.get("irreversible")) {
        why.wrong_key("expected either this or \"back\": what has a way back is not irreversible", None);
        return None;
    }
    let name = name?;
    Some(Named {
        spec: HookSpec {
            name: name.1.to_owned(),
            run: run?,
            on: HookOn::Before,
            timeout: timeout?,
            retries: 0,
            backoff: SignedDuration::from_secs(1),
            transient: vec![TEMPFAIL],
            migration: Some(Migration { back: back? }),
            irreversible: irreversible?,
        },
        name: name.0,
    })
}

fn name<'d>(table: &Table<'d>) -> Option<(Value<'d>, &'d str)> {
    let value = table.need("name", NAME)?;
    let text = value.text(NAME)?;
    if !is_name(text) {
        value.expected(NAME, None);
        return None;
    }
    Some((value, text))
}

/// The command line of what is run once: `what` it is, such as `hook`.
pub(super) fn program(value: &Value<'_>, of: ServiceKind, what: &str) -> Option<Vec<String>> {
    for word in value.elements() {
        kind::addressed(of, &word, what)?;
        let found = INSTANCES.iter().find(|name| word.says(&format!("{{{name}}}")));
        if let Some(name) = found {
            word.wrong(&format!("a {what} has no {{{name}}}"), Some("{listen}".to_owned()));
            return None;
        }
    }
    command(value, RUN, &PLACEHOLDERS)
}

fn transient(value: &Value<'_>) -> Option<Vec<i32>> {
    let all: Vec<_> = value
        .list("a list of exit statuses such as [75]")?
        .iter()
        .map(|value| value.count(1..=255).and_then(|status| i32::try_from(status).ok()))
        .collect();
    all.into_iter().collect()
}

fn reason(value: &Value<'_>) -> Option<String> {
    let expected = "the reason in words, such as \"mails are sent\"";
    let text = value.text(expected)?;
    if text.trim().is_empty() {
        value.expected(expected, None);
        return None;
    }
    Some(text.to_owned())
}
