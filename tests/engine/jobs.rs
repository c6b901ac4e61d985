//! Jobs by the clock.

use super::world::*;
use flightdeck::engine::core::*;
use flightdeck::model::*;
use jiff::{SignedDuration, Timestamp};

fn every(minutes: i64) -> JobSpec {
    JobSpec {
        run: vec!["bin/cleanup".to_owned(), "--old".to_owned()],
        schedule: Schedule::Every(SignedDuration::from_mins(minutes)),
        timeout: seconds(600),
    }
}

/// The shop with a job `cleanup` in production.
fn with_job(job: JobSpec) -> Spec {
    let mut spec = spec(&canary_steps());
    let shop = spec.services.get_mut(&"shop".into()).unwrap();
    shop.placements.get_mut(&"production".into()).unwrap().jobs.insert("cleanup".to_owned(), job);
    spec
}

fn job_of(story: &Story, service: &str) -> ServiceJob {
    let rows = story.rows();
    let mut services = rows.iter().filter_map(|row| if let Entity::Service(of) = row { Some(of) } else { None });
    let service = services.find(|of| of.name.as_str() == service).unwrap();
    service.place(&"production".into()).unwrap().jobs.first().cloned().unwrap()
}

fn job(story: &Story) -> ServiceJob {
    job_of(story, "shop")
}

fn how(run: Option<&JobRun>) -> Option<JobEnd> {
    run?.ended.as_ref().map(|(_, how)| how.clone())
}

/// Runs of it that were begun.
fn begun(story: &Story) -> usize {
    story.jobs_run.iter().filter(|launch| launch.hook == "cleanup").count()
}

/// To the next full minute.
fn to_the_minute(story: &mut Story) {
    story.pass(60 - story.now.as_second().rem_euclid(60));
}

/// Nothing was there meanwhile.
fn down(story: &mut Story, span: SignedDuration) {
    let text = serde_json::to_string(&story.state).unwrap();
    story.state = serde_json::from_str(&text).unwrap();
    story.now += span;
    story.input(&Input::Tick);
}

#[test]
fn it_is_begun_at_each_of_its_times_with_what_is_stable_and_goes_on_while_rollouts_stand() {
    let mut story = Story::serving(with_job(every(2)));
    let first = job(&story).next;
    assert_eq!((first.as_second() % 120, job(&story).running), (0, None));
    story.deploy("production", "1.1").unwrap();
    story.pass(2);
    assert_eq!(story.row().phase, Phase::Paused);
    story.hold("eve");
    let row = story.row();
    story.pass(first.as_second() - story.now.as_second() - 1);
    assert_eq!(begun(&story), 0, "a second too early");
    story.pass(1);
    let launch = story.jobs_run.last().unwrap().clone();
    assert_eq!((launch.version.as_str(), launch.run.join(" ").as_str()), ("1.0", "bin/cleanup --old"));
    assert_eq!((launch.hook.as_str(), launch.one_off, launch.timeout), ("cleanup", false, seconds(600)));
    assert_eq!(launch.env["FLIGHTDECK_VERSION"], "1.0");
    let last = job(&story).last.unwrap();
    assert_eq!((last.id, last.due, how(job(&story).last.as_ref())), (launch.job, first, Some(JobEnd::Exited(0))));
    assert_eq!(job(&story).next, first + seconds(120));
    story.pass(119);
    assert_eq!(begun(&story), 1, "once");
    story.pass(1);
    assert_eq!((begun(&story), story.row().phase, story.row().facts), (2, row.phase, row.facts));
    assert!(story.state.pending.is_empty());
    assert_eq!(job(&story).trouble(), None);
}

#[test]
fn its_last_failure_is_told_until_it_succeeds() {
    let mut story = Story::serving(with_job(every(1)));
    let lost = JobEnd::NotStarted("there is no bin/cleanup".to_owned());
    story.ends.insert("cleanup".to_owned(), vec![JobEnd::Exited(3), lost.clone()]);
    to_the_minute(&mut story);
    let of = job(&story);
    let (id, at) = (of.last.as_ref().unwrap().id.clone(), story.now);
    assert_eq!(of.failure(), Some((at, &JobEnd::Exited(3))));
    assert_eq!(of.trouble(), Some(format!("failed at {at}: exit status 3 ({id})")));
    to_the_minute(&mut story);
    assert_eq!(job(&story).failure(), Some((story.now, &lost)));
    story.hanging.insert("cleanup".to_owned());
    to_the_minute(&mut story);
    assert_eq!(job(&story).failure(), Some((at + seconds(60), &lost)), "it is not known yet how the next one ends");
    story.end_hook("cleanup", JobEnd::Exited(0));
    assert_eq!(job(&story).trouble(), None);
}

#[test]
fn a_time_that_passed_without_a_run_is_said_and_not_made_up_for() {
    let missed = |story: &Story| job(story).missed.map(|of| (of.due, of.why));
    // The server was down: an hour's job over three of its times.
    let mut story = Story::serving(with_job(every(60)));
    let first = job(&story).next;
    down(&mut story, SignedDuration::from_mins(180));
    let newest = first + SignedDuration::from_hours(2);
    assert_eq!((begun(&story), missed(&story)), (0, Some((newest, Missed::ServerDown))));
    assert_eq!(job(&story).trouble(), Some(format!("missed at {newest}: the server was down")));
    assert_eq!(job(&story).next, newest + SignedDuration::from_hours(1));
    // A restart takes less than a minute, and leaves none out.
    let mut story = Story::serving(with_job(every(60)));
    let span = first.duration_since(story.now) + seconds(59);
    down(&mut story, span);
    assert_eq!((begun(&story), missed(&story)), (1, None));
    assert_eq!(job(&story).last.unwrap().due, first);
    // Down at one time, back for the next: that is run, and its success is the end of it.
    let mut story = Story::serving(with_job(every(60)));
    story.hanging.insert("cleanup".to_owned());
    let span = first.duration_since(story.now) + seconds(3610);
    down(&mut story, span);
    assert_eq!((begun(&story), missed(&story)), (1, Some((first, Missed::ServerDown))));
    story.end_hook("cleanup", JobEnd::Exited(0));
    assert_eq!(missed(&story), None);
    // Nothing is stable.
    let mut story = Story::new(with_job(every(1)));
    to_the_minute(&mut story);
    assert_eq!((begun(&story), missed(&story)), (0, Some((story.now, Missed::NothingStable))));
    // The run before goes on, and its good end is not that of the time it left out.
    let mut story = Story::serving(with_job(every(1)));
    story.hanging.insert("cleanup".to_owned());
    to_the_minute(&mut story);
    to_the_minute(&mut story);
    let over = story.now;
    assert_eq!((begun(&story), missed(&story)), (1, Some((over, Missed::StillRunning))));
    story.end_hook("cleanup", JobEnd::Exited(0));
    assert_eq!(missed(&story), Some((over, Missed::StillRunning)));
    story.hanging.clear();
    to_the_minute(&mut story);
    assert_eq!((begun(&story), missed(&story)), (2, None));
}

#[test]
fn a_crash_between_the_commit_and_the_effect_begins_it_once() {
    let mut story = Story::serving(with_job(every(1)));
    story.now = job(&story).next;
    let outcome = step(&mut story.state, &Input::Tick, story.now);
    assert!(outcome.changed, "it is committed before it is carried out");
    let run = job(&story).running.unwrap();
    assert_eq!(run.due, story.now);
    down(&mut story, seconds(5));
    let again: Vec<Effect> = pending(&story.state).map(|numbered| numbered.effect.clone()).collect();
    let [Effect::StartJob(launch)] = again.as_slice() else { panic!("{again:?}") };
    assert_eq!((&launch.job, begun(&story)), (&run.id, 0), "the same run, and no other");
    story.carry_out(&again[0]);
    assert_eq!((job(&story).running, job(&story).last.unwrap().id), (None, run.id));
    assert!(story.state.pending.is_empty());
}

#[test]
fn another_schedule_begins_anew_and_a_clock_that_was_set_back_is_followed() {
    let mut story = Story::serving(with_job(every(60)));
    let at = |time: &str| JobSpec { schedule: Schedule::At(vec![time.parse().unwrap()]), ..every(1) };
    let day = |time: &str| format!("2023-11-{time}:00Z").parse::<Timestamp>().unwrap();
    assert_eq!(story.now, day("14T22:13") + seconds(20));
    story.apply(with_job(at("23:30"))).unwrap();
    assert_eq!(job(&story).next, day("14T23:30"));
    assert!(diff(&story.state, &with_job(at("04:00"))).concat().contains("jobs changed"));
    story.apply(with_job(at("04:00"))).unwrap();
    assert_eq!((job(&story).next, job(&story).missed), (day("15T04:00"), None));
    story.now = day("20T12:00");
    story.input(&Input::Tick);
    assert_eq!(job(&story).next, day("21T04:00"));
    story.now = day("16T12:00");
    story.input(&Input::Tick);
    assert_eq!(job(&story).next, day("17T04:00"));
    // By less than a turn: a time is run once.
    story.now = day("17T04:00");
    story.input(&Input::Tick);
    story.now = day("17T03:59");
    story.input(&Input::Tick);
    assert_eq!((begun(&story), job(&story).next), (1, day("18T04:00")));
}

#[test]
fn a_run_is_ended_by_its_id_and_keeps_its_place_from_being_removed() {
    let mut story = Story::serving(with_job(every(1)));
    story.hanging.insert("cleanup".to_owned());
    to_the_minute(&mut story);
    let id = job(&story).running.unwrap().id;
    let mut without = spec(&[]);
    without.services.get_mut(&"shop".into()).unwrap().placements.remove(&"production".into());
    let refused = story.apply(without.clone()).unwrap_err();
    assert!(refused.why.contains(&format!("the job cleanup ({id}) runs there; end it first")), "{}", refused.why);
    let (source, service, environment) = ("local".into(), "shop".into(), "production".into());
    let one = Subject::OneOff { source, service, environment, id };
    story.command_as("bob", Action::EndRun, one.clone(), None).unwrap();
    assert_eq!(how(job(&story).last.as_ref()), Some(JobEnd::Killed(15)));
    story.command_as("bob", Action::EndRun, one, None).unwrap();
    // One that is configured no more ends in peace, and nothing follows.
    to_the_minute(&mut story);
    story.apply(spec(&canary_steps())).unwrap();
    to_the_minute(&mut story);
    assert_eq!((begun(&story), job(&story).running.is_some()), (2, true));
    story.end_hook("cleanup", JobEnd::Exited(0));
    assert!(story.slot().jobs.is_empty());
    story.apply(without).unwrap();
    assert!(story.state.pending.is_empty());
}

#[test]
fn it_goes_with_a_service_that_is_renamed() {
    let mut story = Story::serving(with_job(every(1)));
    story.hanging.insert("cleanup".to_owned());
    to_the_minute(&mut story);
    let mut renamed = with_job(every(1));
    let mut shop = renamed.services.remove(&"shop".into()).unwrap();
    shop.renamed_from = Some("shop".into());
    renamed.services.insert("store".into(), shop);
    let before = job(&story);
    story.apply_with(renamed, Vec::new()).unwrap();
    assert_eq!(job_of(&story, "store"), before);
    story.end_hook("cleanup", JobEnd::Exited(0));
    story.hanging.clear();
    to_the_minute(&mut story);
    let launch = story.jobs_run.last().unwrap();
    assert_eq!((begun(&story), launch.slot.service.as_str()), (2, "store"));
}

#[test]
fn an_older_journal_has_none_and_after_a_restore_nothing_of_before_runs() {
    let mut story = Story::serving(with_job(every(1)));
    story.hanging.insert("cleanup".to_owned());
    to_the_minute(&mut story);
    restored(&mut story.state, story.now);
    let of = story.slot().jobs.remove(0);
    assert_eq!((of.running, how(of.last.as_ref())), (None, Some(JobEnd::Lost)));
    let mut older = serde_json::to_value(&story.state).unwrap();
    let slots = older["slots"].as_array_mut().unwrap();
    for slot in slots {
        slot.as_object_mut().unwrap().remove("jobs").unwrap();
    }
    for placement in older["spec"]["services"]["shop"]["placements"].as_object_mut().unwrap().values_mut() {
        placement.as_object_mut().unwrap().remove("jobs").unwrap();
    }
    let state: State = serde_json::from_value(older).unwrap();
    assert!(state.slots.values().all(|slot| slot.jobs.is_empty()));
}

#[test]
fn one_that_a_person_runs_is_its_run_and_no_other_is_begun_meanwhile() {
    let mut story = Story::serving(with_job(every(2)));
    story.hanging.insert("cleanup".to_owned());
    let by_hand = |job: &str, program: &str| Subject::Command {
        source: "local".into(),
        service: "shop".into(),
        environment: "production".into(),
        run: vec![program.to_owned(), "--old".to_owned()],
        timeout: Some(seconds(600)),
        job: Some(job.to_owned()),
    };
    for (job, program, why) in [
        ("clean-up", "bin/cleanup", "shop@production has no job clean-up"),
        ("cleanup", "bin/other", "the job cleanup is configured otherwise by now"),
    ] {
        let refused = story.command_as("ann", Action::Run, by_hand(job, program), None).unwrap_err();
        assert!(refused.why.starts_with(why), "{}", refused.why);
    }
    let id = story.command_as("ann", Action::Run, by_hand("cleanup", "bin/cleanup"), None).unwrap().note.unwrap();
    let launch = story.jobs_run.last().unwrap();
    assert_eq!((launch.hook.as_str(), launch.one_off), ("cleanup", false), "its output is with the others of the job");
    assert_eq!(job(&story).running.map(|run| run.id), Some(id.clone()));
    let refused = story.command_as("bob", Action::Run, by_hand("cleanup", "bin/cleanup"), None).unwrap_err();
    assert!(refused.why.starts_with(&format!("the job cleanup runs already, as {id}")), "{}", refused.why);
    let due = job(&story).next;
    story.pass(due.as_second() - story.now.as_second());
    assert_eq!((begun(&story), job(&story).missed.map(|of| of.why)), (1, Some(Missed::StillRunning)));
    story.end_hook("cleanup", JobEnd::Exited(0));
    let of = job(&story);
    assert_eq!((of.running, how(of.last.as_ref()), of.last.unwrap().id), (None, Some(JobEnd::Exited(0)), id));
    assert!(story.state.pending.is_empty());
    let due = job(&story).next;
    story.pass(due.as_second() - story.now.as_second());
    assert_eq!(begun(&story), 2, "by the clock again");
}
