//! One request: to one instance, and its answer back.

use super::body::{Download, Progress, Relay, Upload};
use super::counters::Flight;
use super::listener::{Listener, User};
use super::pool::Instance;
use super::route::Choice;
use super::{Limits, clock, headers, tunnel};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const REASON: HeaderName = HeaderName::from_static("x-flightdeck-proxy");

/// Why the proxy answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// The request can't be forwarded.
    Bad(&'static str),
    /// The listener has no instance.
    NoInstance,
    /// None could be connected to.
    Connect,
    /// It closed the connection without an answer, or what came was none.
    Reset,
    /// It did not begin to answer in time.
    Timeout,
    /// The user stopped sending.
    UserStalled,
    /// The user's side broke; nobody will read this.
    UserLeft,
}

impl Own {
    fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Own::Bad(why) => (StatusCode::BAD_REQUEST, "bad-request", why),
            Own::NoInstance => (StatusCode::SERVICE_UNAVAILABLE, "no-instance", "no instance is ready"),
            Own::Connect => (StatusCode::BAD_GATEWAY, "connect", "no instance accepts connections"),
            Own::Reset => (StatusCode::BAD_GATEWAY, "reset", "the instance closed the connection without an answer"),
            Own::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout", "the instance did not answer in time"),
            Own::UserStalled => (StatusCode::REQUEST_TIMEOUT, "request-timeout", "the request did not arrive in time"),
            Own::UserLeft => (StatusCode::BAD_REQUEST, "request-broken", "the request broke off"),
        }
    }

    fn response(self) -> Response<Download> {
        let (status, reason, text) = self.words();
        let mut response = Response::new(Download::text(format!("{text}\n")));
        *response.status_mut() = status;
        response.headers_mut().insert(REASON, HeaderValue::from_static(reason));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

/// Answers one request.
pub async fn answer(listener: Arc<Listener>, user: Arc<User>, request: Request<Incoming>) -> Response<Download> {
    let mut response = match exchange(&listener, &user, request).await {
        Ok(response) => response,
        Err(own) => own.response(),
    };
    if user.leaving() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A request that can be sent, and what is known of its user.
struct Outgoing {
    request: Request<Upload>,
    progress: Option<Arc<Progress>>,
    /// The user's half of a tunnel, should the instance agree to one.
    upgrade: Option<OnUpgrade>,
}

fn prepare(user: &HeaderValue, mut request: Request<Incoming>) -> Result<Outgoing, Own> {
    if request.method() == Method::CONNECT {
        return Err(Own::Bad("CONNECT is not served here"));
    }
    if let Some(why) = headers::bad_host(request.version(), request.headers()) {
        return Err(Own::Bad(why));
    }
    let protocol = headers::upgrade(request.headers());
    let upgrade = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().and_then(|authority| authority.as_str().parse().ok());
    headers::to_instance(
        &mut parts.headers,
        user,
        authority,
        || Some(HeaderValue::from_static("localhost")),
        request_id,
    );
    if let Some(protocol) = protocol {
        headers::set_upgrade(&mut parts.headers, protocol);
    }
    parts.uri = headers::origin_form(&parts.uri);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let (body, progress) = Upload::new(body);
    Ok(Outgoing { request: Request::from_parts(parts, body), progress, upgrade })
}

fn request_id() -> HeaderValue {
    let id = format!("{:032x}", fastrand::u128(..));
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

async fn exchange(
    listener: &Arc<Listener>,
    user: &Arc<User>,
    request: Request<Incoming>,
) -> Result<Response<Download>, Own> {
    let started = clock::instant();
    let Outgoing { mut request, progress, upgrade } = prepare(&user.address, request)?;
    let mut flight: Option<Flight> = None;
    let mut tried: Vec<Arc<Instance>> = Vec::new();
    let mut preferred = None;
    loop {
        let now = clock::now_ms();
        // Read anew for each try, so that no choice follows a route that was replaced.
        let choice = listener.routing.load().choose(now, fastrand::u32(..1_000_000), preferred.as_deref(), &tried);
        let (pool, instance) = match choice {
            Choice::Instance(pool, instance) => (pool, instance),
            Choice::Nobody(pool) => {
                flight.unwrap_or_else(|| Flight::begin(started, pool, None)).failed();
                return Err(Own::NoInstance);
            }
            Choice::Exhausted => {
                if let Some(flight) = flight {
                    flight.failed();
                }
                return Err(Own::Connect);
            }
        };
        let mut current = match flight.take() {
            None => Flight::begin(started, Arc::clone(&pool), Some(Arc::clone(&instance))),
            Some(mut flight) => {
                flight.move_to(&pool, &instance);
                flight
            }
        };
        preferred = Some(pool);
        let (mut sender, reused) = match instance.take_idle(now) {
            Some(sender) => (sender, true),
            None => {
                match instance.connect(&listener.tasks, listener.limits.connect, listener.limits.head_bytes).await {
                    Ok(sender) => (sender, false),
                    Err(error) => {
                        tracing::debug!(instance = instance.id, %error, "connecting failed");
                        instance.connect_failed(clock::now_ms());
                        tried.push(instance);
                        flight = Some(current);
                        continue;
                    }
                }
            }
        };
        match send(&mut sender, request, progress.as_deref(), &listener.limits).await {
            Ok(response) => {
                current.error = response.status().is_server_error();
                let upgrade = upgrade.map(|upgrade| (upgrade, Arc::clone(user)));
                return receive(listener, response, upgrade, current, sender, instance);
            }
            Err(Unsent::Again(unsent)) => {
                // It never left: any method, with its body untouched, may go elsewhere. A connection
                // that was idle says nothing about its instance.
                request = *unsent;
                flight = Some(current);
                if !reused {
                    tried.push(instance);
                }
            }
            Err(Unsent::Lost(own)) => {
                match own {
                    Own::UserLeft | Own::UserStalled => drop(current),
                    _ => current.failed(),
                }
                return Err(own);
            }
        }
    }
}

enum Unsent {
    /// Never sent; here it is back.
    Again(Box<Request<Upload>>),
    /// Sent, in part at least: nobody knows what it did.
    Lost(Own),
}

/// Sends a request and waits for the head of its answer, as long as something moves.
async fn send(
    sender: &mut SendRequest<Upload>,
    request: Request<Upload>,
    progress: Option<&Progress>,
    limits: &Limits,
) -> Result<Response<Incoming>, Unsent> {
    let mut answer = std::pin::pin!(sender.try_send_request(request));
    let mut seen = 0;
    loop {
        match tokio::time::timeout(limits.answer, &mut answer).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(mut error)) => {
                return Err(match error.take_message() {
                    Some(request) => Unsent::Again(Box::new(request)),
                    None if progress.is_some_and(|p| p.broken.load(Relaxed)) => Unsent::Lost(Own::UserLeft),
                    None => {
                        tracing::debug!(error = %error.error(), "an exchange broke");
                        Unsent::Lost(Own::Reset)
                    }
                });
            }
            Err(_elapsed) => match progress {
                Some(progress) if !progress.complete.load(Relaxed) => {
                    let frames = progress.frames.load(Relaxed);
                    if frames == seen {
                        return Err(Unsent::Lost(Own::UserStalled));
                    }
                    seen = frames;
                }
                // A body that ended lately gives the instance one more time from then.
                Some(progress) if progress.frames.load(Relaxed) != seen => seen = progress.frames.load(Relaxed),
                _ => return Err(Unsent::Lost(Own::Timeout)),
            },
        }
    }
}

/// Makes an instance's answer the user's.
fn receive(
    listener: &Arc<Listener>,
    mut response: Response<Incoming>,
    upgrade: Option<(OnUpgrade, Arc<User>)>,
    flight: Flight,
    sender: SendRequest<Upload>,
    instance: Arc<Instance>,
) -> Result<Response<Download>, Own> {
    *response.version_mut() = Version::HTTP_11;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (Some((user_side, user)), Some(protocol)) = (upgrade, headers::upgrade(response.headers())) else {
            flight.failed();
            return Err(Own::Reset);
        };
        let instance_side = hyper::upgrade::on(&mut response);
        listener.tasks.spawn(tunnel::run(user_side, instance_side, flight, user));
        headers::strip_hop_by_hop(response.headers_mut());
        headers::set_upgrade(response.headers_mut(), protocol);
        return Ok(response.map(|_| Download::Text(None)));
    }
    headers::strip_hop_by_hop(response.headers_mut());
    Ok(response.map(|body| Download::Instance(Box::new(Relay::new(body, flight, sender, instance)))))
}
