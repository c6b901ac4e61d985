//! `doctor`: is everything as it should be, and what to do where it is not.

mod certificates;
mod jobs;
mod private;
mod sources;

use super::output::{Cell, Table, Tone};
use super::{Context, Failure};
use crate::client::Client;
use crate::config::settings;
use crate::integration::PROVIDERS;
use crate::model::{Entity, Listening, Query, Reply, Service, sanitize_line};
use crate::notify::Outbox;
use crate::port::Checked;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: String,
    verdict: Verdict,
    what: String,
    todo: Option<String>,
}

fn ok(name: &str, what: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Ok, what: what.into(), todo: None }
}

fn warn(name: &str, what: impl Into<String>, todo: &str) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Warn, what: what.into(), todo: Some(todo.to_owned()) }
}

fn fail(name: &str, what: impl Into<String>, todo: &str) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Fail, what: what.into(), todo: Some(todo.to_owned()) }
}

/// What a provider found.
fn said(name: &str, checked: Checked) -> Check {
    match checked {
        Checked::Good(what) => ok(name, what),
        Checked::Doubtful { what, todo } => warn(name, what, &todo),
        Checked::Bad { what, todo } => fail(name, what, &todo),
    }
}

/// Checks, and fails if anything is wrong.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let configuration = configuration(context);
    let readable = configuration.verdict == Verdict::Ok;
    let mut checks = vec![configuration];
    checks.extend(folders(context));
    checks.extend(private::check(&context.paths.data));
    checks.extend(disk(&context.paths.data));
    checks.push(socket(client.socket()));
    let destinations = if readable { destinations(context).await } else { Vec::new() };
    let (own, sources) = if readable { sources::check(context).await } else { (false, Vec::new()) };
    let server = server(&client, own).await;
    let up = server.verdict == Verdict::Ok;
    checks.push(server);
    checks.extend(others(context).await);
    if up {
        checks.extend([ledger(&client).await, clock(&client).await, proxy(&client).await]);
        checks.extend(services(&client).await);
    }
    checks.extend(sources);
    checks.extend(destinations);
    checks.extend(told(context));
    checks.extend(terminal());
    let rows = checks.iter().map(|check| {
        let (word, tone) = match check.verdict {
            Verdict::Ok => ("ok", Tone::Good),
            Verdict::Warn => ("warn", Tone::Warn),
            Verdict::Fail => ("fail", Tone::Bad),
        };
        let what = check.todo.as_ref().map_or_else(|| check.what.clone(), |todo| format!("{}: {todo}", check.what));
        vec![Cell { text: word.to_owned(), tone }, check.name.as_str().into(), what.into()]
    });
    let table = Table { heads: &[], rows: rows.collect() };
    let wrong: Vec<_> =
        checks.iter().filter(|check| check.verdict == Verdict::Fail).map(|check| check.name.clone()).collect();
    context.output.data(&checks, &table, &wrong)?;
    if wrong.is_empty() { Ok(()) } else { Err(Failure::failed(format!("not well: {}", wrong.join(", ")))) }
}

fn configuration(context: &Context) -> Check {
    let path = context.paths.settings();
    match settings::load(&context.paths, PROVIDERS, &[]) {
        Ok(_) if path.exists() => ok("config", path.display().to_string()),
        Ok(_) => ok("config", format!("defaults; {} is not there", path.display())),
        Err(error) => fail(
            "config",
            error.to_string().replace('\n', "; "),
            "mend the file; `flightdeck config check` reads it again",
        ),
    }
}

fn folders(context: &Context) -> Vec<Check> {
    let ours = rustix::process::getuid().as_raw();
    let check = |name: &str, path: &Path| {
        let shown = path.display();
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                ok(name, format!("{shown} is made when needed"))
            }
            Err(error) => fail(name, format!("{shown}: {error}"), "check the permissions of the folders above it"),
            Ok(about) if !about.is_dir() => fail(name, format!("{shown} is no folder"), "move it away"),
            Ok(about) if about.uid() != ours => {
                warn(name, format!("{shown} belongs to user {}", about.uid()), "it is another user's server")
            }
            Ok(about) if about.permissions().mode() & 0o026 != 0 => {
                let mode = about.permissions().mode() & 0o777;
                warn(name, format!("{shown} has mode {mode:o}"), "chmod 700 it, so that others can't read it")
            }
            Ok(_) => ok(name, shown.to_string()),
        }
    };
    vec![check("data", &context.paths.data), check("runtime", &context.paths.runtime)]
}

/// Less than this is too little for the next artifacts and logs.
const LEAST_FREE: u64 = 1 << 30;

/// Room for what the server writes; nothing where it has written nothing yet.
fn disk(data: &Path) -> Option<Check> {
    let about = match rustix::fs::statvfs(data) {
        Ok(about) => about,
        Err(rustix::io::Errno::NOENT) => return None,
        Err(error) => return Some(warn("disk", format!("{}: {error}", data.display()), "look at it with `df`")),
    };
    let (free, all) = (about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize);
    let what = format!("{} MiB of {} MiB are free at {}", free >> 20, all >> 20, data.display());
    let todo = "make room, or keep less: serve.retention in config.toml";
    Some(if free < LEAST_FREE.min(all / 20) { warn("disk", what, todo) } else { ok("disk", what) })
}

fn socket(path: &Path) -> Check {
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) => warn("socket", format!("{shown}: {error}"), "start a server with `flightdeck serve`"),
        Ok(about) if !about.file_type().is_socket() => fail("socket", format!("{shown} is no socket"), "move it away"),
        Ok(about) if about.permissions().mode() & 0o007 != 0 => {
            let mode = about.permissions().mode() & 0o777;
            fail(
                "socket",
                format!("{shown} has mode {mode:o}"),
                "restart the server: it should be 600, or 660 with --group",
            )
        }
        Ok(about) => ok("socket", format!("{shown}, mode {:o}", about.permissions().mode() & 0o777)),
    }
}

/// The other servers of the settings.
async fn others(context: &Context) -> Vec<Check> {
    let Ok(loaded) = settings::load(&context.paths, PROVIDERS, &[]) else { return Vec::new() };
    let servers = if context.globals.server.is_some() { Vec::new() } else { loaded.settings.servers };
    let each = servers.into_iter().map(|of| async move {
        let name = format!("server {}", of.name);
        let todo = "is it running, and is its `url` in config.toml right?";
        match super::socket_of(&of.url).and_then(|socket| Ok(Client::unix(&socket)?)) {
            Err(failure) => fail(&name, failure.what, todo),
            Ok(client) => match client.healthy().await {
                Ok(()) => ok(&name, format!("{} answers", of.url)),
                Err(error) => fail(&name, error.in_full(), todo),
            },
        }
    });
    futures::future::join_all(each).await
}

/// With sources of one's own nobody needs a server.
async fn server(client: &Client, own: bool) -> Check {
    if let Err(error) = client.healthy().await {
        let absent = if own { warn } else { fail };
        return absent("server", error.in_full(), "`flightdeck serve` starts one; its own words are on its stderr");
    }
    match client.query(Query::WhoAmI).await {
        Ok(Reply::WhoAmI { actor, enforced }) => {
            let policy = if enforced { "enforced" } else { "advisory" };
            ok("server", format!("answers; you are {} there, policy {policy}", actor.name))
        }
        Ok(other) => fail("server", super::unexpected(&other).what, "are both of the same version?"),
        Err(error) => fail("server", error.in_full(), "are both of the same version?"),
    }
}

async fn ledger(client: &Client) -> Check {
    let todo = "keep the file as it is and compare it with a backup or an export";
    match client.query(Query::VerifyLedger).await {
        Ok(Reply::Lines(lines)) => ok("ledger", lines.lines.join("; ")),
        Ok(Reply::Refused(refusal)) => fail("ledger", refusal.why, todo),
        Ok(other) => fail("ledger", super::unexpected(&other).what, todo),
        Err(error) => fail("ledger", error.in_full(), todo),
    }
}

/// A clock that stands before the newest record would make new records look older than old ones.
#[expect(clippy::disallowed_methods, reason = "the clock is what is checked")]
async fn clock(client: &Client) -> Check {
    let now = Timestamp::now();
    let newest = match client.query(Query::Ledger { limit: 1 }).await {
        Ok(Reply::Lines(lines)) => lines.lines.last().and_then(|line| {
            let record: serde_json::Value = serde_json::from_str(line).ok()?;
            record.get("at")?.as_str()?.parse::<Timestamp>().ok()
        }),
        _ => None,
    };
    match newest {
        Some(newest) if newest > now => fail(
            "clock",
            format!("{now} is before the newest record, {newest}"),
            "set the clock; check time synchronisation",
        ),
        _ => ok("clock", super::get::at(now)),
    }
}

async fn proxy(client: &Client) -> Check {
    let todo = "the server starts it again by itself; if it stays so, see the server's words on its stderr";
    match client.metrics().await {
        Err(error) => fail("proxy", error.in_full(), todo),
        Ok(text) => match text.lines().find_map(|line| line.strip_prefix("flightdeck_proxy_up ")) {
            Some("1") => ok("proxy", "connected"),
            Some(_) => fail("proxy", "the server has no connection to it; traffic follows its last route", todo),
            None => warn("proxy", "the server says nothing of it", todo),
        },
    }
}

/// What the rows of services and instances tell.
#[expect(clippy::disallowed_methods, reason = "certificates are held against the clock")]
async fn services(client: &Client) -> Vec<Check> {
    let rows = match client.query(Query::Current).await {
        Ok(Reply::Board(rows)) => rows,
        Ok(other) => return vec![fail("addresses", super::unexpected(&other).what, "are both of the same version?")],
        Err(error) => return vec![fail("addresses", error.in_full(), "are both of the same version?")],
    };
    let services = rows.iter().filter_map(|row| if let Entity::Service(service) = row { Some(service) } else { None });
    let services: Vec<&Service> = services.collect();
    let mut checks = vec![addresses(&services)];
    checks.extend(certificates::check(&services, Timestamp::now()));
    checks.push(limits(&rows));
    checks.extend(jobs::check(&services));
    // The socket is the server's own.
    let server = std::fs::metadata(client.socket()).map(|about| about.uid());
    if matches!(server, Ok(0)) {
        checks.push(users(&rows));
    }
    checks
}

/// What runs as root since nobody named a user.
fn users(rows: &[Entity]) -> Check {
    let services = rows.iter().filter_map(|row| if let Entity::Service(service) = row { Some(service) } else { None });
    let places: Vec<_> = services
        .flat_map(|service| service.places.iter().map(move |place| (service, place)))
        .filter(|(_, place)| place.user.is_none())
        .map(|(service, place)| format!("{}@{}", service.name, place.environment))
        .collect();
    if places.is_empty() {
        return ok("users", "no service runs as root");
    }
    let what = format!("the server runs as root, and so does {}", places.join(", "));
    warn("users", what, "name a user for it in flightdeck.toml, such as user = \"www-data\"")
}

/// Limits that this machine does not keep as they are meant.
fn limits(rows: &[Entity]) -> Check {
    let instances = rows.iter().filter_map(|row| if let Entity::Instance(row) = row { Some(row) } else { None });
    let lacking: BTreeSet<String> = instances
        .flat_map(|row| {
            let name = format!("{}@{}", row.target.name, row.target.namespace.as_deref().unwrap_or_default());
            row.limits.iter().filter_map(|kept| kept.lacking()).map(move |why| format!("{name}: {why}"))
        })
        .collect();
    if lacking.is_empty() {
        return ok("limits", "each that is set is kept");
    }
    let what = lacking.into_iter().collect::<Vec<_>>().join("; ");
    warn("limits", what, "they need cgroup v2 with the controllers memory, cpu and pids, and a server that is root")
}

/// Every service's address is listened on, or free for its first version.
fn addresses(services: &[&Service]) -> Check {
    let todo =
        "end the program that has the address, or give the service another one; it is tried again until it works";
    let all: Vec<_> =
        services.iter().flat_map(|service| service.addresses.iter().map(move |of| (service, of))).collect();
    let silent: Vec<String> = all
        .iter()
        .filter_map(|(service, of)| match &of.listening {
            Listening::Refused { why } => {
                Some(format!("{} in {} is not listening: {why}", service.name, of.environment))
            }
            _ => None,
        })
        .collect();
    if silent.is_empty() {
        let open = all.iter().filter(|(_, of)| of.listening == Listening::Open).count();
        return ok("addresses", format!("{open} of {} are listened on, none is taken", all.len()));
    }
    fail("addresses", silent.join("; "), todo)
}

/// Whoever is to be told outside: can each be opened?
async fn destinations(context: &Context) -> Vec<Check> {
    let Ok(loaded) = settings::load(&context.paths, PROVIDERS, &[]) else { return Vec::new() }; // said above
    let mut checks = Vec::new();
    for (name, notify) in &loaded.settings.notify {
        let title = sanitize_line(&format!("notify {name}"));
        checks.push(match super::notify::checked(name, notify).await {
            Ok(checked) => said(&title, checked),
            Err(failure) => fail(&title, failure.what, "mend the file"),
        });
    }
    checks
}

/// What nobody was told who was to be; nothing where nobody is.
fn told(context: &Context) -> Option<Check> {
    let path = super::notify::outbox_file(context);
    let todo = "flightdeck notify test NAME tries one; flightdeck notify status shows them all";
    let missed = match path.exists().then(|| Outbox::open(&path).and_then(|outbox| outbox.undelivered()))? {
        Ok(missed) => missed,
        Err(error) => return Some(fail("notify", error.to_string(), todo)),
    };
    if missed.is_empty() {
        return Some(ok("notify", "everything that was to be told was told"));
    }
    let words = missed.iter().map(|of| {
        let why = if of.why.is_empty() { "not tried yet" } else { &of.why };
        format!("{}: {} waiting, {} given up ({why})", of.destination, of.waiting, of.given_up)
    });
    Some(warn("notify", words.collect::<Vec<_>>().join("; "), todo))
}

fn terminal() -> Vec<Check> {
    let (stdin, stdout) = (std::io::stdin().is_terminal(), std::io::stdout().is_terminal());
    let mut checks = Vec::new();
    let term = std::env::var("TERM").unwrap_or_default();
    checks.push(match crossterm::terminal::size() {
        _ if !stdin || !stdout => ok("terminal", "none: output goes elsewhere"),
        _ if matches!(term.as_str(), "" | "dumb") => {
            fail("terminal", format!("TERM is {term:?}"), "the cockpit needs one that can move the cursor; set TERM")
        }
        Ok((columns, rows)) if columns < 80 || rows < 24 => {
            warn("terminal", format!("{term}, {columns}×{rows}"), "the cockpit is made for 80×24 and more")
        }
        Ok((columns, rows)) => ok("terminal", format!("{term}, {columns}×{rows}")),
        Err(error) => {
            warn("terminal", format!("{term}, size unknown: {error}"), "the cockpit asks again when it starts")
        }
    });
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_default();
    let wide = locale.to_lowercase().replace('-', "").contains("utf8");
    checks.push(if wide {
        ok("locale", locale)
    } else {
        warn("locale", format!("{locale:?} is not UTF-8"), "set LANG=C.UTF-8, or lines and marks may look wrong")
    });
    checks
}
