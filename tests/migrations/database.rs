//! Real databases: SQLite by its own program, and a PostgreSQL server of the test's own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where tables of one service lie, and how they are reached.
pub trait Database {
    /// A new one for a case that works in `dir`: the words of a command that takes SQL as its last argument.
    fn fresh(&self, dir: &Path) -> Vec<String>;
}

/// Runs SQL; gives what came back, or what was said against it.
pub fn sql(client: &[String], text: &str) -> Result<String, String> {
    let (program, args) = client.split_first().unwrap();
    answer(&Command::new(program).args(args).arg(text).output().unwrap())
}

fn answer(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Where a program lies.
fn which(program: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let own = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().map(|entry| entry.unwrap().path());
    let own = own.map(|version| version.join("bin"));
    let mut all = std::env::split_paths(&folders).chain(own).map(|folder| folder.join(program));
    all.find(|path| path.exists()).unwrap_or_else(|| panic!("{program} is not installed: ./check installs it"))
}

pub struct Sqlite;

impl Database for Sqlite {
    fn fresh(&self, dir: &Path) -> Vec<String> {
        [which("sqlite3"), dir.join("shop.db")].map(|path| path.display().to_string()).to_vec()
    }
}

/// A PostgreSQL server that ends with the test.
pub struct Postgres {
    server: Child,
    port: u16,
    databases: AtomicU32,
    _dir: tempfile::TempDir,
}

impl Postgres {
    pub fn start() -> Postgres {
        let dir = tempfile::Builder::new().prefix("fd-pg-").tempdir().unwrap();
        // It refuses to run as root; the package made a user for it.
        let user = rustix::process::geteuid().is_root().then(|| [id("-u"), id("-g")]);
        if let Some([user, group]) = user {
            std::os::unix::fs::chown(dir.path(), Some(user), Some(group)).unwrap();
        }
        let as_user = |program: &str| {
            let mut command = Command::new(which("setpriv"));
            command.args(["--pdeathsig", "INT"]);
            if let Some([user, group]) = user {
                command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
            }
            command.arg(which(program)).current_dir(dir.path()).stdin(Stdio::null());
            command
        };
        let data = dir.path().join("data");
        let made =
            as_user("initdb").args(["-A", "trust", "--no-sync", "-U", "postgres", "-D"]).arg(&data).output().unwrap();
        answer(&made).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = as_user("postgres");
        command.arg("-D").arg(&data).arg("-p").arg(port.to_string()).arg("-k").arg(dir.path()).arg("-F");
        command.args(["-c", "listen_addresses=127.0.0.1"]).stdout(Stdio::null()).stderr(Stdio::null());
        let postgres = Postgres { server: command.spawn().unwrap(), port, databases: AtomicU32::new(0), _dir: dir };
        let client = postgres.client("postgres");
        crate::support::live::eventually("PostgreSQL answers", || sql(&client, "SELECT 1").is_ok());
        postgres
    }

    fn client(&self, database: &str) -> Vec<String> {
        let psql = which("psql").display().to_string();
        let port = self.port.to_string();
        let words = [
            psql.as_str(),
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-d",
            database,
            "-c",
        ];
        words.map(str::to_owned).to_vec()
    }
}

fn id(which: &str) -> u32 {
    let told = Command::new("id").args([which, "postgres"]).output().unwrap();
    String::from_utf8_lossy(&told.stdout).trim().parse().expect("the package makes a user postgres")
}

impl Database for Postgres {
    fn fresh(&self, _: &Path) -> Vec<String> {
        let name = format!("shop_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        sql(&self.client("postgres"), &format!("CREATE DATABASE {name}")).unwrap();
        self.client(&name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.server);
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
        self.server.wait().unwrap();
    }
}
