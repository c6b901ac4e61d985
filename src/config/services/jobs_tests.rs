//! Jobs in `flightdeck.toml`.

use super::tests::{SMALL, wrong};
use super::*;
use flightdeck_model::{JobSpec, Schedule};

fn jobs(text: &str, environment: &str) -> BTreeMap<String, JobSpec> {
    let spec = parse(text, Path::new("flightdeck.toml")).unwrap();
    spec.services[&"shop".into()].placements[&environment.into()].jobs.clone()
}

#[test]
fn a_job_runs_where_it_says_or_everywhere() {
    let text = format!(
        "{SMALL}[environment.staging]\n[service.shop.in.staging]\nlisten = \"127.0.0.1:8081\"\n\
         [service.shop.job.cleanup]\nrun = [\"bin/cleanup\", \"{{listen}}\"]\nevery = \"1h\"\n\
         [service.shop.job.report]\nrun = [\"bin/report\"]\nat = [\"16:00\", \"04:00\", \"04:00\"]\n\
         timeout = \"10m\"\nin = [\"production\"]\n"
    );
    let production = jobs(&text, "production");
    let cleanup = JobSpec {
        run: vec!["bin/cleanup".into(), "{listen}".into()],
        schedule: Schedule::Every(SignedDuration::from_hours(1)),
        timeout: SignedDuration::from_hours(1),
    };
    assert_eq!(production["cleanup"], cleanup);
    let report = &production["report"];
    assert_eq!(
        (report.schedule.to_string().as_str(), report.timeout),
        ("at 04:00, 16:00 UTC", SignedDuration::from_mins(10))
    );
    assert_eq!(jobs(&text, "staging").into_iter().collect::<Vec<_>>(), [("cleanup".to_owned(), cleanup)]);
    let one = [SMALL, "[service.shop.job]\nnight = { run = [\"x\"], at = \"04:00\" }"].concat();
    assert_eq!(jobs(&one, "production")["night"].schedule.to_string(), "at 04:00 UTC");
}

/// Each: what a job says beside its command, and the one line that must come out.
#[test]
fn each_mistake_is_named_with_its_place_and_what_was_meant() {
    let at = "flightdeck.toml:9:";
    for (keys, line) in [
        ("", "flightdeck.toml:7:19: service.shop.job.tidy: expected when it runs: every = \"1h\", or at = \"04:00\" (UTC)".to_owned()),
        ("every = \"1h\"\nat = \"04:00\"", format!("{at}1: service.shop.job.tidy.every: expected either this or \"at\"")),
        ("every = \"30s\"", format!("{at}9: service.shop.job.tidy.every: expected a duration such as \"1m30s\" from 1m to 366 days, found \"30s\"")),
        ("every = 90", format!("{at}9: service.shop.job.tidy.every: expected a duration such as \"1m30s\" from 1m to 366 days, found the integer 90; did you mean \"90s\"?")),
        ("at = \"4:00\"", format!("{at}6: service.shop.job.tidy.at: expected a time of day in UTC such as \"04:00\", found \"4:00\"; did you mean \"04:00\"?")),
        ("at = [\"04:00\", \"16\"]", format!("{at}16: service.shop.job.tidy.at[1]: expected a time of day in UTC such as \"04:00\", found \"16\"; did you mean \"16:00\"?")),
        ("at = \"25:00\"", format!("{at}6: service.shop.job.tidy.at: expected a time of day in UTC such as \"04:00\", found \"25:00\"")),
        ("at = 4", format!("{at}6: service.shop.job.tidy.at: expected a time of day in UTC such as \"04:00\", or a list of them, found the integer 4")),
        ("at = []", format!("{at}6: service.shop.job.tidy.at: expected at least one time, found none")),
        ("every = \"1h\"\nin = [\"produktion\"]", "flightdeck.toml:10:7: service.shop.job.tidy.in[0]: expected an environment that the service runs in, found \"produktion\"; did you mean \"production\"?".to_owned()),
        ("every = \"1h\"\nin = []", "flightdeck.toml:10:6: service.shop.job.tidy.in: expected at least one environment, found none; left out it is all of the service".to_owned()),
        ("every = \"1h\"\ntimeout = \"0s\"", "flightdeck.toml:10:11: service.shop.job.tidy.timeout: expected a duration such as \"1m30s\" from 1s to 366 days, found \"0s\"".to_owned()),
        ("every = \"1h\"\ncron = \"* * * * *\"", "flightdeck.toml:10:1: service.shop.job.tidy.cron: unknown key, expected \"run\", \"every\", \"at\", \"timeout\" or \"in\"".to_owned()),
        ("every = \"1h\"\n[[service.shop.migration]]\nname = \"tidy\"\nrun = [\"x\"]\nirreversible = \"y\"", "flightdeck.toml:7:19: service.shop.job.tidy: expected a name that no hook or migration has, one of production has it".to_owned()),
    ] {
        let text = format!("{SMALL}[service.shop.job.tidy]\nrun = [\"bin/tidy\"]\n{keys}\n");
        assert_eq!(wrong(&text), [line], "{keys}");
    }
}

#[test]
fn its_command_line_and_its_name_are_those_of_what_is_run_once() {
    let job = |name: &str, run: &str| format!("{SMALL}[service.shop.job.{name}]\nrun = {run}\nevery = \"1h\"\n");
    for (name, run, line) in [
        ("Tidy", "[\"x\"]", format!("7:19: service.shop.job.Tidy: expected {NAME}")),
        (
            "tidy",
            "[]",
            "8:7: service.shop.job.tidy.run: expected a program as the first element, found none".to_owned(),
        ),
        (
            "tidy",
            "[\"x\", \"{port}\"]",
            "8:13: service.shop.job.tidy.run[1]: a job has no {port}; did you mean {listen}?".to_owned(),
        ),
    ] {
        assert_eq!(wrong(&job(name, run)), [format!("flightdeck.toml:{line}")], "{name} {run}");
    }
    let worker = "[environment.production]\n[service.mails]\nkind = \"worker\"\nrun = [\"bin/mails\"]\n\
                  [service.mails.in.production]\n[service.mails.job.tidy]\nrun = [\"bin/tidy\", \"{listen}\"]\nevery = \"1h\"\n";
    assert_eq!(
        wrong(worker),
        [
            "flightdeck.toml:7:20: service.mails.job.tidy.run[1]: a worker's job has no {listen}: a worker is reached by nobody"
        ]
    );
    let twice = [SMALL, "[[service.shop.job]]\nname = \"tidy\"\n"].concat();
    assert_eq!(wrong(&twice), ["flightdeck.toml:7:1: service.shop.job: expected a table, found a list"]);
}
