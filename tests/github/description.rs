//! What of GitHub's REST API is used, as its published description says it (github/rest-api-description, REST API
//! version 2022-11-28). The stub takes no request that is not in here, and checks its own answers against it.

use serde_json::Value;

/// One call.
pub struct Operation {
    pub method: &'static str,
    /// With `{…}` for what varies.
    pub path: &'static str,
    /// Every parameter of the query that it has and that is used.
    pub query: &'static [&'static str],
    /// What a body must have: name, type.
    pub body: &'static [(&'static str, Shape)],
    /// Where in the answer each object lies that has these members: none for the whole, else a list's name.
    pub list: Option<&'static str>,
    /// Members that the description calls required, of those that are used.
    pub required: &'static [&'static str],
}

/// The type of a member of a body.
#[derive(Clone, Copy)]
pub enum Shape {
    Integers,
    Text,
    OneOf(&'static [&'static str]),
}

const RUN: &[&str] = &[
    "id",
    "head_branch",
    "head_sha",
    "run_number",
    "event",
    "status",
    "conclusion",
    "workflow_id",
    "html_url",
    "created_at",
    "updated_at",
    "display_title",
];

pub const OPERATIONS: &[Operation] = &[
    Operation { method: "get", path: "/user", query: &[], body: &[], list: None, required: &["login"] },
    Operation {
        method: "get",
        path: "/repos/{owner}/{repo}/actions/runs",
        query: &["status", "per_page", "page", "exclude_pull_requests"],
        body: &[],
        list: Some("workflow_runs"),
        required: RUN,
    },
    Operation {
        method: "get",
        path: "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/runs",
        query: &["branch", "event", "per_page", "exclude_pull_requests"],
        body: &[],
        list: Some("workflow_runs"),
        required: RUN,
    },
    Operation {
        method: "get",
        path: "/repos/{owner}/{repo}/actions/runs/{run_id}",
        query: &["exclude_pull_requests"],
        body: &[],
        list: None,
        required: RUN,
    },
    Operation {
        method: "get",
        path: "/repos/{owner}/{repo}/actions/runs/{run_id}/pending_deployments",
        query: &[],
        body: &[],
        list: Some(""),
        required: &["environment", "wait_timer", "wait_timer_started_at", "current_user_can_approve", "reviewers"],
    },
    Operation {
        method: "post",
        path: "/repos/{owner}/{repo}/actions/runs/{run_id}/pending_deployments",
        query: &[],
        body: &[
            ("environment_ids", Shape::Integers),
            ("state", Shape::OneOf(&["approved", "rejected"])),
            ("comment", Shape::Text),
        ],
        list: Some(""),
        required: &["id", "sha", "environment", "created_at"],
    },
    Operation {
        method: "get",
        path: "/repos/{owner}/{repo}/actions/runs/{run_id}/approvals",
        query: &[],
        body: &[],
        list: Some(""),
        required: &["environments", "state", "user", "comment"],
    },
    Operation {
        method: "get",
        path: "/repos/{owner}/{repo}/deployments",
        query: &["sha", "environment", "per_page"],
        body: &[],
        list: Some(""),
        required: &["id", "sha", "environment", "created_at"],
    },
    Operation {
        method: "get",
        path: "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses",
        query: &["per_page"],
        body: &[],
        list: Some(""),
        required: &["state", "target_url"],
    },
];

/// The operation that a request is of.
pub fn operation(method: &str, path: &str) -> Option<&'static Operation> {
    let fits = |template: &str| {
        let (mut of, mut given) = (template.split('/'), path.split('/'));
        loop {
            match (of.next(), given.next()) {
                (None, None) => return true,
                (Some(of), Some(given)) if of == given || (of.starts_with('{') && !given.is_empty()) => {}
                _ => return false,
            }
        }
    };
    OPERATIONS.iter().find(|of| of.method == method.to_lowercase() && fits(of.path))
}

impl Operation {
    /// What is wrong with a request.
    pub fn wrong(&self, query: &[(String, String)], body: &[u8]) -> Option<String> {
        if let Some((name, _)) = query.iter().find(|(name, _)| !self.query.contains(&name.as_str())) {
            return Some(format!("{} has no parameter {name}", self.path));
        }
        if self.body.is_empty() {
            return (!body.is_empty()).then(|| format!("{} has no body", self.path));
        }
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return Some("its body is no object".into()) };
        let known = |name: &String| self.body.iter().any(|(of, _)| of == name);
        if let Some(name) = body.keys().find(|name| !known(name)) {
            return Some(format!("its body has no {name}"));
        }
        let bad = self.body.iter().find(|(name, shape)| {
            !body.get(*name).is_some_and(|value| match shape {
                Shape::Integers => value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(Value::is_u64)),
                Shape::Text => value.is_string(),
                Shape::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            })
        });
        bad.map(|(name, _)| format!("{name} is missing or of another type"))
    }

    /// What an answer lacks.
    pub fn lacks(&self, answer: &Value) -> Option<String> {
        let objects: Vec<&Value> = match self.list {
            None => vec![answer],
            Some("") => answer.as_array()?.iter().collect(),
            Some(name) => answer.get(name)?.as_array()?.iter().collect(),
        };
        let lacking = objects.iter().flat_map(|of| self.required.iter().filter(|name| of.get(**name).is_none()));
        lacking.map(|name| format!("the answer to {} has no {name}", self.path)).next()
    }
}

/// Follows a reference within the description.
fn meant<'a>(whole: &'a Value, of: &'a Value) -> &'a Value {
    let reference = of.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    reference.map_or(of, |pointer| whole.pointer(pointer).unwrap_or(&Value::Null))
}

/// `FLIGHTDECK_GITHUB_DESCRIPTION` is the path of GitHub's own file, `descriptions/api.github.com/api.github.com.json`.
#[test]
#[ignore = "needs GitHub's published description: some megabytes that are not kept here"]
fn the_table_says_what_github_publishes() {
    let path = std::env::var("FLIGHTDECK_GITHUB_DESCRIPTION").unwrap();
    let whole: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for operation in OPERATIONS {
        let of = &whole["paths"][operation.path][operation.method];
        assert!(of.is_object(), "{} {}", operation.method, operation.path);
        let parameters = of["parameters"].as_array().cloned().unwrap_or_default();
        let query: Vec<&Value> = parameters.iter().map(|one| meant(&whole, one)).collect();
        for name in operation.query {
            assert!(query.iter().any(|one| one["name"] == *name && one["in"] == "query"), "{}: {name}", operation.path);
        }
        let json = |of: &Value| of["content"]["application/json"]["schema"].clone();
        let body = json(&of["requestBody"]);
        let body = meant(&whole, &body);
        let required: Vec<&str> = body["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for name in &required {
            assert!(operation.body.iter().any(|(known, _)| known == name), "{}: {name} is required", operation.path);
        }
        for (name, shape) in operation.body {
            let member = meant(&whole, &body["properties"][*name]);
            match shape {
                Shape::Integers => assert_eq!(member["items"]["type"], "integer"),
                Shape::Text => assert_eq!(member["type"], "string"),
                Shape::OneOf(words) => assert_eq!(member["enum"], serde_json::json!(words)),
            }
        }
        let answer = json(meant(&whole, &of["responses"]["200"]));
        let answer = meant(&whole, &answer);
        let object = match operation.list {
            None => answer,
            Some("") => meant(&whole, &answer["items"]),
            Some(name) => meant(&whole, &meant(&whole, &answer["properties"][name])["items"]),
        };
        // Whose account it is comes as one of two.
        let object = object["oneOf"].get(0).map_or(object, |first| meant(&whole, first));
        for name in operation.required {
            let listed = object["required"].as_array().is_some_and(|all| all.iter().any(|of| of == name));
            assert!(listed, "{} {}: {name} is not required", operation.method, operation.path);
        }
    }
}
