//! Commands that people have run once with what is stable.

use super::world::*;
use flightdeck::engine::core::*;
use flightdeck::model::*;

fn command(program: &str) -> Subject {
    Subject::Command {
        source: "local".into(),
        service: "shop".into(),
        environment: "production".into(),
        run: vec![program.to_owned(), "--all".to_owned()],
        timeout: None,
        job: None,
    }
}

fn one_off(id: &str) -> Subject {
    let (source, service, environment) = ("local".into(), "shop".into(), "production".into());
    Subject::OneOff { source, service, environment, id: id.to_owned() }
}

/// What its row says of each: whether it runs, and how it ended.
fn told(story: &Story) -> Vec<(String, Option<JobEnd>)> {
    let rows = story.rows();
    let services = rows.iter().filter_map(|row| if let Entity::Service(of) = row { Some(of) } else { None });
    let places = services.filter_map(|service| service.place(&"production".into()));
    let all = places.flat_map(|place| &place.one_offs);
    all.map(|of| (of.id.clone(), of.ended.as_ref().map(|(_, how)| how.clone()))).collect()
}

#[test]
fn it_is_run_with_what_is_stable_also_while_another_is_on_its_way() {
    let mut story = Story::serving(spec(&canary_steps()));
    story.deploy("production", "1.1").unwrap();
    story.pass(2);
    story.hanging.insert("run".to_owned());
    let outcome = story.command_as("ann", Action::Run, command("bin/tidy"), None).unwrap();
    let launch = story.jobs_run.last().unwrap().clone();
    assert_eq!((launch.version.as_str(), launch.run.join(" ").as_str()), ("1.0", "bin/tidy --all"));
    assert_eq!((launch.env["FLIGHTDECK_VERSION"].as_str(), launch.one_off), ("1.0", true));
    assert_eq!(outcome.note.as_deref(), Some(launch.job.as_str()));
    assert_eq!(told(&story), [(launch.job.clone(), None)]);
    let row = story.row();
    story.end_hook("run", JobEnd::Exited(3));
    assert_eq!(told(&story), [(launch.job, Some(JobEnd::Exited(3)))]);
    assert_eq!(story.row(), row, "it is nothing to the rollout");
    assert!(story.state.pending.is_empty());
}

#[test]
fn it_is_ended_by_its_id_and_told_twice_is_told_once() {
    let mut story = Story::serving(spec(&[]));
    story.hanging.insert("run".to_owned());
    let run = Input::Command {
        command: Command {
            id: CommandId::from("c-run".to_owned()),
            action: Action::Run,
            subject: command("bin/tidy"),
            pin: None,
            reason: None,
        },
        actor: actor("ann"),
        decided: story.now,
    };
    story.input(&run);
    story.input(&run);
    assert_eq!(story.jobs_run.len(), 1, "a command that is sent twice runs once");
    let id = story.jobs["run"].clone();
    let mut without = spec(&[]);
    without.services.get_mut(&"shop".into()).unwrap().placements.remove(&"production".into());
    let refused = story.apply(without).unwrap_err();
    assert!(refused.why.contains(&format!("bin/tidy by ann ({id}) runs there; end it first")), "{}", refused.why);
    assert!(story.command_as("bob", Action::EndRun, one_off("job-99"), None).is_err());
    story.command_as("bob", Action::EndRun, one_off(&id), None).unwrap();
    assert_eq!(told(&story), [(id.clone(), Some(JobEnd::Killed(15)))]);
    story.command_as("bob", Action::EndRun, one_off(&id), None).unwrap();
    assert!(story.state.pending.is_empty(), "it has ended: nothing is to be done");
}

#[test]
fn without_a_stable_version_there_is_nothing_to_run_and_after_a_restore_nothing_runs_again() {
    let mut story = Story::new(spec(&[]));
    let refused = story.command_as("ann", Action::Run, command("bin/tidy"), None).unwrap_err();
    assert!(refused.why.starts_with("nothing is stable in shop@production yet"), "{}", refused.why);
    let mut story = Story::serving(spec(&[]));
    story.hanging.insert("run".to_owned());
    story.command_as("ann", Action::Run, command("bin/tidy"), None).unwrap();
    restored(&mut story.state, story.now);
    assert_eq!(told(&story)[0].1, Some(JobEnd::Lost));
    assert!(!story.state.pending.iter().any(|of| matches!(of.effect, Effect::StartJob(_))));
    for number in 0..30 {
        story.hanging.clear();
        story.command_as("ann", Action::Run, command(&format!("bin/{number}")), None).unwrap();
    }
    assert_eq!(told(&story).len(), 20, "the newest are remembered");
}
