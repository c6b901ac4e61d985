//! What happens to data, on real databases, driven by the real server and command line: each case ends with a
//! line of the table that docs/migrations.md explains. `cargo test --test suite migrations:: -- --nocapture`
//! prints it.

mod database;

use crate::support::live::{EXE, Server};
use database::{Database, Postgres, Sqlite, sql};
use flightdeck::model::{Phase, Rollout, Run};
use std::fmt::Write as _;
use std::path::PathBuf;

/// A server whose service `shop` keeps its data in a database of its own.
struct Shop {
    server: Server,
    client: Vec<String>,
}

/// What must come out of a case, on each database.
struct Expected {
    case: &'static str,
    /// What was run, in order.
    ran: &'static str,
    /// Rows of the tables; `None`: there is no such table. `orders` is brought by 1.0, `vouchers` by 2.0.
    orders: Option<u32>,
    vouchers: Option<u32>,
    /// Where the record says that they stand.
    record: &'static str,
    /// The last rollout's word.
    says: &'static str,
}

impl Shop {
    fn start(database: &dyn Database) -> Shop {
        let server = Server::start();
        let client = database.fresh(server.path());
        let shop = Shop { server, client };
        let quoted: Vec<_> = shop.client.iter().map(|word| format!("'{word}'")).collect();
        let script = format!(
            r#"cd '{dir}' || exit 1
echo "$1 $2" >> runs
sql() {{ {client} "$1"; }}
if [ -p "gate-$2" ]; then read -r _ < "gate-$2"; fi
if [ "$1" = down ]; then sql "DROP TABLE $2"; exit; fi
sql "CREATE TABLE $2 (item TEXT)" || exit 1
if [ -e "fails-$2" ]; then exit 1; fi
sql "INSERT INTO $2 VALUES ('seed')"
"#,
            dir = shop.server.path().display(),
            client = quoted.join(" "),
        );
        std::fs::write(shop.file("migrate"), script).unwrap();
        shop
    }

    fn file(&self, name: &str) -> PathBuf {
        self.server.path().join(name)
    }

    /// Puts the configuration with these migrations into force; none: without the service.
    fn configure(&self, migrations: Option<&[&str]>) {
        let (listen, migrate) = (self.server.listen, self.file("migrate").display().to_string());
        let fails = self.file("smoke-fails").display().to_string();
        let mut text = "[environment.production]\n".to_owned();
        if migrations.is_some() {
            let _ = write!(
                text,
                r#"
[service.shop]
run = ["{EXE}", "sample-app", "--port", "{{port}}", "--version", "{{version}}", "--settings", "app.toml"]
health = {{ path = "/healthz", interval = "100ms", healthy = 1, unhealthy = 5, timeout = "5s" }}
[service.shop.in.production]
listen = "{listen}"
keep_warm = "0s"
hooks = [{{ name = "smoke", on = "after", run = ["/bin/sh", "-c", "test ! -e '{fails}'"] }}]
canary = {{ steps = [{{ set_weight = 50 }}] }}
"#
            );
        }
        for name in migrations.into_iter().flatten() {
            let _ = write!(
                text,
                "[[service.shop.migration]]\nname = \"{name}\"\nrun = [\"/bin/sh\", \"{migrate}\", \"up\", \"{name}\"]\n\
                 back = [\"/bin/sh\", \"{migrate}\", \"down\", \"{name}\"]\n"
            );
        }
        std::fs::write(self.file("flightdeck.toml"), text).unwrap();
        let remove = if migrations.is_none() { ["--remove", "shop@production"].as_slice() } else { &[] };
        self.server.ok(&[["apply", "--yes", "--wait"].as_slice(), remove].concat());
    }

    fn store(&self, version: &str) {
        let artifact = self.server.artifact(version);
        self.server.ok(&["release", "add", "shop", version, "--artifact", &artifact, "--wait"]);
    }

    /// Deploys a version, and waits until it has ended or waits for a person.
    fn deploy(&self, version: &str) -> Rollout {
        let before = self.deploying(version);
        self.settled(before.as_ref())
    }

    /// Gives what was there before.
    fn deploying(&self, version: &str) -> Option<Run> {
        let before = self.run();
        self.server.ok(&["deploy", "shop", version, "--to", "production", "--yes"]);
        before
    }

    fn run(&self) -> Option<Run> {
        self.server.rollout().map(|rollout| rollout.run)
    }

    /// Waits until another rollout than that has ended, or waits for a person.
    fn settled(&self, before: Option<&Run>) -> Rollout {
        self.server.until("it has ended, or waits for a person", |rollout| {
            let over = !rollout.phase.in_flight() || (rollout.phase == Phase::Paused && rollout.awaits_human());
            over && before != Some(&rollout.run)
        })
    }

    /// 1.0 serves, with its orders and three of its users'.
    fn with_orders(database: &dyn Database) -> Shop {
        let shop = Shop::start(database);
        shop.configure(Some(&["orders"]));
        for version in ["1.0", "2.0"] {
            shop.store(version);
        }
        assert_eq!(shop.deploy("1.0").phase, Phase::Healthy);
        shop.sql("INSERT INTO orders VALUES ('a'), ('b'), ('c')");
        shop
    }

    /// And 2.0 serves, with its vouchers and one of its users'.
    fn with_vouchers(database: &dyn Database) -> Shop {
        let shop = Shop::with_orders(database);
        shop.configure(Some(&["orders", "vouchers"]));
        assert_eq!(shop.deploy("2.0").phase, Phase::Healthy);
        shop.sql("INSERT INTO vouchers VALUES ('x')");
        shop
    }

    fn fail_smoke(&self) {
        std::fs::write(self.file("smoke-fails"), "").unwrap();
    }

    fn sql(&self, text: &str) {
        sql(&self.client, text).unwrap();
    }

    fn rows(&self, table: &str) -> Option<u32> {
        let count = sql(&self.client, &format!("SELECT count(*) FROM {table}"));
        // Only that one reason: the database answers otherwise.
        sql(&self.client, "SELECT 1").unwrap();
        count.ok().map(|count| count.parse().unwrap())
    }

    fn ran(&self) -> String {
        std::fs::read_to_string(self.file("runs")).unwrap_or_default().lines().collect::<Vec<_>>().join(", ")
    }

    /// As the command line tells it.
    fn record(&self) -> String {
        let text = self.server.ok(&["get", "migrations", "-o", "json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let word = |row: &serde_json::Value, at: &str| row.pointer(at).unwrap().as_str().unwrap().to_owned();
        rows.iter()
            .map(|row| format!("{} {}", word(row, "/name"), word(row, "/state/type")))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Its machine is lost with all that ran, and a backup is brought back on another one.
    fn lost_and_restored(&mut self, backup: &str) {
        self.server.kill_all();
        std::fs::remove_dir_all(self.file("data")).unwrap();
        let said = self.server.run_cli(&["restore", &self.file(backup).display().to_string()]);
        assert_eq!(said.code, 0, "{said:?}");
        self.server.start_again();
    }

    fn back_up(&self, name: &str) {
        self.server.ok(&["backup", &self.file(name).display().to_string()]);
    }

    /// A line of the table, compared with what is expected.
    fn line(&self, rollout: &Rollout, expected: &Expected) -> String {
        let Expected { case, ran, orders, vouchers, record, says } = expected;
        assert_eq!(self.ran(), *ran, "{case}: {}", rollout.message);
        assert_eq!((self.rows("orders"), self.rows("vouchers")), (*orders, *vouchers), "{case}: {}", rollout.message);
        assert_eq!(self.record(), *record, "{case}: {}", rollout.message);
        assert!(rollout.message.contains(says), "{case}: {} instead of {says}", rollout.message);
        let rows = |rows: &Option<u32>| rows.map_or("no table".to_owned(), |rows| format!("{rows} rows"));
        format!("| {case} | {ran} | {} | {} | {record} | {says} |", rows(orders), rows(vouchers))
    }
}

fn first_version_fails(database: &dyn Database) -> String {
    let shop = Shop::start(database);
    shop.configure(Some(&["orders"]));
    shop.store("1.0");
    shop.fail_smoke();
    let rollout = shop.deploy("1.0");
    assert_eq!(rollout.phase, Phase::Failed);
    shop.line(
        &rollout,
        &Expected {
            case: "first version fails",
            ran: "up orders",
            orders: Some(1),
            vouchers: None,
            record: "orders applied",
            says: "not taken back, since there is no version to return to: migration orders",
        },
    )
}

fn second_fails_before(database: &dyn Database) -> String {
    let shop = Shop::with_orders(database);
    shop.configure(Some(&["orders", "vouchers"]));
    shop.server.ok(&["hold", "everything", "--yes", "--wait"]);
    let before = shop.deploying("2.0");
    shop.server.ok(&["abort", "shop", "--yes", "--wait"]);
    let rollout = shop.settled(before.as_ref());
    assert_eq!(rollout.phase, Phase::Aborted);
    shop.line(
        &rollout,
        &Expected {
            case: "second fails before its migration",
            ran: "up orders",
            orders: Some(4),
            vouchers: None,
            record: "orders applied, vouchers not_applied",
            says: "aborted in line by",
        },
    )
}

fn second_fails_in(database: &dyn Database) -> String {
    let shop = Shop::with_orders(database);
    shop.configure(Some(&["orders", "vouchers"]));
    std::fs::write(shop.file("fails-vouchers"), "").unwrap();
    let rollout = shop.deploy("2.0");
    assert_eq!(rollout.phase, Phase::Failed);
    let line = shop.line(
        &rollout,
        &Expected {
            case: "second fails in its migration",
            ran: "up orders, up vouchers",
            orders: Some(4),
            vouchers: Some(0),
            record: "orders applied, vouchers half_way",
            says: "migration vouchers failed half way: exit status 1; look at its data",
        },
    );
    // The next try waits for a person, whose word ends the wait; nothing is run over itself.
    shop.server.ok(&["retry", "shop", "--yes"]);
    let waits = shop.server.until("it waits", Rollout::awaits_human);
    assert!(waits.message.contains("stands half way"), "{}", waits.message);
    shop.sql("INSERT INTO vouchers VALUES ('seed')");
    shop.server.ok(&["migration", "applied", "shop@production", "vouchers", "--yes", "--reason", "put right by hand"]);
    assert_eq!(shop.server.until("2.0 serves", |rollout| !rollout.phase.in_flight()).phase, Phase::Healthy);
    assert_eq!((shop.ran(), shop.rows("vouchers")), ("up orders, up vouchers".to_owned(), Some(1)));
    line
}

fn second_fails_after(database: &dyn Database) -> String {
    let shop = Shop::with_orders(database);
    shop.configure(Some(&["orders", "vouchers"]));
    shop.fail_smoke();
    let rollout = shop.deploy("2.0");
    assert_eq!(rollout.phase, Phase::Failed);
    shop.line(
        &rollout,
        &Expected {
            case: "second fails after its migration",
            ran: "up orders, up vouchers, down vouchers",
            orders: Some(4),
            vouchers: None,
            record: "orders applied, vouchers not_applied",
            says: "migration vouchers is taken back",
        },
    )
}

fn removed_and_put_back(database: &dyn Database) -> String {
    let shop = Shop::with_orders(database);
    shop.configure(None);
    crate::support::live::eventually("the service is gone and down", || {
        !shop.server.ok(&["get", "services", "-o", "name"]).contains("shop")
    });
    shop.configure(Some(&["orders"]));
    let back = shop.settled(None);
    assert_eq!((back.phase, shop.ran().as_str()), (Phase::Healthy, "up orders"), "{}", back.message);
    shop.fail_smoke();
    let rollout = shop.deploy("2.0");
    assert_eq!(rollout.phase, Phase::Failed);
    shop.line(
        &rollout,
        &Expected {
            case: "service removed and put back, then the next version fails",
            ran: "up orders",
            orders: Some(4),
            vouchers: None,
            record: "orders applied",
            says: "hook smoke: exit status 1",
        },
    )
}

fn adopted(database: &dyn Database) -> String {
    let shop = Shop::start(database);
    shop.sql("CREATE TABLE orders (item TEXT)");
    shop.sql("INSERT INTO orders VALUES ('a'), ('b'), ('c')");
    shop.configure(Some(&["orders"]));
    shop.store("1.0");
    shop.server.ok(&["migration", "applied", "shop@production", "--all", "--yes"]);
    let rollout = shop.deploy("1.0");
    assert_eq!(rollout.phase, Phase::Healthy);
    shop.line(
        &rollout,
        &Expected {
            case: "database adopted, told of before",
            ran: "",
            orders: Some(3),
            vouchers: None,
            record: "orders applied",
            says: "all traffic is at 1.0",
        },
    )
}

fn adopted_without_a_word(database: &dyn Database) -> String {
    let shop = Shop::start(database);
    shop.sql("CREATE TABLE orders (item TEXT)");
    shop.sql("INSERT INTO orders VALUES ('a'), ('b'), ('c')");
    shop.configure(Some(&["orders"]));
    shop.store("1.0");
    let rollout = shop.deploy("1.0");
    assert_eq!(rollout.phase, Phase::Failed);
    shop.line(
        &rollout,
        &Expected {
            case: "database adopted, not told of",
            ran: "up orders",
            orders: Some(3),
            vouchers: None,
            record: "orders half_way",
            says: "migration orders failed half way",
        },
    )
}

fn backup_of_before(database: &dyn Database) -> String {
    let mut shop = Shop::with_orders(database);
    shop.configure(Some(&["orders", "vouchers"]));
    shop.back_up("before.tar");
    assert_eq!(shop.deploy("2.0").phase, Phase::Healthy);
    shop.sql("INSERT INTO vouchers VALUES ('x')");
    shop.lost_and_restored("before.tar");
    let rollout = shop.deploy("2.0");
    assert!(rollout.awaits_human(), "{}", rollout.message);
    let line = shop.line(
        &rollout,
        &Expected {
            case: "backup of before the migration restored, 2.0 deployed again",
            ran: "up orders, up vouchers",
            orders: Some(4),
            vouchers: Some(2),
            record: "orders applied, vouchers unknown",
            says: "whether migration vouchers ran is not known",
        },
    );
    shop.server.ok(&["promote", "shop", "--yes"]);
    assert_eq!(shop.server.until("2.0 serves", |rollout| !rollout.phase.in_flight()).phase, Phase::Healthy);
    assert_eq!((shop.ran(), shop.rows("vouchers")), ("up orders, up vouchers".to_owned(), Some(2)));
    line
}

fn backup_while_it_ran(database: &dyn Database) -> String {
    let mut shop = Shop::with_orders(database);
    shop.configure(Some(&["orders", "vouchers"]));
    let gate = shop.file("gate-vouchers");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let before = shop.deploying("2.0");
    crate::support::live::eventually("the migration has begun", || shop.ran().ends_with("up vouchers"));
    shop.back_up("while.tar");
    shop.lost_and_restored("while.tar");
    let rollout = shop.settled(before.as_ref());
    assert_eq!(rollout.phase, Phase::Failed);
    shop.line(
        &rollout,
        &Expected {
            case: "backup of while it ran restored",
            ran: "up orders, up vouchers",
            orders: Some(4),
            vouchers: None,
            record: "orders applied, vouchers half_way",
            says: "migration vouchers failed half way",
        },
    )
}

fn backup_of_after(database: &dyn Database) -> String {
    let mut shop = Shop::with_vouchers(database);
    shop.back_up("after.tar");
    shop.lost_and_restored("after.tar");
    shop.server.until("2.0 serves", |rollout| rollout.phase == Phase::Healthy);
    let before = shop.run();
    shop.server.ok(&["rollback", "shop", "--yes", "--wait"]);
    let rollout = shop.settled(before.as_ref());
    shop.line(
        &rollout,
        &Expected {
            case: "backup of after it restored, then rolled back",
            ran: "up orders, up vouchers",
            orders: Some(4),
            vouchers: Some(2),
            record: "orders applied, vouchers applied",
            says: "back to 1.0",
        },
    )
}

fn older_version(database: &dyn Database) -> String {
    let shop = Shop::with_vouchers(database);
    let rollout = shop.deploy("1.0");
    assert_eq!(rollout.phase, Phase::Healthy);
    shop.line(
        &rollout,
        &Expected {
            case: "older version deployed",
            ran: "up orders, up vouchers",
            orders: Some(4),
            vouchers: Some(2),
            record: "orders applied, vouchers applied",
            says: "all traffic is at 1.0",
        },
    )
}

fn added_later(database: &dyn Database) -> String {
    let shop = Shop::with_orders(database);
    shop.store("1.0.1");
    assert_eq!(shop.deploy("1.0.1").phase, Phase::Healthy);
    shop.configure(Some(&["orders", "vouchers"]));
    // Neither of those that succeeded without it brings it.
    assert_eq!(shop.deploy("1.0").phase, Phase::Healthy);
    assert_eq!(shop.ran(), "up orders");
    assert_eq!(shop.deploy("2.0").phase, Phase::Healthy);
    shop.fail_smoke();
    let rollout = shop.deploy("1.0.1");
    assert_eq!(rollout.phase, Phase::Failed);
    shop.line(
        &rollout,
        &Expected {
            case: "migration added later, and a version without it fails",
            ran: "up orders, up vouchers",
            orders: Some(4),
            vouchers: Some(1),
            record: "orders applied, vouchers applied",
            says: "hook smoke: exit status 1",
        },
    )
}

const CASES: [fn(&dyn Database) -> String; 12] = [
    first_version_fails,
    second_fails_before,
    second_fails_in,
    second_fails_after,
    removed_and_put_back,
    adopted,
    adopted_without_a_word,
    backup_of_before,
    backup_while_it_ran,
    backup_of_after,
    older_version,
    added_later,
];

fn table(name: &str, database: &dyn Database) {
    println!(
        "| on {name} | was run | orders | vouchers | the record says | the rollout says |\n|---|---|---|---|---|---|"
    );
    for case in CASES {
        println!("{}", case(database));
    }
}

#[test]
fn nothing_is_destroyed_on_sqlite() {
    table("SQLite", &Sqlite);
}

#[test]
#[ignore = "needs PostgreSQL, which ./check installs where it can"]
fn nothing_is_destroyed_on_postgresql() {
    table("PostgreSQL", &Postgres::start());
}
