//! Pools: made, retired, kept warm, and what is wrong with their instances.

use super::state::{Counters, InstanceRecord, Pool, Slot, State};
use super::types::InstanceId;
use flightdeck_model::{ArmRole, Diagnosis, ReleaseRef};
use std::collections::BTreeMap;

/// Ends in a row after which a rollout does not wait for its deadline any more: with the pauses between them 15 s, in
/// which what it needs may come up.
const CRASH_LOOP: u32 = 5;

/// Makes a pool without instances; gives its id.
pub(super) fn new_pool(state: &mut State, slot: &mut Slot, role: ArmRole, release: ReleaseRef) -> String {
    let id = format!("P-{}", Counters::next(&mut state.counters.pool));
    let pool = Pool { id: id.clone(), role, release, desired: 0, retired: false, instances: BTreeMap::new() };
    slot.pools.insert(id.clone(), pool);
    id
}

/// It is to end: out of the route, drained, stopped.
pub(super) fn retire(slot: &mut Slot, pool: &str) {
    if let Some(pool) = slot.pools.get_mut(pool) {
        pool.retired = true;
        pool.desired = 0;
    }
}

/// The running number at the end of an instance's id.
pub(super) fn number(id: &InstanceId) -> u64 {
    id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Why a pool is not up: the newest error of its instances that are not ready.
pub(super) fn trouble(pool: &Pool) -> Option<String> {
    let mut bad = pool.instances.values().filter(|instance| !instance.serving() && !instance.leaving);
    bad.find_map(|instance| instance.error.clone())
}

/// What was found out about an instance of the pool that is not up: first of one that never can be.
pub(super) fn diagnosis(pool: &Pool) -> Option<Box<Diagnosis>> {
    let bad = || pool.instances.values().filter(|instance| !instance.serving() && !instance.leaving);
    let first = bad().filter(|instance| instance.hopeless.is_some()).chain(bad());
    first.into_iter().find_map(|instance| instance.diagnosis.clone())
}

/// An instance of the pool that can't ever start, with its reason.
pub(super) fn hopeless(pool: &Pool) -> Option<&str> {
    pool.instances.values().find_map(|instance| instance.hopeless.as_deref())
}

/// The pool to return to, if it is still up.
pub(super) fn warm_pool<'a>(slot: &'a Slot, release: &ReleaseRef) -> Option<&'a Pool> {
    let pool = slot.pools.get(&slot.warm.as_ref()?.pool)?;
    (pool.release == *release && !pool.retired).then_some(pool)
}

/// An instance that was made for a rollout and ended again and again, with the last reason. What ran before it, as a
/// version that is kept warm, may have ended for other reasons.
pub(super) fn crash_loop(pool: &Pool, revision: &str) -> Option<String> {
    let made_for = |instance: &&InstanceRecord| instance.revision.as_deref() == Some(revision);
    let mut bad = pool.instances.values().filter(made_for).filter(|of| !of.serving() && !of.leaving);
    let of = bad.find(|of| of.crashes >= CRASH_LOOP)?;
    let why = of.error.as_deref().unwrap_or("it ended");
    Some(format!("{} ended {} times in a row: {why}", of.id, of.crashes))
}

/// Says what a pool is for.
pub(super) fn role(slot: &mut Slot, pool: &str, role: ArmRole) {
    if let Some(pool) = slot.pools.get_mut(pool) {
        pool.role = role;
    }
}
