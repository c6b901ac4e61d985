//! Questions to the API server, each with a limit of time; what went wrong becomes a sentence.

use crate::orchestrator::kubernetes::explain::sentence;
use crate::orchestrator::kubernetes::json::text;
use crate::orchestrator::kubernetes::resource::Resource;
use flightdeck_model::sanitize_line;
use kube::Client;
use kube::api::{GetParams, ListParams};
use kube::core::Request;
use serde_json::Value;
use std::time::Duration;

/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks about one namespace.
pub(super) struct Reader<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
}

/// Which objects of a resource.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    /// Label selector; empty: all.
    pub(super) labels: &'a str,
    /// Field selector; empty: all.
    pub(super) fields: &'a str,
}

/// What was listed.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) items: Vec<Value>,
    /// Says that there are more, if so.
    pub(super) more: Option<String>,
}

/// Why an object can't be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is none.
    Gone,
    Because(String),
}

impl Reader<'_> {
    /// One workload.
    pub(super) async fn get(&self, resource: Resource, name: &str) -> Result<Value, Missing> {
        let because = |why: String| Missing::Because(self.sentence("get", resource.plural, &why));
        let request = Request::new(self.path(resource)).get(name, &GetParams::default());
        let request = request.map_err(|error| because(error.to_string()))?;
        match tokio::time::timeout(PATIENCE, self.client.request_text(request)).await {
            Ok(Ok(answer)) => serde_json::from_str(&answer).map_err(|error| because(garbled(&error))),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Missing::Gone),
            Ok(Err(error)) => Err(Missing::Because(self.failed("get", resource.plural, &error))),
            Err(_) => Err(because(late())),
        }
    }

    /// At most so many objects of a resource.
    pub(super) async fn list(&self, resource: Resource, asked: Asked<'_>, limit: u32) -> Result<Listed, String> {
        let mut params = ListParams::default().limit(limit);
        if !asked.labels.is_empty() {
            params = params.labels(asked.labels);
        }
        if !asked.fields.is_empty() {
            params = params.fields(asked.fields);
        }
        let (path, resource) = (self.path(resource), resource.plural);
        let request = Request::new(path).list(&params);
        let request = request.map_err(|error| self.sentence("list", resource, &error.to_string()))?;
        let mut list: Value = match tokio::time::timeout(PATIENCE, self.client.request_text(request)).await {
            Ok(Ok(answer)) => {
                serde_json::from_str(&answer).map_err(|error| self.sentence("list", resource, &garbled(&error)))?
            }
            Ok(Err(error)) => return Err(self.failed("list", resource, &error)),
            Err(_) => return Err(self.sentence("list", resource, &late())),
        };
        let more = !text(&list, "/metadata/continue").is_empty();
        let items = list.get_mut("items").map(Value::take);
        let Some(Value::Array(items)) = items else {
            return Err(self.sentence("list", resource, "the answer is no list"));
        };
        let more =
            more.then(|| format!("only {limit} {resource} of {} were looked at, there are more", self.namespace));
        Ok(Listed { items, more })
    }

    fn path(&self, resource: Resource) -> String {
        resource.path(Some(self.namespace))
    }

    fn sentence(&self, verb: &str, resource: &str, why: &str) -> String {
        sanitize_line(&format!("cannot {verb} {resource} in {}: {why}", self.namespace))
    }

    fn failed(&self, verb: &str, resource: &str, error: &kube::Error) -> String {
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                sanitize_line(&format!("you lack {verb} on {resource} in {}", self.namespace))
            }
            kube::Error::Api(status) if status.code == 404 => {
                self.sentence(verb, resource, "this cluster has no such kind")
            }
            other => self.sentence(verb, resource, &sentence(other)),
        }
    }
}

fn garbled(error: &serde_json::Error) -> String {
    format!("the answer is no object of Kubernetes: {error}")
}

fn late() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}
