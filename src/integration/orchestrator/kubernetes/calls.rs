//! Single calls to an API server for commands, each with what its answer means.

use super::plan::{Body, Request};
use super::resource::Resource;
use flightdeck_model::{Refusal, RefusalKind, sanitize_line};
use flightdeck_port::NotDone;
use hyper::header::{HeaderName, HeaderValue};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::Request as Path;
use kube::core::{Resource as _, Selector, Status};
use kube::{Client, Error};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Whose changes they are, as `managedFields` tells.
const MANAGER: &str = "flightdeck";
/// <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation>
const IMPERSONATE: HeaderName = HeaderName::from_static("impersonate-user");
/// How long one answer is waited for: a server that is silent that long will hardly speak.
const CALL: Duration = Duration::from_secs(15);
/// How many objects a page of a list has.
const PAGE: u32 = 500;

/// What came of a patch.
#[derive(Debug)]
pub(super) enum Sent {
    /// Carried out; the object as it is now.
    Done(Value),
    /// Not carried out: what it was decided on no longer held.
    Stale(String),
    /// Not carried out, or not known to be.
    NotDone(NotDone),
}

/// Calls of one command.
#[derive(Clone)]
pub(super) struct Calls {
    client: Client,
    end: Instant,
    /// Whom the API server is to take them for.
    user: Option<String>,
}

/// Why a call did not bring an answer.
enum Failed {
    /// The server said no.
    Status(Box<Status>),
    /// It never left.
    NotSent(String),
    /// Nobody knows whether it arrived.
    Lost(String),
}

impl Calls {
    /// All of them end after that time. The client must not repeat requests by itself.
    pub(super) fn new(client: Client, within: Duration) -> Calls {
        Calls { client, end: Instant::now() + within, user: None }
    }

    /// In the name of that user: the API server asks whether this account may do so, and then what the user may.
    pub(super) fn sent_as(self, user: Option<String>) -> Calls {
        Calls { user, ..self }
    }

    /// Is there time for another try?
    pub(super) fn has_time(&self) -> bool {
        Instant::now() + Duration::from_millis(500) < self.end
    }

    /// One object.
    pub(super) async fn get(&self, resource: Resource, namespace: &str, name: &str) -> Result<Option<Value>, NotDone> {
        let request = path(resource, Some(namespace)).get(name, &kube::api::GetParams::default());
        let request = request.map_err(|error| not_sent(&error))?;
        match self.ask(request).await {
            Ok(value) => Ok(Some(value)),
            Err(Failed::Status(status)) if status.code == 404 => Ok(None),
            Err(failed) => Err(unread(failed, resource, "get", Some(namespace))),
        }
    }

    /// All objects of a kind, page by page.
    pub(super) async fn list(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Vec<Value>, NotDone> {
        let mut items = Vec::new();
        let mut params = ListParams { limit: Some(PAGE), ..ListParams::default() };
        params.label_selector = selector.map(str::to_owned);
        loop {
            let request = path(resource, namespace).list(&params).map_err(|error| not_sent(&error))?;
            let mut page = match self.ask(request).await {
                Ok(page) => page,
                // A kind that the cluster does not know has no objects.
                Err(Failed::Status(status)) if status.code == 404 => return Ok(items),
                Err(failed) => return Err(unread(failed, resource, "list", namespace)),
            };
            if let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) {
                items.extend(found);
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token.to_owned()),
                None => return Ok(items),
            }
        }
    }

    /// The objects of a kind that `owner` controls; `selector` narrows the list down.
    pub(super) async fn owned(
        &self,
        resource: Resource,
        namespace: &str,
        owner: &str,
        selector: Option<&Value>,
    ) -> Result<Vec<Value>, NotDone> {
        let selector = selector.and_then(|value| serde_json::from_value::<LabelSelector>(value.clone()).ok());
        let selector = selector.and_then(|labels| Selector::try_from(labels).ok()).map(|labels| labels.to_string());
        let mut all = self.list(resource, Some(namespace), selector.as_deref()).await?;
        all.retain(|object| {
            let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            owners.into_iter().flatten().any(|of| {
                of.get("controller").and_then(Value::as_bool) == Some(true)
                    && of.get("uid").and_then(Value::as_str) == Some(owner)
            })
        });
        Ok(all)
    }

    /// Sends a patch; where the server knows no status subresource, its fallback.
    pub(super) async fn patch(&self, request: &Request) -> Sent {
        let first = self.patch_once(request, &request.body, request.status).await;
        match (&first, &request.fallback) {
            (Err(Failed::Status(status)), Some(fallback)) if status.code == 404 => {
                let second = self.patch_once(request, fallback, false).await;
                answered(second, request)
            }
            _ => answered(first, request),
        }
    }

    async fn patch_once(&self, request: &Request, body: &Body, status: bool) -> Result<Value, Failed> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let path = path(request.resource, Some(&request.namespace));
        let body: Patch<Value> = match body {
            Body::Json(ops) => Patch::Json(
                serde_json::from_value(ops.clone()).map_err(|error| Failed::NotSent(format!("its patch: {error}")))?,
            ),
            Body::Merge(value) => Patch::Merge(value.clone()),
            Body::Strategic(value) => Patch::Strategic(value.clone()),
        };
        let built = if status {
            path.patch_subresource("status", &request.name, &params, &body)
        } else {
            path.patch(&request.name, &params, &body)
        };
        self.ask(built.map_err(|error| Failed::NotSent(error.to_string()))?).await
    }

    async fn ask(&self, mut request: hyper::Request<Vec<u8>>) -> Result<Value, Failed> {
        if let Some(user) = &self.user {
            let user = HeaderValue::from_str(user)
                .map_err(|_| Failed::NotSent(format!("{user:?} can't be the name of a user of the cluster")))?;
            request.headers_mut().insert(IMPERSONATE, user);
        }
        match timeout_at(self.end.min(Instant::now() + CALL), self.client.request::<Value>(request)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Error::Api(status))) => Err(Failed::Status(status)),
            Ok(Err(error)) if never_left(&error) => Err(Failed::NotSent(chain(&error))),
            Ok(Err(error)) => Err(Failed::Lost(chain(&error))),
            Err(_) => Err(Failed::Lost("no answer in time".to_owned())),
        }
    }
}

fn path(resource: Resource, namespace: Option<&str>) -> Path {
    Path::new(DynamicObject::url_path(&resource.api(), namespace))
}

fn not_sent(error: &impl std::error::Error) -> NotDone {
    NotDone::NotSent { why: sanitize_line(&error.to_string()) }
}

/// The error and everything below it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = error.source();
    }
    sanitize_line(&text)
}

/// Did it fail before any of it was sent?
fn never_left(error: &Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
        {
            return true;
        }
        source = error.source();
    }
    matches!(error, Error::BuildRequest(_) | Error::Auth(_) | Error::HttpError(_) | Error::TlsRequired)
}

fn status_words(status: &Status) -> String {
    let message = if status.message.is_empty() { &status.reason } else { &status.message };
    sanitize_line(&format!("the API server says {}: {message}", status.code))
}

/// `you lack patch on rollouts/status in shop`.
fn lack(verb: &str, resource: &str, namespace: Option<&str>) -> Refusal {
    let place = namespace.map_or(String::new(), |namespace| format!(" in {namespace}"));
    Refusal::new(RefusalKind::Denied, format!("you lack {verb} on {resource}{place}; nothing was done"))
}

/// A read that failed: nothing was sent that changes anything.
fn unread(failed: Failed, resource: Resource, verb: &str, namespace: Option<&str>) -> NotDone {
    match failed {
        Failed::Status(status) if status.code == 403 => lack(verb, resource.plural, namespace).into(),
        Failed::Status(status) if status.code == 401 => unauthorized().into(),
        Failed::Status(status) => {
            NotDone::NotSent { why: format!("{} could not be read: {}", resource.plural, status_words(&status)) }
        }
        Failed::NotSent(why) | Failed::Lost(why) => {
            NotDone::NotSent { why: format!("{} could not be read: {why}", resource.plural) }
        }
    }
}

fn unauthorized() -> Refusal {
    Refusal::new(RefusalKind::Denied, "the cluster does not accept your credentials: log in again; nothing was done")
}

fn answered(result: Result<Value, Failed>, request: &Request) -> Sent {
    let status = match result {
        Ok(object) => return Sent::Done(object),
        Err(Failed::NotSent(why)) => return Sent::NotDone(NotDone::NotSent { why }),
        Err(Failed::Lost(why)) => {
            let why = format!("{}: {why}; it may have been carried out", request.what);
            return Sent::NotDone(NotDone::Unknown { why });
        }
        Err(Failed::Status(status)) => status,
    };
    let words = status_words(&status);
    let resource =
        if request.status { format!("{}/status", request.resource.plural) } else { request.resource.plural.to_owned() };
    let refuse = |kind, why: String| Sent::NotDone(NotDone::Refused(Refusal::new(kind, why)));
    match status.code {
        // A failed test, and a resource version that is no longer the newest.
        409 | 422 => Sent::Stale(words),
        // An admission webhook may say no to those who have the right.
        403 if status.message.contains("admission webhook") || status.message.contains("denied the request") => {
            refuse(RefusalKind::Denied, format!("{words}; nothing was done"))
        }
        403 => Sent::NotDone(lack("patch", &resource, Some(&request.namespace)).into()),
        401 => Sent::NotDone(unauthorized().into()),
        404 => refuse(
            RefusalKind::NotFound,
            sanitize_line(&format!("{} {}/{} is gone", request.resource.kind, request.namespace, request.name)),
        ),
        429 => Sent::NotDone(NotDone::NotSent { why: words }),
        code if code >= 500 => {
            let why = format!("{}: {words}; it may have been carried out", request.what);
            Sent::NotDone(NotDone::Unknown { why })
        }
        _ => refuse(RefusalKind::Internal, format!("{words}; nothing was done")),
    }
}
