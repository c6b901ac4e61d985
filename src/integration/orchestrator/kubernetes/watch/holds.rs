//! Holds in force, put together from the marks on the workloads that they stopped.

use super::super::Workload;
use crate::model::{Body, Entity, EntityRef, Hold, HoldId, HoldTarget, Rollout, SourceId, Target, Wait, sanitize_line};
use std::collections::BTreeMap;

pub(super) struct Holds {
    source: SourceId,
    holds: BTreeMap<HoldId, Hold>,
    /// Which hold has marked which target.
    marked: BTreeMap<Target, HoldId>,
}

impl Holds {
    pub fn new(source: SourceId) -> Holds {
        Holds { source, holds: BTreeMap::new(), marked: BTreeMap::new() }
    }

    /// Takes in a workload as it is now.
    pub fn note(&mut self, workload: &Workload, row: &Rollout, bodies: &mut Vec<Body>) {
        let target = &row.run.target;
        let Some(mark) = workload.hold() else {
            self.forget(target, bodies);
            return;
        };
        let id = HoldId(sanitize_line(mark.id.as_str()));
        if self.marked.get(target).is_some_and(|known| *known != id) {
            self.forget(target, bodies);
        }
        let held = row.waits.iter().any(|wait| matches!(wait, Wait::Hold(of) if *of == id));
        let note = if held { "held" } else { "marked, but it goes on: somebody resumed it" };
        let entry = HoldTarget { run: row.run.clone(), held, note: note.to_owned() };
        let hold = self.holds.entry(id.clone()).or_insert_with(|| Hold {
            id: id.clone(),
            source: self.source.clone(),
            selector: mark.selector,
            owner: sanitize_line(&mark.owner),
            reason: mark.reason.as_deref().map(sanitize_line),
            since: mark.since,
            targets: Vec::new(),
        });
        match hold.targets.iter_mut().find(|of| of.run.target == *target) {
            Some(known) if *known == entry => return,
            Some(known) => *known = entry,
            None => hold.targets.push(entry),
        }
        hold.targets.sort_by(|a, b| a.run.cmp(&b.run));
        bodies.push(Body::Upsert(Entity::Hold(hold.clone())));
        self.marked.insert(target.clone(), id);
    }

    /// The target is gone, or its mark is.
    pub fn forget(&mut self, target: &Target, bodies: &mut Vec<Body>) {
        let Some(id) = self.marked.remove(target) else { return };
        let Some(hold) = self.holds.get_mut(&id) else { return };
        hold.targets.retain(|of| of.run.target != *target);
        if hold.targets.is_empty() {
            self.holds.remove(&id);
            bodies.push(Body::Remove(EntityRef::Hold(self.source.clone(), id)));
        } else {
            bodies.push(Body::Upsert(Entity::Hold(hold.clone())));
        }
    }
}
