//! Programs that services have run by the clock.

use super::{Check, ok, warn};
use crate::model::{Service, ServiceJob};

/// What is wrong with them, in one line; none where there are no jobs.
pub(super) fn check(services: &[&Service]) -> Option<Check> {
    let places = services.iter().flat_map(|service| service.places.iter().map(move |place| (service, place)));
    let all: Vec<(String, &ServiceJob)> = places
        .flat_map(|(service, place)| {
            let name = |job: &ServiceJob| format!("{} of {}@{}", job.name, service.name, place.environment);
            place.jobs.iter().map(move |job| (name(job), job))
        })
        .collect();
    let next = all.iter().map(|(_, job)| job.next).min()?;
    let wrong: Vec<_> = all.iter().filter_map(|(name, job)| Some(format!("{name} {}", job.trouble()?))).collect();
    if wrong.is_empty() {
        return Some(ok(
            "jobs",
            format!("{} by the clock, none failed or was missed, the next at {next:.0}", all.len()),
        ));
    }
    Some(warn("jobs", wrong.join("; "), "`flightdeck logs SERVICE@ENV --hook JOB` shows what one wrote"))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::model::{JobEnd, JobRun, JobSpec, Missed, MissedRun, Place, Schedule};
    use jiff::{SignedDuration, Timestamp};
    use std::sync::Arc;

    fn checked(jobs: Vec<ServiceJob>) -> Option<(Verdict, String)> {
        let place = Place {
            environment: "production".into(),
            steps: Arc::default(),
            left_out: Vec::new(),
            migrations: Vec::new(),
            one_offs: Vec::new(),
            jobs,
            user: None,
        };
        let service = Service {
            source: "local".into(),
            name: "shop".into(),
            configuration: None,
            kind: None,
            environments: Vec::new(),
            addresses: Vec::new(),
            places: vec![place],
        };
        check(&[&service]).map(|check| (check.verdict, check.what))
    }

    #[test]
    fn what_failed_or_was_missed_is_told_and_what_runs_well_is_counted() {
        let (epoch, hour) = (Timestamp::UNIX_EPOCH, SignedDuration::from_hours(1));
        let well = ServiceJob {
            name: "clean-up".to_owned(),
            spec: JobSpec { run: vec!["bin/x".to_owned()], schedule: Schedule::Every(hour), timeout: hour },
            next: epoch + hour,
            running: None,
            last: None,
            missed: None,
        };
        let run = JobRun {
            id: "job-7".to_owned(),
            version: "1.0".into(),
            due: epoch,
            began: epoch,
            ended: Some((epoch, JobEnd::TimedOut)),
        };
        let failed = ServiceJob { name: "report".to_owned(), last: Some(run), ..well.clone() };
        let missed = MissedRun { due: epoch, why: Missed::ServerDown };
        let missed = ServiceJob { name: "save".to_owned(), missed: Some(missed), ..well.clone() };
        assert_eq!(checked(Vec::new()), None);
        let fine = "1 by the clock, none failed or was missed, the next at 1970-01-01T01:00:00Z";
        assert_eq!(checked(vec![well.clone()]), Some((Verdict::Ok, fine.to_owned())));
        let wrong = "report of shop@production failed at 1970-01-01T00:00:00Z: it took too long (job-7); \
                     save of shop@production missed at 1970-01-01T00:00:00Z: the server was down";
        assert_eq!(checked(vec![well, failed, missed]), Some((Verdict::Warn, wrong.to_owned())));
    }
}
