//! Jenkins, as far as its plugins Pipeline: Input Step and Pipeline: REST API do something with inputs.

use crate::probe::stub::{Asked, Play, Stub as Server};
use crate::support::fault::{Fault, Faults};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard};

pub const LOGIN: &str = "octo";
pub const TOKEN: &str = "11ea-of-octo";
const BASIC: &str = "Basic b2N0bzoxMWVhLW9mLW9jdG8=";
/// Below which the job answers; the branch is `feature/login`.
pub const AT: &str = "/ci/job/team/job/shop/job/feature%252Flogin/";

/// One build of the job.
#[derive(Debug, Clone)]
pub struct Build {
    pub number: u64,
    /// What it waits for.
    pub inputs: Vec<Value>,
    /// How it ended.
    pub result: Option<&'static str>,
}

pub fn input(id: &str, parameters: &[&str]) -> Value {
    let inputs: Vec<_> =
        parameters.iter().map(|name| json!({ "type": "StringParameterDefinition", "name": name })).collect();
    json!({
        "id": id, "proceedText": "Proceed", "message": "Deploy it?", "inputs": inputs,
        "proceedUrl": "/unused", "abortUrl": "/unused",
    })
}

impl Build {
    /// One that waits for one answer.
    pub fn waiting(number: u64) -> Build {
        Build { number, inputs: vec![input("Prod", &[])], result: None }
    }

    /// Somebody gave it, in Jenkins, and it ended so.
    pub fn answered(&mut self, result: Option<&'static str>) {
        self.inputs.clear();
        self.result = result;
    }

    fn json(&self) -> Value {
        json!({
            "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun", "number": self.number,
            "building": self.result.is_none(), "result": self.result, "timestamp": 1_772_000_000_000_u64,
            "displayName": format!("#{}", self.number), "url": format!("https://jenkins.example{AT}{}/", self.number),
        })
    }
}

/// Everything that it knows, and what goes wrong.
#[derive(Default)]
pub struct World {
    pub builds: Vec<Build>,
    pub faults: Faults,
    /// What was changed: method, path, body.
    pub changes: Vec<String>,
    /// What was asked against its documents.
    pub wrong: Vec<String>,
    /// A build goes on after an answer, until the test ends it.
    pub runs: bool,
}

impl World {
    pub fn build(&mut self, number: u64) -> &mut Build {
        self.builds.iter_mut().find(|one| one.number == number).unwrap()
    }

    fn answer(&mut self, asked: &Asked) -> Play {
        let url = reqwest::Url::parse(&format!("http://stub{}", asked.path)).unwrap();
        let tree = url.query_pairs().find(|(of, _)| of == "tree").map(|(_, value)| value.into_owned());
        let ok = |body: Value| Play::answer(200, &body.to_string());
        let rest = url.path().strip_prefix(AT).unwrap_or("?").to_owned();
        let parts: Vec<&str> = rest.split('/').collect();
        let wanted = "number,building,url,result,timestamp,displayName";
        let of = |number: &str| self.builds.iter().find(|one| one.number.to_string() == number);
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["api", "json"]) if tree == Some(format!("builds[{wanted}]{{0,20}}")) => {
                let mut all: Vec<&Build> = self.builds.iter().collect();
                all.sort_by_key(|one| std::cmp::Reverse(one.number));
                ok(json!({ "_class": "x", "builds": all.into_iter().take(20).map(Build::json).collect::<Vec<_>>() }))
            }
            ("GET", [number, "api", "json"]) if tree.as_deref() == Some(wanted) => {
                of(number).map_or_else(missing, |one| ok(one.json()))
            }
            ("GET", [number, "wfapi", "pendingInputActions"]) => {
                of(number).map_or_else(missing, |one| ok(json!(one.inputs)))
            }
            ("POST", [number, "input", id, verb @ ("proceedEmpty" | "abort")]) => {
                if asked.header("content-length") != Some("0") {
                    self.wrong.push(format!("a body: {}", asked.body));
                }
                let (number, id, verb) = (number.parse().unwrap_or_default(), (*id).to_owned(), (*verb).to_owned());
                self.said(number, &id, &verb)
            }
            _ => {
                self.wrong.push(format!("there is no {} {}", asked.method, asked.path));
                missing()
            }
        }
    }

    fn said(&mut self, number: u64, id: &str, verb: &str) -> Play {
        let runs = self.runs;
        let Some(build) = self.builds.iter_mut().find(|one| one.number == number) else { return missing() };
        let Some(input) = build.inputs.iter().find(|input| input["id"] == id) else {
            return refusal("This input is settled already");
        };
        let well = verb == "proceedEmpty";
        if well && input["inputs"] != json!([]) {
            return refusal("This input asks for parameters");
        }
        let end = if well { "SUCCESS" } else { "ABORTED" };
        build.answered(Some(end).filter(|_| !runs));
        Play::answer(200, "")
    }
}

fn missing() -> Play {
    Play::Answer {
        status: 404,
        headers: vec![("content-type", "text/html".into())],
        body: "<html>Not Found</html>".into(),
    }
}

fn refusal(why: &str) -> Play {
    let headers = vec![("content-type", "text/html".into()), ("x-error", why.into())];
    Play::Answer { status: 400, headers, body: "<html>Oops</html>".into() }
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
        format!("{}/ci", self.server.url())
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
        _ if asked.header("authorization") != Some(BASIC) => return Play::answer(401, "<html>Sign in</html>"),
        _ => {}
    }
    if asked.method != "GET" {
        world.changes.push(format!("{} {} {}", asked.method, asked.path, asked.body));
    }
    let answer = world.answer(asked);
    drop(world);
    match fault {
        Some(Fault::Cut) => return Play::Reset,
        Some(Fault::Late(delay)) => std::thread::sleep(delay),
        _ => {}
    }
    answer
}
