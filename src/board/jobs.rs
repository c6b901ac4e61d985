//! Jobs whose last run failed.

use super::Board;
use super::attention::{Attention, AttentionSubject, Severity};
use flightdeck_model::{EnvironmentName, Service, ServiceJob, ServiceName, SourceId};
use jiff::Timestamp;

/// A job of a service in an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobRef {
    /// Where its service is known.
    pub source: SourceId,
    /// Whose it is.
    pub service: ServiceName,
    /// Where.
    pub environment: EnvironmentName,
    /// Its name.
    pub name: String,
}

/// Those of a service whose last run failed, and when.
pub(super) fn failed(service: &Service) -> impl Iterator<Item = (JobRef, Timestamp)> {
    let all = service.places.iter().flat_map(|place| place.jobs.iter().map(move |job| (place, job)));
    all.filter_map(|(place, job)| {
        let (source, name) = (service.source.clone(), job.name.clone());
        let (at, _) = job.failure()?;
        Some((JobRef { source, service: service.name.clone(), environment: place.environment.clone(), name }, at))
    })
}

fn find<'a>(board: &'a Board, job: &JobRef) -> Option<&'a ServiceJob> {
    let place = board.service(&job.source, &job.service)?.place(&job.environment)?;
    place.jobs.iter().find(|of| of.name == job.name)
}

/// When its last run failed, if it did.
pub(super) fn failed_at(board: &Board, job: &JobRef) -> Option<Timestamp> {
    Some(find(board, job)?.failure()?.0)
}

/// What its last run came to.
pub(super) fn describe(board: &Board, job: &JobRef) -> Option<Attention> {
    let of = find(board, job)?;
    let (since, how) = of.failure()?;
    let id = of.last.as_ref().map_or("", |run| run.id.as_str());
    Some(Attention {
        subject: AttentionSubject::Job(job.clone()),
        name: job.service.to_string(),
        environment: Some(job.environment.clone()),
        severity: Severity::Failed,
        word: "job failed",
        sentence: format!("{}, {}: {how} ({id})", job.name, of.spec.schedule),
        deadline: Some(of.next),
        since,
    })
}
