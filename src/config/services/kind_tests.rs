use super::tests::{SMALL, wrong};
use super::*;
use flightdeck_model::{Ppm, Probe, Step};

/// A worker, and what is added to its service or to its environment.
fn worker(service: &str, placement: &str) -> String {
    format!(
        "[environment.production]\n[service.mails]\nkind = \"worker\"\nrun = [\"bin/mails\"]\n{service}\n\
         [service.mails.in.production]\n{placement}\n"
    )
}

#[test]
fn a_worker_needs_no_address_no_port_and_no_check() {
    let read = |text: &str| {
        let spec = parse(text, Path::new("/srv/flightdeck.toml")).unwrap();
        let mails = spec.services[&ServiceName::from("mails")].clone();
        let placement = mails.placements[&EnvironmentName::from("production")].clone();
        (mails, placement)
    };
    let (mails, placement) = read(&worker("", "replicas = 2"));
    assert_eq!((mails.kind, placement.listen), (ServiceKind::Worker, None));
    assert_eq!(mails.health.probe, Probe::Runs { ready_after: SignedDuration::from_secs(5) });
    assert_eq!(placement.keep_warm, SignedDuration::ZERO, "the version before would go on working");
    let batch = |instances| Step::Batch { instances, unavailable: 0 };
    assert_eq!(*placement.steps, [batch(1), batch(2)]);
    let (mails, placement) = read(&worker(
        "health = { command = [\"bin/alive\"], timeout = \"2s\" }",
        "blue_green.checks = [{ hook = { name = \"try\", run = [\"bin/try\"] } }]",
    ));
    assert_eq!(mails.health.probe, Probe::Command { command: vec!["bin/alive".into()] });
    assert_eq!(mails.health.interval, SignedDuration::from_secs(5));
    assert_eq!(*placement.steps, [Step::SetScale(Ppm::ALL), Step::Hook { name: "try".into() }]);
    let (_, placement) = read(&worker("health.ready_after = \"30s\"", "recreate = {}"));
    assert_eq!(*placement.steps, [Step::TakeDown, Step::SetScale(Ppm::ALL)]);
}

#[test]
fn what_a_worker_has_no_use_for_is_refused_with_what_to_use() {
    let no_requests = "a worker has no requests; expected kind = \"http\" for what answers them";
    let check =
        "is no check of a service of kind \"worker\"; expected command = [\"bin/alive\"], or ready_after = \"5s\"";
    for (service, placement, place, what) in [
        (
            "",
            "listen = \"127.0.0.1:80\"",
            "7:1: service.mails.in.production.listen",
            "a worker is reached by nobody; expected kind = \"http\" or \"tcp\" for what listens",
        ),
        ("", "hosts = [\"a.example\"]", "7:1: service.mails.in.production.hosts", no_requests),
        ("", "paths = [\"/a\"]", "7:1: service.mails.in.production.paths", no_requests),
        ("", "tls = { cert = \"a\", key = \"b\" }", "7:1: service.mails.in.production.tls", no_requests),
        ("response_timeout = \"1s\"", "", "5:1: service.mails.response_timeout", no_requests),
        ("", "trusted_proxies = [\"127.0.0.1\"]", "7:1: service.mails.in.production.trusted_proxies", no_requests),
        (
            "drain = \"1s\"",
            "",
            "5:1: service.mails.drain",
            "nothing of a worker is in flight here; expected stop = { grace = \"30s\" }, its time to finish its work",
        ),
        (
            "",
            "keep_warm = \"1m\"",
            "7:1: service.mails.in.production.keep_warm",
            "the version before would go on working beside the new one; expected none: a way back starts it again",
        ),
        (
            "",
            "canary.steps = [{ set_weight = 5 }]",
            "7:1: service.mails.in.production.canary",
            "a worker has no traffic to share out; expected rolling, blue_green or recreate",
        ),
        (
            "",
            "blue_green.preview = \"127.0.0.1:81\"",
            "7:12: service.mails.in.production.blue_green.preview",
            "a worker has no address to be tried at; expected a hook among checks that tries it",
        ),
        (
            "",
            "blue_green.checks = [{ analysis = { use = \"golden\", duration = \"1m\" } }]",
            "7:24: service.mails.in.production.blue_green.checks[0].analysis",
            "a worker has no requests to be judged by; expected a hook that judges it: { hook = { name = …, run = … } }",
        ),
        (
            "",
            "hooks = [{ name = \"a\", on = \"after\", run = [\"bin/a\", \"{listen}\"] }]",
            "7:54: service.mails.in.production.hooks[0].run[1]",
            "a worker's hook has no {listen}: a worker is reached by nobody",
        ),
        ("health.path = \"/healthz\"", "", "5:8: service.mails.health.path", check),
        ("health.tcp = true", "", "5:8: service.mails.health.tcp", check),
        (
            "health = { command = [\"a\"], ready_after = \"1s\" }",
            "",
            "5:29: service.mails.health.ready_after",
            "is beside command; expected one of the two",
        ),
    ] {
        assert_eq!(
            wrong(&worker(service, placement)),
            [format!("flightdeck.toml:{place}: {what}")],
            "{service}{placement}"
        );
    }
    let unknown = SMALL.replace("run =", "kind = \"workers\"\nrun =");
    let expected = "flightdeck.toml:3:8: service.shop.kind: expected \"http\", \"tcp\" or \"worker\", found \"workers\"; did you mean \"worker\"?";
    assert_eq!(wrong(&unknown), [expected]);
}

/// A TCP service, and what is added likewise.
fn tcp(service: &str, placement: &str) -> String {
    format!(
        "[environment.production]\n[service.cache]\nkind = \"tcp\"\nrun = [\"bin/cache\", \"{{port}}\"]\n{service}\n\
         [service.cache.in.production]\nlisten = \"127.0.0.1:6379\"\n{placement}\n"
    )
}

#[test]
fn what_a_tcp_service_has_no_use_for_is_refused_with_what_to_use() {
    let spec =
        parse(&tcp("drain = \"1m\"", "canary.steps = [{ set_weight = 5 }]"), Path::new("flightdeck.toml")).unwrap();
    let cache = &spec.services[&ServiceName::from("cache")];
    assert_eq!((cache.kind, &cache.health.probe), (ServiceKind::Tcp, &Probe::Tcp {}));
    let own = "a TCP service has its address for itself; expected another listen for each service";
    let judge = "nothing is known of what a TCP service answers; expected a hook that judges it: { hook = { name = …, run = … } }";
    for (service, placement, place, what) in [
        ("", "hosts = [\"a.example\"]", "8:1: service.cache.in.production.hosts", own),
        ("", "paths = [\"/a\"]", "8:1: service.cache.in.production.paths", own),
        (
            "",
            "tls = { cert = \"a\", key = \"b\" }",
            "8:1: service.cache.in.production.tls",
            "the bytes of a TCP service pass as they are; expected the service itself to speak TLS",
        ),
        (
            "response_timeout = \"1s\"",
            "",
            "5:1: service.cache.response_timeout",
            "a TCP service has connections and no answers; expected limits in the service itself",
        ),
        (
            "trusted_proxies = [\"127.0.0.1\"]",
            "",
            "5:1: service.cache.trusted_proxies",
            "the bytes of a TCP service pass as they are; expected none",
        ),
        (
            "",
            "canary.sticky = \"own\"",
            "8:8: service.cache.in.production.canary.sticky",
            "what passes on a connection does not tell users apart; expected none: a connection stays where it is",
        ),
        (
            "",
            "canary.background_analysis = \"golden\"",
            "8:8: service.cache.in.production.canary.background_analysis",
            judge,
        ),
        (
            "",
            "canary.steps = [{ analysis = { use = \"golden\", duration = \"1m\" } }]",
            "8:19: service.cache.in.production.canary.steps[0].analysis",
            judge,
        ),
        (
            "health.path = \"/healthz\"",
            "",
            "5:8: service.cache.health.path",
            "is no check of a service of kind \"tcp\"; expected tcp = true, or command = [\"bin/alive\"]",
        ),
        (
            "health.ready_after = \"1s\"",
            "",
            "5:8: service.cache.health.ready_after",
            "is no check of a service of kind \"tcp\"; expected tcp = true, or command = [\"bin/alive\"]",
        ),
    ] {
        assert_eq!(
            wrong(&tcp(service, placement)),
            [format!("flightdeck.toml:{place}: {what}")],
            "{service}{placement}"
        );
    }
}

#[test]
fn a_tcp_service_is_told_where_to_listen_and_shares_its_address_with_nobody() {
    let deaf = tcp("", "").replace("\"{port}\"", "\"6379\"");
    assert!(wrong(&deaf)[0].contains("expected {port} among these"), "{:?}", wrong(&deaf));
    let shared = format!(
        "{}[service.web]\nrun = [\"a\", \"{{port}}\"]\nhealth.path = \"/\"\n[service.web.in.production]\n\
         listen = \"127.0.0.1:6379\"\nhosts = [\"a.example\"]\n",
        tcp("", "")
    );
    assert!(
        wrong(&shared)[0].contains("an address that service.cache.in.production.listen does not use"),
        "{:?}",
        wrong(&shared)
    );
}
