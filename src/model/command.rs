//! Commands: what a person asks for. A client never names the actor; the hub does.

use super::{
    Action, ApprovalId, CommandId, ConfigName, EnvironmentName, HoldId, Phase, Pin, ReceiptId, Rollout, Run,
    ServiceName, SilenceId, SourceId, SubjectKind, Version,
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A role, such as a group of the operating system.
pub type Role = String;

/// Who asks, as the hub knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// The login name, or `system:…` for the program itself.
    pub name: String,
    /// The kernel's word for it, where it came over a socket.
    pub uid: Option<u32>,
    /// Groups.
    pub roles: Vec<Role>,
}

impl Actor {
    /// The program itself, such as `system:analysis`.
    #[must_use]
    pub fn system(name: &str) -> Actor {
        Actor { name: format!("system:{name}"), uid: None, roles: Vec::new() }
    }

    /// Is it the program itself? Nobody can log in under its names: they hold a colon, and who comes over a socket has a
    /// uid.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.uid.is_none() && self.name.starts_with("system:")
    }

    /// Is the actor meant by this entry of a list: `user:NAME`, `group:NAME`, or a name of either?
    #[must_use]
    pub fn is(&self, entry: &str) -> bool {
        let member = |group: &str| self.roles.iter().any(|role| role == group);
        match entry.split_once(':') {
            Some(("user", name)) => self.name == name,
            Some(("group", name)) => member(name),
            _ => self.name == entry || member(entry),
        }
    }
}

/// Which rollouts a scope means. All that are named must match; an empty selector means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// One backend.
    pub source: Option<SourceId>,
    pub environment: Option<EnvironmentName>,
    pub service: Option<ServiceName>,
}

impl Selector {
    /// Does it mean this rollout?
    #[must_use]
    pub fn matches(&self, rollout: &Rollout) -> bool {
        self.source.as_ref().is_none_or(|source| *source == rollout.run.target.source)
            && self.environment.as_ref().is_none_or(|environment| *environment == rollout.environment)
            && self.service.as_ref().is_none_or(|service| *service == rollout.service)
    }

    /// Does it mean this rollout, and can that still move by itself? What goes back to stable is left alone.
    #[must_use]
    pub fn holds(&self, rollout: &Rollout) -> bool {
        self.matches(rollout) && rollout.in_flight() && rollout.phase != Phase::RollingBack
    }

    /// Does it mean anything at this source?
    #[must_use]
    pub fn reaches(&self, source: &SourceId) -> bool {
        self.source.as_ref().is_none_or(|of| of == source)
    }
}

impl std::fmt::Display for Selector {
    /// `everything`, or `source=local environment=production service=checkout`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut words = Vec::new();
        words.extend(self.source.as_ref().map(|source| format!("source={source}")));
        words.extend(self.environment.as_ref().map(|environment| format!("environment={environment}")));
        words.extend(self.service.as_ref().map(|service| format!("service={service}")));
        f.pad(if words.is_empty() { "everything".to_owned() } else { words.join(" ") }.as_str())
    }
}

/// A service as a person names it: everywhere, or in one environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServicePlace {
    pub service: ServiceName,
    /// Where; `None`: wherever it is configured.
    pub environment: Option<EnvironmentName>,
}

impl ServicePlace {
    /// Of `checkout` or `checkout@production`.
    #[must_use]
    pub fn of(text: &str) -> ServicePlace {
        match text.split_once('@') {
            Some((service, environment)) => {
                ServicePlace { service: service.into(), environment: Some(environment.into()) }
            }
            None => ServicePlace { service: text.into(), environment: None },
        }
    }

    /// Does it mean this one?
    #[must_use]
    pub fn means(&self, service: &ServiceName, environment: &EnvironmentName) -> bool {
        self.service == *service && self.environment.as_ref().is_none_or(|of| of == environment)
    }
}

impl std::fmt::Display for ServicePlace {
    /// `checkout@production`, or `checkout`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.environment {
            Some(environment) => write!(f, "{}@{environment}", self.service),
            None => write!(f, "{}", self.service),
        }
    }
}

/// What a command is about; it carries the command's arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Subject {
    /// One rollout: promote, pause, abort, roll back, retry, restart.
    Run(Run),
    /// One approval: approve, reject.
    Approval { id: ApprovalId, run: Run },
    /// A set of rollouts: hold.
    Scope {
        selector: Selector,
        /// Those that matched when the person confirmed; informative, a hold takes all that match.
        frozen: Vec<Run>,
        /// What the hold is to be called, the same at every backend that it reaches; without it the
        /// command's own id makes one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<HoldId>,
    },
    /// One hold: release.
    Hold {
        /// Where; `None`: everywhere that it is in force.
        source: Option<SourceId>,
        id: HoldId,
    },
    /// A new rollout: deploy.
    #[serde(rename = "deployment")]
    NewRollout {
        source: SourceId,
        service: ServiceName,
        environment: EnvironmentName,
        /// Which version; with `from` it may be left out.
        version: Option<Version>,
        /// Take what succeeded there, and the same digest only.
        from: Option<EnvironmentName>,
    },
    /// One stored release: add (the artifact travels beside the command), remove.
    Release { source: SourceId, service: ServiceName, version: Version },
    /// What a person says of migrations of a service's data.
    Migrations {
        source: SourceId,
        service: ServiceName,
        environment: EnvironmentName,
        /// Which, by name; none named: all that are configured.
        names: Vec<String>,
        /// Their data is there; else nothing of it is.
        applied: bool,
    },
    /// A command line to be run once: run.
    Command {
        source: SourceId,
        /// In the environment of which service.
        service: ServiceName,
        environment: EnvironmentName,
        /// Program and arguments, inside the unpacked artifact of the stable version.
        run: Vec<String>,
        /// It is killed after so long; `None`: it may take as long as it likes.
        timeout: Option<SignedDuration>,
        /// It is a run of this job, beside its times.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        job: Option<String>,
    },
    /// One that runs: end-run.
    OneOff { source: SourceId, service: ServiceName, environment: EnvironmentName, id: String },
    /// A command that was given before: annotate. What is added is the reason of the command that adds it.
    Receipt { id: ReceiptId },
    /// One alert: silence.
    Alert {
        source: SourceId,
        fingerprint: String,
        /// The rollout that it is silenced for: with that the silence ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<Run>,
        /// How long at most.
        lasts: SignedDuration,
    },
    /// One silence: unsilence.
    Silence { source: SourceId, id: SilenceId },
    /// A configuration of services: apply.
    Config {
        /// Which of the server's configurations it is to be; its text must not say otherwise.
        #[serde(default, skip_serializing_if = "ConfigName::is_default")]
        name: ConfigName,
        /// The text of `flightdeck.toml`.
        text: String,
        /// Where the person has it, for messages; also the base of relative paths.
        path: String,
        /// What runs and is to be ended by leaving it out, each by its name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remove: Vec<ServicePlace>,
    },
}

impl Subject {
    /// What sort of thing it is.
    #[must_use]
    pub const fn kind(&self) -> SubjectKind {
        match self {
            Subject::Run(_) => SubjectKind::Rollout,
            Subject::Approval { .. } => SubjectKind::Approval,
            Subject::Scope { .. } => SubjectKind::Scope,
            Subject::Hold { .. } => SubjectKind::Hold,
            Subject::NewRollout { .. } => SubjectKind::NewRollout,
            Subject::Release { .. } => SubjectKind::Release,
            Subject::Migrations { .. } => SubjectKind::Migrations,
            Subject::Command { .. } => SubjectKind::Command,
            Subject::OneOff { .. } => SubjectKind::OneOff,
            Subject::Receipt { .. } => SubjectKind::Receipt,
            Subject::Alert { .. } => SubjectKind::Alert,
            Subject::Silence { .. } => SubjectKind::Silence,
            Subject::Config { .. } => SubjectKind::Config,
        }
    }

    /// The one backend that it is about; `None` where it names none.
    #[must_use]
    pub fn source(&self) -> Option<&SourceId> {
        match self {
            Subject::Run(run) | Subject::Approval { run, .. } => Some(&run.target.source),
            Subject::Scope { selector, .. } => selector.source.as_ref(),
            Subject::Hold { source, .. } => source.as_ref(),
            Subject::NewRollout { source, .. }
            | Subject::Release { source, .. }
            | Subject::Migrations { source, .. }
            | Subject::Command { source, .. }
            | Subject::OneOff { source, .. }
            | Subject::Alert { source, .. }
            | Subject::Silence { source, .. } => Some(source),
            Subject::Config { .. } | Subject::Receipt { .. } => None,
        }
    }
}

impl HoldId {
    /// Six characters that no other hold has, made of what is unique about its command.
    #[must_use]
    pub fn of(seed: &str) -> HoldId {
        const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let hash = Sha256::digest(seed.as_bytes());
        let letter = |byte: &u8| LETTERS.get(usize::from(byte % 32)).map_or('0', |letter| char::from(*letter));
        HoldId(format!("H-{}", hash.iter().take(6).map(letter).collect::<String>()))
    }

    /// Can it be typed and told from a word? An id comes from whoever asks.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let letters = self.0.strip_prefix("H-").unwrap_or_default();
        (1..=16).contains(&letters.len()) && letters.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }
}

/// One request to change something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Command {
    /// Chosen by the client; submitting the same id twice carries it out once.
    pub id: CommandId,
    pub action: Action,
    pub subject: Subject,
    /// What the person saw. `None` is allowed for commands that reduce exposure and for those
    /// about something that does not exist yet; the hub then pins what it sees itself.
    pub pin: Option<Pin>,
    pub reason: Option<String>,
}
