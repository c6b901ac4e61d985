use crate::support::live::Server;
use flightdeck::model::Phase;
use serde_json::Value;

#[test]
fn a_pipeline_waits_for_the_end_and_each_end_has_its_code() {
    let server = Server::start();
    server.with_canary();
    server.until("it stands at its pause", |rollout| rollout.phase == Phase::Paused);
    // Users are at the first step's share, and it stands still until somebody promotes.
    let met = server.run_cli(&["wait", "shop", "--for", "effect"]);
    assert!(met.code == 0 && met.out.contains("2.0 has "), "{met:?}");
    assert_eq!(server.run_cli(&["wait", "shop", "--for", "paused"]).code, 0);
    for args in [
        &["wait", "shop@production"][..],
        &["wait", "shop", "--timeout", "1s"],
        &["promote", "shop", "--yes", "--wait=finished"],
    ] {
        let waits = server.run_cli(args);
        assert_eq!(waits.code, 9, "{args:?}: {waits:?}");
        assert!(waits.err.contains("waits for a person") && waits.err.contains("`flightdeck "), "{waits:?}");
    }
    let aborted = server.run_cli(&["abort", "shop", "--yes", "--wait=finished"]);
    assert_eq!(aborted.code, 0, "that is what was asked for: {aborted:?}");
    let over = server.run_cli(&["wait", "shop"]);
    assert!(over.code == 7 && over.err.contains("it was aborted"), "{over:?}");
    let receipts: Value = serde_json::from_str(&server.ok(&["get", "receipts", "-o", "json"])).unwrap();
    let stages = |action: &str| {
        let of = receipts.as_array().unwrap().iter().filter(|of| of["command"]["action"] == action);
        of.map(|of| (of["stages"].as_array().unwrap().last().unwrap()["stage"]["type"].clone(), of["outcome"].clone()))
            .collect::<Vec<_>>()
    };
    let (reverted, aborted) = (Value::from("reverted"), Value::from("aborted"));
    assert!(stages("promote").iter().all(|of| *of == (reverted.clone(), aborted.clone())), "{receipts:#}");
    assert!(stages("deploy").contains(&(reverted, aborted)), "{receipts:#}");
    let nowhere = server.run_cli(&["wait", "nothing"]);
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
}

#[test]
fn what_succeeded_and_what_never_comes_up_are_told_apart() {
    let server = Server::start();
    server.with_stable();
    let done = server.run_cli(&["wait", "shop", "--for", "healthy", "-o", "json"]);
    assert_eq!(done.code, 0, "{done:?}");
    let seen: Value = serde_json::from_str(&done.out).unwrap();
    assert!(seen["seen"].as_str().unwrap().contains(" ready"), "{seen}");
    assert_eq!(server.run_cli(&["wait", "shop"]).code, 0, "it had ended well before");
}
