//! How instances are run: what a service says everywhere, and what an environment says otherwise.

use super::confine;
use super::known::{Known, MILLISECOND, SECOND, or};
use crate::error::nearest;
use crate::reader::{Table, Value, alternatives, quoted};
use flightdeck_model::{HealthSpec, Overrides, Probe, SecretRef, ServiceKind, ServiceName, ServiceSpec, StopSpec};
use jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a service and each of its environments may say.
pub(super) const KEYS: [&str; 9] = ["run", "env", "secrets", "health", "stop", "user", "group", "groups", "limits"];
/// What `run` looks like.
pub(super) const RUN: &str = "a list of texts such as [\"bin/app\", \"--port\", \"{port}\"]";
/// What `health` looks like.
pub(super) const HEALTH: &str = "a table such as { path = \"/healthz\" }";
/// What an instance's command line and variables may contain.
const PLACEHOLDERS: [&str; 6] = ["port", "instance", "version", "environment", "service", "flightdeck"];
/// A worker that still runs after so long has come up.
const READY_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// How an instance may be told to end.
const SIGNALS: [&str; 6] = ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"];

/// Reads what a table says of it.
pub(super) fn overrides(table: &Table<'_>, kind: ServiceKind, known: &Known<'_>) -> Option<Overrides> {
    let run = or(table, "run", None, |value| command(&value, RUN, &PLACEHOLDERS).map(Some));
    let env = or(table, "env", BTreeMap::new(), |value| env(&value));
    let secrets = or(table, "secrets", BTreeMap::new(), |value| secrets(&value, table, known));
    let health = or(table, "health", None, |value| health(&value, kind).map(Some));
    let stop = or(table, "stop", None, |value| stop(&value).map(Some));
    let run_as = match table.get("user") {
        Some(user) => confine::run_as(table, &user, known).map(Some),
        None => confine::no_groups(table).then_some(None),
    };
    let limits = or(table, "limits", None, |value| confine::limits(&value).map(Some));
    Some(Overrides {
        run: run?,
        env: env?,
        secrets: secrets?,
        health: health?,
        stop: stop?,
        run_as: run_as?,
        limits: limits?,
    })
}

/// Notes what is wrong with a service as a whole in one of its environments. `table` is the service's.
pub(super) fn check<'d>(name: &str, table: &Table<'d>, service: &ServiceSpec, known: &Known<'d>) {
    let places = table.get("in").and_then(|value| value.map());
    let service_name = ServiceName::from(name);
    let (mut deaf, mut asked) = (false, BTreeSet::new());
    for environment in service.placements.keys() {
        let Some(program) = service.program(&service_name, environment) else { continue };
        let place = places.as_ref().and_then(|places| places.get(environment.as_str())).and_then(|value| value.map());
        let own = place.as_ref().and_then(|place| place.get("run"));
        let told = service.kind == ServiceKind::Worker
            || program.run.iter().chain(program.env.values()).any(|text| text.contains("{port}"));
        // What several environments take from their service is said once.
        if !told && (own.is_some() || !deaf) {
            deaf |= own.is_none();
            if let Some(value) = own.or_else(|| table.get("run")) {
                value.wrong(&format!(
                    "expected {{port}} among these, or in a variable such as env = {{ PORT = \"{{port}}\" }}: an instance \
                     in {environment} would not know where to listen"
                ), None);
            }
        }
        for (variable, reference) in &program.secrets {
            let of = |table: &Table<'d>| table.get("secrets")?.map()?.get(variable);
            let own = place.as_ref().and_then(of);
            if own.is_none() && !asked.insert((variable.clone(), reference.clone())) {
                continue;
            }
            if let (Some(value), Some(machine)) = (own.or_else(|| of(table)), known.machine)
                && let Err(why) = machine.secret(reference)
            {
                value.wrong(&why, None);
            }
        }
    }
}

/// Reads program and arguments.
pub(super) fn command(value: &Value<'_>, expected: &str, placeholders: &[&str]) -> Option<Vec<String>> {
    let words: Option<Vec<_>> =
        value.list(expected)?.iter().map(|word| word.text("text").map(|text| (word.clone(), text))).collect();
    let words = words?;
    if words.first().is_none_or(|(_, program)| program.is_empty()) {
        value.wrong("expected a program as the first element, found none", None);
        return None;
    }
    // Each is looked at, so that all that is wrong is told.
    let wrong = words.iter().filter(|(word, text)| !are_known(word, text, placeholders, true)).count();
    (wrong == 0).then(|| words.into_iter().map(|(_, text)| text.to_owned()).collect())
}

/// False (noted) if a text has a placeholder that there is not. Unless it is `strict`, only one that looks like
/// one of ours: braces may belong to the program.
fn are_known(value: &Value<'_>, text: &str, known: &[&str], strict: bool) -> bool {
    let mut fine = true;
    for (at, rest) in text.match_indices('{').filter_map(|(at, _)| Some((at, text.get(at + 1..)?))) {
        let Some((name, _)) = rest.split_once('}') else { continue };
        if known.contains(&name) {
            continue;
        }
        // `${NAME}`, `%{name}` and `{{name}}` are of shells and templates.
        if text.get(..at).is_some_and(|before| before.ends_with(['$', '%', '{'])) {
            continue;
        }
        let meant = value.nearest(name, known.iter().copied());
        let word = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if meant.is_some() || (strict && word) {
            let names: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
            let all = if meant.is_some() { String::new() } else { format!(", expected one of {}", names.join(", ")) };
            value.wrong(&format!("unknown placeholder {{{name}}}{all}"), meant.map(|meant| format!("{{{meant}}}")));
            fine = false;
        }
    }
    fine
}

/// Reads a table of environment variables.
fn variables<T>(value: &Value<'_>, read: impl Fn(&Value<'_>, &str) -> Option<T>) -> Option<BTreeMap<String, T>> {
    let all: Vec<_> = value
        .map()?
        .entries()
        .map(|(name, value)| {
            let named = !name.is_empty() && !name.contains(['=', '\0']);
            if !named {
                value.wrong_key("expected the name of an environment variable, without \"=\"", None);
            }
            read(&value, name).filter(|_| named).map(|read| (name.to_owned(), read))
        })
        .collect();
    all.into_iter().collect()
}

fn env(value: &Value<'_>) -> Option<BTreeMap<String, String>> {
    variables(value, |value, _| {
        let text = value.text("text, as environment variables are")?;
        are_known(value, text, &PLACEHOLDERS, false).then(|| text.to_owned())
    })
}

fn secrets(value: &Value<'_>, table: &Table<'_>, known: &Known<'_>) -> Option<BTreeMap<String, SecretRef>> {
    let plain = table.get("env").filter(Value::is_table).and_then(|env| env.map());
    variables(value, |value, name| {
        if plain.as_ref().is_some_and(|plain| plain.get(name).is_some()) {
            value.wrong_key("is in \"env\" already; expected each variable in one of the two", None);
            return None;
        }
        secret(value, known)
    })
}

fn secret(value: &Value<'_>, known: &Known<'_>) -> Option<SecretRef> {
    // The text may be the secret itself: neither it nor what it is instead of text is repeated.
    let text = value.is_text().then(|| value.text("text")).flatten();
    let reference = match text.unwrap_or_default().parse::<SecretRef>() {
        Ok(reference) => reference,
        Err(error) => {
            value.wrong(&error.to_string(), None);
            return None;
        }
    };
    if !are_known(value, text.unwrap_or_default(), &SecretRef::PLACEHOLDERS, true) {
        return None;
    }
    let absolute = |path: &str| {
        let path = Path::new(path);
        let path =
            if path.is_absolute() { Some(path.to_owned()) } else { known.folder.map(|folder| folder.join(path)) };
        if path.is_none() {
            value.wrong("expected an absolute path, since it is not known where this file lies", None);
        }
        path.map(|path| path.display().to_string())
    };
    match reference {
        SecretRef::File(path) => absolute(&path).map(SecretRef::File),
        SecretRef::Env(name) => Some(SecretRef::Env(name)),
        SecretRef::Command(mut words) => {
            // A plain name is looked for in the server's PATH.
            if let Some(program) = words.first_mut().filter(|program| program.contains('/')) {
                *program = absolute(program)?;
            }
            Some(SecretRef::Command(words))
        }
    }
}

/// How a service is checked that says nothing of it; `None`: it must say it.
pub(super) fn unchecked(kind: ServiceKind) -> Option<HealthSpec> {
    let probe = match kind {
        ServiceKind::Http => return None,
        ServiceKind::Tcp => Probe::Tcp {},
        ServiceKind::Worker => Probe::Runs { ready_after: READY_AFTER },
    };
    Some(HealthSpec { probe, interval: SECOND, healthy: 2, unhealthy: 3, timeout: SECOND })
}

/// Of these a check has one.
const PROBES: [&str; 4] = ["path", "tcp", "command", "ready_after"];

fn health(value: &Value<'_>, kind: ServiceKind) -> Option<HealthSpec> {
    let keys: Vec<_> = PROBES.into_iter().chain(["interval", "healthy", "unhealthy", "timeout"]).collect();
    let table = value.table(&keys)?;
    let probe = probe(&table, kind);
    // A program that is started for each check costs more than a request, and says more.
    let (pace, enough) = if matches!(probe, Some(Probe::Command { .. })) { (SECOND * 5, 1) } else { (SECOND, 2) };
    let interval = or(&table, "interval", pace, |value| value.duration(SignedDuration::from_millis(10)));
    let timeout = or(&table, "timeout", pace, |value| value.duration(MILLISECOND));
    let healthy = or(&table, "healthy", enough, |value| value.count(1..=1000));
    let unhealthy = or(&table, "unhealthy", 3, |value| value.count(1..=1000));
    Some(HealthSpec { probe: probe?, interval: interval?, healthy: healthy?, unhealthy: unhealthy?, timeout: timeout? })
}

fn probe(table: &Table<'_>, kind: ServiceKind) -> Option<Probe> {
    let tcp = or(table, "tcp", false, |value| value.flag())?;
    let mut named = PROBES.iter().filter_map(|name| Some((*name, table.get(name)?)));
    let mut named = named.by_ref().filter(|(name, _)| *name != "tcp" || tcp);
    let found = named.next();
    if let (Some((first, _)), Some((_, second))) = (&found, named.next()) {
        second.wrong_key(&format!("is beside {first}; expected one of the two"), None);
        return None;
    }
    let unfit = |value: &Value<'_>, instead: &str| {
        let expected = format!("is no check of a service of kind \"{}\"; expected {instead}", kind.word());
        value.wrong_key(&expected, None);
    };
    match (found, kind) {
        (Some(("command", value)), _) => {
            let expected = "a list of texts such as [\"bin/alive\"]";
            command(&value, expected, &PLACEHOLDERS).map(|command| Probe::Command { command })
        }
        (Some(("ready_after", value)), ServiceKind::Worker) => {
            value.duration(SignedDuration::ZERO).map(|ready_after| Probe::Runs { ready_after })
        }
        (Some((_, value)), ServiceKind::Worker) => {
            unfit(&value, "command = [\"bin/alive\"], or ready_after = \"5s\"");
            None
        }
        (None, ServiceKind::Worker) => Some(Probe::Runs { ready_after: READY_AFTER }),
        (Some(("tcp", _)), _) | (None, ServiceKind::Tcp) => Some(Probe::Tcp {}),
        (Some(("ready_after", value)), _) | (Some((_, value)), ServiceKind::Tcp) => {
            unfit(&value, "tcp = true, or command = [\"bin/alive\"]");
            None
        }
        (_, ServiceKind::Http) => path(&table.need("path", "a path such as \"/healthz\"")?),
    }
}

fn path(value: &Value<'_>) -> Option<Probe> {
    let expected = "a path that starts with \"/\" and has no spaces";
    let path = value.text(expected)?;
    let fine = path.starts_with('/') && path.is_ascii() && !path.contains([' ', '#']);
    if !fine {
        let meant = format!("/{}", path.trim_start_matches('/'));
        value.expected(expected, (!path.starts_with('/') && !path.contains("://")).then(|| quoted(&meant)));
    }
    fine.then(|| Probe::Http { path: path.to_owned() })
}

fn stop(value: &Value<'_>) -> Option<StopSpec> {
    let table = value.table(&["signal", "grace"])?;
    let signal = or(&table, "signal", "TERM", |value| {
        let text = value.text(&alternatives(&SIGNALS))?;
        let short = text.to_uppercase();
        let short = short.strip_prefix("SIG").unwrap_or(&short);
        if !SIGNALS.contains(&text) {
            value.expected(&alternatives(&SIGNALS), nearest(short, SIGNALS).map(quoted));
        }
        SIGNALS.into_iter().find(|signal| *signal == text)
    });
    let grace = or(&table, "grace", SignedDuration::from_secs(10), |value| value.duration(SignedDuration::ZERO));
    Some(StopSpec { signal: signal?.to_owned(), grace: grace? })
}
