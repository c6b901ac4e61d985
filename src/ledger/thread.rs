//! The ledger's thread and the handle to it.

use super::presence::{self, Presence};
use super::record::{Entry, Kind, Record, end_of};
use super::signing::{Signed, Signing};
use super::spill::{Spill, Spilled};
use super::store::{Draft, LedgerError, Store};
use flightdeck_model::{HubId, Receipt, Rollout, RolloutRecord, SourceId};
use jiff::{SignedDuration, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Records that one flush takes at most.
const BATCH: usize = 256;

/// Records without a checkpoint that make one due at the next quiet moment.
const DUE: usize = 256;
/// Records without a checkpoint that make one due at once.
const OVERDUE: usize = 4 * DUE;
/// Nothing came for so long: whoever comes next will hardly have to wait for one that is due.
const QUIET: Duration = Duration::from_millis(250);
/// How long a record is without a checkpoint at most, while its process lives and the store is quiet.
const LATEST: Duration = Duration::from_mins(1);

/// How the store is used.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long a write waits for another process that has the store locked.
    pub busy: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { busy: Duration::from_secs(2) }
    }
}

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Into the chain, durable.
    Chained { seq: u64 },
    /// Into the spill file, durable: the store can't be written now.
    Spilled,
}

enum Request {
    Append { draft: Draft, urgent: bool, answer: oneshot::Sender<Result<Appended, LedgerError>> },
    Checkpoint { answer: oneshot::Sender<Result<Option<Signed>, LedgerError>> },
    Read { what: Read, answer: oneshot::Sender<Result<Vec<Record>, LedgerError>> },
    End { of: String, since: Option<Timestamp>, make: Make, answer: oneshot::Sender<Result<Appended, LedgerError>> },
}

/// Makes an entry, given what was asked for of late.
type Make = Box<dyn FnOnce(&[Known]) -> Entry + Send>;

enum Read {
    Newest(u32),
    Unfinished,
    Commands(u32),
    About(String),
    Since(String),
    SpilledSince(String),
    Ends(u32),
}

/// A command as the ledger knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// How far it is.
    pub receipt: Receipt,
    /// The row that it was decided on.
    pub before: Option<Rollout>,
    /// The hub that carries it out; `None` in records of before hubs said so.
    pub hub: Option<HubId>,
    /// The backends that it went to; as above.
    pub sources: Vec<SourceId>,
}

/// A handle to the ledger; clones share its thread. Dropping the last one waits until everything
/// that was appended is written, so that a process that ends loses no record.
#[derive(Debug, Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// `None` only while it is being dropped.
    opened: Timestamp,
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the ledger's thread had failed");
        }
    }
}

impl Ledger {
    /// Opens or creates the ledger in a folder, and merges what an earlier run had to spill.
    pub fn open(dir: &Path) -> Result<Ledger, LedgerError> {
        Ledger::open_with(dir, Options::default())
    }

    /// The same, with options.
    pub fn open_with(dir: &Path, options: Options) -> Result<Ledger, LedgerError> {
        let io = |step| move |source| LedgerError::Io { path: dir.to_owned(), step, source };
        flightdeck_platform::files::folder(dir).map_err(io("make its folder"))?;
        let opened = stamp();
        let mut store = Store::open(dir, options.busy)?;
        let mut spill = Spill::open(&dir.join("ledger.spill")).map_err(io("open the spill file"))?;
        // What can't come in now, since the disk is still full, comes in with the next record.
        if !spill.is_empty()
            && let Err(error) = store.merge(&mut spill, &now())
        {
            tracing::error!(%error, "what was spilled can't be brought into the ledger yet");
        }
        let (requests, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new().name("ledger".to_owned());
        let mut signer = Signer { signing: Signing::new(dir, options.busy), unsigned: 0, since: None };
        // What a process left that was killed, or brought in just now: where one is killed again and
        // again, none would ever come to it. When in doubt it is due, and the signer tells what is wrong.
        match store.unsigned().unwrap_or(DUE) {
            0 => {}
            left => signer.note(left.max(DUE)),
        }
        let thread = thread.spawn(move || serve(store, spill, signer, &inbox)).map_err(io("start its thread"))?;
        let shared = Shared { dir: dir.to_owned(), opened, requests: Some(requests), thread: Some(thread) };
        Ok(Ledger { shared: Arc::new(shared) })
    }

    /// Its folder, for [`super::verify`].
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Durable when it resolves; an error means that it is not recorded.
    pub async fn append(&self, entry: &Entry) -> Result<u64, LedgerError> {
        match self.send(entry, false)?.await.map_err(|_| LedgerError::Closed)?? {
            Appended::Chained { seq } => Ok(seq),
            Appended::Spilled => Err(LedgerError::Closed),
        }
    }

    /// The same for what must not wait for a healthy store: it is spilled where the store fails.
    /// The record is queued when this returns; the future tells where it went.
    pub fn append_urgent(
        &self,
        entry: &Entry,
    ) -> impl Future<Output = Result<Appended, LedgerError>> + Send + 'static + use<> {
        let sent = self.send(entry, true);
        async move { sent?.await.map_err(|_| LedgerError::Closed)? }
    }

    fn send(
        &self,
        entry: &Entry,
        urgent: bool,
    ) -> Result<oneshot::Receiver<Result<Appended, LedgerError>>, LedgerError> {
        let (answer, receiver) = oneshot::channel();
        self.request(Request::Append { draft: draft(entry)?, urgent, answer })?;
        Ok(receiver)
    }

    fn request(&self, request: Request) -> Result<(), LedgerError> {
        let requests = self.shared.requests.as_ref().ok_or(LedgerError::Closed)?;
        requests.send(request).map_err(|_| LedgerError::Closed)
    }

    async fn read(&self, what: Read) -> Result<Vec<Record>, LedgerError> {
        let (answer, receiver) = oneshot::channel();
        self.request(Request::Read { what, answer })?;
        receiver.await.map_err(|_| LedgerError::Closed)?
    }

    /// The newest records, oldest first.
    pub async fn records(&self, limit: u32) -> Result<Vec<Record>, LedgerError> {
        self.read(Read::Newest(limit)).await
    }

    /// Commands without a final stage, with the row that each was decided on, oldest first.
    pub async fn unfinished(&self) -> Result<Vec<Known>, LedgerError> {
        Ok(receipts(&self.read(Read::Unfinished).await?))
    }

    /// The newest commands, finished or not, oldest first.
    pub async fn receipts(&self, limit: u32) -> Result<Vec<Known>, LedgerError> {
        Ok(receipts(&self.read(Read::Commands(limit)).await?))
    }

    /// What was brought in from the spill file since then (`None`: since this handle was opened), oldest
    /// first: kind, moment and reason are in each record's body.
    pub async fn spilled(&self, since: Option<Timestamp>) -> Result<Vec<Record>, LedgerError> {
        // Stamps as text sort by the second.
        let since = since.unwrap_or(self.shared.opened) - SignedDuration::from_secs(1);
        self.read(Read::SpilledSince(since.to_string())).await
    }

    /// The newest rollouts that ended, oldest first.
    pub async fn ends(&self, limit: u32) -> Result<Vec<Arc<RolloutRecord>>, LedgerError> {
        let records = self.read(Read::Ends(limit)).await?;
        let end = |record: &Record| match record.entry()? {
            Entry::Observed { deployment, .. } => Some(deployment),
            _ => None,
        };
        Ok(records.iter().filter_map(end).map(from_before).collect())
    }

    /// One command, if it was ever recorded.
    pub async fn receipt(&self, id: &str) -> Result<Option<Known>, LedgerError> {
        Ok(receipts(&self.read(Read::About(id.to_owned())).await?).pop())
    }

    /// Records the end of a rollout as [`Ledger::append_urgent`] does, unless it is recorded: a server
    /// that starts tells again what ended before. Its entry is made knowing the commands that were
    /// asked for since then, by any hub, oldest first.
    pub fn append_end<F>(
        &self,
        of: &RolloutRecord,
        since: Option<Timestamp>,
        make: F,
    ) -> impl Future<Output = Result<Appended, LedgerError>> + Send + 'static + use<F>
    where
        F: FnOnce(&[Known]) -> Entry + Send + 'static,
    {
        let (answer, receiver) = oneshot::channel();
        let sent = self.request(Request::End { of: end_of(of), since, make: Box::new(make), answer });
        async move {
            sent?;
            receiver.await.map_err(|_| LedgerError::Closed)?
        }
    }

    /// Signs what is there, and gives the newest checkpoint; `None` while there is no record.
    pub async fn checkpoint(&self) -> Result<Option<Signed>, LedgerError> {
        let (answer, receiver) = oneshot::channel();
        self.request(Request::Checkpoint { answer })?;
        receiver.await.map_err(|_| LedgerError::Closed)?
    }

    /// Says that a hub lives, until what this gives is dropped.
    pub fn appear(&self, hub: &HubId) -> Result<Presence, LedgerError> {
        presence::appear(&self.shared.dir, hub)
    }

    /// Does that hub live, in this process or another one?
    #[must_use]
    pub fn alive(&self, hub: &HubId) -> bool {
        presence::alive(&self.shared.dir, hub)
    }
}

fn draft(entry: &Entry) -> Result<Draft, LedgerError> {
    let unreadable = |error: serde_json::Error| LedgerError::Unreadable { seq: 0, why: error.to_string() };
    let body = serde_json::to_string(entry).map_err(unreadable)?;
    Ok(Draft { at: now(), kind: entry.kind(), subject: entry.subject(), finished: entry.is_final(), body })
}

/// An end as it was recorded. Before records could leave out what was not known, nothing stood for it.
fn from_before(mut end: Arc<RolloutRecord>) -> Arc<RolloutRecord> {
    let nobody = end.author.is_none() && end.writer.is_none();
    if nobody && (end.waited, end.steps) == (Some(SignedDuration::ZERO), Some(0)) {
        let end = Arc::make_mut(&mut end);
        (end.waited, end.steps) = (None, None);
    }
    end
}

/// Puts receipts together from their records.
fn receipts(records: &[Record]) -> Vec<Known> {
    let mut found: Vec<Known> = Vec::new();
    for record in records {
        match record.entry() {
            Some(Entry::Requested { receipt, before, hub, sources }) => {
                found.push(Known { receipt: *receipt, before: before.map(|before| *before), hub, sources });
            }
            Some(Entry::Stage { receipt: id, stage, targets, grade, created, left, outcome }) => {
                if let Some(Known { receipt, .. }) = found.iter_mut().rev().find(|known| known.receipt.id == id) {
                    receipt.stages.push(stage);
                    receipt.grade = grade.or(receipt.grade.take());
                    receipt.created = created.or(receipt.created.take());
                    receipt.left = left.or(receipt.left.take());
                    receipt.outcome = outcome.or(receipt.outcome);
                    if !targets.is_empty() {
                        receipt.targets = targets;
                    }
                }
            }
            _ => {}
        }
    }
    found
}

#[expect(clippy::disallowed_methods, reason = "the ledger is a shell: it stamps its records")]
fn stamp() -> Timestamp {
    Timestamp::now()
}

fn now() -> String {
    stamp().to_string()
}

type Waiting = (Draft, bool, oneshot::Sender<Result<Appended, LedgerError>>);

/// Makes checkpoints when they are due and nobody waits.
struct Signer {
    signing: Signing,
    /// Records since the last checkpoint, as far as this process knows.
    unsigned: usize,
    since: Option<Instant>,
}

impl Signer {
    fn note(&mut self, records: usize) {
        if records > 0 {
            self.unsigned = self.unsigned.saturating_add(records);
            self.since.get_or_insert_with(instant);
        }
    }

    /// How long the next one may wait.
    fn wait(&self) -> Option<Duration> {
        let left = LATEST.saturating_sub(instant() - self.since?);
        Some(match self.unsigned {
            OVERDUE.. => Duration::ZERO,
            DUE.. => left.min(QUIET),
            _ => left,
        })
    }

    /// One turn; more of them where there is much to sign.
    fn turn(&mut self) {
        match self.signing.turn() {
            Ok((_, true)) => self.unsigned = OVERDUE,
            Ok((_, false)) => (self.unsigned, self.since) = (0, None),
            Err(error) => {
                tracing::warn!(%error, "no checkpoint of the ledger could be made");
                (self.unsigned, self.since) = (0, Some(instant()));
            }
        }
    }

    /// Signs all there is.
    fn all(&mut self) -> Result<Option<Signed>, LedgerError> {
        loop {
            let (signed, more) = self.signing.turn()?;
            if !more {
                (self.unsigned, self.since) = (0, None);
                return Ok(signed);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the ledger is a shell: it knows when a checkpoint is due")]
fn instant() -> Instant {
    Instant::now()
}

/// The next request; while it waits, checkpoints are made. `None` at the end.
fn next(inbox: &mpsc::Receiver<Request>, signer: &mut Signer) -> Option<Request> {
    loop {
        match signer.wait() {
            None => return inbox.recv().ok(),
            Some(wait) => match inbox.recv_timeout(wait) {
                Ok(request) => return Some(request),
                Err(mpsc::RecvTimeoutError::Timeout) => signer.turn(),
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            },
        }
    }
}

fn serve(mut store: Store, mut spill: Spill, mut signer: Signer, inbox: &mpsc::Receiver<Request>) {
    while let Some(first) = next(inbox, &mut signer) {
        let mut batch: Vec<Waiting> = Vec::new();
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Append { draft, urgent, answer } => batch.push((draft, urgent, answer)),
                Request::Checkpoint { answer } => {
                    write(&mut store, &mut spill, std::mem::take(&mut batch));
                    let _ = answer.send(signer.all()); // nobody may be waiting any more
                }
                Request::Read { what, answer } => {
                    // A read sees everything that was sent before it.
                    signer.note(write(&mut store, &mut spill, std::mem::take(&mut batch)));
                    let _ = answer.send(read(&store, &what)); // nobody may be waiting any more
                }
                Request::End { of, answer, .. } if store.has(Kind::Observed, &of) => {
                    let _ = answer.send(Err(LedgerError::Duplicate(of))); // nobody may be waiting any more
                }
                Request::End { since, make, answer, .. } => {
                    signer.note(write(&mut store, &mut spill, std::mem::take(&mut batch)));
                    let since = since.map(|since| Read::Since(since.to_string()));
                    let known = since.map_or(Ok(Vec::new()), |since| read(&store, &since)).unwrap_or_else(|error| {
                        tracing::warn!(%error, "cannot look for the command of another hub");
                        Vec::new()
                    });
                    match draft(&make(&receipts(&known))) {
                        Ok(draft) => batch.push((draft, true, answer)),
                        Err(error) => {
                            let _ = answer.send(Err(error)); // as above
                        }
                    }
                }
            }
            next = if batch.len() < BATCH { inbox.try_recv().ok() } else { None };
        }
        signer.note(write(&mut store, &mut spill, batch));
    }
    // At the end, so that a process that lives for one command leaves nothing unsigned.
    if signer.since.is_some()
        && let Err(error) = signer.all()
    {
        tracing::warn!(%error, "no checkpoint of the ledger could be made");
    }
}

fn read(store: &Store, what: &Read) -> Result<Vec<Record>, LedgerError> {
    let ids = match what {
        Read::Newest(limit) => return store.records(*limit),
        Read::About(id) => return store.about(id),
        Read::SpilledSince(at) => return store.spilled_since(at),
        Read::Ends(limit) => return store.ends(*limit),
        Read::Unfinished => store.commands(true, u32::MAX)?,
        Read::Commands(limit) => store.commands(false, *limit)?,
        Read::Since(at) => store.asked_since(at)?,
    };
    let mut records = Vec::new();
    for id in ids {
        records.extend(store.about(&id)?);
    }
    Ok(records)
}

/// Appends drafts. What was urgent was done without waiting for its record: where the id of such a command was
/// used before, it is recorded all the same, as one that came another way.
fn chain(
    store: &mut Store,
    drafts: &[&Draft],
    batch: &[Waiting],
) -> Result<Vec<Result<u64, LedgerError>>, LedgerError> {
    let mut answers = store.append(drafts)?;
    for (answer, (draft, urgent, _)) in answers.iter_mut().zip(batch) {
        if *urgent && draft.kind == Kind::Requested && matches!(answer, Err(LedgerError::Duplicate(_))) {
            let again = Draft::spilled(line(draft, "a command with its id is recorded already"), &now());
            *answer = store.append(&[&again]).and_then(|mut one| one.pop().unwrap_or(Err(LedgerError::Closed)));
        }
    }
    Ok(answers)
}

/// How many records came into the chain.
fn write(store: &mut Store, spill: &mut Spill, batch: Vec<Waiting>) -> usize {
    if batch.is_empty() {
        return 0;
    }
    let drafts: Vec<&Draft> = batch.iter().map(|(draft, ..)| draft).collect();
    // What was spilled comes before what is new, so that a command's records keep their order.
    let merged = if spill.is_empty() { Ok(0) } else { store.merge(spill, &now()) };
    match merged.and_then(|merged| Ok((merged, chain(store, &drafts, &batch)?))) {
        Ok((merged, answers)) => {
            let written = merged + answers.iter().filter(|answer| answer.is_ok()).count();
            for ((_, _, answer), result) in batch.into_iter().zip(answers) {
                let _ = answer.send(result.map(|seq| Appended::Chained { seq })); // the asker may be gone
            }
            written
        }
        Err(error) => {
            let why = error.to_string();
            tracing::error!(error = %why, "the ledger can't be written");
            for (draft, urgent, answer) in batch {
                let result = if urgent { spill_one(spill, &draft, &why) } else { Err(copy(&error)) };
                let _ = answer.send(result); // the asker may be gone
            }
            0
        }
    }
}

fn spill_one(spill: &mut Spill, draft: &Draft, why: &str) -> Result<Appended, LedgerError> {
    let io = |source| LedgerError::Io { path: "ledger.spill".into(), step: "spill a record", source };
    spill.push(&line(draft, why)).map_err(io)?;
    Ok(Appended::Spilled)
}

/// A record as one that did not come into the chain the usual way, and why.
fn line(draft: &Draft, why: &str) -> Spilled {
    Spilled {
        at: draft.at.clone(),
        kind: draft.kind.word().to_owned(),
        subject: draft.subject.clone(),
        finished: draft.finished,
        body: draft.body.clone(),
        why: why.to_owned(),
    }
}

/// One failed batch answers several askers; SQLite's errors can't be cloned.
fn copy(error: &LedgerError) -> LedgerError {
    LedgerError::Unwritable(error.to_string())
}
