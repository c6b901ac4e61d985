//! Holds in force, put together from the marks on the workloads that they stopped.

use super::super::meta::hold;
use flightdeck_model::{
    Body, Entity, EntityRef, Hold, HoldId, HoldTarget, Phase, Rollout, Run, SourceId, Target, sanitize_line,
};
use kube::core::ObjectMeta;
use std::collections::BTreeMap;

pub(super) struct Holds {
    source: SourceId,
    by_id: BTreeMap<HoldId, Marks>,
    marked: BTreeMap<Target, HoldId>,
}

/// All marks of one hold.
struct Marks {
    /// What they have in common; its targets are those of the marks.
    hold: Hold,
    targets: BTreeMap<Target, Marked>,
    /// What lost its mark while others kept theirs, and goes on.
    undone: BTreeMap<Target, HoldTarget>,
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
        targets.extend(self.undone.iter());
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
    pub fn note(&mut self, meta: &ObjectMeta, row: &Rollout, bodies: &mut Vec<Body>) {
        let target = &row.run.target;
        let Some(mark) = hold(meta) else {
            return self.unmarked(row, bodies);
        };
        let id = HoldId(sanitize_line(mark.id.as_str()));
        if self.marked.get(target).is_some_and(|known| *known != id) {
            self.forget(target, bodies);
        }
        let held = row.held_by() == Some(&id);
        let goes_on = row.in_flight() && row.phase != Phase::RollingBack;
        let note = match (held, goes_on) {
            (true, _) => "held",
            (false, true) => "it goes on: somebody resumed it from outside",
            (false, false) => "it is over; its mark is a leftover",
        };
        let own = HoldTarget { run: row.run.clone(), held, note: note.to_owned(), undone: !held && goes_on };
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
            undone: BTreeMap::new(),
        });
        let again = marks.undone.remove(target).is_some();
        if marks.targets.get(target) == Some(&marked) && !again {
            return;
        }
        marks.targets.insert(target.clone(), marked);
        bodies.push(marks.body());
        self.marked.insert(target.clone(), id);
    }

    /// A workload without a mark. If it had one, and its hold stands elsewhere, somebody took it away: a
    /// release takes all of them, and one that is let through is said in those that stay.
    fn unmarked(&mut self, row: &Rollout, bodies: &mut Vec<Body>) {
        let target = &row.run.target;
        let had = self.marked.get(target).cloned();
        let goes_on = row.in_flight() && row.phase != Phase::RollingBack;
        let known = |marks: &Marks| marks.undone.get(target).is_some_and(|of| of.run != row.run || !goes_on);
        if let Some(marks) = self.by_id.values_mut().find(|marks| known(marks)) {
            marks.undone.remove(target);
            bodies.push(marks.body());
        }
        let Some(id) = had else { return };
        let same =
            self.by_id.get(&id).and_then(|marks| marks.targets.get(target)).is_some_and(|m| m.own.run == row.run);
        let mut quiet = Vec::new();
        self.forget(target, &mut quiet);
        let let_through = |marks: &&mut Marks| {
            let mut told = marks.targets.values().flat_map(|mark| &mark.unheld);
            told.any(|told| told.run == row.run)
        };
        let others = self.by_id.get_mut(&id).filter(|_| same && goes_on);
        if let Some(marks) = others.filter(|marks| !let_through(marks)) {
            let note = "it goes on: somebody took its mark away from outside".to_owned();
            let own = HoldTarget { run: row.run.clone(), held: false, note, undone: true };
            marks.undone.insert(target.clone(), own);
            bodies.push(marks.body());
        } else {
            bodies.extend(quiet);
        }
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
            first_name: None,
        };
        let run = Run { target, revision: sanitize_line(&revision) };
        HoldTarget { run, held: false, note: sanitize_line(&told.note), undone: false }
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
