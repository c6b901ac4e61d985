use super::*;
use flightdeck_model::{CertificateFiles, InForce, RunAs, SecretRef, UnfitCertificate};
use flightdeck_model::{CertificatePart, Concurrency, Connections, Limits, Metric, Missing, Ppm, Probe, Step};

const EXAMPLE: &str = include_str!("../../../config/flightdeck.toml");
/// The least that is accepted; cases add to it or change it.
pub(super) const SMALL: &str = r#"[environment.production]
[service.shop]
run = ["bin/shop", "{port}"]
health = { path = "/healthz" }
[service.shop.in.production]
listen = "127.0.0.1:8080"
"#;

fn http(path: &str) -> Probe {
    Probe::Http { path: path.to_owned() }
}

pub(super) fn wrong(text: &str) -> Vec<String> {
    let error = parse(text, Path::new("flightdeck.toml")).expect_err(text);
    error.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn the_example_says_what_it_means() {
    let spec = parse(EXAMPLE, Path::new("/srv/shop/flightdeck.toml")).unwrap();
    let production = &spec.environments[&EnvironmentName::from("production")];
    assert_eq!((production.order, production.tier, production.concurrent_rollouts), (3, Tier::Critical, Some(2)));
    assert!(!production.allow_self);
    let checkout = &spec.services[&ServiceName::from("checkout")];
    assert_eq!(checkout.run, ["bin/checkout", "--port", "{port}"]);
    assert_eq!(checkout.env["LOG"], "info");
    assert_eq!(checkout.secrets["DB_URL"], SecretRef::File("/srv/shop/secrets/{environment}/db".into()));
    assert_eq!((checkout.health.healthy, checkout.health.unhealthy), (2, 3));
    assert_eq!(checkout.health.timeout, SignedDuration::from_millis(500));
    let placement = &checkout.placements[&EnvironmentName::from("production")];
    assert_eq!((placement.listen, placement.replicas), ("0.0.0.0:443".parse().ok(), 3));
    let cert = Path::new("/srv/shop/certificates/shop.pem");
    assert_eq!(
        (placement.ingress.paths.as_slice(), &*placement.ingress.certificates[0].cert),
        (&["/checkout".to_owned()][..], cert)
    );
    let networks = checkout.connections.trusted_proxies.clone().unwrap_or_default();
    assert_eq!(networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "127.0.0.1/32"]);
    assert_eq!(placement.keep_warm, SignedDuration::from_mins(10));
    assert_eq!(placement.background_analysis.as_deref(), Some("golden"));
    assert_eq!(
        *placement.steps,
        [
            Step::Hook { name: "2026-07-add-vouchers".into() },
            Step::Hook { name: "announce".into() },
            Step::SetWeight(Ppm::percent(5)),
            Step::Pause { duration: Some(SignedDuration::from_mins(1)) },
            Step::Analysis { name: "golden".into(), duration: SignedDuration::from_mins(2) },
            Step::Approval {
                count: 1,
                from: vec!["release-managers".into()],
                expires: Some(SignedDuration::from_hours(4))
            },
            Step::SetWeight(Ppm::percent(50)),
            Step::Analysis { name: "golden".into(), duration: SignedDuration::from_mins(5) },
            Step::SetWeight(Ppm::ALL),
            Step::Hook { name: "smoke".into() },
        ]
    );
    let golden = &spec.analyses["golden"];
    assert_eq!((golden.min_requests, golden.missing), (200, Missing::Pause));
    let [errors, latency] = golden.limits.as_slice() else { panic!("{golden:?}") };
    assert_eq!((errors.metric, errors.max, errors.over_stable), (Metric::ErrorRate, Some(0.01), Some(0.005)));
    assert_eq!((latency.metric, latency.max, latency.ratio_to_stable), (Metric::LatencyP99, Some(300.0), Some(1.5)));
}

#[test]
fn what_is_left_out_has_a_default() {
    let spec = parse(SMALL, Path::new("flightdeck.toml")).unwrap();
    let shop = &spec.services[&ServiceName::from("shop")];
    assert_eq!(shop.stop, StopSpec { signal: "TERM".into(), grace: SignedDuration::from_secs(10) });
    let placement = &shop.placements[&EnvironmentName::from("production")];
    assert_eq!((placement.replicas, placement.concurrency), (1, Concurrency::Supersede));
    assert!(placement.steps.is_empty());
    assert_eq!(parse("", Path::new("flightdeck.toml")).unwrap(), Spec::default());
}

#[test]
fn a_pause_without_duration_waits_for_a_person_and_weights_may_be_fractions() {
    let text = format!("{SMALL}canary.steps = [{{ set_weight = 0 }}, {{ pause = {{}} }}, {{ set_weight = 0.5 }}]");
    let spec = parse(&text, Path::new("flightdeck.toml")).unwrap();
    let placement = &spec.services[&ServiceName::from("shop")].placements[&EnvironmentName::from("production")];
    assert_eq!(
        *placement.steps,
        [Step::SetWeight(Ppm::ZERO), Step::Pause { duration: None }, Step::SetWeight(Ppm(5000))]
    );
}

#[expect(clippy::too_many_lines, reason = "a table")]
/// Each: what is replaced in the small file, by what, and the one line that must come out.
#[test]
fn each_mistake_is_named_with_its_place_and_what_was_meant() {
    let health = "health = { path = \"/healthz\" }";
    let last = "listen = \"127.0.0.1:8080\"\n";
    for (old, new, line) in [
        (
            "run = ",
            "rum = ",
            r#"flightdeck.toml:3:1: service.shop.rum: unknown key, expected "run", "env", "secrets", "health", "stop", "user", "group", "groups", "limits", "response_timeout", "drain", "trusted_proxies", "access_log", "kind", "depends_on", "renamed_from", "migration", "job" or "in"; did you mean "run"?"#,
        ),
        (
            "run = [\"bin/shop\", \"{port}\"]",
            "run = []",
            "flightdeck.toml:3:7: service.shop.run: expected a program as the first element, found none",
        ),
        (
            "run = [\"bin/shop\", \"{port}\"]",
            "run = \"bin/shop\"",
            r#"flightdeck.toml:3:7: service.shop.run: expected a list of texts such as ["bin/app", "--port", "{port}"], found "bin/shop""#,
        ),
        (
            "[\"bin/shop\", \"{port}\"]",
            "[\"bin/shop\", \"--port={prot}\"]",
            "flightdeck.toml:3:20: service.shop.run[1]: unknown placeholder {prot}; did you mean {port}?",
        ),
        (
            "\"{port}\"]",
            "\"{por_number}\", \"{port}\"]",
            "flightdeck.toml:3:20: service.shop.run[1]: unknown placeholder {por_number}, expected one of {port}, {instance}, {version}, {environment}, {service}, {flightdeck}",
        ),
        (
            "\"{port}\"]",
            "\"${PORT}\", \"%{http_code}\", \"{{go}}\", \"{Other}\"]",
            "flightdeck.toml:3:7: service.shop.run: expected {port} among these, or in a variable such as env = { PORT = \"{port}\" }: an instance in production would not know where to listen",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\nrun = [\"bin/other\"]\n",
            "flightdeck.toml:7:7: service.shop.in.production.run: expected {port} among these, or in a variable such as env = { PORT = \"{port}\" }: an instance in production would not know where to listen",
        ),
        (
            health,
            "health = { tcp = true, path = \"/\" }",
            "flightdeck.toml:4:12: service.shop.health.tcp: is beside path; expected one of the two",
        ),
        (
            health,
            "health = { tcp = false }",
            r#"flightdeck.toml:4:1: service.shop.health.path: expected a path such as "/healthz", found nothing"#,
        ),
        (
            health,
            "health = { path = \"/\" }\nlimits = { memory = \"512MB\" }",
            r#"flightdeck.toml:5:21: service.shop.limits.memory: expected a size such as "512M" or "2G", at least "1M", found "512MB"; did you mean "512M"?"#,
        ),
        (
            health,
            "health = { path = \"/\" }\nlimits = { cpu = 0 }",
            "flightdeck.toml:5:18: service.shop.limits.cpu: expected processors such as 1.5, at least 0.01, found the integer 0",
        ),
        (
            health,
            "health = { path = \"/\" }\nlimits = { files = 3 }",
            "flightdeck.toml:5:20: service.shop.limits.files: expected a whole number from 16 to 10000000, found the integer 3",
        ),
        (
            health,
            "health = { path = \"/\" }\nlimits = { mem = \"1G\" }",
            r#"flightdeck.toml:5:12: service.shop.limits.mem: unknown key, expected "memory", "cpu", "files" or "processes"; did you mean "memory"?"#,
        ),
        (
            health,
            "health = { path = \"/\" }\nuser = \"\"",
            r#"flightdeck.toml:5:8: service.shop.user: expected a user of the server's machine, such as "www-data", found """#,
        ),
        (
            health,
            "health = { path = \"/\" }\ngroup = \"www-data\"",
            "flightdeck.toml:5:1: service.shop.group: expected user beside it: a group is that of a user",
        ),
        (
            health,
            "health = { path = \"/\" }\nenv = { AT = \"{enviroment}\" }",
            "flightdeck.toml:5:14: service.shop.env.AT: unknown placeholder {enviroment}; did you mean {environment}?",
        ),
        (
            health,
            "health = { path = \"/\" }\nsecrets = { KEY = \"file:/{version}/k\" }",
            "flightdeck.toml:5:19: service.shop.secrets.KEY: unknown placeholder {version}, expected one of {environment}, {service}",
        ),
        (
            health,
            "health = { path = \"/\" }\nsecrets = { KEY = \"command:bin/key\" }",
            "flightdeck.toml:5:19: service.shop.secrets.KEY: expected an absolute path, since it is not known where this file lies",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\nsecrets = { KEY = \"hunter2\" }\n",
            "flightdeck.toml:7:19: service.shop.in.production.secrets.KEY: expected \"file:PATH\", \"env:NAME\" or \"command:PROGRAM ARGS\", found something else; a secret never stands in this file",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\nenv = { KEY = \"1\" }\nsecrets = { KEY = \"env:KEY\" }\n",
            "flightdeck.toml:8:13: service.shop.in.production.secrets.KEY: is in \"env\" already; expected each variable in one of the two",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\nhealth = { pat = \"/\" }\n",
            r#"flightdeck.toml:7:12: service.shop.in.production.health.pat: unknown key, expected "path", "tcp", "command", "ready_after", "interval", "healthy", "unhealthy" or "timeout"; did you mean "path"?"#,
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\ncanary.steps = [{ set_weight = 50 }, { pause = {} }, { set_weight = 5 }]",
            "flightdeck.toml:7:69: service.shop.in.production.canary.steps[2].set_weight: expected a weight of at least 50 %, as in service.shop.in.production.canary.steps[0]: traffic is taken back by a rollback, found the integer 5",
        ),
        (
            "\"/healthz\"",
            "\"healthz\"",
            r#"flightdeck.toml:4:19: service.shop.health.path: expected a path that starts with "/" and has no spaces, found "healthz"; did you mean "/healthz"?"#,
        ),
        (
            health,
            "health = { path = \"/\", interval = 5 }",
            r#"flightdeck.toml:4:35: service.shop.health.interval: expected a duration such as "1m30s" from 10ms to 366 days, found the integer 5; did you mean "5s"?"#,
        ),
        (
            health,
            "health = { path = \"/\" }\nresponse_timeout = 90",
            r#"flightdeck.toml:5:20: service.shop.response_timeout: expected a duration such as "1m30s" from 1s to 366 days, found the integer 90; did you mean "90s"?"#,
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\ndrain = \"-5s\"\n",
            r#"flightdeck.toml:7:9: service.shop.in.production.drain: expected a duration such as "1m30s" from 0s to 366 days, found "-5s""#,
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\nhosts = [\"https://Shop.example:443/\"]\n",
            r#"flightdeck.toml:7:10: service.shop.in.production.hosts[0]: expected a host in lower case without port, such as "shop.example" or "*.shop.example", found "https://Shop.example:443/"; did you mean "shop.example"?"#,
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\nhosts = [\"a\", \"b\", \"a\"]\n",
            r#"flightdeck.toml:7:20: service.shop.in.production.hosts[2]: "a" stands here twice"#,
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\npaths = [\"api/*\"]\n",
            r##"flightdeck.toml:7:10: service.shop.in.production.paths[0]: expected the beginning of a path such as "/api", without spaces, "?" and "#", found "api/*"; did you mean "/api"?"##,
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\ntls = { cert = \"/c.pem\" }\n",
            "flightdeck.toml:7:1: service.shop.in.production.tls.key: expected the path of a PEM file with the certificate's key, found nothing",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\ntls = { cert = \"c.pem\", key = \"/c.key\" }\n",
            "flightdeck.toml:7:16: service.shop.in.production.tls.cert: expected an absolute path, since it is not known where this file lies",
        ),
        (
            health,
            "health = { path = \"/\" }\ntrusted_proxies = [\"10.0.0.1/8\"]",
            r#"flightdeck.toml:5:20: service.shop.trusted_proxies[0]: expected a network such as "10.0.0.0/8" or an address such as "127.0.0.1", found "10.0.0.1/8"; did you mean "10.0.0.0/8"?"#,
        ),
        (
            health,
            "health = { path = \"/\" }\naccess_log = \"yes\"",
            r#"flightdeck.toml:5:14: service.shop.access_log: expected true or false, found "yes"; did you mean true?"#,
        ),
        (
            health,
            "health = { path = \"/\" }\naccess_log = { sample = 0.1 }",
            r#"flightdeck.toml:5:25: service.shop.access_log.sample: expected a percentage from "0%" to "100%", found the number 0.1; did you mean "0.1%"?"#,
        ),
        (
            health,
            "health = { path = \"/\" }\naccess_log = { max_size = \"1M\" }",
            r#"flightdeck.toml:5:27: service.shop.access_log.max_size: expected a size such as "100M" or "2G", at least "10M", found "1M""#,
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\nredirect_from = \"127.0.0.1:80\"\n",
            "flightdeck.toml:7:1: service.shop.in.production.redirect_from: expected tls beside it: users are sent from there to where it is spoken",
        ),
        (
            health,
            "health = { path = \"/\", timeout = \"soon\" }",
            r#"flightdeck.toml:4:34: service.shop.health.timeout: expected a duration such as "1m30s" from 1ms to 366 days, found "soon""#,
        ),
        (
            health,
            "health = { path = \"/\", timeout = \"-1s\" }",
            r#"flightdeck.toml:4:34: service.shop.health.timeout: expected a duration such as "1m30s" from 1ms to 366 days, found "-1s""#,
        ),
        (
            health,
            "health = { path = \"/\" }\nstop = { signal = \"SIGTERM\" }",
            r#"flightdeck.toml:5:19: service.shop.stop.signal: expected "TERM", "INT", "QUIT", "HUP", "USR1" or "USR2", found "SIGTERM"; did you mean "TERM"?"#,
        ),
        (
            health,
            "health = { path = \"/\" }\nsecrets = { KEY = \"hunter2\" }",
            "flightdeck.toml:5:19: service.shop.secrets.KEY: expected \"file:PATH\", \"env:NAME\" or \"command:PROGRAM ARGS\", found something else; a secret never stands in this file",
        ),
        (
            health,
            "health = { path = \"/\" }\nsecrets = { KEY = \"file:/k\" }\nenv = { KEY = \"1\" }",
            "flightdeck.toml:5:13: service.shop.secrets.KEY: is in \"env\" already; expected each variable in one of the two",
        ),
        (
            health,
            "health = { path = \"/\" }\nsecrets = { KEY = \"file:k\" }",
            "flightdeck.toml:5:19: service.shop.secrets.KEY: expected an absolute path, since it is not known where this file lies",
        ),
        (
            "[service.shop.in.production]",
            "[service.shop.in.prodution]",
            "flightdeck.toml:5:18: service.shop.in.prodution: expected an environment of this file, but there is no [environment.prodution]; did you mean \"production\"?",
        ),
        (
            "[environment.production]",
            "[environment.production]\ntier = \"high\"",
            r#"flightdeck.toml:2:8: environment.production.tier: expected "low", "standard" or "critical", found "high""#,
        ),
        (
            "[environment.production]",
            "[environment.production]\nallow_self = \"yes\"",
            r#"flightdeck.toml:2:14: environment.production.allow_self: expected true or false, found "yes"; did you mean true?"#,
        ),
        (
            "[environment.production]",
            "[environment.production]\nconcurrent_rollouts = 0",
            "flightdeck.toml:2:23: environment.production.concurrent_rollouts: expected a whole number from 1 to 1000, found the integer 0",
        ),
        (
            "[environment.production]",
            "[environment.production]\n[environment.Staging]",
            "flightdeck.toml:2:14: environment.Staging: expected a name of lower-case letters, digits, \"-\" and \"_\" that starts with a letter or digit, at most 63 characters",
        ),
        (
            last,
            "listen = \":8080\"\n",
            r#"flightdeck.toml:6:10: service.shop.in.production.listen: expected an address and port such as "127.0.0.1:8080", found ":8080"; did you mean "127.0.0.1:8080"?"#,
        ),
        (
            last,
            "replicas = 1",
            "flightdeck.toml:5:18: service.shop.in.production.listen: expected an address such as \"127.0.0.1:8080\", found nothing",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\nreplicas = 0",
            "flightdeck.toml:7:12: service.shop.in.production.replicas: expected a whole number from 1 to 100, found the integer 0",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\nconcurrency = \"queued\"",
            r#"flightdeck.toml:7:15: service.shop.in.production.concurrency: expected "supersede" or "queue", found "queued"; did you mean "queue"?"#,
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\ncanary.steps = [{ set_weight = 101 }]",
            "flightdeck.toml:7:32: service.shop.in.production.canary.steps[0].set_weight: expected a weight from 0 to 100 (percent), found the integer 101",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\ncanary.steps = [{ set_wait = 5 }]",
            "flightdeck.toml:7:19: service.shop.in.production.canary.steps[0].set_wait: unknown key, expected \"set_weight\", \"pause\", \"analysis\", \"approval\" or \"hook\"; did you mean \"set_weight\"?",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\ncanary.steps = [{}]",
            "flightdeck.toml:7:17: service.shop.in.production.canary.steps[0]: expected one of set_weight, pause, analysis, approval or hook in a step, found 0",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\ncanary.background_analysis = \"gold\"\n[analysis.golden]\nerror_rate = { max = \"1%\" }",
            "flightdeck.toml:7:30: service.shop.in.production.canary.background_analysis: expected the name of an [analysis.…] of this file, found \"gold\"; did you mean \"golden\"?",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\n[analysis.golden]\nerror_rate = { max = 1 }",
            r#"flightdeck.toml:8:22: analysis.golden.error_rate.max: expected a percentage from "0%" to "100%", found the integer 1; did you mean "1%"?"#,
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\n[analysis.golden]\nmin_requests = 10",
            "flightdeck.toml:7:11: analysis.golden: expected at least one of error_rate, latency_p50, latency_p95 or latency_p99, found none",
        ),
        (
            last,
            "listen = \"127.0.0.1:8080\"\n[analysis.golden]\nlatency_p99 = {}",
            "flightdeck.toml:8:1: analysis.golden.latency_p99: expected at least one of max, over_stable or ratio_to_stable, found none",
        ),
        (
            "[environment.production]",
            "name = \"My shop\"\n[environment.production]",
            r#"flightdeck.toml:1:8: name: expected a name of lower-case letters, digits, "-" and "_" that starts with a letter or digit, at most 63 characters, found "My shop""#,
        ),
        (
            "[environment.production]",
            "name = 1\n[environment.production]",
            r#"flightdeck.toml:1:8: name: expected a name of lower-case letters, digits, "-" and "_" that starts with a letter or digit, at most 63 characters, found the integer 1"#,
        ),
        (
            "run = [\"bin/shop\", \"{port}\"]",
            "run = [\"bin/shop\", \"{port}\"]\nrenamed_from = \"Shop\"",
            r#"flightdeck.toml:4:16: service.shop.renamed_from: expected a name of lower-case letters, digits, "-" and "_" that starts with a letter or digit, at most 63 characters, found "Shop""#,
        ),
        (
            "run = [\"bin/shop\", \"{port}\"]",
            "run = [\"bin/shop\", \"{port}\"]\nrenamed_from = \"shop\"",
            "flightdeck.toml:4:16: service.shop.renamed_from: expected a name that no service of this file has, but there is [service.shop]",
        ),
        (
            "run = [\"bin/shop\", \"{port}\"]",
            "run = [\"bin/shop\", \"{port}\"]\nrenamed_from = 1",
            "flightdeck.toml:4:16: service.shop.renamed_from: expected the name that the service had, found the integer 1",
        ),
        (
            "[service.shop]",
            "[service.cart]\nrenamed_from = \"stall\"\n[service.shop]\nrenamed_from = \"stall\"",
            "flightdeck.toml:5:16: service.shop.renamed_from: expected a name that no other service had, but cart is renamed from stall",
        ),
        (
            "[service.shop]",
            "[servise.shop]\n[service.shop]",
            "flightdeck.toml:2:2: servise: unknown key, expected \"name\", \"environment\", \"service\" or \"analysis\"; did you mean \"service\"?",
        ),
    ] {
        assert!(SMALL.contains(old), "{old:?}");
        let text = SMALL.replacen(old, new, 1);
        let lines = wrong(&text);
        assert!(lines.iter().any(|found| found == line), "{text}\nexpected: {line}\nfound:\n{}", lines.join("\n"));
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_files_order() {
    let text = SMALL
        .replace("[environment.production]", "[environment.production]\norder = -1\ntear = 1")
        .replace("/healthz", "x")
        + "replicas = 101\n";
    let keys: Vec<_> = wrong(&text).iter().map(|line| line.split(": ").nth(1).unwrap().to_owned()).collect();
    assert_eq!(
        keys,
        [
            "environment.production.order",
            "environment.production.tear",
            "service.shop.health.path",
            "service.shop.in.production.replicas"
        ]
    );
}

#[test]
fn a_syntax_error_has_its_place() {
    let lines = wrong("[service.shop]\nrun = [\n\"a\" \"b\"]\n");
    assert!(lines[0].starts_with("flightdeck.toml:3:"), "{lines:?}");
    let lines = wrong("[service.shop]\nrun = []\nrun = []\n");
    assert!(lines[0].starts_with("flightdeck.toml:3:") && lines[0].contains("duplicate key"), "{lines:?}");
}

#[test]
fn two_listeners_that_cannot_both_be_open_are_refused() {
    for (other, clash) in [
        ("127.0.0.1:8080", true),
        ("0.0.0.0:8080", true),
        ("[::]:8080", true),
        ("[::1]:8080", false),
        ("127.0.0.2:8080", false),
        ("127.0.0.1:8081", false),
    ] {
        let text = format!("{SMALL}[environment.staging]\n[service.shop.in.staging]\nlisten = \"{other}\"\n");
        let result = parse(&text, Path::new("flightdeck.toml"));
        assert_eq!(result.is_err(), clash, "{other}: {result:?}");
        if let Err(error) = result {
            let text = error.to_string();
            assert!(text.contains("an address that service.shop.in.production.listen does not use"), "{text}");
        }
    }
}

#[test]
fn a_redirect_shares_its_address_with_what_hosts_or_paths_tell_apart() {
    let tls = "tls = { cert = \"/c.pem\", key = \"/c.key\" }\nhosts = [\"shop.example\"]\n";
    let from = "redirect_from = \"127.0.0.1:80\"\n";
    for (second, wrong) in [
        ("listen = \"127.0.0.1:80\"\n", None),
        ("listen = \"127.0.0.1:80\"\nhosts = [\"other.example\"]\n", None),
        ("listen = \"127.0.0.1:80\"\nhosts = [\"shop.example\"]\n", Some("found shop.example in both")),
        (
            "listen = \"127.0.0.1:80\"\ntls = { cert = \"/d.pem\", key = \"/d.key\" }\n",
            Some(
                "expected tls here and for service.shop.in.production.redirect_from, or for neither: they share an address",
            ),
        ),
    ] {
        let text = format!("{SMALL}{tls}{from}[environment.staging]\n[service.shop.in.staging]\n{second}");
        let result = parse(&text, Path::new("flightdeck.toml")).map_err(|error| error.to_string());
        match (wrong, result) {
            (None, result) => {
                let spec = result.expect(second);
                let placement = &spec.services[&ServiceName::from("shop")].placements[&"production".into()];
                assert_eq!(placement.ingress.redirect_from, Some("127.0.0.1:80".parse().unwrap()));
            }
            (Some(wrong), result) => {
                assert!(result.as_ref().is_err_and(|all| all.contains(wrong)), "{second}: {result:?}");
            }
        }
    }
}

#[test]
fn services_share_an_address_where_hosts_or_paths_tell_them_apart() {
    let one = "hosts = [\"shop.example\"]\npaths = [\"/api\"]\n";
    let tls = "tls = { cert = \"/c.pem\", key = \"/c.key\" }\n";
    for (first, second, wrong) in [
        (one, "hosts = [\"shop.example\"]\n", None),
        (one, "paths = [\"/api\"]\n", None),
        (one, "", None),
        ("", one, None),
        (
            one,
            one,
            Some(
                "expected hosts or paths that tell it from service.shop.in.production.listen, found shop.example/api in both",
            ),
        ),
        (
            "",
            "",
            Some("expected an address that service.shop.in.production.listen does not use, found \"127.0.0.1:8080\""),
        ),
        (
            one,
            tls,
            Some("expected tls here and for service.shop.in.production.listen, or for neither: they share an address"),
        ),
    ] {
        let other = format!("[environment.staging]\n[service.shop.in.staging]\nlisten = \"127.0.0.1:8080\"\n{second}");
        let text = format!("{SMALL}{first}{other}");
        let result = parse(&text, Path::new("flightdeck.toml")).map(drop).map_err(|error| error.to_string());
        match wrong {
            None => assert_eq!(result, Ok(()), "{text}"),
            Some(wrong) => assert!(
                result.as_ref().is_err_and(|all| all.ends_with(&format!("service.shop.in.staging.listen: {wrong}"))),
                "{result:?}"
            ),
        }
    }
}

#[test]
fn what_is_of_another_configuration_is_named_with_whose_it_is() {
    let named =
        SMALL.replace("[environment.production]", "name = \"shop\"\n[environment.production]\ntier = \"critical\"");
    let spec = parse(&named, Path::new("/srv/shop.toml")).unwrap();
    assert_eq!(spec.name.as_str(), "shop");
    let beside = [InForce { path: "/srv/shop.toml".to_owned(), spec }];
    let around = || Surroundings { name: "search".into(), beside: &beside, ..Surroundings::default() };
    let wrong = |text: &str| match parse_in(text, Path::new("search.toml"), &around()) {
        Ok(spec) => vec![spec.name.0],
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    };
    let taken = SMALL.replace("8080", "8081");
    assert_eq!(
        wrong(&taken),
        [
            "search.toml:2:10: service.shop: expected a service that no other configuration brings, it is of the configuration shop (/srv/shop.toml)"
        ]
    );
    let search = SMALL.replace("service.shop", "service.search");
    assert_eq!(
        wrong(&search.replace("127.0.0.1", "0.0.0.0")),
        [
            r#"search.toml:6:10: service.search.in.production.listen: expected an address that shop in production of the configuration shop (/srv/shop.toml) does not use, found "0.0.0.0:8080""#
        ]
    );
    assert_eq!(wrong(&search.replace("8080", "8081")), ["search"], "it names the environment alone");
    assert_eq!(wrong(&format!("{search}paths = [\"/search\"]\n")), ["search"], "paths tell them apart");
    assert_eq!(
        wrong(
            &search.replace("8080", "8081").replace("[environment.production]", "[environment.production]\norder = 2")
        ),
        [
            "search.toml:1:14: environment.production: expected what the configuration shop (/srv/shop.toml) says of it, or its name alone, found another order and tier; to change it for all, let one of them say it and the others only name it"
        ]
    );
    // What is said counts, even where it is what counts without a word.
    let said = |words: &str| SMALL.replace("[environment.production]", &format!("[environment.production]\n{words}"));
    let spec = parse(&said("allow_self = false"), Path::new("/srv/shop.toml")).unwrap();
    let beside = [InForce { path: "/srv/shop.toml".to_owned(), spec }];
    let around = Surroundings { name: "search".into(), beside: &beside, ..Surroundings::default() };
    let other = said("allow_self = true").replace("service.shop", "service.search").replace("8080", "8081");
    let error = parse_in(&other, Path::new("search.toml"), &around).unwrap_err().to_string();
    assert!(error.contains("or its name alone, found another allow_self"), "{error}");
    let around = Surroundings { name: "Search!".into(), ..Surroundings::default() };
    let error = parse_in(&search, Path::new("Search!.toml"), &around).unwrap_err().to_string();
    assert!(error.contains("name: expected a name of lower-case letters") && error.contains("\"Search!\""), "{error}");
}

fn parse_for(text: &str, path: &Path, machine: &dyn Machine) -> Result<Spec, ConfigError> {
    parse_in(text, path, &Surroundings { machine: Some(machine), ..Surroundings::default() })
}

#[test]
fn certificates_are_looked_at_where_they_are_used() {
    let tls = |file: &str| format!("{{ cert = \"/{file}.pem\", key = \"/{file}.key\" }}");
    let text = |tls: &str, hosts: &str| format!("{SMALL}tls = {tls}\nhosts = {hosts}\n");
    let wrong = |text: &str| {
        let result = parse_for(text, Path::new("flightdeck.toml"), &Elsewhere);
        result.map(drop).map_err(|error| error.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(wrong(&text(&tls("good"), "[\"shop.example\", \"a.blog.example\", \"*.blog.example\"]")), Ok(()));
    let place = "flightdeck.toml:7";
    assert_eq!(
        wrong(&text(&format!("[{}, {}]", tls("good"), tls("old")), "[\"shop.example\"]")),
        Err(vec![format!("{place}:60: service.shop.in.production.tls[1].cert: old")])
    );
    assert_eq!(
        wrong(&text(&tls("open"), "[\"shop.example\"]")),
        Err(vec![format!("{place}:35: service.shop.in.production.tls.key: open")])
    );
    assert_eq!(
        wrong(&text(&tls("good"), "[\"shop.exampel\", \"a.b.blog.example\"]")),
        Err(vec![
            r#"flightdeck.toml:8:10: service.shop.in.production.hosts[0]: expected a host that a certificate of tls is for, which are "shop.example", "*.blog.example"; did you mean "shop.example"?"#.to_owned(),
            r#"flightdeck.toml:8:26: service.shop.in.production.hosts[1]: expected a host that a certificate of tls is for, which are "shop.example", "*.blog.example"; did you mean "*.blog.example"?"#.to_owned(),
        ])
    );
}

#[test]
fn messages_are_harmless_for_a_terminal() {
    let text = SMALL.replace("/healthz", "\\u001b]0;x\\u0007").replace("shop", "\"sh\\u202eop\"");
    let error = parse(&text, Path::new("a\u{1b}[31m.toml")).unwrap_err().to_string();
    assert!(
        !error.chars().any(|c| c != '\n' && flightdeck_model::has_hidden(&c.to_string()) && c != '\u{fffd}'),
        "{error:?}"
    );
}

/// Without its placements' own words: run, env, secrets of the shop in two environments.
const BOTH: &str = r#"[environment.staging]
[environment.production]
[service.shop]
run = ["bin/shop", "{port}"]
env = { LOG = "info", DB = "sqlite" }
secrets = { KEY = "file:secrets/{environment}/{service}", TOKEN = "env:TOKEN" }
health = { path = "/healthz" }
response_timeout = "5m"
drain = "30s"
[service.shop.in.staging]
listen = "127.0.0.1:8081"
env = { TOKEN = "none" }
[service.shop.in.production]
listen = "127.0.0.1:8080"
run = ["bin/shop"]
env = { LOG = "warn", PORT = "{port}" }
secrets = { DB = 'command:["bin/vault", "read", "shop db"]', KEY = "command:pass {service}" }
health = { path = "/ready", unhealthy = 9 }
stop = { signal = "INT" }
drain = "2m"
"#;

#[test]
fn an_environment_has_the_last_word() {
    let spec = parse(BOTH, Path::new("/srv/flightdeck.toml")).unwrap();
    let program = |environment: &str| spec.program(&"shop".into(), &environment.into()).unwrap();
    let texts = |map: BTreeMap<String, String>| map.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
    let secrets =
        |map: BTreeMap<String, SecretRef>| map.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
    let staging = program("staging");
    assert_eq!(staging.run, ["bin/shop", "{port}"]);
    assert_eq!(texts(staging.env), ["DB=sqlite", "LOG=info", "TOKEN=none"]);
    assert_eq!(secrets(staging.secrets), ["KEY=file:/srv/secrets/staging/shop"], "no TOKEN: it is plain here");
    assert_eq!((&staging.health.probe, staging.stop.signal.as_str()), (&http("/healthz"), "TERM"));
    let production = program("production");
    assert_eq!(production.run, ["bin/shop"]);
    assert_eq!(texts(production.env), ["LOG=warn", "PORT={port}"], "no DB: it is a secret here");
    assert_eq!(
        secrets(production.secrets),
        [r#"DB=command:["/srv/bin/vault","read","shop db"]"#, r#"KEY=command:["pass","shop"]"#, "TOKEN=env:TOKEN"]
    );
    assert_eq!((&production.health.probe, production.health.unhealthy), (&http("/ready"), 9));
    assert_eq!(production.health.healthy, 2, "its own health is a whole one: the service's says nothing of it");
    assert_eq!(production.stop.signal, "INT");
    assert_eq!(spec.program(&"shop".into(), &"dev".into()), None);
    let connections = |environment: &str| spec.connections(&"shop".into(), &environment.into());
    let minutes = |minutes| Some(SignedDuration::from_mins(minutes));
    let said = |response_timeout, drain| Connections { response_timeout, drain, ..Connections::default() };
    assert_eq!(connections("staging"), said(minutes(5), Some(SignedDuration::from_secs(30))));
    assert_eq!(connections("production"), said(minutes(5), minutes(2)));
}

#[test]
fn a_port_that_takes_connections_can_be_all_that_is_asked() {
    let text = SMALL.replace("path = \"/healthz\"", "tcp = true, interval = \"5s\"");
    let spec = parse(&text, Path::new("flightdeck.toml")).unwrap();
    let health = &spec.services[&ServiceName::from("shop")].health;
    assert_eq!((&health.probe, health.interval), (&Probe::Tcp {}, SignedDuration::from_secs(5)));
}

#[test]
fn a_user_and_limits_are_a_services_or_an_environments() {
    let service = "stop = {}\nuser = \"www-data\"\ngroups = [\"ssl-cert\"]\n\
                   limits = { memory = \"512M\", cpu = 1.5, files = 4096, processes = 200 }\n";
    let text = BOTH.replacen("health = {", &format!("{service}health = {{"), 1)
        + "user = \"shop\"\nlimits = { memory = \"1G\", cpu = \"0.25\" }\n";
    let spec = parse(&text, Path::new("/srv/flightdeck.toml")).unwrap();
    let program = |environment: &str| spec.program(&"shop".into(), &environment.into()).unwrap();
    let (staging, production) = (program("staging"), program("production"));
    let run_as = staging.run_as.unwrap();
    assert_eq!((run_as.user.as_str(), run_as.group, run_as.groups), ("www-data", None, vec!["ssl-cert".to_owned()]));
    let limits = Limits { memory: Some(512 << 20), cpu: Some(1500), files: Some(4096), processes: Some(200) };
    assert_eq!(staging.limits, limits);
    assert_eq!(production.run_as.map(|of| (of.user, of.groups)), Some(("shop".to_owned(), Vec::new())));
    assert_eq!(production.limits, Limits { memory: Some(1 << 30), cpu: Some(250), ..Limits::default() }, "in whole");
    assert_eq!(spec.without_user(), [""; 0]);
    let told = parse_for(&text.replace("TOKEN = \"env:TOKEN\"", ""), Path::new("/srv/flightdeck.toml"), &Elsewhere);
    let told = told.unwrap_err().to_string();
    assert!(told.contains("service.shop.in.production.user: there is no user shop"), "{told}");
    assert!(!told.contains("www-data"), "{told}");
}

/// Has some files and the group `sre`.
struct Elsewhere;

impl Machine for Elsewhere {
    fn secret(&self, reference: &SecretRef) -> Result<(), String> {
        let there = reference.to_string().contains("production");
        if there { Ok(()) } else { Err(format!("there is no {reference}")) }
    }

    fn certificate(&self, files: &CertificateFiles) -> Result<Vec<String>, UnfitCertificate> {
        let unfit = |part, why: &str| Err(UnfitCertificate { part, why: why.to_owned() });
        match files.cert.to_str() {
            Some("/good.pem") => Ok(vec!["shop.example".to_owned(), "*.blog.example".to_owned()]),
            Some("/old.pem") => unfit(CertificatePart::Cert, "old"),
            _ => unfit(CertificatePart::Key, "open"),
        }
    }

    fn user(&self, run_as: &RunAs) -> Result<(), String> {
        if run_as.user == "www-data" { Ok(()) } else { Err(format!("there is no user {run_as}")) }
    }

    fn approver(&self, name: &str) -> Result<(), String> {
        if name == "sre" { Ok(()) } else { Err(format!("there is no {name}")) }
    }
}

#[test]
fn the_machine_that_runs_it_is_asked_about_each_place_once() {
    let text = BOTH.replace("TOKEN = \"env:TOKEN\"", "TOKEN = \"env:TOKEN_{environment}\", ALL = \"env:ALL\"")
        + "canary.steps = [{ approval = { from = [\"sre\", \"srf\"] } }]\n";
    parse(&text, Path::new("/srv/flightdeck.toml")).unwrap();
    let error = parse_for(&text, Path::new("/srv/flightdeck.toml"), &Elsewhere).unwrap_err().to_string();
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        ["/srv/flightdeck.toml:21:47: service.shop.in.production.canary.steps[0].approval.from[1]: there is no srf"]
    );
    let error = parse_for(&text.replace("srf", "sre"), Path::new("/srv/flightdeck.toml"), &Elsewhere).unwrap_err();
    assert_eq!(
        error.to_string().lines().collect::<Vec<_>>(),
        [
            "/srv/flightdeck.toml:6:19: service.shop.secrets.KEY: there is no file:/srv/secrets/staging/shop",
            "/srv/flightdeck.toml:6:100: service.shop.secrets.ALL: there is no env:ALL",
            r#"/srv/flightdeck.toml:17:18: service.shop.in.production.secrets.DB: there is no command:["/srv/bin/vault","read","shop db"]"#,
            r#"/srv/flightdeck.toml:17:68: service.shop.in.production.secrets.KEY: there is no command:["pass","shop"]"#,
        ]
    );
}
