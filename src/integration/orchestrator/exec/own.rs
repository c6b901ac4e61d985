//! What a program tells belongs to its source, whatever it says.

use flightdeck_model::{Body, Detail, Entity, EntityRef, Rollout, Run, SourceId, Target};
use std::sync::Arc;

/// Forces the source of everything in the update. `Err`: it is not a program's to tell.
pub(super) fn body(body: &mut Body, source: &SourceId) -> Result<(), String> {
    match body {
        Body::Upsert(row) => entity(row, source),
        Body::Remove(key) => key_of(key, source),
        Body::Samples(samples) => {
            for sample in samples {
                target(&mut sample.target, source);
            }
            Ok(())
        }
        Body::SnapshotBegin | Body::SnapshotEnd | Body::Link(_) => Ok(()),
    }
}

fn entity(entity: &mut Entity, source: &SourceId) -> Result<(), String> {
    match entity {
        Entity::Service(row) => row.source = source.clone(),
        Entity::Environment(row) => row.source = source.clone(),
        Entity::Release(row) => row.source = source.clone(),
        Entity::Rollout(row) => rollout(Arc::make_mut(row), source),
        Entity::Approval(row) => {
            run(&mut row.run, source);
            return approval(row.id.as_str(), source);
        }
        Entity::Evidence(row) => run(&mut row.run, source),
        Entity::Receipt(_) => return Err("receipts are written by the hub alone".to_owned()),
        Entity::Hold(row) => {
            row.source = source.clone();
            row.targets.iter_mut().for_each(|target| run(&mut target.run, source));
        }
        Entity::RolloutRecord(row) => run(&mut Arc::make_mut(row).run, source),
        Entity::Instance(row) => target(&mut row.target, source),
        Entity::Note(row) => run(&mut row.run, source),
        Entity::Alert(row) => Arc::make_mut(row).source = source.clone(),
        Entity::Silence(row) => row.source = source.clone(),
    }
    Ok(())
}

fn key_of(key: &mut EntityRef, source: &SourceId) -> Result<(), String> {
    match key {
        EntityRef::Service(of, _)
        | EntityRef::Environment(of, _)
        | EntityRef::Release(of, ..)
        | EntityRef::Evidence(of, _)
        | EntityRef::Hold(of, _)
        | EntityRef::Instance(of, _)
        | EntityRef::Note(of, _)
        | EntityRef::Alert(of, _)
        | EntityRef::Silence(of, _) => *of = source.clone(),
        EntityRef::Rollout(of) => target(of, source),
        EntityRef::RolloutRecord(of) => run(of, source),
        EntityRef::Approval(id) => return approval(id.as_str(), source),
        EntityRef::Receipt(_) => return Err("receipts are written by the hub alone".to_owned()),
    }
    Ok(())
}

/// Ids of approvals are one space for all sources: a program has a part of its own.
fn approval(id: &str, source: &SourceId) -> Result<(), String> {
    let own = format!("{source}/");
    id.starts_with(&own).then_some(()).ok_or_else(|| format!("approval {id}: its id must begin with {own}"))
}

pub(super) fn target(target: &mut Target, source: &SourceId) {
    target.source = source.clone();
}

fn run(run: &mut Run, source: &SourceId) {
    target(&mut run.target, source);
}

pub(super) fn rollout(row: &mut Rollout, source: &SourceId) {
    run(&mut row.run, source);
}

/// The same for all that is told of a run; what the hub adds is left out.
pub(super) fn detail(detail: &mut Detail, source: &SourceId) {
    rollout(&mut detail.rollout, source);
    detail.instances.iter_mut().for_each(|row| target(&mut row.target, source));
    detail.notes.iter_mut().for_each(|row| run(&mut row.run, source));
    detail.evidence.iter_mut().for_each(|row| run(&mut row.run, source));
    detail.receipts.clear();
}
