use super::*;
use crate::ConfigError;
use flightdeck_integration::PROVIDERS;
use flightdeck_model::{OnBreach, OnBurn};
use flightdeck_port::Section;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::path::Path;

fn read(text: &str, environment: &[(&str, &str)], flags: &[(&str, Value)]) -> Result<Effective, ConfigError> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    resolve(text, Path::new("config.toml"), PROVIDERS, environment, flags)
}

fn wrong(text: &str) -> Vec<String> {
    read(text, &[], &[]).expect_err(text).to_string().lines().map(str::to_owned).collect()
}

#[test]
fn without_anything_everything_is_default() {
    let effective = read("", &[("HOME", "/root")], &[]).unwrap();
    assert_eq!(effective.settings, Settings::default());
    let lease = effective.rows.iter().find(|row| row.key == "serve.lease").unwrap();
    assert_eq!((&lease.value, effective.settings.serve.lease), (&json!("1m"), Duration::from_mins(1)));
    assert!(effective.rows.iter().all(|row| row.origin == Origin::Default), "{:?}", effective.rows);
}

#[test]
fn each_layer_lies_over_the_one_before_and_says_where_it_is_from() {
    let text = "theme = \"light\"\nmouse = false\n[serve]\nlease = \"90s\"\nports = \"3000-4000\"\n";
    let environment =
        [("FLIGHTDECK_MOUSE", "true"), ("FLIGHTDECK_SERVE_LEASE", "2m"), ("FLIGHTDECK_SERVE_OPERATORS", "alice, ops")];
    let effective = read(text, &environment, &[("serve.lease", json!("3m"))]).unwrap();
    let settings = &effective.settings;
    assert_eq!((settings.theme.as_str(), settings.mouse), ("light", true));
    assert_eq!((settings.serve.lease, settings.serve.ports.0.clone()), (Duration::from_mins(3), 3000..=4000));
    assert_eq!(settings.serve.operators, ["alice", "ops"]);
    let origin = |key: &str| effective.rows.iter().find(|row| row.key == key).unwrap().origin.to_string();
    for (key, from) in [
        ("theme", "config.toml:1"),
        ("mouse", "environment FLIGHTDECK_MOUSE"),
        ("serve.ports", "config.toml:5"),
        ("serve.lease", "flag serve.lease"),
        ("keymap", "default"),
    ] {
        assert_eq!(origin(key), from, "{key}");
    }
}

#[test]
fn a_variable_may_be_text_that_looks_like_a_number() {
    let effective = read("", &[("FLIGHTDECK_THEME", "1984"), ("FLIGHTDECK_SERVE_OPERATORS", "alice")], &[]).unwrap();
    assert_eq!((effective.settings.theme.as_str(), effective.settings.serve.operators.len()), ("1984", 1));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = "thene = \"light\"\nmouse = \"yes\"\n[serve]\nlease = \"1s\"\nports = \"80-90\"\n[serve.retention]\nreleases = 1\nlogz = 1\n[[servers]]\nname = \"a\"\nurl = \"http://x\"\n";
    assert_eq!(
        wrong(text),
        [
            r#"config.toml:1:1: thene: unknown key, expected "environments", "keymap", "mouse", "notify", "serve", "servers", "slo", "sources", "theme" or "watchdog"; did you mean "theme"?"#,
            r#"config.toml:2:9: mouse: expected a boolean, found string "yes""#,
            "config.toml:4:9: serve.lease: expected a duration from 5s to 1h, found 1s",
            r#"config.toml:5:9: serve.ports: expected two ports from 1024 to 65535 such as "20000-29999", found "80-90""#,
            "config.toml:7:12: serve.retention.releases: expected at least 2 (one to roll back to), found 1",
            r#"config.toml:8:1: serve.retention.logz: unknown key, expected "deployment_age", "deployments", "log_age", "logs" or "releases"; did you mean "logs"?"#,
            r#"config.toml:9:1: servers[0]: expected a url such as "unix:/run/flightdeck/server.sock", found "http://x""#,
        ]
    );
    let error = read("", &[("FLIGHTDECK_SERVE_LEASE", "soon"), ("FLIGHTDECK_MOUSE", "maybe")], &[]).unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
    assert!(error.to_string().starts_with("environment FLIGHTDECK_MOUSE: mouse: expected a boolean"), "{error}");
    assert!(read("", &[], &[("no.such", json!(1))]).is_err());
}

#[test]
fn the_first_file_holds_every_default() {
    assert_eq!(read(TEMPLATE, &[], &[]).unwrap().settings, Settings::default());
    // A setting's line is `# key = …`; prose is not.
    let uncommented: String = TEMPLATE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                rest
            }
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n");
    let mut settings = read(&uncommented, &[], &[]).unwrap().settings;
    let rows = read("", &[], &[]).unwrap().rows;
    for row in &rows {
        let key = row.key.rsplit('.').next().unwrap();
        assert!(
            uncommented.lines().any(|line| line.starts_with(&format!("{key} ="))
                || line == format!("[[{key}]]")
                || line.starts_with(&format!("[{key}."))
                || line.ends_with(&format!(".{key}]"))),
            "{key}"
        );
    }
    // These three have no value to show as a default, so the file has an example.
    assert!(settings.keymap.take().is_some() && settings.serve.group.take().is_some());
    assert_eq!(settings.servers.drain(..).count(), 1);
    assert_eq!(std::mem::take(&mut settings.serve.apply)["shop"], ["user:ann", "group:web"]);
    let example = std::mem::take(&mut settings.sources).remove("prod-eu").unwrap();
    let provider = provider(PROVIDERS, Section::Sources, &example.kind, |_| false).unwrap();
    let schema = provider.schema().to_value();
    let missing: Vec<_> =
        provided::properties(&schema).into_iter().filter(|(key, _)| !example.settings.contains_key(*key)).collect();
    assert!(missing.is_empty(), "the example lacks {missing:?}");
    let mut told = std::mem::take(&mut settings.notify);
    let example = told.remove("on-call").unwrap();
    assert_eq!(example.settings.len(), 2, "the example names every key of a webhook");
    let watchdog = std::mem::take(&mut settings.watchdog).remove("production").unwrap();
    assert!(watchdog.on_breach == OnBreach::Abort && watchdog.template.limits.len() == 2);
    let example = std::mem::take(&mut settings.slo).remove("checkout").unwrap();
    assert!(example.availability.is_some() && example.latency.is_some() && example.burn_rate > 1.0);
    assert_eq!(std::mem::take(&mut settings.environments)["production"].on_burn, OnBurn::Refuse);
    assert_eq!(settings, Settings::default());
}

#[test]
fn the_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(path, reference(PROVIDERS)).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap_or_default(),
        reference(PROVIDERS),
        "renew with BLESS=1 cargo test -p flightdeck-config reference"
    );
    assert!(!reference(PROVIDERS).contains("|  |"), "a setting without its sentence:\n{}", reference(PROVIDERS));
}

const SOURCES: &str = r#"
[sources.prod-eu]
context = "eks-prod"
kubeconfig = "/home/me/.kube/prod"
namespaces = ["shop", "pay"]
selector = "team=shop"
kinds = ["rollouts", "deployments"]
tier = "critical"
order = 3
read_only = true
environments = [{ namespaces = "shop-*", environment = "staging", tier = "low" }]
[sources.mainframe]
kind = "exec"
command = ["/opt/mf/adapter", "--fast"]
"#;

#[test]
fn sources_are_read_by_name_and_each_key_says_its_line() {
    let effective = read(SOURCES, &[], &[]).unwrap();
    let eu = &effective.settings.sources["prod-eu"];
    assert!(eu.read_only);
    assert_eq!((&eu.settings["context"], &eu.settings["tier"]), (&json!("eks-prod"), &json!("critical")));
    assert_eq!(eu.settings["environments"][0]["namespaces"], "shop-*");
    let mainframe = &effective.settings.sources["mainframe"];
    assert_eq!((mainframe.kind.as_str(), &mainframe.settings["command"][1]), ("exec", &json!("--fast")));
    let origin = |key: &str| effective.rows.iter().find(|row| row.key == key).unwrap().origin.to_string();
    assert_eq!(origin("sources.prod-eu.tier"), "config.toml:8");
    assert_eq!(origin("sources.mainframe.command"), "config.toml:14");
    let told = [("FLIGHTDECK_SOURCES", r#"{"eu":{"context":"a"}}"#)];
    assert_eq!(read("", &told, &[]).unwrap().settings.sources["eu"].settings["context"], "a");
    assert!(read("", &[("FLIGHTDECK_SOURCES", r#"{"eu":{"kind":"exec"}}"#)], &[]).is_err());
}

#[test]
fn every_mistake_in_sources_is_named_with_its_place() {
    let text = r#"
[sources.local]
[sources."a b"]
contxt = "x"
[sources.eu]
command = ["/x"]
kinds = ["deployment", "jobs"]
tier = "high"
order = -1
environments = [{ namespaces = "x" }, { namespace = "y", environment = "z" }]
read_only = "yes"
kubeconfig = "relative"
[sources.mf]
kind = "exec"
context = "x"
[sources.mf2]
kind = "exec"
command = ["adapter"]
"#;
    let wrong = wrong(text);
    let said: Vec<_> = wrong.iter().map(|line| line.trim_start_matches("config.toml:")).collect();
    let begins = [
        "2:10: sources.local: expected another name: \"local\" is the server of this machine",
        "3:10: sources.a b: expected a name of 1 to 64 visible characters without spaces",
        "4:1: sources.a b.contxt: unknown key",
        "6:1: sources.eu.command: there is no such key for kind \"kubernetes\"",
        "7:10: sources.eu.kinds[0]: expected \"rollouts\", \"deployments\"",
        "7:24: sources.eu.kinds[1]: expected \"rollouts\", \"deployments\"",
        "8:8: sources.eu.tier: expected \"low\", \"standard\" or \"critical\", found \"high\"",
        "9:9: sources.eu.order: expected a whole number from 0 to 1000",
        "10:17: sources.eu.environments[0].environment: expected its name, found nothing",
        "10:39: sources.eu.environments[1].namespaces: expected a namespace's name",
        "10:41: sources.eu.environments[1].namespace: unknown key",
        "11:13: sources.eu.read_only: expected true or false",
        "12:14: sources.eu.kubeconfig: expected an absolute path, found \"relative\"",
        "13:10: sources.mf.command: expected command = [\"/path/to/program\"], found nothing",
        "15:1: sources.mf.context: there is no such key for kind \"exec\"",
        "18:11: sources.mf2.command: expected the program's absolute path first, found \"adapter\"",
    ];
    assert_eq!(said.len(), begins.len(), "{said:#?}");
    for (said, begin) in said.iter().zip(begins) {
        assert!(said.starts_with(begin), "{said} does not begin with {begin}");
    }
    assert!(said[2].ends_with("did you mean \"context\"?") && said[4].ends_with("did you mean \"deployments\"?"));
}

#[test]
fn who_may_apply_is_a_list_a_configuration() {
    let text = "[serve.apply]\nshop = [\"ann\", \"group:web\"]\nfind = [\"bob\"]\n";
    let effective = read(text, &[], &[]).unwrap();
    assert_eq!(effective.settings.serve.apply["shop"], ["ann", "group:web"]);
    let row = effective.rows.iter().find(|row| row.key == "serve.apply.find").unwrap();
    assert_eq!(row.origin.to_string(), "config.toml:3");
    let told = [("FLIGHTDECK_SERVE_APPLY", r#"{"shop":["ann"]}"#)];
    assert_eq!(read("", &told, &[]).unwrap().settings.serve.apply["shop"], ["ann"]);
    assert!(read("", &[("FLIGHTDECK_SERVE_APPLY", r#"{"a b":["ann"]}"#)], &[]).is_err());
    let said = wrong("[serve.apply]\nShop = [\"ann\"]\nfind = []\ncart = [1]\nmail = \"ann\"\n");
    let begins = [
        "config.toml:2:1: serve.apply.Shop: expected a name of lower-case letters",
        "config.toml:3:8: serve.apply.find: expected users and groups such as [\"user:ann\", \"group:web\"], found a list",
        "config.toml:4:9: serve.apply.cart[0]: expected a user or group such as \"group:web\", found the integer 1",
        "config.toml:5:8: serve.apply.mail: expected users and groups such as [\"user:ann\", \"group:web\"], found \"ann\"",
    ];
    assert_eq!(said.len(), begins.len(), "{said:#?}");
    for (said, begin) in said.iter().zip(begins) {
        assert!(said.starts_with(begin), "{said} does not begin with {begin}");
    }
}

#[test]
fn a_watchdog_is_read_key_by_key_and_an_unknown_source_of_a_server_is_named() {
    let read = |text: &str| read(text, &[], &[]);
    let text = "[watchdog.production]\non_breach = \"abort\"\nerror_rate = { max = \"5%\", over_stable = \"1%\" }\n";
    let settings = read(text).unwrap().settings;
    let watchdog = settings.watchdog.get("production").unwrap();
    assert_eq!((watchdog.on_breach, watchdog.template.limits.len()), (OnBreach::Abort, 1));
    assert_eq!(watchdog.template.limits.first().unwrap().over_stable, Some(0.01));
    // What came out goes in again, as it must for a layer above.
    let again = serde_json::from_value::<Settings>(serde_json::to_value(&settings).unwrap()).unwrap();
    assert_eq!(again, settings);
    for (text, told) in [
        ("[watchdog.a]\non_breach = \"stop\"\nerror_rate = { max = \"5%\" }", "\"notify\", \"pause\" or \"abort\""),
        ("[watchdog.a]\non_breach = \"abort\"", "at least one of error_rate"),
        ("[watchdog.a]\nmissing = \"fail\"\nerror_rate = { max = \"5%\" }", "missing: unknown key"),
        ("[watchdog.a]\nerror_rate = { max = 5 }", "did you mean \"5%\""),
        ("[serve]\nsources = [\"prod\"]", "serve.sources: expected names of [sources.NAME] tables, found \"prod\""),
    ] {
        let wrong = read(text).unwrap_err().to_string();
        assert!(wrong.contains(told), "{text}: {wrong}");
    }
}

#[test]
fn objectives_are_read_key_by_key_with_what_the_workbook_says_where_nothing_is() {
    let read = |text: &str| read(text, &[], &[]);
    let text = "[slo.checkout]\nservices = [\"checkout\"]\navailability = \"99.95%\"\n\
                [slo.fast]\nlatency = { within = \"300ms\", target = \"99%\" }\nwindow = \"1w\"\nburn_rate = 6\n\
                burn_windows = [\"6h\", \"30m\"]\n[environments.production]\non_burn = \"refuse\"\n";
    let settings = read(text).unwrap().settings;
    let (checkout, fast) = (&settings.slo["checkout"], &settings.slo["fast"]);
    let minutes = SignedDuration::from_mins;
    assert_eq!((checkout.availability, checkout.latency, checkout.services.len()), (Some(0.9995), None, 1));
    assert_eq!((checkout.window, checkout.burn_rate), (SignedDuration::from_hours(720), 14.4));
    assert_eq!((checkout.burn_windows, checkout.environments.len()), ([minutes(60), minutes(5)], 0));
    assert_eq!((fast.window, fast.burn_windows), (SignedDuration::from_hours(168), [minutes(360), minutes(30)]));
    let latency = fast.latency.unwrap();
    assert_eq!((latency.within, latency.target), (SignedDuration::from_millis(300), 0.99));
    assert_eq!(settings.environments["production"].on_burn, OnBurn::Refuse);
    let again = serde_json::from_value::<Settings>(serde_json::to_value(&settings).unwrap()).unwrap();
    assert_eq!(again, settings);
    let twice = read("[slo]\na = 3").unwrap_err();
    assert_eq!(twice.to_string(), "config.toml:2:5: slo.a: expected a table, found the integer 3");
    let of = |line: &str| format!("[slo.a]\navailability = \"99%\"\n{line}");
    for (text, told) in [
        (
            "[slo.a]\nwindow = \"30d\"".to_owned(),
            "config.toml:1:6: slo.a: expected at least one of availability or latency",
        ),
        (
            "[slo.a]\navailability = 99.9".to_owned(),
            "slo.a.availability: expected a percentage from \"0%\" to \"100%\", found the number 99.9; did you mean \"99.9%\"?",
        ),
        (
            "[slo.a]\navailability = \"100%\"".to_owned(),
            "\"99.9999%\" (without a budget nothing could burn), found \"100%\"",
        ),
        ("[slo.a]\navailability = \"9%\"".to_owned(), "from \"50%\" to \"99.9999%\", found \"9%\""),
        ("[slo.a]\navailabilty = \"99%\"".to_owned(), "slo.a.availabilty: unknown key"),
        (of("latency = { within = 300, target = \"99%\" }"), "slo.a.latency.within: expected a duration"),
        (of("latency = { target = \"99%\" }"), "slo.a.latency"),
        (
            of("window = 30"),
            "slo.a.window: expected a span such as \"30d\" or \"5m\", from 1h to 366 days, found the integer 30; did you mean \"30d\"?",
        ),
        (of("window = \"5m\""), "slo.a.window: expected a span"),
        (
            of("window = \"1h\"\nburn_windows = [\"2h\", \"5m\"]"),
            "slo.a.window: expected a window no shorter than the first of burn_windows (2h), found 1h",
        ),
        (of("burn_windows = [\"31d\", \"1d\"]"), "slo.a.burn_windows: expected a window no shorter"),
        (of("burn_windows = [\"5m\", \"1h\"]"), "the longer one first"),
        (of("burn_windows = [\"1h\"]"), "slo.a.burn_windows: expected two spans"),
        (
            "[slo.a]\navailability = \"90%\"".to_owned(),
            "slo.a: its budget burns 10.0 times as fast as allowed when every request is bad: expected a smaller \
             burn_rate, without it 14.4",
        ),
        (of("latency = { within = \"1s\", target = \"50%\" }\nburn_rate = 2"), "burn_rate, found 2"),
        (of("burn_rate = 0.5"), "slo.a.burn_rate: expected a number from 1 to 1000"),
        (of("services = \"checkout\""), "slo.a.services: expected names such as [\"checkout\"]"),
        (
            "[environments.a]\non_burn = \"stop\"".to_owned(),
            "environments.a.on_burn: expected \"notify\" or \"refuse\"",
        ),
        ("[environments.a]\non_brun = \"refuse\"".to_owned(), "did you mean \"on_burn\"?"),
    ] {
        let wrong = read(&text).unwrap_err().to_string();
        assert!(wrong.contains(told), "{text}: {wrong}");
    }
}
