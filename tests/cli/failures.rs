//! Why a rollout failed, found and mended by the command line alone.

use crate::support::live::Server;
use serde_json::Value;
use std::path::Path;

/// A gzipped tar with one program of that mode.
fn artifact(server: &Server, version: &str, path: &str, mode: u32, content: &str) -> String {
    let file = server.path().join(format!("{version}.tar.gz"));
    let out = std::fs::File::create(&file).unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(out, flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, path, content.as_bytes()).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    file.display().to_string()
}

/// One service whose program is `bin/app`, with a hook that fails for the version `unloved`.
fn apply(server: &Server) {
    let text = format!(
        r#"
[environment.production]
tier = "low"
[service.shop]
run = ["bin/app", "{{port}}", "{{flightdeck}}"]
env = {{ SECRET_LIKE = "x" }}
secrets = {{ TOKEN = "command:echo opensesame" }}
health = {{ path = "/healthz", interval = "50ms", healthy = 1, unhealthy = 2, timeout = "2s" }}
stop = {{ grace = "1s" }}
[service.shop.in.production]
listen = "{}"
progress_deadline = "3s"
rolling = {{}}
hooks = [{{ name = "smoke", on = "after", run = ["/bin/sh", "-c", "echo looked at {{version}}; test {{version}} != unloved"] }}]
"#,
        server.listen
    );
    std::fs::write(server.path().join("flightdeck.toml"), text).unwrap();
    server.ok(&["apply", "--yes", "--wait"]);
}

fn add(server: &Server, version: &str, path: &str, mode: u32, content: &str) -> String {
    let file = artifact(server, version, path, mode, content);
    server.ok(&["release", "add", "shop", version, "--artifact", &file, "--wait"])
}

const SAMPLE: &str = "exec \"$2\" sample-app --version x --port";

#[test]
fn a_rollout_that_fails_says_why_and_its_output_is_found() {
    let server = Server::start();
    apply(&server);
    let scripts = [
        ("good", format!("#!/bin/sh\necho up\n{SAMPLE} \"$1\"\n")),
        ("unloved", format!("#!/bin/sh\n{SAMPLE} \"$1\"\n")),
        ("crashes", "#!/bin/sh\necho \"cannot read shop.conf with $TOKEN\"\nexit 3\n".to_owned()),
        ("elsewhere", format!("#!/bin/sh\n{SAMPLE} $(($1 + 20000))\n")),
        ("silent", "#!/bin/sh\nexec sleep 1000\n".to_owned()),
        ("background", "#!/bin/sh\nsetsid sleep 1000 &\nexit 0\n".to_owned()),
    ];
    for (version, script) in &scripts {
        add(&server, version, "bin/app", 0o755, script);
    }
    let good = server.ok(&["deploy", "shop", "good", "--to", "production", "--yes", "--wait=finished"]);
    assert!(good.contains("  finished  it succeeded: "), "the end, not the first effect: {good}");

    // Each: the type of its cause, and what its message and its last lines say.
    for (version, cause, message, lines) in [
        ("crashes", "exited", "exit status 3: cannot read shop.conf with •••", "cannot read shop.conf with •••"),
        ("elsewhere", "other_port", "pass it {port} in run or env", ""),
        ("silent", "not_listening", "it runs and listens on no port yet", ""),
        ("background", "daemonized", "it went into the background (1 processes", ""),
        ("unloved", "exited", "hook smoke: exit status 1", "looked at unloved"),
    ] {
        let done = server.run_cli(&["deploy", "shop", version, "--to", "production", "--yes", "--wait=finished"]);
        assert!(done.code == 1 && done.err.contains(message) && done.err.contains(lines), "{version}: {done:#?}");
        assert!(done.out.contains("  finished  it failed: "), "{version}: {done:#?}");
        let all: Vec<Value> = serde_json::from_str(&server.ok(&["get", "deployments", "-o", "json"])).unwrap();
        let ended = &all[0];
        assert_eq!((&ended["to"], &ended["diagnosis"]["cause"]["type"]), (&version.into(), &cause.into()), "{ended:#}");
        let revision = ended["run"]["revision"].as_str().unwrap();
        assert!(done.err.contains(&format!("`flightdeck logs shop@production --rollout {revision}`")), "{done:#?}");
        let logs = server.ok(&["logs", "shop@production", "--rollout", revision]);
        let head = logs.lines().next().unwrap();
        assert!(head.starts_with("==> ") && head.contains(&format!("version {version}, rollout {revision}")), "{logs}");
        assert!(logs.contains(lines) && !logs.contains("opensesame"), "{logs}");
    }
    let hooks = server.ok(&["logs", "shop@production", "--hook", "smoke", "-o", "json"]);
    let hooks: Vec<Value> = serde_json::from_str(&hooks).unwrap();
    let told = |hook: &Value| (hook["version"].clone(), hook["failed"].clone(), hook["how"].clone());
    assert_eq!(told(&hooks[0]), ("unloved".into(), true.into(), "exit status 1".into()), "{hooks:#?}");
    assert_eq!(told(&hooks[1]), ("good".into(), false.into(), "exit status 0".into()), "{hooks:#?}");
    // What runs is shown as well; nothing of a process that went into the background is left.
    assert!(server.ok(&["logs", "shop@production"]).contains("version good, rollout r-"));
    let previous = server.ok(&["logs", "shop", "--previous", "-o", "name"]);
    let by_id = server.ok(&["logs", previous.trim()]);
    assert!(by_id.contains("sample x listens"), "an instance that has ended, by its id: {by_id}");
    let nowhere = server.run_cli(&["logs", "shop", "--rollout", "r-99"]);
    assert!(nowhere.code == 1 && nowhere.err.contains("output is kept of these rollouts: r-"), "{nowhere:?}");
    assert!(!leftover(server.path()), "a process in the background was ended");
}

/// Does a process of the app that went into the background run on?
fn leftover(dir: &Path) -> bool {
    crate::support::live::processes(dir)
        .iter()
        .any(|process| std::fs::read(format!("{process}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\0")))
}

#[test]
fn what_can_never_run_is_warned_of_when_it_is_stored_and_refused_before_it_starts() {
    let server = Server::start();
    apply(&server);
    for (version, path, mode, content, why) in [
        ("folder", "shop-1.0/bin/app", 0o755, "#!/bin/sh\n", "whose files all lie in the folder shop-1.0"),
        ("plain", "bin/app", 0o644, "#!/bin/sh\n", "chmod +x it before it is packed"),
        ("windows", "bin/app", 0o755, "#!/bin/sh\r\n", "(CRLF)"),
        ("alien", "bin/app", 0o755, "#!/nowhere/python\n", "run by /nowhere/python, which is not there"),
        ("empty", "bin/app", 0o755, "", "has no #! line"),
    ] {
        let stored = add(&server, version, path, mode, content);
        let place = "but it can't run in production: run: ";
        assert!(stored.contains(place) && stored.contains(why), "{version}: {stored}");
        let done = server.run_cli(&["deploy", "shop", version, "--to", "production", "--yes", "--wait"]);
        assert_eq!(done.code, 3, "{version}: {done:?}");
        assert!(done.err.contains(why) && done.err.contains("nothing was done"), "{version}: {done:?}");
    }
    assert_eq!(server.ok(&["get", "instances", "-o", "name"]), "", "nothing was started");
    // The same artifact runs once run names where its program is.
    let file = server.path().join("flightdeck.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"bin/app\"", "\"shop-1.0/bin/app\"")).unwrap();
    server.ok(&["apply", "--yes", "--wait"]);
    let script = format!("#!/bin/sh\n{SAMPLE} \"$1\"\n");
    let stored = add(&server, "mended", "shop-1.0/bin/app", 0o755, &script);
    assert!(!stored.contains("can't run"), "{stored}");
    server.ok(&["deploy", "shop", "mended", "--to", "production", "--yes", "--wait=finished"]);
}
