//! Holds in force, put together from the marks on the workloads that they stopped.

use super::super::Workload;
use crate::model::{
    Body, Entity, EntityRef, Hold, HoldId, HoldTarget, Rollout, Run, SourceId, Target, Wait, sanitize_line,
};
use std::collections::BTreeMap;

pub(super) struct Holds {
    source: SourceId,
    by_id: BTreeMap<HoldId, Marks>,
    /// Which hold has marked which target.
    marked: BTreeMap<Target, HoldId>,
}

/// All marks of one hold.
struct Marks {
    /// What they have in common; its targets are those of the marks.
    hold: Hold,
    targets: BTreeMap<Target, Marked>,
}

/// What one mark says.
#[derive(PartialEq)]
struct Marked {
    own: HoldTarget,
    /// What its hold could not stop.
    unheld: Vec<HoldTarget>,
}

impl Marks {
    fn body(&self) -> Body {
        let mut targets: BTreeMap<&Target, &HoldTarget> = BTreeMap::new();
        let unheld = self.targets.values().flat_map(|mark| &mark.unheld);
        targets.extend(unheld.map(|target| (&target.run.target, target)));
        // A mark of its own tells more than what another one said of it.
        targets.extend(self.targets.iter().map(|(target, mark)| (target, &mark.own)));
        let targets = targets.into_values().cloned().collect();
        Body::Upsert(Entity::Hold(Hold { targets, ..self.hold.clone() }))
    }
}

impl Holds {
    pub fn new(source: SourceId) -> Holds {
        Holds { source, by_id: BTreeMap::new(), marked: BTreeMap::new() }
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
        let own = HoldTarget { run: row.run.clone(), held, note: note.to_owned() };
        let unheld = mark.unheld.into_iter().map(|told| self.clean(told)).collect();
        let marked = Marked { own, unheld };
        let marks = self.by_id.entry(id.clone()).or_insert_with(|| Marks {
            hold: Hold {
                id: id.clone(),
                source: self.source.clone(),
                selector: mark.selector,
                owner: sanitize_line(&mark.owner),
                reason: mark.reason.as_deref().map(sanitize_line),
                since: mark.since,
                targets: Vec::new(),
            },
            targets: BTreeMap::new(),
        });
        if marks.targets.get(target) == Some(&marked) {
            return;
        }
        marks.targets.insert(target.clone(), marked);
        bodies.push(marks.body());
        self.marked.insert(target.clone(), id);
    }

    /// What a mark says comes from outside, and another hub may call this source otherwise.
    fn clean(&self, told: HoldTarget) -> HoldTarget {
        let Run { target, revision } = told.run;
        let target = Target {
            source: self.source.clone(),
            kind: sanitize_line(&target.kind),
            namespace: target.namespace.as_deref().map(sanitize_line),
            name: sanitize_line(&target.name),
            uid: sanitize_line(&target.uid),
        };
        let run = Run { target, revision: sanitize_line(&revision) };
        HoldTarget { run, held: false, note: sanitize_line(&told.note) }
    }

    /// The target is gone, or its mark is.
    pub fn forget(&mut self, target: &Target, bodies: &mut Vec<Body>) {
        let Some(id) = self.marked.remove(target) else { return };
        let Some(marks) = self.by_id.get_mut(&id) else { return };
        marks.targets.remove(target);
        if marks.targets.is_empty() {
            self.by_id.remove(&id);
            bodies.push(Body::Remove(EntityRef::Hold(self.source.clone(), id)));
        } else {
            bodies.push(marks.body());
        }
    }
}
