//! GitLab, as far as its documents say what it does with waiting deployments (docs.gitlab.com/api/deployments,
//! docs.gitlab.com/api/jobs).

use crate::probe::stub::{Asked, Play, Stub as Server};
use crate::support::fault::{Fault, Faults};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard};

pub const TOKEN: &str = "glpat-of-octo";
/// Whose token that is.
pub const LOGIN: &str = "octo";

/// A deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub project: String,
    pub id: u64,
    pub environment: String,
    pub branch: String,
    pub status: &'static str,
    /// Of its job.
    pub job: &'static str,
    /// How many must say yes; `None`: GitLab asks for none, and says nothing of it.
    pub required: Option<u32>,
    pub approvals: Vec<Value>,
    /// Who started its job.
    pub starter: Option<&'static str>,
}

impl Deployment {
    /// One that waits for one yes.
    pub fn waiting(project: &str, id: u64) -> Deployment {
        Deployment {
            project: project.into(),
            id,
            environment: "production".into(),
            branch: "main".into(),
            status: "blocked",
            job: "manual",
            required: Some(1),
            approvals: Vec::new(),
            starter: None,
        }
    }

    fn yes(&self) -> u32 {
        let yes = self.approvals.iter().filter(|said| said["status"] == "approved").count();
        u32::try_from(yes).unwrap()
    }

    pub fn say(&mut self, who: &str, status: &str, comment: &Value) -> Value {
        let said = json!({
            "user": {"id": 49, "username": who}, "status": status, "created_at": "2026-02-24T20:22:30.097Z",
            "comment": comment,
        });
        self.approvals.push(said.clone());
        if status == "rejected" {
            (self.status, self.job) = ("failed", "failed");
        }
        said
    }

    fn json(&self, whole: bool) -> Value {
        let web = format!("https://gitlab.com/{}/-/pipelines/7", self.project);
        let mut all = json!({
            "id": self.id, "iid": self.id % 100, "ref": self.branch, "sha": format!("{:02}ceb02d0ae598e95dc970b74767f19372d61af8", self.id % 100),
            "status": self.status, "created_at": "2026-02-24T20:20:00Z", "updated_at": "2026-02-24T20:20:00Z",
            "user": {"id": 2, "username": "mona"}, "environment": {"id": 9, "name": self.environment},
            "deployable": {
                "id": self.id + 1000, "name": "deploy", "status": self.job, "ref": self.branch, "stage": "deploy",
                "commit": {"id": "x", "short_id": format!("{:02}ceb02d", self.id % 100), "title": "Round prices once"},
                "user": {"id": 3, "username": self.starter.unwrap_or("mona")}, "pipeline": {"id": 7, "created_at": "2026-02-24T20:19:00Z", "status": "manual", "web_url": web},
            },
        });
        if whole && let Some(required) = self.required {
            all["pending_approval_count"] = json!(required.saturating_sub(self.yes()));
            all["approvals"] = json!(self.approvals);
        }
        all
    }
}

/// Everything that it knows, and what goes wrong.
#[derive(Default)]
pub struct World {
    pub deployments: Vec<Deployment>,
    pub faults: Faults,
    /// What was changed: method, path, body.
    pub changes: Vec<String>,
    /// What was asked against its documents.
    pub wrong: Vec<String>,
    /// Whoever asks may not start jobs.
    pub may_not_play: bool,
    /// A started job stays so for this long to look at.
    pub runs: bool,
}

impl World {
    pub fn deployment(&mut self, id: u64) -> &mut Deployment {
        self.deployments.iter_mut().find(|one| one.id == id).unwrap()
    }

    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let url = reqwest::Url::parse(&format!("http://stub{}", asked.path)).unwrap();
        let parts: Vec<String> = url.path().split('/').skip(1).map(|part| part.replace("%2F", "/")).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let parameter = |name: &str| url.query_pairs().find(|(of, _)| of == name).map(|(_, value)| value.into_owned());
        let missing = (404, json!({ "message": "404 Not Found" }));
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["user"]) => (200, json!({ "id": 1, "username": LOGIN })),
            ("GET", ["projects", project, "deployments"]) => {
                if parameter("order_by").as_deref() != Some("id") || parameter("sort").as_deref() != Some("desc") {
                    self.wrong.push(format!("the order of {}", asked.path));
                }
                let first = parameter("page").is_none_or(|page| page == "1");
                let (status, environment) = (parameter("status"), parameter("environment"));
                let fits = |one: &&Deployment| {
                    one.project == *project
                        && first
                        && status.as_deref().is_none_or(|of| of == one.status)
                        && environment.as_ref().is_none_or(|of| *of == one.environment)
                };
                let mut all: Vec<_> = self.deployments.iter().filter(fits).collect();
                all.sort_by_key(|one| std::cmp::Reverse(one.id));
                all.truncate(parameter("per_page").map_or(20, |text| text.parse().unwrap()));
                (200, all.into_iter().map(|one| one.json(false)).collect())
            }
            ("GET", ["projects", project, "deployments", id]) => {
                let found = self.deployments.iter().find(|one| one.project == *project && one.id == number(id));
                found.map_or(missing, |one| (200, one.json(true)))
            }
            ("POST", ["projects", project, "deployments", id, "approval"]) => {
                let body: Value = serde_json::from_str(&asked.body).unwrap();
                let found = self.deployments.iter_mut().find(|one| one.project == *project && one.id == number(id));
                let Some(one) = found else { return missing };
                if one.status != "blocked" || one.required.is_none() {
                    return (400, json!({ "message": "This deployment is not waiting for approvals." }));
                }
                (201, one.say(LOGIN, body["status"].as_str().unwrap(), &body["comment"]))
            }
            ("POST", ["projects", project, "jobs", id, "play"]) => {
                let may_not = self.may_not_play;
                let (status, job) = if self.runs { ("running", "running") } else { ("success", "success") };
                let job_of = |one: &&mut Deployment| one.project == *project && one.id + 1000 == number(id);
                let Some(one) = self.deployments.iter_mut().find(job_of) else { return missing };
                if may_not {
                    return (403, json!({ "message": "403 Forbidden" }));
                }
                if one.job != "manual" || one.required.is_some_and(|required| one.yes() < required) {
                    return (400, json!({ "message": "400 Bad request - Unplayable Job" }));
                }
                (one.status, one.job, one.starter) = (status, job, Some(LOGIN));
                (200, json!({ "id": number(id), "status": "pending" }))
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
        _ if asked.header("private-token") != Some(TOKEN) => {
            return Play::answer(401, &json!({ "message": "401 Unauthorized" }).to_string());
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
    Play::Answer { status, headers: vec![("ratelimit-remaining", "1999".into())], body: body.to_string() }
}
