//! `config check` and `diff`: what a file does not tell is asked of a server, and what nobody was asked is said.

use crate::support::live::{Server, flightdeck};

#[test]
fn what_only_the_server_knows_is_asked_of_it_and_otherwise_named_as_not_checked() {
    let server = Server::start();
    let file = server.path().join("flightdeck.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let check = || server.run_cli(&["config", "check", "flightdeck.toml"]);
    write(&server.config());
    let good = check();
    assert!(good.code == 0 && good.err.ends_with("is fine\nthe server would put it into force\n"), "{good:?}");
    for (line, why) in [
        ("renamed_from = \"cart\"", "there is no service cart that shop could be renamed from"),
        ("secrets = { TOKEN = \"file:/no/such\" }", "the server cannot read this secret"),
    ] {
        write(&server.config().replace("[service.shop]", &format!("[service.shop]\n{line}")));
        let (checked, diff) = (check(), server.run_cli(&["diff"]));
        assert!(checked.err.contains("the server would not put it into force: "), "{checked:?}");
        assert!(diff.code == 0 && diff.err.contains("apply would be refused: "), "{diff:?}");
        assert!(checked.err.contains(why) && diff.err.contains(why), "{checked:?} {diff:?}");
    }
    write(&server.config());
    server.ok(&["apply", "--yes", "--wait"]);
    write(&format!("name = \"other\"\n{}", server.config()));
    let beside = check();
    let why = "service.shop: expected a service that no other";
    assert!(beside.err.contains("the server would not put it into force: ") && beside.err.contains(why), "{beside:?}");
    let alone = tempfile::tempdir().unwrap();
    std::fs::write(alone.path().join("flightdeck.toml"), server.config()).unwrap();
    let alone = flightdeck(alone.path(), &["config", "check", "flightdeck.toml"]);
    assert!(alone.code == 0 && alone.err.contains("not checked: secrets, certificates, users"), "{alone:?}");
    assert!(alone.err.contains("no server at "), "{alone:?}");
}

#[test]
fn who_and_what_serve_apply_names_and_nobody_has_is_named() {
    let mut server = Server::start();
    server.prepare();
    std::fs::create_dir_all(server.path().join("config")).unwrap();
    let text = "[serve.apply]\ndefault = [\"root\"]\nshpo = [\"user:root\", \"group:no-such\", \"nobody-such\"]\n";
    std::fs::write(server.path().join("config/config.toml"), text).unwrap();
    let warnings = |of: &str| -> Vec<String> {
        of.lines().filter(|line| !line.ends_with(" is fine")).map(ToOwned::to_owned).collect()
    };
    let people = [
        "warning: serve.apply.shpo: \"group:no-such\" is no group of this machine",
        "warning: serve.apply.shpo: \"nobody-such\" is no user or group of this machine",
    ];
    let checked = server.run_cli(&["config", "check"]);
    let config = "warning: serve.apply.shpo: no configuration shpo is in force (in force: default)";
    assert_eq!(
        (checked.code, warnings(&checked.err)),
        (0, [&people[..], &[config]].concat().iter().map(ToString::to_string).collect())
    );
    server.stop();
    let alone = server.run_cli(&["config", "check"]);
    let said = warnings(&alone.err);
    assert_eq!((alone.code, &said[..2]), (0, &people.map(ToOwned::to_owned)[..]));
    assert!(
        said[2].starts_with("not checked: whether there are the configurations that serve.apply names: no server at")
    );
}
