//! How much a client may send: each name, text and list of a command or question, in one place.
//!
//! What is longer is refused with the name of the field and its bound, before anything is done with it.

use super::time::length;
use super::{
    Command, ConfigName, EnvironmentName, HoldId, LONGEST_SILENCE, Pin, Query, Refusal, RefusalKind, Run,
    SHORTEST_SILENCE, Selector, ServiceName, SourceId, Subject, Target, Version,
};
use jiff::SignedDuration;

/// Longest name of anything, in bytes: DNS names have 253, contexts of clusters may be longer.
pub const LONGEST_NAME: usize = 512;
/// Longest id of a command.
pub const LONGEST_ID: usize = 128;
/// Longest reason.
pub const LONGEST_REASON: usize = 2000;
/// Longest value of one fact of a pin.
pub const LONGEST_FACT: usize = 1024;
/// Longest command line that is run once.
const LONGEST_RUN: usize = 16 << 10;
/// Longest path of a file.
pub const LONGEST_PATH: usize = 4096;
/// Longest configuration: 1 MiB.
pub const LONGEST_CONFIG: usize = 1 << 20;
/// Most runs that a scope names.
pub const MOST_RUNS: usize = 20_000;
/// Most services that a configuration names to be removed.
const MOST_REMOVED: usize = 1000;
/// Most migrations that a person says something of at once.
pub const MOST_MIGRATIONS: usize = 1000;
/// Longest signed checkpoint.
const LONGEST_NOTE: usize = 16 << 10;

/// Is the text short enough?
pub fn bounded(field: &str, text: &str, most: usize) -> Result<(), Refusal> {
    if text.len() <= most {
        return Ok(());
    }
    let why = format!("{field} has {} bytes, at most {most} are taken; nothing was done", text.len());
    Err(Refusal::new(RefusalKind::Invalid, why))
}

fn name(field: &str, text: &str) -> Result<(), Refusal> {
    bounded(field, text, LONGEST_NAME)
}

fn optional(field: &str, text: Option<&str>, most: usize) -> Result<(), Refusal> {
    text.map_or(Ok(()), |text| bounded(field, text, most))
}

fn run(run: &Run) -> Result<(), Refusal> {
    let Run { target: Target { source, kind, namespace, name: target, uid, first_name }, revision } = run;
    name("run.target.source", source.as_str())?;
    name("run.target.kind", kind)?;
    optional("run.target.namespace", namespace.as_deref(), LONGEST_NAME)?;
    name("run.target.name", target)?;
    name("run.target.uid", uid)?;
    optional("run.target.first_name", first_name.as_deref(), LONGEST_NAME)?;
    name("run.revision", revision)
}

impl Subject {
    /// Is each of its names and texts short enough?
    pub fn bounded(&self) -> Result<(), Refusal> {
        match self {
            Subject::Run(of) => run(of),
            Subject::Approval { id, run: of } => name("approval.id", id.as_str()).and_then(|()| run(of)),
            Subject::Scope { selector: Selector { source, environment, service }, frozen, hold } => {
                optional("hold", hold.as_ref().map(HoldId::as_str), LONGEST_NAME)?;
                optional("selector.source", source.as_ref().map(SourceId::as_str), LONGEST_NAME)?;
                optional("selector.environment", environment.as_ref().map(EnvironmentName::as_str), LONGEST_NAME)?;
                optional("selector.service", service.as_ref().map(ServiceName::as_str), LONGEST_NAME)?;
                if frozen.len() > MOST_RUNS {
                    let why =
                        format!("frozen has {} runs, at most {MOST_RUNS} are taken; nothing was done", frozen.len());
                    return Err(Refusal::new(RefusalKind::Invalid, why));
                }
                frozen.iter().try_for_each(run)
            }
            Subject::Hold { source, id } => {
                optional("hold.source", source.as_ref().map(SourceId::as_str), LONGEST_NAME)?;
                name("hold.id", id.as_str())
            }
            Subject::NewRollout { source, service, environment, version, from } => {
                name("deployment.source", source.as_str())?;
                name("deployment.service", service.as_str())?;
                name("deployment.environment", environment.as_str())?;
                optional("deployment.version", version.as_ref().map(Version::as_str), LONGEST_NAME)?;
                optional("deployment.from", from.as_ref().map(EnvironmentName::as_str), LONGEST_NAME)
            }
            Subject::Release { source, service, version } => {
                name("release.source", source.as_str())?;
                name("release.service", service.as_str())?;
                name("release.version", version.as_str())
            }
            Subject::Migrations { source, service, environment, names, applied: _ } => {
                name("migrations.source", source.as_str())?;
                name("migrations.service", service.as_str())?;
                name("migrations.environment", environment.as_str())?;
                if names.len() > MOST_MIGRATIONS {
                    let (found, most) = (names.len(), MOST_MIGRATIONS);
                    let why = format!("migrations has {found} names, at most {most} are taken; nothing was done");
                    return Err(Refusal::new(RefusalKind::Invalid, why));
                }
                names.iter().try_for_each(|one| name("migrations.names", one))
            }
            Subject::Command { source, service, environment, run, timeout: _, job } => {
                name("command.source", source.as_str())?;
                optional("command.job", job.as_deref(), LONGEST_NAME)?;
                name("command.service", service.as_str())?;
                name("command.environment", environment.as_str())?;
                if run.first().is_none_or(String::is_empty) {
                    return Err(Refusal::new(RefusalKind::Invalid, "run needs a program; nothing was done"));
                }
                bounded("command.run", &run.concat(), LONGEST_RUN)
            }
            Subject::OneOff { source, service, environment, id } => {
                name("command.source", source.as_str())?;
                name("command.service", service.as_str())?;
                name("command.environment", environment.as_str())?;
                name("command.id", id)
            }
            Subject::Receipt { id } => name("receipt.id", id.0.as_str()),
            Subject::Alert { source, fingerprint, run: of, lasts } => {
                name("alert.source", source.as_str()).and_then(|()| name("alert.fingerprint", fingerprint))?;
                lasting(*lasts).and_then(|()| of.as_ref().map_or(Ok(()), run))
            }
            Subject::Silence { source, id } => {
                name("silence.source", source.as_str()).and_then(|()| name("silence.id", id.as_str()))
            }
            Subject::Config { name: called, text, path, remove } => {
                config(called, text, path)?;
                if remove.len() > MOST_REMOVED {
                    let why = format!("remove has {} names, at most {MOST_REMOVED} are taken", remove.len());
                    return Err(Refusal::new(RefusalKind::Invalid, why));
                }
                remove.iter().try_for_each(|place| {
                    name("remove.service", place.service.as_str())?;
                    let environment = place.environment.as_ref().map(EnvironmentName::as_str);
                    optional("remove.environment", environment, LONGEST_NAME)
                })
            }
        }
    }
}

/// How long may a silence last?
fn lasting(lasts: SignedDuration) -> Result<(), Refusal> {
    if (SHORTEST_SILENCE..=LONGEST_SILENCE).contains(&lasts) {
        return Ok(());
    }
    let (least, most) = (length(SHORTEST_SILENCE), length(LONGEST_SILENCE));
    let why = format!("a silence lasts {least} to {most}, not {}; nothing was done", length(lasts));
    Err(Refusal::new(RefusalKind::Invalid, why))
}

fn config(called: &ConfigName, text: &str, path: &str) -> Result<(), Refusal> {
    name("config.name", called.as_str())?;
    bounded("config.text", text, LONGEST_CONFIG).and_then(|()| bounded("config.path", path, LONGEST_PATH))
}

impl Command {
    /// Is each of its names, texts and lists short enough, and its id a visible one?
    pub fn bounded(&self) -> Result<(), Refusal> {
        let Command { id, action: _, subject, pin, reason } = self;
        let id = id.as_str();
        if id.is_empty() || id.len() > LONGEST_ID || id.chars().any(|c| !c.is_ascii_graphic()) {
            let why = format!("a command's id has 1 to {LONGEST_ID} visible ASCII characters");
            return Err(Refusal::new(RefusalKind::Invalid, why));
        }
        optional("reason", reason.as_deref(), LONGEST_REASON)?;
        if let Some(Pin { action: _, facts }) = pin {
            // There is one value at most of each of the known facts.
            for (fact, value) in facts {
                bounded(&format!("pin.{}", fact.word()), value, LONGEST_FACT)?;
            }
        }
        subject.bounded()
    }
}

impl Query {
    /// Is each of its names and texts short enough?
    pub fn bounded(&self) -> Result<(), Refusal> {
        match self {
            Query::Prepare { action: _, subject } => subject.bounded(),
            Query::Inspect { run: of } => run(of),
            Query::Diff { name, text, path } => config(name, text, path),
            Query::Logs { instance, lines: _ } => name("instance", instance),
            Query::Outputs { service, environment } => {
                name("service", service.as_str()).and_then(|()| name("environment", environment.as_str()))
            }
            Query::VerifyLedgerAgainst { witness, key } => {
                optional("witness", witness.as_deref(), LONGEST_NOTE)?;
                optional("key", key.as_deref(), LONGEST_NAME)
            }
            Query::Board
            | Query::Current
            | Query::WhoAmI
            | Query::VerifyLedger
            | Query::ExportLedger
            | Query::LedgerKey
            | Query::Watches
            | Query::Configs { .. }
            | Query::Ledger { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, CommandId, Fact};
    use std::collections::BTreeMap;

    fn target(part: usize, long: usize) -> Run {
        let of = |at: usize| "x".repeat(if at == part { long } else { 1 });
        let target = Target {
            source: of(0).into(),
            kind: of(1),
            namespace: Some(of(2)),
            name: of(3),
            uid: of(4),
            first_name: None,
        };
        Run { target, revision: of(5) }
    }

    fn commands(part: usize, long: usize) -> Vec<(&'static str, Command)> {
        let text = |at: usize| "x".repeat(if at == part { long } else { 1 });
        let subjects = vec![
            ("run", Subject::Run(target(part, long))),
            ("approval", Subject::Approval { id: text(6).as_str().into(), run: target(part, long) }),
            ("hold", Subject::Hold { source: Some(text(0).into()), id: HoldId(text(1)) }),
            (
                "selector",
                Subject::Scope {
                    selector: Selector {
                        source: Some(text(0).into()),
                        environment: Some(text(1).into()),
                        service: Some(text(2).into()),
                    },
                    frozen: vec![target(part.wrapping_sub(3), long)],
                    hold: Some(HoldId(text(9))),
                },
            ),
            (
                "deployment",
                Subject::NewRollout {
                    source: text(0).into(),
                    service: text(1).into(),
                    environment: text(2).into(),
                    version: Some(text(3).into()),
                    from: Some(text(4).into()),
                },
            ),
            ("release", Subject::Release { source: text(0).into(), service: text(1).into(), version: text(2).into() }),
            (
                "migrations",
                Subject::Migrations {
                    source: text(0).into(),
                    service: text(1).into(),
                    environment: text(2).into(),
                    names: vec![text(9), text(3)],
                    applied: true,
                },
            ),
            (
                "one-off",
                Subject::OneOff {
                    source: text(0).into(),
                    service: text(1).into(),
                    environment: text(2).into(),
                    id: text(3),
                },
            ),
            (
                "alert",
                Subject::Alert {
                    source: text(0).into(),
                    fingerprint: text(1),
                    run: Some(target(part.wrapping_sub(2), long)),
                    lasts: SignedDuration::from_mins(5),
                },
            ),
            ("silence", Subject::Silence { source: text(0).into(), id: text(1).into() }),
            (
                "command",
                Subject::Command {
                    source: text(0).into(),
                    service: text(1).into(),
                    environment: text(2).into(),
                    run: vec!["run".to_owned()],
                    timeout: None,
                    job: Some(text(3)),
                },
            ),
        ];
        let command = |subject| Command {
            id: CommandId("id".to_owned()),
            action: Action::Hold,
            subject,
            pin: None,
            reason: None,
        };
        subjects.into_iter().map(|(name, subject)| (name, command(subject))).collect()
    }

    /// How many names each subject has.
    const NAMES: [(&str, usize); 11] = [
        ("run", 6),
        ("approval", 7),
        ("hold", 2),
        ("selector", 10),
        ("deployment", 5),
        ("release", 3),
        ("migrations", 4),
        ("one-off", 4),
        ("alert", 8),
        ("silence", 2),
        ("command", 3),
    ];

    #[test]
    fn each_name_of_each_subject_has_its_bound() {
        for (subject, names) in NAMES {
            for part in 0..names {
                let of = |long| commands(part, long).into_iter().find(|(name, _)| *name == subject).unwrap().1;
                assert_eq!(of(LONGEST_NAME).bounded(), Ok(()), "{subject} {part}");
                let why = of(LONGEST_NAME + 1).bounded().unwrap_err().why;
                assert!(why.contains("has 513 bytes, at most 512 are taken"), "{subject} {part}: {why}");
            }
        }
    }

    #[test]
    fn texts_pins_and_lists_have_theirs() {
        let plain = commands(99, 1).remove(0).1;
        let pin = |long| Pin { action: Action::Hold, facts: BTreeMap::from([(Fact::Stable, "x".repeat(long))]) };
        let scope =
            |runs| Subject::Scope { selector: Selector::default(), frozen: vec![target(9, 1); runs], hold: None };
        let config = |text: usize, path: usize| Subject::Config {
            name: ConfigName::default(),
            text: "x".repeat(text),
            path: "x".repeat(path),
            remove: Vec::new(),
        };
        let run = |words: &[&str]| Subject::Command {
            source: "local".into(),
            service: "shop".into(),
            environment: "dev".into(),
            run: words.iter().map(ToString::to_string).collect(),
            timeout: None,
            job: None,
        };
        let silence = |minutes: i64| Subject::Alert {
            source: "am".into(),
            fingerprint: "f".to_owned(),
            run: None,
            lasts: SignedDuration::from_mins(minutes),
        };
        for (command, why) in [
            (Command { reason: Some("x".repeat(2000)), ..plain.clone() }, None),
            (Command { reason: Some("x".repeat(2001)), ..plain.clone() }, Some("reason has 2001 bytes")),
            (Command { pin: Some(pin(1024)), ..plain.clone() }, None),
            (Command { pin: Some(pin(1025)), ..plain.clone() }, Some("pin.stable has 1025 bytes")),
            (Command { subject: scope(MOST_RUNS), ..plain.clone() }, None),
            (Command { subject: scope(MOST_RUNS + 1), ..plain.clone() }, Some("frozen has 20001 runs")),
            (Command { subject: config(1 << 20, 4096), ..plain.clone() }, None),
            (Command { subject: config((1 << 20) + 1, 1), ..plain.clone() }, Some("config.text has 1048577 bytes")),
            (Command { subject: config(1, 4097), ..plain.clone() }, Some("config.path has 4097 bytes")),
            (Command { subject: run(&["x", &"x".repeat(16_383)]), ..plain.clone() }, None),
            (
                Command { subject: run(&["x", &"x".repeat(16_384)]), ..plain.clone() },
                Some("command.run has 16385 bytes"),
            ),
            (Command { subject: run(&["", "x"]), ..plain.clone() }, Some("run needs a program")),
            (Command { subject: silence(24 * 60), ..plain.clone() }, None),
            (Command { subject: silence(24 * 60 + 1), ..plain.clone() }, Some("a silence lasts 1 m to 24 h, not")),
            (Command { subject: silence(0), ..plain.clone() }, Some("a silence lasts 1 m to 24 h, not")),
            (Command { id: CommandId("x".repeat(129)), ..plain.clone() }, Some("1 to 128 visible")),
            (Command { id: CommandId(String::new()), ..plain.clone() }, Some("1 to 128 visible")),
        ] {
            let found = command.bounded().err().map(|refusal| refusal.why);
            assert!(found.as_deref().unwrap_or_default().contains(why.unwrap_or_default()), "{found:?}, {why:?}");
            assert_eq!(found.is_some(), why.is_some(), "{found:?}");
        }
    }
}
