use crate::support::live::Server;
use serde_json::Value;

#[test]
fn a_drill_goes_back_returns_and_tells_how_long_the_way_back_took() {
    let server = Server::start();
    server.prepare();
    std::fs::write(server.path().join("flightdeck.toml"), server.config_of_two()).unwrap();
    server.ok(&["apply", "--yes", "--wait"]);
    let nowhere = server.run_cli(&["drill", "shop", "--in", "staging", "--yes"]);
    assert_eq!(nowhere.code, 2, "nothing runs there: {nowhere:?}");
    for version in ["1.0", "2.0"] {
        server.ok(&["deploy", "shop", version, "--to", "staging", "--yes", "--wait"]);
    }
    let silent = server.run_cli(&["drill", "shop", "--in", "staging"]);
    assert!(silent.code == 2 && silent.err.contains("no terminal to ask at"), "{silent:?}");
    let unwanted = server.run_cli(&["--read-only", "drill", "shop", "--in", "staging", "--yes"]);
    assert_eq!(unwanted.code, 3, "{unwanted:?}");
    let drilled = server.run_cli(&["drill", "shop", "--in", "staging", "--yes", "-o", "json"]);
    assert_eq!(drilled.code, 0, "{drilled:?}");
    for said in ["staging meets 1.0 for a while, then 2.0 again", "time: ", "went back and returned to 2.0"] {
        assert!(drilled.err.contains(said), "{said}: {}", drilled.err);
    }
    let measured: Value = serde_json::from_str(&drilled.out).unwrap();
    assert_eq!((&measured["version"], &measured["to"]), (&"2.0".into(), &"1.0".into()));
    let record: Value =
        serde_json::from_str(&server.ok(&["get", "deployments", "--limit", "1", "-o", "json"])).unwrap();
    assert_eq!((&record[0]["kind"], &record[0]["rollback"]), (&"drill".into(), &measured["rollback"]));
    let dora: Value = serde_json::from_str(&server.ok(&["get", "dora", "--env", "staging", "-o", "json"])).unwrap();
    assert_eq!(
        (&dora[0]["fail_rate"]["n"], &dora[0]["rollback"]["n"]),
        (&2.into(), &0.into()),
        "a drill counts nowhere: {dora}"
    );
}

#[test]
fn nobody_drills_on_customers() {
    let server = Server::start();
    server.with_stable();
    let refused = server.run_cli(&["drill", "shop", "--in", "production", "--yes"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("production is critical"), "{}", refused.err);
}
