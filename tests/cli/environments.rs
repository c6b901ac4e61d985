//! One service, unlike in two environments, with secrets; real processes say what they were given.

use crate::process::secret;
use crate::support::live::{Server, eventually};
use std::path::Path;

/// Both environments; an instance writes down what it was given before it serves.
fn config(server: &Server) -> String {
    let dir = server.path().display();
    let say = format!(
        "run = [\"/bin/sh\", \"-c\", \"echo \\\"$LOG $TOKEN\\\" > '{dir}/seen-{{environment}}'; echo \\\"$TOKEN\\\"; exec \\\"$@\\\"\", \"sh\", "
    );
    let service = format!(
        "env = {{ LOG = \"info\" }}\nsecrets = {{ TOKEN = \"command:cat '{dir}'/token-{{environment}}\" }}\n[service.shop.in.production]\nenv = {{ LOG = \"warn\" }}\n"
    );
    let service = service.replace('\'', "");
    server.config_of_two().replace("run = [", &say).replace("[service.shop.in.production]\n", &service)
}

fn files_with(dir: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files_with(&entry.path(), text, found);
        } else if kind.is_file() {
            // An instance's scratch files may go meanwhile.
            let content = std::fs::read(entry.path()).unwrap_or_default();
            if content.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(entry.path().display().to_string());
            }
        }
    }
}

#[test]
fn an_app_sees_its_environments_variables_and_a_secret_that_nothing_else_shows() {
    let server = Server::start();
    for environment in ["staging", "production"] {
        secret(&server.path().join(format!("token-{environment}")), &format!("opensesame-{environment}\n"));
    }
    std::fs::write(server.path().join("flightdeck.toml"), config(&server)).unwrap();
    server.ok(&["apply", "--yes", "--wait"]);
    server.ok(&["release", "add", "shop", "1.0", "--artifact", &server.artifact("1.0"), "--wait"]);
    server.ok(&["deploy", "shop", "1.0", "--to", "staging", "--yes", "--wait"]);
    server.first("1.0");
    let seen = |environment: &str| std::fs::read_to_string(server.path().join(format!("seen-{environment}"))).unwrap();
    assert_eq!(seen("staging"), "info opensesame-staging\n");
    assert_eq!(seen("production"), "warn opensesame-production\n");

    let mut found = Vec::new();
    for folder in ["data", "state", "run", "config"].map(|name| server.path().join(name)) {
        if folder.exists() {
            files_with(&folder, "opensesame", &mut found);
        }
    }
    assert_eq!(found, [""; 0], "journal, ledger, records and logs");
    for what in ["rollouts", "receipts", "instances", "services", "deployments", "releases"] {
        assert!(!server.ok(&["get", what, "-o", "json"]).contains("opensesame"), "{what}");
    }
    assert!(!server.ok(&["ledger", "show", "-o", "json"]).contains("opensesame"));

    let file = server.path().join("flightdeck.toml");
    let changed = std::fs::read_to_string(&file).unwrap().replace("LOG = \"warn\"", "LOG = \"error\"");
    std::fs::write(&file, changed).unwrap();
    let diff = server.ok(&["diff"]);
    assert_eq!(diff, "~ shop in production: env changed (for instances started from now on)\n");
}

#[test]
fn what_the_servers_machine_does_not_have_is_refused_before_anything_happens() {
    let server = Server::start();
    server.prepare();
    let key = server.path().join("key");
    let file = server.path().join("flightdeck.toml");
    let with = |added: &str| {
        server.config().replace("[service.shop.in.production]", &format!("{added}\n[service.shop.in.production]"))
    };
    let apply = |text: String| {
        std::fs::write(&file, text).unwrap();
        server.run_cli(&["apply", "--yes", "--wait"])
    };
    let refused = |text: String, line: usize, parts: &[&str]| {
        let done = apply(text);
        assert_eq!(done.code, 2, "{done:?}");
        let place = format!("flightdeck.toml:{line}:");
        assert!(done.err.contains(&place) && parts.iter().all(|part| done.err.contains(part)), "{parts:?}: {done:?}");
    };
    let secret_of_file = "secrets = { KEY = \"file:key\" }";
    refused(
        with(secret_of_file),
        10,
        &["service.shop.secrets.KEY: the server cannot read this secret", "No such file"],
    );
    std::fs::write(&key, "opensesame").unwrap();
    std::process::Command::new("chmod").arg("0644").arg(&key).status().unwrap();
    refused(with(secret_of_file), 10, &["chmod o-rwx ", "/key"]);
    refused(with("secrets = { KEY = \"env:FLIGHTDECK_NO_SUCH\" }"), 10, &["no variable FLIGHTDECK_NO_SUCH"]);
    refused(with("secrets = { KEY = \"command:no-such-program x\" }"), 10, &["no program no-such-program"]);
    let approvers = server.config().replace("count = 1", "from = [\"no-such-group\"], count = 1");
    refused(approvers, 13, &["approval.from[0]", "found \"no-such-group\"", "nobody could approve"]);
    let history = server.ok(&["config", "history", "-o", "name"]);
    assert_eq!(history, "1\n", "nothing of that was put into force");
    secret(&key, "opensesame");
    assert_eq!(apply(with(secret_of_file)).code, 0);
}

#[test]
fn who_may_not_apply_learns_nothing_of_the_servers_files() {
    let server = Server::start_with_env(&[], &[("FLIGHTDECK_SERVE_OPERATORS", "user:somebody-else")]);
    let text = server.config().replace(
        "[service.shop.in.production]",
        "secrets = { KEY = \"file:/nowhere/key\" }\n[service.shop.in.production]",
    );
    std::fs::write(server.path().join("flightdeck.toml"), text).unwrap();
    let applied = server.run_cli(&["apply", "--yes", "--wait"]);
    assert!(applied.code == 3 && !applied.err.contains("/nowhere/key"), "{applied:?}");
    let diff = server.run_cli(&["diff"]);
    assert!(!(diff.out.clone() + &diff.err).contains("/nowhere/key"), "{diff:?}");
    eventually("it serves on", || server.run_cli(&["get", "services"]).code == 0);
}
