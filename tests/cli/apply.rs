//! Applying a configuration: nothing that runs ends by accident, and what was in force is in force again.

use crate::support::live::{Server, eventually};
use flightdeck::model::Phase;
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

    server.ok(&["apply", &file, "--yes", "--wait", "--remove", "shop@production", "--reason", "moved"]);
    eventually("the service is gone", || server.rollout().is_none());
    let history = server.ok(&["config", "history"]);
    let revisions: Vec<&str> = history.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(revisions, ["2", "1"], "{history}");
    assert!(history.contains("moved"), "{history}");
    assert!(server.ok(&["config", "history", "1"]).contains("[service.shop]"));
    let unknown = server.run_cli(&["apply", "--revision", "9", "--yes"]);
    assert!(unknown.code == 2 && unknown.err.contains("there is no revision 9"), "{unknown:?}");

    // While it is still being taken down it can't be put back.
    eventually("it is put back", || server.run_cli(&["apply", "--revision", "1", "--yes", "--wait"]).code == 0);
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
