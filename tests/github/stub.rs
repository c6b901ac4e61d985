//! GitHub, as far as its published description and documents say what it does with waiting deployments. One thread a
//! connection, one request a connection.

use super::description::operation;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub const TOKEN: &str = "github_pat_of_octo";
/// Whose token that is.
pub const LOGIN: &str = "octo";

/// What goes wrong with an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This instead, and nothing is done.
    Instead { status: &'static str, headers: String, body: String },
    /// It is done, and the connection is cut without a word.
    Cut,
    /// It is not done, and the connection is cut without a word.
    Drop,
    /// Half of the answer.
    Truncated,
    /// It comes so much later.
    Late(Duration),
}

impl Fault {
    pub fn status(status: &'static str, message: &str) -> Fault {
        let body = json!({ "message": message }).to_string();
        Fault::Instead { status, headers: "content-type: application/json\r\n".into(), body }
    }
}

/// An environment at which a run waits, or waited.
#[derive(Debug, Clone)]
pub struct Gate {
    pub id: u64,
    pub name: String,
    pub reviewers: Vec<(&'static str, String)>,
    pub can_approve: bool,
    pub wait_timer: u32,
    pub pending: bool,
    /// When its job was let go on.
    pub let_go: Option<Instant>,
    /// How its job ended, where somebody said so.
    pub ended: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub struct Run {
    pub repository: String,
    pub id: u64,
    pub attempt: u64,
    pub number: u64,
    pub workflow: (u64, String),
    pub branch: String,
    pub event: String,
    pub title: String,
    pub sha: String,
    pub author: String,
    pub conclusion: Option<&'static str>,
    pub began: Timestamp,
    pub gates: Vec<Gate>,
    pub reviews: Vec<Value>,
}

impl Run {
    /// One that waits for production.
    pub fn waiting(repository: &str, number: u64) -> Run {
        let gate = Gate {
            id: 161_088_068,
            name: "production".into(),
            reviewers: vec![("User", LOGIN.into()), ("Team", "release".into())],
            can_approve: true,
            wait_timer: 0,
            pending: true,
            let_go: None,
            ended: None,
        };
        Run {
            repository: repository.into(),
            id: 30_433_600 + number,
            attempt: 1,
            number,
            workflow: (7, "Deploy".into()),
            branch: "main".into(),
            event: "push".into(),
            title: "Round prices once".into(),
            sha: format!("{number:02}ceb02d0ae598e95dc970b74767f19372d61af8"),
            author: "mona".into(),
            conclusion: None,
            began: Timestamp::now(),
            gates: vec![gate],
            reviews: Vec::new(),
        }
    }

    fn status(&self) -> &'static str {
        match self.conclusion {
            Some(_) => "completed",
            None if self.gates.iter().any(|gate| gate.pending) => "waiting",
            None => "in_progress",
        }
    }

    fn json(&self) -> Value {
        let url = format!("https://github.com/{}/actions/runs/{}", self.repository, self.id);
        let user = json!({ "login": self.author, "id": 2 });
        json!({
            "id": self.id, "name": self.workflow.1, "workflow_id": self.workflow.0, "head_branch": self.branch,
            "head_sha": self.sha, "run_number": self.number, "run_attempt": self.attempt, "event": self.event,
            "status": self.status(), "conclusion": self.conclusion, "html_url": url, "display_title": self.title,
            "created_at": self.began, "updated_at": self.began, "run_started_at": self.began,
            "actor": user, "triggering_actor": user,
        })
    }

    fn place(gate: &Gate) -> Value {
        json!({ "id": gate.id, "name": gate.name, "url": "https://api.github.com/x", "html_url": "https://github.com/x" })
    }

    fn pending(&self) -> Value {
        let one = |gate: &Gate| {
            let reviewer = |(kind, name): &(&str, String)| {
                let reviewer = if *kind == "Team" { json!({ "slug": name }) } else { json!({ "login": name }) };
                json!({ "type": kind, "reviewer": reviewer })
            };
            let timer = (gate.wait_timer > 0).then_some(self.began);
            json!({
                "environment": Run::place(gate), "wait_timer": gate.wait_timer, "wait_timer_started_at": timer,
                "current_user_can_approve": gate.can_approve,
                "reviewers": gate.reviewers.iter().map(reviewer).collect::<Vec<_>>(),
            })
        };
        self.gates.iter().filter(|gate| gate.pending).map(one).collect()
    }

    /// The id of the deployment of a gate.
    fn deployment(&self, gate: &Gate) -> u64 {
        self.id * 1000 + self.attempt * 100 + gate.id % 100
    }

    fn deployment_json(&self, gate: &Gate) -> Value {
        json!({
            "id": self.deployment(gate), "sha": self.sha, "ref": self.branch, "task": "deploy",
            "environment": gate.name, "created_at": self.began, "updated_at": self.began,
        })
    }

    /// Somebody starts it again: everything waits anew.
    pub fn rerun(&mut self) {
        self.attempt += 1;
        self.conclusion = None;
        self.began = Timestamp::now();
        for gate in &mut self.gates {
            (gate.pending, gate.let_go, gate.ended) = (true, None, None);
        }
    }

    /// Somebody says yes or no, whoever it is.
    pub fn review(&mut self, environment: u64, who: &str, state: &str, comment: &str) {
        let place = self.gates.iter().find(|gate| gate.id == environment).map(Run::place);
        let user = json!({ "login": who, "id": 1 });
        self.reviews.push(json!({ "environments": [place], "state": state, "user": user, "comment": comment }));
        for gate in self.gates.iter_mut().filter(|gate| gate.id == environment) {
            gate.pending = false;
            gate.let_go = (state == "approved").then(Instant::now);
        }
        if state == "rejected" {
            self.conclusion = Some("failure");
        }
    }
}

/// Everything that it knows, and what goes wrong.
#[derive(Default)]
pub struct World {
    pub runs: Vec<Run>,
    /// What begins with method and path so, answered so; the second number counts down, none is for ever.
    pub faults: Vec<(String, Fault, Option<u32>)>,
    /// Requests that reached it: method, path, status.
    pub requests: Vec<String>,
    /// Reviews that were posted, as they came.
    pub posted: Vec<Value>,
    /// What was asked against the description.
    pub wrong: Vec<String>,
    /// So long a job waits for a runner, and runs.
    pub runner: Duration,
    pub job: Option<Duration>,
    /// Each request is written to standard output.
    pub loud: bool,
}

impl World {
    pub fn run(&mut self, id: u64) -> &mut Run {
        self.runs.iter_mut().find(|run| run.id == id).unwrap()
    }

    pub fn fail(&mut self, what: &str, fault: Fault) {
        self.faults.push((what.into(), fault, None));
    }

    pub fn fail_once(&mut self, what: &str, fault: Fault) {
        self.faults.push((what.into(), fault, Some(1)));
    }

    fn fault(&mut self, what: &str) -> Option<Fault> {
        let found = self.faults.iter_mut().position(|(begin, ..)| what.starts_with(begin.as_str()))?;
        let (_, fault, left) = &mut self.faults[found];
        let fault = fault.clone();
        if let Some(left) = left {
            *left -= 1;
            if *left == 0 {
                self.faults.remove(found);
            }
        }
        Some(fault)
    }

    fn state(&self, gate: &Gate) -> Option<&'static str> {
        if gate.ended.is_some() {
            return gate.ended;
        }
        let since = gate.let_go?.elapsed();
        Some(match self.job {
            _ if since < self.runner => "queued",
            Some(job) if since >= self.runner + job => "success",
            _ => "in_progress",
        })
    }

    /// Status and body.
    fn answer(&mut self, request: &Request) -> (u16, Value) {
        let parts: Vec<&str> = request.path.split('/').skip(1).collect();
        let parameter = |name: &str| request.query.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone());
        let missing = (404, json!({ "message": "Not Found" }));
        if parts.as_slice() == ["user"] {
            return (200, json!({ "login": LOGIN, "id": 1 }));
        }
        let ["repos", owner, name, rest @ ..] = parts.as_slice() else { return missing };
        let repository = format!("{owner}/{name}");
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        let newest = |all: Vec<&Run>| {
            let mut all: Vec<Value> = all.into_iter().rev().map(Run::json).collect();
            all.truncate(parameter("per_page").map_or(30, |text| text.parse().unwrap_or(30)));
            (200, json!({ "total_count": all.len(), "workflow_runs": all }))
        };
        let own = |run: &&Run| run.repository == repository;
        match rest {
            ["actions", "runs"] => {
                let page = parameter("page").is_none_or(|page| page == "1");
                let status = parameter("status");
                let fits = |run: &&Run| own(run) && page && status.as_deref().is_none_or(|of| of == run.status());
                newest(self.runs.iter().filter(fits).collect())
            }
            ["actions", "workflows", id, "runs"] => {
                let (branch, event) = (parameter("branch"), parameter("event"));
                let fits = |run: &&Run| {
                    own(run)
                        && run.workflow.0 == number(id)
                        && branch.as_ref().is_none_or(|of| *of == run.branch)
                        && event.as_ref().is_none_or(|of| *of == run.event)
                };
                newest(self.runs.iter().filter(fits).collect())
            }
            ["actions", "runs", id, call @ ..] => {
                let found = self.runs.iter().position(|run| own(&run) && run.id == number(id));
                let Some(found) = found else { return missing };
                match (request.method.as_str(), call) {
                    (_, []) => (200, self.runs[found].json()),
                    (_, ["approvals"]) => (200, self.runs[found].reviews.iter().cloned().collect()),
                    ("GET", ["pending_deployments"]) => (200, self.runs[found].pending()),
                    (_, ["pending_deployments"]) => self.decide(found, &request.body),
                    _ => missing,
                }
            }
            ["deployments"] => {
                let (sha, environment) = (parameter("sha"), parameter("environment"));
                let runs = self.runs.iter().filter(own);
                let gates = runs.flat_map(|run| run.gates.iter().map(move |gate| (run, gate)));
                let fits = |(run, gate): &(&Run, &Gate)| {
                    sha.as_ref().is_none_or(|of| *of == run.sha)
                        && environment.as_ref().is_none_or(|of| *of == gate.name)
                };
                (200, gates.filter(fits).map(|(run, gate)| run.deployment_json(gate)).collect())
            }
            ["deployments", id, "statuses"] => {
                let gates = self.runs.iter().flat_map(|run| run.gates.iter().map(move |gate| (run, gate)));
                let found = gates.into_iter().find(|(run, gate)| run.deployment(gate) == number(id));
                let Some((run, gate)) = found else { return missing };
                let url = format!("https://github.com/{repository}/actions/runs/{}/job/1", run.id);
                let one = |state: &str| json!({ "id": 1, "state": state, "log_url": url, "target_url": url });
                (200, self.state(gate).map(one).into_iter().collect())
            }
            _ => missing,
        }
    }

    /// A review: of what waits, and by whoever may.
    fn decide(&mut self, found: usize, body: &[u8]) -> (u16, Value) {
        let body: Value = serde_json::from_slice(body).unwrap();
        self.posted.push(body.clone());
        let run = &mut self.runs[found];
        let ids: Vec<u64> = body["environment_ids"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        let may = |id: &u64| run.gates.iter().any(|gate| gate.id == *id && gate.pending && gate.can_approve);
        if !ids.iter().all(may) {
            return (422, json!({ "message": "No pending deployment requests to approve or reject" }));
        }
        for id in &ids {
            run.review(*id, LOGIN, body["state"].as_str().unwrap(), body["comment"].as_str().unwrap());
        }
        let gates = run.gates.iter().filter(|gate| ids.contains(&gate.id));
        (200, gates.map(|gate| run.deployment_json(gate)).collect())
    }
}

struct Request {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Request> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = path.to_owned();
        let url = reqwest::Url::parse(&format!("http://stub/?{query}")).ok()?;
        let query = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        let mut request = Request { method, path, query, headers, body: Vec::new() };
        let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// What every request must have.
    fn wrong(&self) -> Option<String> {
        let Some(operation) = operation(&self.method, &self.path) else {
            return Some(format!("there is no {} {}", self.method, self.path));
        };
        let expected = [("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")];
        let header = expected.iter().find(|(name, value)| self.header(name) != Some(*value));
        let agent = self.header("user-agent").is_none().then(|| "no user-agent".to_owned());
        let header = header.map(|(name, value)| format!("{name} is not {value}"));
        header.or(agent).or_else(|| operation.wrong(&self.query, &self.body))
    }
}

/// It listens until it is dropped.
#[derive(Clone)]
pub struct Stub {
    world: Arc<Mutex<World>>,
    pub address: SocketAddr,
}

impl Stub {
    pub fn start() -> Stub {
        Stub::at("127.0.0.1:0")
    }

    pub fn at(address: &str) -> Stub {
        let listener = TcpListener::bind(address).unwrap();
        let stub = Stub { world: Arc::default(), address: listener.local_addr().unwrap() };
        let world = Arc::downgrade(&stub.world);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Some(world), Ok(stream)) = (world.upgrade(), stream) else { return };
                std::thread::spawn(move || serve(&world, stream));
            }
        });
        stub
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if Arc::strong_count(&self.world) == 1 {
            let _ = TcpStream::connect(self.address); // so that it sees that nobody is left
        }
    }
}

fn serve(world: &Mutex<World>, mut stream: TcpStream) {
    let Some(request) = Request::read(&stream) else { return };
    let mut guard = world.lock().unwrap();
    let said = format!("{} {}", request.method, request.path);
    let fault = guard.fault(&said);
    let (mut status, mut headers, body) = match &fault {
        Some(Fault::Instead { status, headers, body }) => ((*status).to_owned(), headers.clone(), body.clone()),
        Some(Fault::Drop) => return,
        _ if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) => {
            ("401 Unauthorized".to_owned(), String::new(), json!({ "message": "Bad credentials" }).to_string())
        }
        _ => {
            let (status, body) = match request.wrong() {
                Some(why) => {
                    guard.wrong.push(why.clone());
                    (400, json!({ "message": why }))
                }
                None => guard.answer(&request),
            };
            let lacks = operation(&request.method, &request.path).and_then(|of| of.lacks(&body));
            guard.wrong.extend(lacks.filter(|_| status == 200));
            let reset = Timestamp::now().as_second() + 3600;
            let limit = format!("x-ratelimit-remaining: 4999\r\nx-ratelimit-reset: {reset}\r\n");
            (format!("{status} Said"), format!("content-type: application/json\r\n{limit}"), body.to_string())
        }
    };
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let etag = format!("W/\"{:x}\"", hasher.finish());
    let mut body = body.into_bytes();
    if request.method == "GET" && status.starts_with("200") && fault.is_none() {
        headers = format!("{headers}etag: {etag}\r\n");
        if request.header("if-none-match") == Some(&etag) {
            status = "304 Not Modified".into();
            body.clear();
        }
    }
    let line = format!("{said} → {}{}", status.get(..3).unwrap_or(&status), posted(&request));
    if guard.loud {
        println!("{} {line}", Timestamp::now().strftime("%H:%M:%S"));
    }
    guard.requests.push(line);
    drop(guard);
    match fault {
        Some(Fault::Cut) => return,
        Some(Fault::Late(delay)) => std::thread::sleep(delay),
        _ => {}
    }
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let sent = if matches!(fault, Some(Fault::Truncated)) { body.len() / 2 } else { body.len() };
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..sent])); // it may have gone
}

fn posted(request: &Request) -> String {
    if request.body.is_empty() { String::new() } else { format!(" {}", String::from_utf8_lossy(&request.body)) }
}
