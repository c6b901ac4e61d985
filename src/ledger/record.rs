//! Records and the hash that chains them.

use flightdeck_model::{
    Action, Actor, Command, CommandId, DeploymentOutcome, Evidence, Facts, Hold, HubId, Receipt, ReceiptId, Refusal,
    RefusalKind, Rollout, RolloutRecord, Run, SourceId, StageRecord, TargetResult,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::Arc;

/// The hash before the first record.
pub(super) const GENESIS: [u8; 32] = [0; 32];

/// Kind of a spilled line that can't be read.
pub(super) const UNREADABLE: &str = "unreadable";

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A command was asked for and allowed.
    Requested,
    /// A command was refused before anything was done.
    Refused,
    /// A command came a step further.
    Stage,
    /// Something was judged.
    Evidence,
    /// Something happened that no command of this hub asked for, or ended: with its evidence.
    Observed,
    /// A hold was seen, with what it did to each target.
    Hold,
    /// The hub started.
    Started,
    /// A record that could not be written in time and was kept in the spill file.
    Spilled,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Requested,
        Kind::Refused,
        Kind::Stage,
        Kind::Evidence,
        Kind::Observed,
        Kind::Hold,
        Kind::Started,
        Kind::Spilled,
    ];

    /// The word in the store.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Requested => "requested",
            Kind::Refused => "refused",
            Kind::Stage => "stage",
            Kind::Evidence => "evidence",
            Kind::Observed => "observed",
            Kind::Hold => "hold",
            Kind::Started => "started",
            Kind::Spilled => "spilled",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Something to be recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Entry {
    /// A command was asked for and allowed.
    Requested {
        /// Its receipt as it began.
        receipt: Box<Receipt>,
        /// The row that it was decided on, for following its effect after a restart.
        before: Option<Box<Rollout>>,
        /// The hub that carries it out and follows it.
        #[serde(default)]
        hub: Option<HubId>,
        /// The backends that it goes to.
        #[serde(default)]
        sources: Vec<SourceId>,
    },
    /// A command was refused before anything was done: as a whole, as it was recorded up to 0.1.
    Refused {
        /// What was asked, by whom.
        receipt: Box<Receipt>,
        refusal: Refusal,
    },
    /// A command was refused before anything was done: in brief, whatever was sent.
    RefusedBriefly {
        /// The command's id.
        id: CommandId,
        who: String,
        /// Their user id, where it came over a socket.
        uid: Option<u32>,
        /// What for.
        action: Action,
        /// SHA-256 of the whole command as JSON, in hexadecimal.
        digest: String,
        /// Which sort of no.
        kind: RefusalKind,
        /// The beginning of the reason.
        why: String,
    },
    /// More commands of one user were refused than are recorded one by one.
    RefusedMore {
        who: String,
        /// Their user id, where it came over a socket.
        uid: Option<u32>,
        count: u64,
        /// When the first of them was.
        since: Timestamp,
        /// When the last of them was.
        until: Timestamp,
    },
    /// A command came a step further.
    Stage {
        receipt: ReceiptId,
        stage: StageRecord,
        /// Each target, for a scope.
        targets: Vec<TargetResult>,
        /// Forecast against outcome, once final.
        grade: Option<flightdeck_model::Grade>,
        /// The run that it created, once its backend named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created: Option<Run>,
        /// The facts of its target as it left it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<Facts>,
        /// How the rollout that it is about ended, once that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<DeploymentOutcome>,
    },
    /// Something was judged.
    Evidence(Box<Evidence>),
    /// A rollout ended: by a command of this hub, by the backend itself or by somebody outside.
    Observed {
        deployment: Arc<RolloutRecord>,
        /// The command of this hub that asked for it, if any.
        receipt: Option<ReceiptId>,
        /// What spoke against it last.
        evidence: Option<Box<Evidence>>,
    },
    /// A hold was seen.
    Hold(Hold),
    /// The hub started.
    Started {
        epoch: u64,
        /// The program's version.
        version: String,
    },
}

/// Characters of a refusal's reason that are recorded.
const BRIEF: usize = 300;

impl Entry {
    /// A refusal whose record has at most 1 kB, whatever was asked for.
    #[must_use]
    pub fn refused(actor: &Actor, command: &Command, refusal: &Refusal) -> Entry {
        // A command has no map with keys that are no text, so that it is always JSON.
        let digest = hex(&Sha256::digest(serde_json::to_vec(command).unwrap_or_default()));
        Entry::RefusedBriefly {
            id: command.id.clone(),
            who: actor.name.clone(),
            uid: actor.uid,
            action: command.action,
            digest,
            kind: refusal.kind,
            why: refusal.why.chars().take(BRIEF).collect(),
        }
    }

    /// Reads a record's body, those of before subjects named their source included: then there was one
    /// backend, `local`.
    pub(super) fn read(mut body: serde_json::Value) -> serde_json::Result<Entry> {
        if let Some(subject) = body.pointer_mut("/data/receipt/command/subject") {
            let kind = subject.get("type").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
            match (kind.as_str(), subject.get_mut("data")) {
                ("hold", Some(data)) if data.is_string() => {
                    *data = serde_json::json!({ "source": "local", "id": data.take() });
                }
                ("deployment" | "release", Some(serde_json::Value::Object(data))) => {
                    data.entry("source").or_insert_with(|| "local".into());
                }
                _ => {}
            }
        }
        serde_json::from_value(body)
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Entry::Requested { .. } => Kind::Requested,
            Entry::Refused { .. } | Entry::RefusedBriefly { .. } | Entry::RefusedMore { .. } => Kind::Refused,
            Entry::Stage { .. } => Kind::Stage,
            Entry::Evidence(_) => Kind::Evidence,
            Entry::Observed { .. } => Kind::Observed,
            Entry::Hold(_) => Kind::Hold,
            Entry::Started { .. } => Kind::Started,
        }
    }

    /// What it is about: the command's id, or what makes an observation the same one when a
    /// backend tells of it again.
    pub(super) fn subject(&self) -> String {
        match self {
            Entry::Requested { receipt, .. } | Entry::Refused { receipt, .. } => receipt.id.0.clone(),
            Entry::RefusedBriefly { id, .. } => id.0.clone(),
            Entry::RefusedMore { who, since, .. } => format!("{who}@{since}"),
            Entry::Stage { receipt, .. } => receipt.0.clone(),
            Entry::Evidence(evidence) => format!("{}/{}@{}", evidence.run, evidence.id, evidence.at),
            Entry::Observed { deployment, .. } => end_of(deployment),
            Entry::Hold(hold) => format!("{}/{}@{}", hold.source, hold.id, hold.since),
            Entry::Started { epoch, .. } => epoch.to_string(),
        }
    }

    /// Does nothing more come about its subject?
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Entry::Stage { stage, .. } if stage.stage.is_final())
    }
}

/// The same of a record as it is stored: no hash covers the column that says so, but it follows from the body,
/// which one does.
pub(super) fn is_last(kind: &str, body: &str) -> bool {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        stage: Option<StageRecord>,
        #[serde(borrow)]
        entry: Option<&'a RawValue>,
    }
    let data = |body| serde_json::from_str::<Body<'_>>(body).ok().map(|body: Body<'_>| body.data);
    let stage = match kind {
        "stage" => data(body).and_then(|data| data.stage),
        "spilled" => data(body).and_then(|data| data.entry).and_then(|entry| data(entry.get())?.stage),
        _ => None,
    };
    stage.is_some_and(|stage| stage.stage.is_final())
}

/// What makes an end the same one, however often it is told.
pub(super) fn end_of(deployment: &RolloutRecord) -> String {
    format!("{}@{}", deployment.run, deployment.ended)
}

/// A record as it stands in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// From 1, without gaps.
    pub seq: u64,
    /// When it was made.
    pub at: Timestamp,
    pub kind: Kind,
    /// The command's id, or the observation's identity.
    pub subject: String,
    /// The [`Entry`] as JSON; for a spilled one with the moment of its spilling.
    pub body: serde_json::Value,
    /// SHA-256 over the hash before it and its fields, in hexadecimal.
    pub hash: String,
}

impl Record {
    /// What was recorded, if it can be read; of a spilled one what was spilled.
    #[must_use]
    pub fn entry(&self) -> Option<Entry> {
        let body = match self.kind {
            Kind::Spilled => self.body.pointer("/data/entry").cloned()?,
            _ => self.body.clone(),
        };
        Entry::read(body).ok()
    }

    /// Of a spilled one: since when it was kept beside the chain, and why, in words.
    #[must_use]
    pub fn spilled(&self) -> Option<String> {
        let text = |key: &str| self.body.get("data")?.get(key)?.as_str();
        let (at, kind, why) = (text("at")?, text("kind")?, text("why")?);
        let told = match kind {
            UNREADABLE => format!("{why}; it is record {} now", self.seq),
            kind => format!(
                "its record ({kind}) was kept in the spill file from {at} on ({why}); it is record {} now",
                self.seq
            ),
        };
        (self.kind == Kind::Spilled).then_some(told)
    }
}

/// The texts that a hash covers, exactly as stored.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    pub seq: u64,
    pub at: &'a str,
    pub kind: &'a str,
    pub subject: &'a str,
    pub body: &'a str,
}

impl Fields<'_> {
    /// SHA-256 over the previous hash and each field behind its length, so that no two different
    /// records are the same bytes.
    pub fn hash(&self, previous: &[u8; 32]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(previous);
        let seq = self.seq.to_be_bytes();
        for field in [&seq[..], self.at.as_bytes(), self.kind.as_bytes(), self.subject.as_bytes(), self.body.as_bytes()]
        {
            hasher.update((field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        hasher.finalize().into()
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
        text
    })
}
