//! Applying a configuration: nothing that runs ends by accident, and what was in force is in force again.

use crate::support::live::{Server, block_on, eventually};
use flightdeck::model::{Action, Command, Phase, Subject};
use std::net::TcpListener;

fn write(server: &Server, text: &str) -> String {
    let file = server.path().join("flightdeck.toml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn an_emptied_file_ends_nothing_without_its_name_and_what_was_removed_comes_back_as_it_ran() {
    let server = Server::start();
    server.with_stable();
    let file = write(&server, "");
    let refused = server.run_cli(&["apply", &file, "--yes", "--wait"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.err.contains("shop in production") && refused.err.contains("--remove shop@production"),
        "{refused:?}"
    );
    assert_eq!(server.rollout().unwrap().phase, Phase::Healthy);
    let diff = server.ok(&["diff", &file]);
    assert!(diff.contains("- shop in production: removed; it runs: ") && diff.contains("of its traffic"), "{diff}");
    let differs = server.run_cli(&["diff", &file, "--exit-code"]);
    assert_eq!((differs.code, differs.out.as_str()), (10, diff.as_str()), "{differs:?}");
    let wrong = server.run_cli(&["apply", &file, "--yes", "--remove", "shop@production", "--remove", "cart"]);
    assert!(wrong.code == 2 && wrong.err.contains("cart is asked to be removed"), "{wrong:?}");

    let removed = server.ok(&["apply", &file, "--yes", "--wait", "--remove", "shop@production", "--reason", "moved"]);
    assert!(removed.contains("shop@production has ended"), "{removed}");
    assert_eq!(server.ok(&["get", "instances", "-o", "name"]) + &server.ok(&["get", "services", "-o", "name"]), "");
    let history = server.ok(&["config", "history"]);
    let revisions: Vec<&str> = history.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(revisions, ["2", "1"], "{history}");
    assert!(history.contains("moved"), "{history}");
    assert!(server.ok(&["config", "history", "1"]).contains("[service.shop]"));
    let unknown = server.run_cli(&["apply", "--revision", "9", "--yes"]);
    assert!(unknown.code == 2 && unknown.err.contains("there is no revision 9"), "{unknown:?}");

    server.ok(&["apply", "--revision", "1", "--yes", "--wait"]);
    let back = server.until("it serves again", |rollout| rollout.phase == Phase::Healthy);
    assert_eq!(back.stable().unwrap().version.as_str(), "1.0");
    assert_eq!(server.ok(&["config", "history", "-o", "name"]), "3\n2\n1\n");
}

#[test]
fn an_address_that_another_program_has_fails_the_apply_and_is_told_until_it_is_free() {
    let server = Server::start();
    server.prepare();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listens = server.config().lines().find(|line| line.starts_with("listen")).unwrap().to_owned();
    let file = write(&server, &server.config().replace(&listens, &format!("listen = \"{address}\"")));
    let failed = server.run_cli(&["apply", &file, "--yes", "--wait"]);
    assert_eq!(failed.code, 1, "{failed:?}");
    let said = format!(
        "in force as revision 2, but local: shop in production does not listen on {address}: {address} is in use"
    );
    assert!(failed.err.contains(&said), "{failed:?}");
    let ill = server.run_cli(&["doctor"]);
    assert!(ill.out.contains("shop in production is not listening"), "{ill:?}");
    drop(taken);
    eventually("it can be listened on", || server.run_cli(&["doctor"]).out.contains("none is taken"));
    server.first("1.0");
    server.ok(&["apply", &file, "--yes", "--wait"]);
}

/// A server with two configurations in a folder: the shop's and one that listens elsewhere.
fn with_teams() -> (Server, std::path::PathBuf) {
    let server = Server::start();
    let dir = server.path().join("teams");
    std::fs::create_dir(&dir).unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listens = server.config().lines().find(|line| line.starts_with("listen")).unwrap().to_owned();
    let search = server
        .config()
        .replace("service.shop", "service.search")
        .replace(&listens, &format!("listen = \"{elsewhere}\""));
    std::fs::write(dir.join("shop.toml"), server.config()).unwrap();
    std::fs::write(dir.join("find.toml"), format!("name = \"search\"\n{search}")).unwrap();
    (server, dir)
}

#[test]
fn a_folder_is_a_configuration_a_file_and_each_has_only_its_own() {
    let (server, dir) = with_teams();
    let (all, shop) = (dir.display().to_string(), dir.join("shop.toml"));
    let checked = server.run_cli(&["config", "check", &all]);
    assert!(
        checked.code == 0 && checked.err.contains("find.toml is fine; it is the configuration search"),
        "{checked:?}"
    );
    server.ok(&["apply", &all, "--yes", "--wait"]);
    let configurations = server.ok(&["get", "configurations"]);
    let rows: Vec<Vec<&str>> = configurations.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows[0][0], rows[0][4], rows[1][0], rows[1][4]), ("search", "search", "shop", "shop"), "{rows:?}");
    assert!(
        server.ok(&["get", "services"]).lines().any(|line| line.starts_with("search") && line.contains(" search "))
    );

    // One that is wrong holds up no other, and what became of each is said.
    std::fs::write(dir.join("cart.toml"), server.config().replace("service.shop.in", "service.cart.in")).unwrap();
    let part = server.run_cli(&["apply", &all, "--yes", "--wait"]);
    assert!(part.code == 6 && part.err.contains("1 of 3 configurations were not applied: "), "{part:?}");
    assert!(part.err.contains("cart.toml:6:"), "{part:?}");
    assert_eq!(part.out.lines().count(), 3, "a receipt of each of the others: {part:?}");
    std::fs::remove_file(dir.join("cart.toml")).unwrap();

    // The same text by itself is the default one, and takes nothing of shop's.
    let taken = server.run_cli(&["apply", &shop.display().to_string(), "--yes", "--wait"]);
    assert!(
        taken.code == 2 && taken.err.contains("shop.toml:6:10: service.shop: expected a service that no other"),
        "{taken:?}"
    );
    assert!(taken.err.contains("of the configuration shop ("), "{taken:?}");
    std::fs::copy(dir.join("find.toml"), dir.join("same.toml")).unwrap();
    let twice = server.run_cli(&["diff", &all]);
    assert!(twice.code == 2 && twice.err.contains("are both the configuration search"), "{twice:?}");
    std::fs::remove_file(dir.join("same.toml")).unwrap();
    let same = server.ok(&["diff", &all, "--exit-code"]);
    assert_eq!(same, "");

    let first = server.ok(&["config", "history", "-o", "json"]);
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    let names: Vec<_> =
        first.as_array().unwrap().iter().map(|of| (of["name"].as_str(), of["in_force"].as_bool())).collect();
    let shop = |in_force| (Some("shop"), Some(in_force));
    let search = |in_force| (Some("search"), Some(in_force));
    assert_eq!(names, [shop(true), search(true), shop(false), search(false)]);
    server.ok(&["apply", "--revision", "1", "--yes", "--wait"]);
    let unknown = server.run_cli(&["config", "remove", "cart", "--yes"]);
    assert!(unknown.code == 2 && unknown.err.contains("in force: search, shop"), "{unknown:?}");
    server.ok(&["config", "remove", "search", "--yes", "--wait"]);
    assert_eq!(server.ok(&["get", "configurations", "-o", "name"]), "shop\n");
    eventually("search has gone", || server.ok(&["get", "services", "-o", "name"]) == "shop\n");
}

#[test]
fn who_does_not_wait_is_told_that_a_yes_is_not_the_effect_and_how_to_follow_it() {
    let server = Server::start();
    let file = write(&server, &server.config());
    let accepted = server.run_cli(&["apply", &file, "--yes"]);
    assert_eq!(accepted.code, 0, "{accepted:?}");
    let id = accepted.out.lines().nth(1).and_then(|row| row.split_whitespace().next()).unwrap();
    let told = format!("accepted, and not yet known to be in force: `flightdeck get receipts {id}` tells");
    assert!(accepted.err.contains(&told), "{accepted:?}");
    let scripted = server.run_cli(&["apply", &file, "--yes", "-o", "json"]);
    assert!(scripted.code == 0 && scripted.err.is_empty(), "{scripted:?}");
}

#[test]
fn who_names_a_configuration_removes_what_of_it_runs_and_no_more() {
    let (server, dir) = with_teams();
    server.ok(&["apply", &dir.display().to_string(), "--yes", "--wait"]);
    for version in ["1.0", "2.0"] {
        let file = server.artifact(version);
        server.ok(&["release", "add", "shop", version, "--artifact", &file, "--wait"]);
    }
    server.first("1.0");
    let asked = server.run_cli(&["config", "remove", "shop"]);
    assert!(asked.code == 2 && asked.err.contains("config remove shop must be confirmed"), "{asked:?}");
    assert!(asked.err.contains("config remove shop ends everywhere: shop\n"), "{asked:?}");
    let removed = server.ok(&["config", "remove", "shop", "--yes", "--wait"]);
    assert!(removed.contains("  config remove  shop  ") && removed.contains("shop@production has ended"), "{removed}");
    assert_eq!(server.ok(&["get", "services", "-o", "name"]), "search\n");
    let history = server.ok(&["config", "history"]);
    let last = history.lines().nth(1).unwrap().split_whitespace().take(3).collect::<Vec<_>>();
    assert_eq!(last, ["3", "shop", "-"], "{history}");
}

#[test]
fn who_is_not_named_for_a_configuration_is_refused_and_the_ledger_says_so() {
    let me = std::process::Command::new("id").arg("-un").output().unwrap();
    let me = String::from_utf8(me.stdout).unwrap().trim().to_owned();
    let apply = serde_json::json!({ "search": [me], "shop": ["somebody-else"] }).to_string();
    let server = Server::start_with_env(&[], &[("FLIGHTDECK_SERVE_APPLY", &apply)]);
    let own = write(&server, &format!("name = \"search\"\n{}", server.config()));
    server.ok(&["apply", &own, "--yes", "--wait"]);
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let cart = server.config().replace("service.shop", "service.cart").replace(&server.listen.to_string(), &elsewhere);
    let shop = write(&server, &format!("name = \"shop\"\n{cart}"));
    let refused = server.run_cli(&["apply", &shop, "--yes"]);
    let why = format!("{me} may not apply the configuration shop: only somebody-else may");
    assert!(refused.code == 3 && refused.err.contains(&why), "{refused:?}");
    // Not even with a pin and a yes, which leave the asking out: the hub itself decides.
    let subject = Subject::Config {
        name: "shop".into(),
        text: std::fs::read_to_string(&shop).unwrap(),
        path: shop.clone(),
        remove: Vec::new(),
    };
    let command = Command { id: "c-1".into(), action: Action::Apply, subject, pin: None, reason: None };
    let said = block_on(server.client().submit(command.clone())).unwrap_err();
    assert!(said.to_string().contains(&why), "{said}");
    // A name that the text does not have does not open it.
    let Subject::Config { text, path, remove, .. } = command.subject else { unreachable!() };
    let disguised = Subject::Config { name: "search".into(), text, path, remove };
    let command = Command { id: "c-2".into(), subject: disguised, ..command };
    let said = block_on(server.client().submit(command.clone())).unwrap_err();
    assert!(said.to_string().contains("calls itself shop and was sent as search"), "{said}");
    let nobody = server.run_cli(&["apply", &write(&server, ""), "--yes"]);
    assert!(nobody.err.contains("nobody may, since serve.apply does not name default"), "{nobody:?}");
    eventually("the ledger has the refusals", || {
        let records = server.ok(&["ledger", "show", "-o", "json"]);
        records.contains(&why) && records.contains("was sent as search")
    });
    assert_eq!(server.ok(&["get", "configurations", "-o", "name"]), "search\n");
}
