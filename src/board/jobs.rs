//! Jobs whose last run failed, or that were not run when they were due.

use super::Board;
use super::entry::{Attention, AttentionSubject, JobRef, Severity};
use flightdeck_model::{Service, ServiceJob};
use jiff::Timestamp;

/// Those of a service that are not well: how bad that is, and since when.
pub(super) fn unwell(service: &Service) -> impl Iterator<Item = (JobRef, (Severity, Timestamp))> {
    let all = service.places.iter().flat_map(|place| place.jobs.iter().map(move |job| (place, job)));
    all.filter_map(|(place, job)| {
        let (source, name) = (service.source.clone(), job.name.clone());
        let of = JobRef { source, service: service.name.clone(), environment: place.environment.clone(), name };
        Some((of, how(job)?))
    })
}

/// What its last run came to weighs more than that one was missed since.
fn how(job: &ServiceJob) -> Option<(Severity, Timestamp)> {
    let failed = job.failure().map(|(at, _)| (Severity::Failed, at));
    failed.or_else(|| job.missed.as_ref().map(|missed| (Severity::Degraded, missed.due)))
}

fn find<'a>(board: &'a Board, job: &JobRef) -> Option<&'a ServiceJob> {
    let place = board.service(&job.source, &job.service)?.place(&job.environment)?;
    place.jobs.iter().find(|of| of.name == job.name)
}

/// How bad it is with that one, and since when; `None`: it is well.
pub(super) fn how_unwell(board: &Board, job: &JobRef) -> Option<(Severity, Timestamp)> {
    how(find(board, job)?)
}

/// What its last run came to, or why there was none.
pub(super) fn describe(board: &Board, job: &JobRef) -> Option<Attention> {
    let of = find(board, job)?;
    let (severity, since) = how(of)?;
    let (name, schedule) = (&job.name, &of.spec.schedule);
    let (word, sentence) = match (of.failure(), &of.missed) {
        (Some((_, end)), _) => {
            let id = of.last.as_ref().map_or("", |run| run.id.as_str());
            ("job failed", format!("{name}: {end} ({schedule}, {id})"))
        }
        (None, Some(missed)) => ("job missed", format!("{name}: {} ({schedule})", missed.why)),
        (None, None) => return None,
    };
    Some(Attention {
        subject: AttentionSubject::Job(job.clone()),
        name: job.service.to_string(),
        environment: Some(job.environment.clone()),
        severity,
        word,
        sentence,
        // Its next turn is its schedule's, and nobody waits for it.
        deadline: None,
        since,
    })
}
