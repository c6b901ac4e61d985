use super::*;
use flightdeck_model::{HookOn, HookSpec, Migration, Placement, Ppm, Step, StickyKey, Strategy};
use std::fmt::Write;

const EXAMPLE: &str = include_str!("../../../config/flightdeck.toml");
/// The least that is accepted; cases add to it.
const SMALL: &str = r#"[environment.production]
[service.shop]
run = ["bin/shop", "{port}"]
health = { path = "/healthz" }
[service.shop.in.production]
listen = "127.0.0.1:8080"
replicas = 3
"#;

fn placement(text: &str, service: &str, environment: &str) -> Placement {
    let spec = parse(text, Path::new("/srv/flightdeck.toml")).unwrap();
    spec.services[&ServiceName::from(service)].placements[&EnvironmentName::from(environment)].clone()
}

fn small(added: &str) -> Placement {
    placement(&format!("{SMALL}{added}"), "shop", "production")
}

fn hook(name: &str) -> Step {
    Step::Hook { name: name.into() }
}

#[test]
fn the_example_has_every_strategy() {
    let checkout = placement(EXAMPLE, "checkout", "production");
    assert_eq!(checkout.strategy, Strategy::Canary);
    assert_eq!(checkout.sticky, Some(StickyKey::Cookie("uid".into())));
    assert_eq!(checkout.rto, Some(SignedDuration::from_secs(30)));
    let names: Vec<_> = checkout.hooks.iter().map(|hook| (hook.name.as_str(), hook.on)).collect();
    let every = SignedDuration::from_secs(10);
    assert_eq!(
        names,
        [
            ("2026-07-add-vouchers", HookOn::Before),
            ("announce", HookOn::Before),
            ("buy-a-book", HookOn::While { every }),
            ("smoke", HookOn::After),
            ("clear-cache", HookOn::Rollback)
        ]
    );
    let staging = placement(EXAMPLE, "checkout", "staging");
    assert_eq!(*staging.steps, [hook("2026-07-add-vouchers")], "a migration belongs to every environment");

    let search = placement(EXAMPLE, "search", "production");
    assert_eq!((search.strategy, search.preview.unwrap().port()), (Strategy::BlueGreen, 9082));
    let approval = Step::Approval { count: 1, from: vec!["release-managers".into()], expires: None };
    let switch = Step::SetWeight(Ppm::ALL);
    assert_eq!(*search.steps, [Step::SetScale(Ppm::ALL), Step::Preview, hook("try-preview"), approval, switch.clone()]);

    let search = placement(EXAMPLE, "search", "staging");
    assert_eq!(search.strategy, Strategy::Rolling);
    let pause = || Step::Pause { duration: Some(SignedDuration::from_secs(10)) };
    let batch = |instances| Step::Batch { instances, unavailable: 0 };
    assert_eq!(*search.steps, [batch(1), pause(), batch(2), pause(), batch(3), pause(), batch(4)]);

    let mailer = placement(EXAMPLE, "mailer", "production");
    assert_eq!(mailer.strategy, Strategy::Recreate);
    assert_eq!(*mailer.steps, [Step::TakeDown, Step::SetScale(Ppm::ALL), switch]);

    let spec = parse(EXAMPLE, Path::new("/srv/flightdeck.toml")).unwrap();
    assert_eq!(spec.services[&ServiceName::from("checkout")].depends_on, [ServiceName::from("search")]);
    let production = &spec.environments[&EnvironmentName::from("production")];
    assert_eq!(
        (production.promote_from.clone(), production.soak),
        (Some("staging".into()), SignedDuration::from_mins(30))
    );
}

#[test]
fn a_hook_has_defaults_and_may_stand_among_the_steps() {
    let found = small(
        "hooks = [{ name = \"x\", run = [\"bin/x\"], on = \"after\" }]\n\
         canary = { steps = [{ hook = { name = \"in\", run = [\"bin/in\", \"{listen}\"], retries = 3 } }], sticky = \"header:X-User\" }\n\
         [[service.shop.migration]]\nname = \"m\"\nrun = [\"bin/m\"]\nirreversible = \"a column is gone\"\n",
    );
    let expected = HookSpec {
        name: "x".into(),
        run: vec!["bin/x".into()],
        on: HookOn::After,
        timeout: SignedDuration::from_secs(30),
        retries: 0,
        backoff: SignedDuration::from_secs(1),
        transient: vec![75],
        migration: None,
        irreversible: None,
    };
    let migration = HookSpec {
        name: "m".into(),
        run: vec!["bin/m".into()],
        on: HookOn::Before,
        timeout: SignedDuration::from_mins(5),
        migration: Some(Migration { back: Vec::new() }),
        irreversible: Some("a column is gone".into()),
        ..expected.clone()
    };
    let inline = HookSpec {
        name: "in".into(),
        run: vec!["bin/in".into(), "{listen}".into()],
        on: HookOn::Step,
        retries: 3,
        ..expected.clone()
    };
    assert_eq!(*found.hooks, [migration, expected, inline]);
    assert_eq!(*found.steps, [hook("m"), hook("in"), Step::SetWeight(Ppm::ALL), hook("x")]);
    assert_eq!(found.sticky, Some(StickyKey::Header("X-User".into())));
    assert_eq!(small("canary.sticky = \"own\"\n").sticky, Some(StickyKey::Own));
}

#[test]
fn rolling_counts_in_instances_or_in_shares() {
    let batch = |instances, unavailable| Step::Batch { instances, unavailable };
    for (written, expected) in [
        ("rolling = {}", [batch(1, 0), batch(2, 0), batch(3, 0)].as_slice()),
        ("rolling = { max_surge = \"50%\" }", &[batch(2, 0), batch(3, 0)]),
        ("rolling = { max_surge = 0, max_unavailable = 2 }", &[batch(2, 2), batch(3, 1)]),
        ("rolling = { max_surge = 0, max_unavailable = \"10%\" }", &[batch(1, 1), batch(2, 1), batch(3, 1)]),
        ("rolling = { max_surge = 9 }", &[batch(3, 0)]),
    ] {
        assert_eq!(*small(written).steps, *expected, "{written}");
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
/// Each: what is added to the small file, and the one line that must come out.
#[test]
fn each_mistake_is_named_with_its_place_and_what_was_meant() {
    for (added, line) in [
        (
            "canary = {}\nrecreate = {}",
            "flightdeck.toml:9:1: service.shop.in.production.recreate: expected one strategy, but service.shop.in.production.canary is there too",
        ),
        (
            "bluegreen = {}",
            "flightdeck.toml:8:1: service.shop.in.production.bluegreen: unknown key, expected \"listen\", \"replicas\", \"progress_deadline\", \"keep_warm\", \"concurrency\", \"rto\", \"run\", \"env\", \"secrets\", \"health\", \"stop\", \"user\", \"group\", \"groups\", \"limits\", \"hooks\", \"canary\", \"blue_green\", \"rolling\", \"recreate\", \"hosts\", \"paths\", \"tls\", \"redirect_from\", \"response_timeout\", \"drain\", \"trusted_proxies\" or \"access_log\"; did you mean \"blue_green\"?",
        ),
        (
            "recreate = { pause = \"1s\" }",
            "flightdeck.toml:8:14: service.shop.in.production.recreate.pause: unknown key, expected nothing",
        ),
        (
            "rolling = { max_surge = 0 }",
            "flightdeck.toml:8:1: service.shop.in.production.rolling: expected max_surge or max_unavailable above 0, found 0 for both: no instance could be replaced",
        ),
        (
            "rolling = { max_surge = 1.5 }",
            "flightdeck.toml:8:25: service.shop.in.production.rolling.max_surge: expected a whole number of instances, or a share such as \"25%\", found the number 1.5",
        ),
        (
            "rolling = { max_surge = \"25\" }",
            "flightdeck.toml:8:25: service.shop.in.production.rolling.max_surge: expected a percentage from \"0%\" to \"100%\", found \"25\"",
        ),
        (
            "blue_green = { checks = [{ set_weight = 5 }] }",
            "flightdeck.toml:8:28: service.shop.in.production.blue_green.checks[0].set_weight: unknown key, expected \"pause\", \"analysis\", \"approval\" or \"hook\"",
        ),
        (
            "blue_green = { checks = [{}] }",
            "flightdeck.toml:8:26: service.shop.in.production.blue_green.checks[0]: expected one of pause, analysis, approval or hook in a step, found 0",
        ),
        (
            "blue_green = { preview = \"127.0.0.1:8080\" }",
            "flightdeck.toml:8:26: service.shop.in.production.blue_green.preview: expected an address that service.shop.in.production.listen does not use, found \"127.0.0.1:8080\"",
        ),
        (
            "canary.sticky = \"uid\"",
            "flightdeck.toml:8:17: service.shop.in.production.canary.sticky: expected \"cookie:NAME\", \"header:NAME\" or \"own\", found \"uid\"; did you mean \"cookie:uid\"?",
        ),
        (
            "canary.sticky = \"cookie:a b\"",
            "flightdeck.toml:8:17: service.shop.in.production.canary.sticky: expected \"cookie:NAME\", \"header:NAME\" or \"own\", found \"cookie:a b\"",
        ),
        (
            "rto = 30",
            "flightdeck.toml:8:7: service.shop.in.production.rto: expected a duration such as \"1m30s\" from 1s to 366 days, found the integer 30; did you mean \"30s\"?",
        ),
        (
            "hooks = [{ run = [\"x\"], on = \"after\" }]",
            "flightdeck.toml:8:10: service.shop.in.production.hooks[0].name: expected a name of lower-case letters, digits, \"-\" and \"_\" that starts with a letter or digit, at most 63 characters, found nothing",
        ),
        (
            "hooks = [{ name = \"X\", run = [\"x\"], on = \"after\" }]",
            "flightdeck.toml:8:19: service.shop.in.production.hooks[0].name: expected a name of lower-case letters, digits, \"-\" and \"_\" that starts with a letter or digit, at most 63 characters, found \"X\"",
        ),
        (
            "hooks = [{ name = \"x\", run = [\"x\"] }]",
            "flightdeck.toml:8:10: service.shop.in.production.hooks[0].on: expected when it runs: \"before\", \"after\", \"rollback\" or \"while\", found nothing",
        ),
        (
            "hooks = [{ name = \"x\", run = [\"x\"], on = \"befor\" }]",
            "flightdeck.toml:8:42: service.shop.in.production.hooks[0].on: expected \"before\", \"after\", \"rollback\" or \"while\", found \"befor\"; did you mean \"before\"?",
        ),
        (
            "hooks = [{ name = \"x\", run = [\"x\"], on = \"while\" }]",
            "flightdeck.toml:8:10: service.shop.in.production.hooks[0].every: expected the time between two runs such as \"10s\", found nothing",
        ),
        (
            "hooks = [{ name = \"x\", run = [\"x\"], on = \"after\", every = \"1s\" }]",
            "flightdeck.toml:8:51: service.shop.in.production.hooks[0].every: expected only in a hook with on = \"while\"",
        ),
        (
            "hooks = [{ name = \"x\", run = [\"x\", \"{port}\"], on = \"after\" }]",
            "flightdeck.toml:8:36: service.shop.in.production.hooks[0].run[1]: a hook has no {port}; did you mean {listen}?",
        ),
        (
            "hooks = [{ name = \"x\", run = [\"x\", \"{previw}\"], on = \"after\" }]",
            "flightdeck.toml:8:36: service.shop.in.production.hooks[0].run[1]: unknown placeholder {previw}; did you mean {preview}?",
        ),
        (
            "hooks = [{ name = \"x\", run = [\"x\"], on = \"after\", transient = [0] }]",
            "flightdeck.toml:8:64: service.shop.in.production.hooks[0].transient[0]: expected a whole number from 1 to 255, found the integer 0",
        ),
        (
            "hooks = [{ name = \"x\", run = [\"x\"], on = \"after\", irreversible = \" \" }]",
            "flightdeck.toml:8:66: service.shop.in.production.hooks[0].irreversible: expected the reason in words, such as \"mails are sent\", found \" \"",
        ),
        (
            "hooks = [{ name = \"x\", run = [\"x\"], on = \"after\" }]\ncanary.steps = [{ hook = { name = \"x\", run = [\"x\"] } }]",
            "flightdeck.toml:9:35: service.shop.in.production.canary.steps[0].hook.name: expected a name that service.shop.in.production.hooks[0].name does not have, found \"x\"",
        ),
        (
            "[[service.shop.migration]]\nname = \"x\"\nrun = [\"x\"]\nback = [\"y\"]\nirreversible = \"no\"",
            "flightdeck.toml:12:1: service.shop.migration[0].irreversible: expected either this or \"back\": what has a way back is not irreversible",
        ),
        (
            "[[service.shop.migration]]\nname = \"x\"\nrun = []",
            "flightdeck.toml:10:7: service.shop.migration[0].run: expected a program as the first element, found none",
        ),
        (
            "[[service.shop.migration]]\nname = \"x\"\nrun = [\"x\"]\n[[service.shop.migration]]\nname = \"x\"\nrun = [\"x\"]",
            "flightdeck.toml:12:8: service.shop.migration[1].name: expected a name that service.shop.migration[0].name does not have, found \"x\"",
        ),
    ] {
        says(&format!("{SMALL}{added}"), line);
    }
}

fn says(text: &str, line: &str) {
    let error = parse(text, Path::new("flightdeck.toml")).expect_err(text).to_string();
    assert!(error.lines().any(|found| found == line), "{text}\nexpected: {line}\nfound:\n{error}");
}

fn services(names: &[(&str, &str, &[&str])]) -> String {
    let mut text = "[environment.staging]\n[environment.production]\n".to_owned();
    let mut port = 8000;
    for (name, needs, environments) in names {
        let _ = write!(
            text,
            "[service.{name}]\nrun = [\"x\", \"{{port}}\"]\nhealth = {{ path = \"/\" }}\ndepends_on = [{needs}]\n"
        );
        for environment in *environments {
            port += 1;
            let _ = write!(text, "[service.{name}.in.{environment}]\nlisten = \"127.0.0.1:{port}\"\n");
        }
    }
    text
}

#[test]
fn dependencies_exist_everywhere_and_run_in_no_circle() {
    let both: &[&str] = &["staging", "production"];
    let fine = services(&[("a", "\"b\", \"c\"", &["production"]), ("b", "\"c\"", both), ("c", "", both)]);
    let spec = parse(&fine, Path::new("flightdeck.toml")).unwrap();
    assert_eq!(spec.services[&ServiceName::from("a")].depends_on, ["b", "c"].map(ServiceName::from));

    for (file, line) in [
        (
            services(&[("shop", "\"serch\"", both), ("search", "", both)]),
            "flightdeck.toml:6:15: service.shop.depends_on[0]: expected the name of a [service.…] of this file, found \"serch\"; did you mean \"search\"?",
        ),
        (
            services(&[("a", "\"a\"", both)]),
            "flightdeck.toml:6:15: service.a.depends_on[0]: expected no service that needs a itself, found the cycle a → a",
        ),
        (
            services(&[("c", "\"a\"", both), ("a", "\"b\"", both), ("b", "\"c\"", both)]),
            "flightdeck.toml:14:15: service.a.depends_on[0]: expected no service that needs a itself, found the cycle a → b → c → a",
        ),
        (
            services(&[("a", "\"b\"", both), ("b", "", &["production"])]),
            "flightdeck.toml:6:15: service.a.depends_on[0]: expected a service that runs wherever a does, but b is not in staging",
        ),
    ] {
        says(&file, line);
        assert_eq!(parse(&file, Path::new("flightdeck.toml")).unwrap_err().to_string().lines().count(), 1, "{line}");
    }
}

#[test]
fn versions_come_from_an_environment_further_down() {
    for (added, line) in [
        (
            "order = 1\npromote_from = \"stagin\"\n[environment.staging]",
            "flightdeck.toml:3:16: environment.production.promote_from: expected the name of a [environment.…] of this file, found \"stagin\"; did you mean \"staging\"?",
        ),
        (
            "order = 1\npromote_from = \"staging\"\n[environment.staging]\norder = 1",
            "flightdeck.toml:3:16: environment.production.promote_from: expected an environment with a lower order than production, found staging: its order is 1, that of production is 1",
        ),
        (
            "soak = \"1m\"",
            "flightdeck.toml:2:1: environment.production.soak: expected promote_from beside it: nothing soaks in an environment that nothing comes from",
        ),
    ] {
        says(&SMALL.replace("[environment.production]", &format!("[environment.production]\n{added}")), line);
    }
}
