//! CircleCI, as far as its API's documents say what it does with approval jobs (circleci.com/docs/api/v2).

use crate::probe::stub::{Asked, Play, Stub as Server};
use crate::support::fault::{Fault, Faults};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard};

pub const TOKEN: &str = "CCIPAT-of-octo";
/// As whom it counts, which CircleCI tells by an id alone.
pub const OCTO: &str = "11111111-2222";

/// A pipeline with one workflow: `hold` waits, `deploy` begins after it.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub number: u64,
    pub branch: &'static str,
    pub status: &'static str,
    pub hold: &'static str,
    pub by: Option<&'static str>,
    pub deploy: &'static str,
}

impl Pipeline {
    /// One that waits for a yes.
    pub fn waiting(number: u64) -> Pipeline {
        Pipeline { number, branch: "main", status: "on_hold", hold: "on_hold", by: None, deploy: "blocked" }
    }

    /// Somebody said yes.
    pub fn approved(&mut self, by: &'static str) {
        (self.hold, self.by, self.status, self.deploy) = ("success", Some(by), "running", "running");
    }

    pub fn ends(&mut self, status: &'static str) {
        self.status = status;
        if self.hold == "success" {
            self.deploy = status;
        }
    }

    fn json(&self) -> Value {
        json!({
            "id": format!("p-{}", self.number), "number": self.number, "state": "created",
            "project_slug": "gh/acme/shop", "created_at": "2026-02-24T20:20:00.000Z",
            "trigger": { "type": "webhook", "actor": { "login": "mona" } },
            "vcs": { "branch": self.branch, "revision": format!("{}ceb02d0ae598e95dc970b74767f19372d61af8", self.number) },
        })
    }

    fn workflow(&self) -> Value {
        json!({ "id": format!("w-{}", self.number), "name": "release", "status": self.status })
    }

    fn jobs(&self) -> Vec<Value> {
        let mut hold = json!({
            "id": "j-1", "name": "hold", "type": "approval", "status": self.hold, "approval_request_id": "a-1",
            "dependencies": [],
        });
        if let Some(by) = self.by {
            hold["approved_by"] = json!(by);
        }
        vec![
            hold,
            json!({ "id": "j-2", "name": "deploy", "type": "build", "status": self.deploy, "dependencies": ["j-1"] }),
        ]
    }
}

/// Everything that it knows, and what goes wrong.
#[derive(Default)]
pub struct World {
    pub pipelines: Vec<Pipeline>,
    pub faults: Faults,
    /// What was changed: method, path, body.
    pub changes: Vec<String>,
    /// What was asked against its documents.
    pub wrong: Vec<String>,
    /// There are older pipelines.
    pub more: bool,
}

impl World {
    pub fn pipeline(&mut self, number: u64) -> &mut Pipeline {
        self.pipelines.iter_mut().find(|one| one.number == number).unwrap()
    }

    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let url = reqwest::Url::parse(&format!("http://stub{}", asked.path)).unwrap();
        let parameter = |name: &str| url.query_pairs().find(|(of, _)| of == name).map(|(_, value)| value.into_owned());
        let parts: Vec<&str> = url.path().split('/').skip(1).collect();
        let missing = (404, json!({ "message": "Not found" }));
        let page = |items: Vec<Value>, next: Option<&str>| (200, json!({ "items": items, "next_page_token": next }));
        let number = |id: &str| id.split_once('-').map_or(0, |(_, number)| number.parse().unwrap_or_default());
        let of = |id: &str| self.pipelines.iter().find(|one| one.number == number(id));
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["project", "gh", "acme", "shop", "pipeline"]) => {
                let branch = parameter("branch");
                let fits = |one: &&Pipeline| branch.as_deref().is_none_or(|branch| branch == one.branch);
                let all = self.pipelines.iter().filter(fits).map(Pipeline::json).collect();
                page(all, self.more.then_some("older"))
            }
            ("GET", ["pipeline", id, "workflow"]) => of(id).map_or(missing, |one| page(vec![one.workflow()], None)),
            ("GET", ["workflow", id]) => of(id).map_or(missing, |one| (200, one.workflow())),
            // A page each.
            ("GET", ["workflow", id, "job"]) => of(id).map_or(missing, |one| {
                let [hold, deploy] = one.jobs().try_into().unwrap();
                match parameter("page-token").as_deref() {
                    None => page(vec![deploy], Some("2")),
                    Some(_) => page(vec![hold], None),
                }
            }),
            ("POST", ["workflow", id, rest @ ..]) => {
                if asked.header("content-length") != Some("0") {
                    self.wrong.push(format!("a body: {}", asked.body));
                }
                let found = self.pipelines.iter_mut().find(|one| one.number == number(id));
                let Some(one) = found else { return missing };
                match rest {
                    ["approve", "a-1"] if one.status == "on_hold" => one.approved(OCTO),
                    ["cancel"] if one.status == "on_hold" => one.ends("canceled"),
                    _ => return (400, json!({ "message": "The job is not on hold." })),
                }
                (202, json!({ "message": "Accepted." }))
            }
            _ => {
                self.wrong.push(format!("there is no {} {}", asked.method, asked.path));
                missing
            }
        }
    }
}

/// It listens until it is dropped.
pub struct Stub {
    world: Arc<Mutex<World>>,
    server: Server,
}

impl Stub {
    pub fn start() -> Stub {
        let world: Arc<Mutex<World>> = Arc::default();
        let of = Arc::clone(&world);
        Stub { world, server: Server::start(move |asked| play(&of, asked)) }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

fn play(world: &Mutex<World>, asked: &Asked) -> Play {
    let mut world = world.lock().unwrap();
    let fault = world.faults.take(&format!("{} {}", asked.method, asked.path));
    match &fault {
        Some(Fault::Instead(status, headers, body)) => {
            return Play::Answer { status: *status, headers: headers.clone(), body: body.clone() };
        }
        Some(Fault::Drop) => return Play::Reset,
        Some(Fault::Truncated) => return Play::Truncated,
        _ if asked.header("circle-token") != Some(TOKEN) => {
            return Play::answer(401, &json!({ "message": "You must log in first." }).to_string());
        }
        _ => {}
    }
    if asked.method != "GET" {
        world.changes.push(format!("{} {} {}", asked.method, asked.path, asked.body));
    }
    let (status, body) = world.answer(asked);
    drop(world);
    match fault {
        Some(Fault::Cut) => return Play::Reset,
        Some(Fault::Late(delay)) => std::thread::sleep(delay),
        _ => {}
    }
    Play::answer(status, &body.to_string())
}
