//! Told outside: a real server, a real receiver, crashes between the fact and the telling.

mod traces;

use crate::support::live::{Server, eventually, flightdeck};
use base64::Engine as _;
use flightdeck::port::{Notification, NotifyEvent};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One request that came.
#[derive(Debug, Clone)]
struct Came {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn told(&self) -> Notification {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// As a receiver checks it.
    fn is_signed(&self) -> bool {
        let key = base64::engine::general_purpose::STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
        let mut text = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).into_bytes();
        text.extend_from_slice(&self.body);
        let signature = self.header("webhook-signature").strip_prefix("v1,").unwrap_or_default();
        let signature = base64::engine::general_purpose::STANDARD.decode(signature).unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        ring::hmac::verify(&key, &text, &signature).is_ok()
    }
}

/// Whoever is told: keeps what comes and answers with a status.
struct Receiver {
    address: String,
    status: Arc<Mutex<&'static str>>,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Receiver {
    fn start(status: &'static str) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (status, came) = (Arc::new(Mutex::new(status)), Arc::new(Mutex::new(Vec::new())));
        let (answer, keep) = (Arc::clone(&status), Arc::clone(&came));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut headers = Vec::new();
                let mut line = String::new();
                while reader.read_line(&mut line).unwrap_or(0) > 2 {
                    if let Some((name, value)) = line.trim().split_once(": ") {
                        headers.push((name.to_lowercase(), value.to_owned()));
                    }
                    line.clear();
                }
                let mut came = Came { headers, body: Vec::new() };
                came.body.resize(came.header("content-length").parse().unwrap_or(0), 0);
                if reader.read_exact(&mut came.body).is_ok() && !came.body.is_empty() {
                    keep.lock().unwrap().push(came);
                }
                let status = *answer.lock().unwrap();
                // Whoever was killed meanwhile hears no answer.
                let _ = write!(&stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Receiver { address, status, came }
    }

    fn answers(&self, status: &'static str) {
        *self.status.lock().unwrap() = status;
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

/// A folder whose settings say who is told.
fn prepared(settings: impl FnOnce(&Path) -> String) -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("fd-").tempdir().unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    let secret = dir.path().join("secret");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).mode(0o600).open(secret).unwrap().write_all(SECRET.as_bytes()).unwrap();
    std::fs::write(dir.path().join("config/config.toml"), settings(dir.path())).unwrap();
    dir
}

#[test]
fn what_happens_is_told_though_the_receiver_fails_and_the_server_is_killed() {
    let receiver = Receiver::start("503 Service Unavailable");
    let dir = prepared(|dir| {
        let (address, secret) = (&receiver.address, dir.join("secret"));
        format!("[notify.hook]\nurl = \"http://{address}/hook\"\nsecret = \"file:{}\"\n", secret.display())
    });
    let mut server = Server::start_in(dir, &[]);
    server.with_canary();
    eventually("the receiver is asked", || !receiver.came().is_empty());
    let first = receiver.came().remove(0);
    assert!(first.is_signed(), "{first:?}");
    assert_eq!(first.header("webhook-id"), first.told().id);
    // An approval was asked for before anything served.
    assert_eq!((first.told().event, first.told().service.as_str()), (NotifyEvent::WaitsForPerson, "shop"));
    let status = server.ok(&["notify", "status"]);
    assert!(status.contains("hook") && status.contains("503"), "{status}");
    server.crash();
    receiver.answers("204 No Content");
    server.start_again();
    let again = || receiver.came().iter().filter(|came| came.told().id == first.told().id).count();
    eventually("it is told after the crash, as the same one", || again() >= 2);
    server.ok(&["abort", "shop", "--yes", "--reason", "enough"]);
    let aborted = || receiver.came().into_iter().find(|came| came.told().event == NotifyEvent::Aborted);
    eventually("the abort is told", || aborted().is_some());
    let told = aborted().unwrap().told();
    assert_eq!((told.from.as_deref(), told.to.as_str(), told.environment.as_str()), (Some("1.0"), "2.0", "production"));
    assert!(told.why.contains("enough"), "{told:?}");
    eventually("nothing waits any more", || server.ok(&["notify", "status", "-o", "json"]).trim() == "[]");
    // Told is told: another start says nothing of it again.
    let before = receiver.came().len();
    server.crash();
    server.start_again();
    let tried = server.run_cli(&["notify", "test", "hook"]);
    assert_eq!(tried.code, 0, "{tried:?}");
    let after = receiver.came();
    assert_eq!(after.last().unwrap().told().event, NotifyEvent::Test);
    assert_eq!(after.len(), before + 1, "{:?}", after.last());
}

#[test]
fn a_channel_is_told_once_it_is_there_though_the_server_was_killed_meanwhile() {
    let receiver = Receiver::start("500 Internal Server Error");
    let dir = prepared(|dir| {
        let hook = dir.join("hook");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).mode(0o600).open(&hook).unwrap();
        writeln!(file, "http://{}/services/T0/B0/x", receiver.address).unwrap();
        format!("[notify.shop]\nkind = \"slack\"\nwebhook = \"file:{}\"\n", hook.display())
    });
    let mut server = Server::start_in(dir, &[]);
    server.with_canary();
    eventually("the channel is asked", || !receiver.came().is_empty());
    let words = |came: &Came| serde_json::from_slice::<serde_json::Value>(&came.body).unwrap();
    let first = words(&receiver.came()[0]);
    assert_eq!(first["text"], "shop in production: 1.0 waits for a person");
    let id = first["blocks"][1]["elements"][0]["text"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(id.starts_with("msg_"), "{first}");
    let status = server.ok(&["notify", "status"]);
    assert!(status.contains("shop") && status.contains("500") && !status.contains("/services/"), "{status}");
    server.crash();
    receiver.answers("200 OK");
    let before = receiver.came().len();
    server.start_again();
    eventually("it is told after the crash, as the same one", || {
        receiver.came().iter().skip(before).any(|came| words(came).to_string().contains(&id))
    });
    eventually("nothing waits any more", || server.ok(&["notify", "status", "-o", "json"]).trim() == "[]");
    receiver.answers("404 Not Found");
    let tried = server.run_cli(&["notify", "test", "shop"]);
    assert!(tried.code == 1 && tried.err.contains("shop was not told: 404 Not Found"), "{tried:?}");
}

#[test]
fn a_program_gets_what_it_asked_for_and_nothing_else() {
    let dir = prepared(|dir| {
        let script = format!("cat >> {0}/told; echo >> {0}/told", dir.display());
        format!(
            "[notify.page]\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\nevents = [\"aborted\"]\n\
             [notify.elsewhere]\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\nenvironments = [\"staging\"]\n"
        )
    });
    let server = Server::start_in(dir, &[]);
    server.with_canary();
    server.ok(&["abort", "shop", "--yes"]);
    let read = || std::fs::read_to_string(server.path().join("told")).unwrap_or_default();
    eventually("the program has it", || read().ends_with('\n'));
    let all: Vec<Notification> = read().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.iter().map(|it| it.event).collect::<Vec<_>>(), [NotifyEvent::Aborted]);
}

#[test]
fn settings_that_can_reach_nobody_are_refused_with_their_place() {
    for (table, why) in [
        ("url = \"example.com\"", "config.toml:2:7: notify.x.url: expected an address that begins with"),
        ("command = [\"page\"]", "config.toml:2:11: notify.x.command: expected the program's absolute path first"),
        ("url = \"https://a\"\nsecret = \"hunter2\"", "config.toml:3:10: notify.x.secret: "),
        ("url = \"https://a\"\nevents = [\"faild\"]", "did you mean \"failed\"?"),
        ("uri = \"https://a\"", "unknown key"),
        ("endpoint = \"http://a/v1/traces\"", "config.toml:2:12: notify.x.endpoint: expected the address before"),
        (
            "kind = \"slack\"\nwebhook = \"https://hooks.slack.com/services/hunter2\"",
            "config.toml:3:11: notify.x.webhook: ",
        ),
        (
            "kind = \"slac\"",
            "config.toml:2:8: notify.x.kind: expected \"webhook\", \"command\", \"slack\", \"grafana\" or \"otlp\"",
        ),
        ("kind = \"slack\"\nurl = \"https://a\"", "there is no such key for kind \"slack\""),
        ("", "notify.x.url: expected an address such as"),
    ] {
        let dir = prepared(|_| format!("[notify.x]\n{table}\n"));
        let done = flightdeck(dir.path(), &["config", "check"]);
        assert!(done.code != 0 && done.err.contains(why), "{table}: {done:?}");
        assert!(!done.err.contains("hunter2"), "{done:?}");
    }
    let dir = prepared(|_| "[notify.x]\nurl = \"https://a\"\nsecret = \"file:/no/such\"\n".to_owned());
    let done = flightdeck(dir.path(), &["serve"]);
    assert!(done.code == 2 && done.err.contains("notify.x.secret: cannot be read: /no/such"), "{done:?}");
    let done = flightdeck(dir.path(), &["notify", "test", "y"]);
    assert!(done.code == 2 && done.err.contains("known: x"), "{done:?}");
}
