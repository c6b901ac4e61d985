//! One request: to one instance, and its answer back.

use super::access::{End, Entry};
use super::backend::{Backend, Lead};
use super::body::{Download, Relay};
use super::flight::Flight;
use super::frontend::Frontend;
use super::headers::Origin;
use super::pool::{Instance, Pool};
use super::route::Choice;
use super::upload::{Progress, Upload};
use super::user::User;
use super::{clock, headers, hosts, sticky, tunnel};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, SET_COOKIE, TRANSFER_ENCODING,
};
use hyper::http::uri::Authority;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Under this authorities look for what proves that a host is one's own.
const ACME: &str = "/.well-known/acme-challenge/";

const REASON: HeaderName = HeaderName::from_static("x-flightdeck-proxy");

/// Why the proxy answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// The request can't be forwarded.
    Bad(&'static str),
    /// No service answers for its host and path.
    NoService,
    /// Nor here for another host than the connection is for.
    Misdirected,
    /// The service has no instance.
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
            Own::NoService => (StatusCode::NOT_FOUND, "no-service", "no service answers for this host and path"),
            Own::Misdirected => {
                (StatusCode::MISDIRECTED_REQUEST, "misdirected", "no service answers for this host on this connection")
            }
            Own::NoInstance => (StatusCode::SERVICE_UNAVAILABLE, "no-instance", "no instance is ready"),
            Own::Connect => (StatusCode::BAD_GATEWAY, "connect", "no instance accepts connections"),
            Own::Reset => (StatusCode::BAD_GATEWAY, "reset", "the instance closed the connection without an answer"),
            Own::Timeout => (StatusCode::GATEWAY_TIMEOUT, "timeout", "the instance did not answer in time"),
            Own::UserStalled => (StatusCode::REQUEST_TIMEOUT, "request-timeout", "the request did not arrive in time"),
            Own::UserLeft => (StatusCode::BAD_REQUEST, "request-broken", "the request broke off"),
        }
    }

    /// What it says of the request.
    fn end(self) -> End {
        match self {
            Own::Bad(_) | Own::NoService | Own::Misdirected => End::Answered,
            Own::NoInstance | Own::Connect | Own::Reset | Own::Timeout => End::Failed,
            Own::UserStalled | Own::UserLeft => End::UserLeft,
        }
    }

    fn response(self) -> Response<Download> {
        let (status, reason, text) = self.words();
        let mut response = Response::new(Download::text(format!("{text}\n")));
        *response.status_mut() = status;
        response.headers_mut().insert(REASON, HeaderValue::from_static(reason));
        if let Own::Bad(_) = self {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

/// Answers one request.
pub async fn answer(frontend: Arc<Frontend>, user: Arc<User>, request: Request<Incoming>) -> Response<Download> {
    let version = request.version();
    let answered = match lead(&frontend, &user, &request) {
        Ok(Lead::Service(backend)) => exchange(&backend, &user, request).await,
        Ok(Lead::Redirect { port }) => redirect(port, &request),
        Err(own) => Err(own),
    };
    let mut response = answered.unwrap_or_else(Own::response);
    if version == Version::HTTP_2 {
        // There a connection says by itself that it closes.
        response.headers_mut().remove(CONNECTION);
    } else if user.leaving() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What a request is for.
fn lead(frontend: &Frontend, user: &User, request: &Request<Incoming>) -> Result<Lead, Own> {
    if request.method() == Method::CONNECT {
        return Err(Own::Bad("CONNECT is not served here"));
    }
    let authority = request.uri().authority().map(Authority::as_str);
    if let Some(why) = headers::bad_host(request.version(), request.headers(), authority) {
        return Err(Own::Bad(why));
    }
    let (authority, path) = (authority_of(request), request.uri().path());
    let hosts = frontend.hosts.load();
    match hosts.choose(authority, path) {
        // Whoever issues certificates asks for this in the open, so a service may answer it there.
        Some(redirect @ Lead::Redirect { .. }) if path.starts_with(ACME) => {
            let service = hosts.choose_of(authority, path, |lead| matches!(lead, Lead::Service(_)));
            return Ok(service.unwrap_or(redirect).clone());
        }
        Some(lead) => return Ok(lead.clone()),
        None => {}
    }
    frontend.unmatched.fetch_add(1, Relaxed);
    let connected_for = user.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
    let other = connected_for.is_some_and(|name| !name.eq_ignore_ascii_case(hosts::name_of(authority)));
    Err(if other { Own::Misdirected } else { Own::NoService })
}

/// The host that a request is for, with its port if it names one; empty if it names none.
fn authority_of<B>(request: &Request<B>) -> &str {
    let host = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
    request.uri().authority().map(Authority::as_str).or_else(host).unwrap_or_default()
}

/// The same over TLS. The method stays what it is.
fn redirect<B>(port: u16, request: &Request<B>) -> Result<Response<Download>, Own> {
    let authority = authority_of(request);
    let host = authority.strip_suffix(|c: char| c.is_ascii_digit()).map_or(authority, |_| {
        // What stands behind the last colon is a port, unless that is inside the brackets of an address.
        authority
            .rsplit_once(':')
            .filter(|(host, _)| !host.contains('[') || host.ends_with(']'))
            .map_or(authority, |(host, _)| host)
    });
    if host.is_empty() {
        return Err(Own::Bad("a request without a host can't be sent on to TLS"));
    }
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let location = HeaderValue::try_from(format!("https://{host}{port}{path}"));
    let mut response = Response::new(Download::Text(None));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location.map_err(|_| Own::Bad("the address can't be sent on to TLS"))?);
    Ok(response)
}

/// A request that can be sent, and what is known of its user.
struct Outgoing {
    request: Request<Upload>,
    progress: Option<Arc<Progress>>,
    /// The user's half of a tunnel, should the instance agree to one.
    upgrade: Option<OnUpgrade>,
    /// Where in the route's shares it is.
    place: u32,
    /// May be asked twice.
    idempotent: bool,
    /// Names a visitor who has no name yet.
    cookie: Option<HeaderValue>,
    /// For the access log.
    entry: Option<Box<Entry>>,
}

fn prepare(backend: &Backend, user: &User, mut request: Request<Incoming>) -> Outgoing {
    let routing = backend.routing.load();
    let trusted = routing.trusts(user.peer);
    let client = headers::client(request.headers(), user.peer, trusted);
    let logging = routing.access_log.as_ref();
    let mut entry = logging.map(|logging| Box::new(Entry::begin(logging, user, client, &request)));
    headers::join_cookies(request.headers_mut());
    let known = routing.place(request.headers(), client);
    let (place, cookie) = match (known, routing.visitors()) {
        (Some(place), _) => (place, None),
        (None, Some(sticky)) => {
            let visitor = format!("{:016x}", fastrand::u64(..));
            (sticky::place_of_visitor(sticky, &visitor), sticky::set_cookie(&visitor, user.tls.is_some()))
        }
        (None, None) => (fastrand::u32(..1_000_000), None),
    };
    let protocol = headers::upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11);
    let upgrade = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().and_then(|authority| authority.as_str().parse().ok());
    headers::to_instance(
        &mut parts.headers,
        Origin { peer: &user.address, secure: user.tls.is_some(), trusted },
        authority,
        || Some(HeaderValue::from_static("localhost")),
        request_id,
    );
    if let Some(protocol) = protocol {
        headers::set_upgrade(&mut parts.headers, protocol);
    }
    if let Some(origin) = headers::origin_form(&parts.uri) {
        parts.uri = origin;
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let (body, progress) = Upload::new(body, backend.limits.stall);
    let idempotent = progress.is_none() && upgrade.is_none() && parts.method.is_idempotent();
    let request = Request::from_parts(parts, body);
    if let Some(entry) = &mut entry {
        entry.id(&request);
    }
    Outgoing { request, progress, upgrade, place, idempotent, cookie, entry }
}

/// The same request again, for when it is lost on its way.
fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::none());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}

fn request_id() -> HeaderValue {
    // Digit by digit: formatting a number of 128 bits takes far longer.
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut left = fastrand::u128(..);
    let id: [u8; 32] = std::array::from_fn(|_| {
        let digit = DIGITS.get((left & 15) as usize).copied().unwrap_or(b'0');
        left >>= 4;
        digit
    });
    HeaderValue::from_bytes(&id).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// One request under way.
struct Exchange<'l> {
    backend: &'l Arc<Backend>,
    /// For the access log.
    entry: Option<Box<Entry>>,
    started: Instant,
    place: u32,
    /// Counts where the request is.
    flight: Option<Flight>,
    /// The pool of the try before.
    preferred: Option<Arc<Pool>>,
    /// Instances that are not to be tried again.
    tried: Vec<Arc<Instance>>,
    /// What the user is told when nobody is left.
    why: Own,
}

async fn exchange(
    backend: &Arc<Backend>,
    user: &Arc<User>,
    request: Request<Incoming>,
) -> Result<Response<Download>, Own> {
    let started = clock::instant();
    backend.budget.request(clock::now_ms());
    let mut outgoing = prepare(backend, user, request);
    let (place, entry) = (outgoing.place, outgoing.entry.take());
    let (flight, preferred, tried) = (None, None, Vec::new());
    let mut this = Exchange { backend, entry, started, place, flight, preferred, tried, why: Own::Connect };
    let answered = this.run(user, outgoing).await;
    if let (Err(own), Some(mut entry)) = (&answered, this.entry) {
        let (status, reason, _) = own.words();
        entry.by_proxy(reason, status.as_u16(), own.end());
    }
    answered
}

impl Exchange<'_> {
    /// Tries instances until one answers or nothing more may be tried.
    async fn run(&mut self, user: &Arc<User>, outgoing: Outgoing) -> Result<Response<Download>, Own> {
        let Outgoing { mut request, progress, upgrade, idempotent, cookie, .. } = outgoing;
        let mut again = (idempotent && self.backend.routing.load().spare()).then(|| copy(&request));
        loop {
            let (instance, mut sender, reused) = self.connection().await?;
            let response_timeout = self.backend.routing.load().response_timeout;
            match send(&mut sender, request, progress.as_deref(), response_timeout).await {
                Ok(response) => {
                    let Some(mut flight) = self.flight.take() else { return Err(Own::Reset) };
                    flight.error = response.status().is_server_error();
                    let user_side = upgrade.map(|upgrade| (upgrade, Arc::clone(user)));
                    let mut answer = self.receive(response, user_side, (flight, sender, instance), progress)?;
                    if let Some(cookie) = cookie {
                        answer.headers_mut().append(SET_COOKIE, cookie);
                    }
                    return Ok(answer);
                }
                // It never left: any method, with its body untouched, may go elsewhere. A connection that was
                // idle says nothing about its instance.
                Err(Unsent::Again(unsent)) => {
                    request = *unsent;
                    if !reused {
                        self.elsewhere(instance, Own::Reset)?;
                    }
                }
                Err(Unsent::Lost(own)) => {
                    if matches!(own, Own::UserLeft | Own::UserStalled) {
                        return Err(own);
                    }
                    // A connection that was idle may have been closing already.
                    let stale = reused && own == Own::Reset;
                    let copy = again.take_if(|_| own == Own::Reset);
                    if !stale || copy.is_none() {
                        // The failure stays where it was; a further try counts for itself.
                        self.flight.take().into_iter().for_each(Flight::failed);
                    }
                    if !stale {
                        instance.broke(clock::now_ms());
                    }
                    request = copy.ok_or(own)?;
                    if stale {
                        self.budgeted(own)?;
                    } else {
                        self.elsewhere(instance, own)?;
                    }
                }
            }
        }
    }

    /// A connection to whoever is chosen, and whether it was used before.
    async fn connection(&mut self) -> Result<(Arc<Instance>, SendRequest<Upload>, bool), Own> {
        let Backend { limits, tasks, .. } = &**self.backend;
        loop {
            let now = clock::now_ms();
            let instance = self.choose(now)?;
            if let Some(sender) = instance.take_idle(now) {
                return Ok((instance, sender, true));
            }
            match instance.connect(tasks, limits.connect, limits.head_bytes).await {
                Ok(sender) => return Ok((instance, sender, false)),
                Err(error) => {
                    tracing::debug!(instance = instance.id, %error, "connecting failed");
                    instance.connect_failed(clock::now_ms());
                    self.elsewhere(instance, Own::Connect)?;
                }
            }
        }
    }

    /// Whom to try now; the request counts there from here on.
    fn choose(&mut self, now_ms: u64) -> Result<Arc<Instance>, Own> {
        // Read anew for each try, so that no choice follows a route that was replaced.
        let routing = self.backend.routing.load();
        match routing.choose(now_ms, self.place, self.preferred.as_deref(), &self.tried) {
            Choice::Instance(pool, instance) => {
                if let Some(flight) = &mut self.flight {
                    flight.move_to(&pool, &instance);
                } else {
                    let begun = Flight::begin(self.started, Arc::clone(&pool), Some(Arc::clone(&instance)));
                    self.flight = Some(begun);
                }
                if let Some(entry) = &mut self.entry {
                    entry.given(routing.arm(&pool).map(|arm| (&arm.role, &arm.version)), &instance.id);
                }
                self.preferred = Some(pool);
                Ok(instance)
            }
            Choice::Nobody(pool) => {
                self.flight.take().unwrap_or_else(|| Flight::begin(self.started, pool, None)).failed();
                Err(Own::NoInstance)
            }
            Choice::Exhausted => Err(self.give_up(self.why)),
        }
    }

    /// Not this one again; an error when nothing more may be tried.
    fn elsewhere(&mut self, instance: Arc<Instance>, why: Own) -> Result<(), Own> {
        self.tried.push(instance);
        self.why = why;
        // Nobody else is there: that needs no budget, and the choice says so.
        if self.backend.routing.load().spare() { self.budgeted(why) } else { Ok(()) }
    }

    fn budgeted(&mut self, why: Own) -> Result<(), Own> {
        if self.backend.budget.retry(clock::now_ms()) {
            return Ok(());
        }
        tracing::debug!(backend = self.backend.name, "too much was tried again lately");
        Err(self.give_up(why))
    }

    fn give_up(&mut self, why: Own) -> Own {
        self.flight.take().into_iter().for_each(Flight::failed);
        why
    }

    /// Makes an instance's answer the user's.
    fn receive(
        &mut self,
        mut response: Response<Incoming>,
        upgrade: Option<(OnUpgrade, Arc<User>)>,
        (flight, sender, instance): (Flight, SendRequest<Upload>, Arc<Instance>),
        upload: Option<Arc<Progress>>,
    ) -> Result<Response<Download>, Own> {
        *response.version_mut() = Version::HTTP_11;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let (Some((user_side, user)), Some(protocol)) = (upgrade, headers::upgrade(response.headers())) else {
                flight.failed();
                return Err(Own::Reset);
            };
            // They were read as a request, and the instance would take them for something else.
            if user.is_ahead() {
                return Err(Own::Bad("bytes came before the answer to a request that changes the protocol"));
            }
            let ends = tunnel::Ends { user: user_side, instance: hyper::upgrade::on(&mut response) };
            user.begin_tunnel();
            instance.answered();
            let entry = self.begins_to_answer(&response);
            self.backend.tasks.spawn(tunnel::run(ends, protocol.clone(), (flight, entry), instance, user));
            headers::strip_hop_by_hop(response.headers_mut());
            headers::set_upgrade(response.headers_mut(), protocol);
            return Ok(response.map(|_| Download::Text(None)));
        }
        let entry = self.begins_to_answer(&response);
        if response.headers().contains_key(TRANSFER_ENCODING) {
            response.headers_mut().remove(CONTENT_LENGTH); // chunks won over it
        }
        headers::strip_hop_by_hop(response.headers_mut());
        Ok(response
            .map(|body| Download::Instance(Box::new(Relay::new(body, (flight, sender, instance), upload, entry)))))
    }

    fn begins_to_answer(&mut self, response: &Response<Incoming>) -> Option<Box<Entry>> {
        let mut entry = self.entry.take()?;
        entry.status(response.status().as_u16());
        Some(entry)
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
    response_timeout: Duration,
) -> Result<Response<Incoming>, Unsent> {
    let mut answer = std::pin::pin!(sender.try_send_request(request));
    let mut seen = 0;
    loop {
        match tokio::time::timeout(response_timeout, &mut answer).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(mut error)) => {
                return Err(match error.take_message() {
                    Some(request) => Unsent::Again(Box::new(request)),
                    None if progress.is_some_and(|p| p.stalled.load(Relaxed)) => Unsent::Lost(Own::UserStalled),
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
