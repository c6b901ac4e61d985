//! Holds and their release over a scope: each workload in flight that matches is stopped and marked.

use super::calls::{Calls, Sent};
use super::kind::{Kind, Live, watched};
use super::meta::HoldMark;
use super::plan::{HoldPlan, plan_hold, plan_release, rewrite};
use super::row::RowContext;
use super::settings::KubernetesSettings;
use flightdeck_control::Authorized;
use flightdeck_model::{HoldId, HoldTarget, Refusal, RefusalKind, Rollout, Run, Selector, sanitize_line};
use flightdeck_port::{Accepted, Holding, NotDone};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;

/// So many patches are on their way at once.
const AT_ONCE: usize = 8;
/// How often one workload is decided anew because it changed between the read and the patch.
const AGAIN: u32 = 5;
/// So many workloads that could not be stopped are listed in a mark; annotations are small.
const LISTED: usize = 100;

/// A workload and its row.
struct Found {
    live: Live,
    row: Rollout,
}

/// How one workload fared.
enum HoldOutcome {
    Held(Box<(Live, HoldTarget)>),
    /// It ended or began to go back meanwhile: there is nothing to hold.
    Over,
    Not(HoldTarget),
    /// Nobody knows.
    Lost(String),
}

fn row_of(settings: &KubernetesSettings, live: &Live, now: Timestamp) -> Rollout {
    live.workload.row(&RowContext { settings, denied: &[].into(), pods: None, now }, &[])
}

/// All workloads of those watched kinds, and what could not be listed, in words.
async fn listed(
    calls: &Calls,
    settings: &KubernetesSettings,
    meant: impl Fn(&dyn Kind) -> bool,
) -> (Vec<Live>, Vec<NotDone>) {
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    let all = [None];
    let some: Vec<Option<&str>> = settings.namespaces.iter().map(|namespace| Some(namespace.as_str())).collect();
    let namespaces: &[Option<&str>] = if some.is_empty() { &all } else { &some };
    for kind in watched(settings).into_iter().filter(|kind| meant(*kind)) {
        for namespace in namespaces {
            match calls.list(kind.resource(), *namespace, settings.selector.as_deref()).await {
                // One that can't be understood has no row either.
                Ok(items) => found.extend(items.into_iter().filter_map(|raw| Live::parse(kind, raw).ok())),
                Err(error) => failed.push(error),
            }
        }
    }
    (found, failed)
}

fn can_be_held(kind: &dyn Kind) -> bool {
    kind.pause_field().is_some()
}

fn not_held(run: &Run, note: String) -> HoldTarget {
    HoldTarget { run: run.clone(), held: false, note, undone: false }
}

/// Stops and marks every workload in flight that the selector means.
pub(super) async fn hold(
    calls: &Calls,
    settings: &KubernetesSettings,
    authorized: &Authorized,
    (selector, named): (&Selector, Option<&HoldId>),
    now: Timestamp,
) -> Result<Accepted, NotDone> {
    let (found, failed) = listed(calls, settings, |_| true).await;
    let owner = authorized.actor().name.clone();
    let is_ours = |mark: &HoldMark| mark.owner == owner && mark.selector == *selector;
    let ours = found.iter().find_map(|live| live.held_by().filter(is_ours));
    let id = match &ours {
        Some(mark) => mark.id.clone(),
        None => named.cloned().unwrap_or_else(|| HoldId::of(authorized.command().id.as_str())),
    };
    let taken = |mark: &HoldMark| mark.id == id && !is_ours(mark);
    if !id.is_well_formed() || found.iter().any(|live| live.held_by().is_some_and(|mark| taken(&mark))) {
        let why = format!("a new hold can't be called {id}: that is taken, or no id; nothing was done");
        return Err(Refusal::new(RefusalKind::Invalid, sanitize_line(&why)).into());
    }
    let meant = |live: Live| {
        let row = row_of(settings, &live, now);
        selector.holds(&row).then_some(Found { live, row })
    };
    let mut mark = HoldMark {
        id: id.clone(),
        owner: owner.clone(),
        reason: authorized.command().reason.clone(),
        since: ours.as_ref().map_or(now, |mark| mark.since),
        selector: selector.clone(),
        paused_before: false,
        unheld: Vec::new(),
    };
    let targets: Vec<Found> = found.into_iter().filter_map(meant).collect();
    if let (true, Some(error)) = (targets.is_empty(), failed.first()) {
        return Err(error.clone());
    }
    if targets.is_empty() {
        let note = format!("nothing is in flight in {} that could be held; what begins later goes on", settings.source);
        let lacking = failed.iter().map(ToString::to_string).collect();
        return Ok(Accepted { note: Some(note), holding: Holding::Nothing, lacking, ..Accepted::default() });
    }
    let unheld = |found: &Found| match plan_hold(&found.live, &mark) {
        HoldPlan::Cannot(note) => Some(not_held(&found.row.run, note)),
        _ => None,
    };
    let known: Vec<HoldTarget> = targets.iter().filter_map(unheld).collect();
    mark.unheld = known.iter().take(LISTED).cloned().collect();
    let each = targets.into_iter().map(|found| stop(calls, settings, selector, &mark, found, now));
    let fared: Vec<HoldOutcome> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
    told(calls, settings, mark, &known, fared, &failed).await
}

async fn stop(
    calls: &Calls,
    settings: &KubernetesSettings,
    selector: &Selector,
    mark: &HoldMark,
    found: Found,
    now: Timestamp,
) -> HoldOutcome {
    let run = found.row.run;
    let not = |note: String| HoldOutcome::Not(not_held(&run, note));
    let held = |live: Live| {
        let target = HoldTarget { run: run.clone(), held: true, note: "held".to_owned(), undone: false };
        HoldOutcome::Held(Box::new((live, target)))
    };
    let kind = found.live.workload.kind();
    let mut live = found.live;
    let mut stale = String::new();
    for _ in 0..=AGAIN {
        let request = match plan_hold(&live, mark) {
            HoldPlan::Send(request) => request,
            HoldPlan::HeldAlready => return held(live),
            HoldPlan::Cannot(why) => return not(why),
        };
        match calls.patch(&request).await {
            Sent::Done(raw) => return held(Live::parse(kind, raw).unwrap_or(live)),
            Sent::Stale(why) => stale = why,
            Sent::NotDone(NotDone::Refused(refusal)) if refusal.kind == RefusalKind::NotFound => {
                return HoldOutcome::Over;
            }
            Sent::NotDone(NotDone::Unknown { why }) => return HoldOutcome::Lost(format!("{}: {why}", live.place())),
            Sent::NotDone(error) => return not(error.to_string()),
        }
        match calls.get(request.resource, &request.namespace, &request.name).await {
            Ok(Some(raw)) => match Live::parse(kind, raw) {
                Ok(read) if selector.holds(&row_of(settings, &read, now)) => live = read,
                Ok(_) => return HoldOutcome::Over,
                Err(error) => return not(sanitize_line(&error.to_string())),
            },
            Ok(None) => return HoldOutcome::Over,
            Err(error) => return not(error.to_string()),
        }
    }
    not(format!("it kept changing: {stale}"))
}

/// What a hold did, in words; what failed on the way is written into one of its marks.
async fn told(
    calls: &Calls,
    settings: &KubernetesSettings,
    mut mark: HoldMark,
    known: &[HoldTarget],
    fared: Vec<HoldOutcome>,
    failed: &[NotDone],
) -> Result<Accepted, NotDone> {
    let (mut held, mut not, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for one in fared {
        match one {
            HoldOutcome::Held(one) => held.push(*one),
            HoldOutcome::Not(target) => not.push(target),
            HoldOutcome::Lost(why) => lost.push(why),
            HoldOutcome::Over => {}
        }
    }
    let words = |target: &HoldTarget| format!("{}: {}", target.run.target, target.note);
    let lacking: Vec<String> = failed.iter().map(ToString::to_string).collect();
    let rest: Vec<String> = not.iter().map(words).chain(lost.iter().cloned()).chain(lacking.iter().cloned()).collect();
    let rest = rest.join("; ");
    let targets: Vec<HoldTarget> = held.iter().map(|(_, target)| target).chain(&not).cloned().collect();
    if let (Some((live, _)), true) = (held.first(), not.iter().any(|target| !known.contains(target))) {
        mark.unheld = not.into_iter().take(LISTED).collect();
        if let Some(request) = rewrite(live, &mark) {
            // Where this fails the note below still tells.
            drop(calls.patch(&request).await);
        }
    }
    let id = &mark.id;
    if !lost.is_empty() {
        return Err(NotDone::Unknown { why: format!("hold {id}: {} stand still; {rest}", held.len()) });
    }
    let not_held = if rest.is_empty() { String::new() } else { format!("; not held: {rest}") };
    let (holding, note) = match held.len() {
        0 if rest.is_empty() => (Holding::Nothing, format!("nothing is in flight in {} any more", settings.source)),
        0 => (Holding::Nothing, format!("nothing could be held in {}{not_held}", settings.source)),
        count => (Holding::InForce(id.clone()), format!("hold {id} is in force: {count} stand still{not_held}")),
    };
    Ok(Accepted { note: Some(note), targets, holding, lacking, ..Accepted::default() })
}

/// Writes into another mark of the same hold that one workload goes on by somebody's decision, so that no
/// hub takes it for undone from outside. Without another mark there is no hold left to say it.
pub(super) async fn tell_let_through(calls: &Calls, settings: &KubernetesSettings, live: &Live, run: &Run, note: &str) {
    let Some(held) = live.held_by() else { return };
    let (found, _) = listed(calls, settings, can_be_held).await;
    let uid = live.workload.meta().uid.as_ref();
    let others = found.iter().filter(|other| other.workload.meta().uid.as_ref() != uid);
    for other in others {
        let Some(mut mark) = other.held_by().filter(|mark| mark.id == held.id) else { continue };
        mark.unheld.retain(|target| target.run.target != run.target);
        mark.unheld.push(not_held(run, note.to_owned()));
        let Some(request) = rewrite(other, &mark) else { continue };
        if matches!(calls.patch(&request).await, Sent::Done(_)) {
            return;
        }
    }
}

/// Takes a hold's marks away and lets go on what it had stopped.
pub(super) async fn release(calls: &Calls, settings: &KubernetesSettings, id: &HoldId) -> Result<Accepted, NotDone> {
    let (found, failed) = listed(calls, settings, can_be_held).await;
    let marked: Vec<Live> = found.into_iter().filter(|live| plan_release(live, id).is_some()).collect();
    if marked.is_empty() {
        if let Some(error) = failed.into_iter().next() {
            return Err(error);
        }
        let why = format!("no workload in {} carries the mark of hold {id}: it is released", settings.source);
        return Err(Refusal::new(RefusalKind::NotFound, why).into());
    }
    let all = marked.len();
    let each = marked.into_iter().map(|live| free(calls, live, id));
    let results: Vec<Result<(), NotDone>> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
    let mut errors: Vec<NotDone> = results.into_iter().filter_map(Result::err).collect();
    errors.extend(failed);
    let why: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let why = why.join("; ");
    match (errors.len(), errors.into_iter().next()) {
        (0, _) => Ok(Accepted { note: Some(format!("hold {id} is released: {all} go on")), ..Accepted::default() }),
        // Nothing at all was done: say it as it is.
        (count, Some(error)) if count >= all => Err(error),
        (count, _) => {
            let freed = all.saturating_sub(count);
            Err(NotDone::Unknown { why: format!("{freed} of {all} of hold {id} go on; {why}; release it again") })
        }
    }
}

async fn free(calls: &Calls, mut live: Live, id: &HoldId) -> Result<(), NotDone> {
    let kind = live.workload.kind();
    let mut stale = String::new();
    for _ in 0..=AGAIN {
        let Some(request) = plan_release(&live, id) else { return Ok(()) };
        match calls.patch(&request).await {
            Sent::Done(_) => return Ok(()),
            Sent::Stale(why) => stale = why,
            Sent::NotDone(NotDone::Refused(refusal)) if refusal.kind == RefusalKind::NotFound => return Ok(()),
            Sent::NotDone(error) => return Err(error),
        }
        match calls.get(request.resource, &request.namespace, &request.name).await? {
            Some(raw) => match Live::parse(kind, raw) {
                Ok(read) => live = read,
                Err(error) => {
                    return Err(NotDone::NotSent { why: sanitize_line(&format!("{}: {error}", live.place())) });
                }
            },
            None => return Ok(()),
        }
    }
    Err(NotDone::NotSent { why: format!("{} kept changing: {stale}", live.place()) })
}
