//! Requests to an API server for lists and watches, with a bound on every silence.

use super::explain::{is_unauthorized, sentence, some};
use super::resource::Resource;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use hyper::http::{HeaderValue, Response};
use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::client::Body;
use kube::core::{Request, Status};
use std::time::Duration;
use tokio::time::timeout;

/// Objects of a page: small enough that a page is gone again soon.
pub(super) const PAGE: u32 = 500;
/// How long a watch lasts, in seconds. Short, since only its end shows that a silent connection is alive:
/// bookmarks come once a minute.
pub(super) const WATCH_FOR: u32 = 10;
/// After so much silence a connection is dead.
pub(super) const SILENCE: Duration = Duration::from_secs(14);
/// A list's first byte may take longer: the server puts it together first.
const FIRST_BYTE: Duration = Duration::from_secs(45);
/// No line of a watch and no page of a list is larger: etcd's objects end at 1.5 MiB, by default.
const LARGEST: usize = 256 << 20;
/// Of an answer that says no.
const LARGEST_ERROR: usize = 64 << 10;

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// 410: what was asked for is too old.
    Expired,
    /// 403.
    Forbidden,
    /// 404: no such resource.
    Absent,
    /// 401, or the login failed.
    Unauthorized(String),
    /// Anything else.
    Other(String),
}

impl Failure {
    /// By a status of the API server.
    pub fn of_status(status: &Status) -> Failure {
        match status.code {
            410 => Failure::Expired,
            403 => Failure::Forbidden,
            404 => Failure::Absent,
            _ => Failure::of(&kube::Error::Api(status.clone().boxed())),
        }
    }

    fn of(error: &kube::Error) -> Failure {
        let words = sentence(error);
        if is_unauthorized(error) { Failure::Unauthorized(words) } else { Failure::Other(words) }
    }
}

/// Where objects of a resource are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub resource: Resource,
    /// `None`: all of them.
    pub namespace: Option<String>,
}

impl Place {
    /// Those of a namespace, or all.
    pub fn of(resource: Resource, namespace: Option<&str>) -> Place {
        Place { resource, namespace: namespace.map(str::to_owned) }
    }

    pub fn request(&self) -> Request {
        Request::new(self.resource.path(self.namespace.as_deref()))
    }

    /// As in a role.
    pub fn name(&self) -> String {
        let namespace = self.namespace.as_ref().map_or(String::new(), |namespace| format!(" in {namespace}"));
        format!("{}{namespace}", self.resource.plural)
    }
}

type Ask = hyper::http::Request<Vec<u8>>;

fn asked(request: Result<Ask, kube::core::request::Error>) -> Result<Ask, Failure> {
    request.map_err(|error| Failure::Other(format!("cannot ask: {}", some(&error.to_string()))))
}

/// One page of a list, as text.
pub(super) async fn page(
    client: &Client,
    place: &Place,
    selector: Option<&str>,
    limit: u32,
    next: Option<&str>,
) -> Result<Vec<u8>, Failure> {
    let params = ListParams {
        label_selector: selector.map(str::to_owned),
        limit: Some(limit),
        continue_token: next.map(str::to_owned),
        ..ListParams::default()
    };
    whole(client, asked(place.request().list(&params))?).await
}

/// One object, as text.
pub(super) async fn one(client: &Client, place: &Place, name: &str) -> Result<Vec<u8>, Failure> {
    whole(client, asked(place.request().get(name, &kube::api::GetParams::default()))?).await
}

async fn whole(client: &Client, request: Ask) -> Result<Vec<u8>, Failure> {
    let mut body = send(client, request, FIRST_BYTE).await?;
    let mut text = Vec::new();
    while let Some(bytes) = frame(&mut body).await? {
        if text.len() + bytes.len() > LARGEST {
            return Err(Failure::Other("the server's answer is too large".to_owned()));
        }
        text.extend_from_slice(&bytes);
    }
    Ok(text)
}

async fn send(client: &Client, request: Ask, patience: Duration) -> Result<Body, Failure> {
    let sent = timeout(patience, client.send(request.map(Body::from))).await;
    let silent = || Failure::Other(format!("the API server did not answer within {} s", patience.as_secs()));
    let response = sent.map_err(|_| silent())?.map_err(|error| Failure::of(&error))?;
    if !response.status().is_success() {
        return Err(refused(response).await);
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.contains("json") {
        let why = format!("the server does not answer as an API server does, but with {}", some(kind));
        return Err(Failure::Other(why));
    }
    Ok(response.into_body())
}

/// What an answer that says no means.
async fn refused(response: Response<Body>) -> Failure {
    let code = response.status().as_u16();
    let mut body = response.into_body();
    let mut text = Vec::new();
    // What could be read of it is enough.
    while let Ok(Some(bytes)) = frame(&mut body).await {
        text.extend_from_slice(&bytes);
        if text.len() > LARGEST_ERROR {
            break;
        }
    }
    let told = serde_json::from_slice::<Status>(&text).ok().filter(|status| status.code != 0);
    match told {
        Some(status) => Failure::of_status(&status),
        // A page of somebody in between: its 404 says nothing about the resource.
        // So the API server itself answers for a group that it does not have.
        None if code == 404 && text.trim_ascii() == b"404 page not found" => Failure::Absent,
        None if code == 401 => Failure::of_status(&Status::failure("", "Unauthorized").with_code(code)),
        None => {
            let words = String::from_utf8_lossy(&text);
            Failure::of(&kube::Error::Api(
                Status::failure(&words, "Failed to parse error data").with_code(code).boxed(),
            ))
        }
    }
}

async fn frame(body: &mut Body) -> Result<Option<bytes::Bytes>, Failure> {
    let next = timeout(SILENCE, body.frame()).await;
    let silent = || Failure::Other(format!("nothing was heard for {} s", SILENCE.as_secs()));
    match next.map_err(|_| silent())? {
        None => Ok(None),
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(error)) => Err(Failure::of(&error)),
    }
}

/// A watch that has begun.
pub(super) struct Lines {
    body: Body,
    buffer: BytesMut,
    /// So much of the buffer holds no line feed.
    searched: usize,
}

/// Starts a watch from a version.
pub(super) async fn watch(
    client: &Client,
    place: &Place,
    selector: Option<&str>,
    version: &str,
) -> Result<Lines, Failure> {
    let params = WatchParams {
        label_selector: selector.map(str::to_owned),
        timeout: Some(WATCH_FOR),
        bookmarks: true,
        ..WatchParams::default()
    };
    let mut request = asked(place.request().watch(&params, version))?;
    // Compressed streams hold events back; newer servers compress each event for itself.
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let body = send(client, request, SILENCE).await?;
    Ok(Lines { body, buffer: BytesMut::new(), searched: 0 })
}

impl Lines {
    /// The next bytes that end with a whole line; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<BytesMut>, Failure> {
        loop {
            let new = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = new.iter().rposition(|byte| *byte == b'\n') {
                let lines = self.buffer.split_to(self.searched + at + 1);
                self.searched = self.buffer.len();
                return Ok(Some(lines));
            }
            self.searched = self.buffer.len();
            match frame(&mut self.body).await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
            if self.buffer.len() > LARGEST {
                return Err(Failure::Other("a line of the watch is too large".to_owned()));
            }
        }
    }
}
