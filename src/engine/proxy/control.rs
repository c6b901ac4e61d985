//! The loop that owns what is in force, and obeys the engine.

mod leads;

use super::access::AccessLogs;
use super::backend::Backend;
use super::frontends::Frontends;
use super::route::{Arm, Lease, Routing, check};
use super::session::{self, Answer, Event};
use super::sockets::Sockets;
use super::state::Saved;
use super::stats::Registry;
use super::tls::Pair;
use super::wire::{Lapse, Numbered, PROXY_LEVEL, PROXY_WIRE, Request, Response, Route, Stats};
use super::{Limits, ProxyArgs, ProxyError, clock, drain};
use flightdeck_model::{ArmRole, UnfitCertificate, sanitize_line};
use flightdeck_platform::{failpoint, identity, own_program};
use flightdeck_shim::wire::Listening;
use leads::{addresses, not_listening};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// Control connections at a time.
const MAX_SESSIONS: usize = 64;
/// A socket that the process before still holds is tried again so often.
const REBIND_TRIES: u32 = 300;
const REBIND_PAUSE: Duration = Duration::from_millis(10);
/// Between two looks whether the files of a certificate changed.
const LOOK: Duration = Duration::from_secs(2);

/// One listener in force.
#[derive(Debug)]
struct InForce {
    route: Route,
    backend: Arc<Backend>,
    /// Its certificates, in the order of its route.
    pairs: Vec<Pair>,
}

/// Why a route can't be followed.
#[derive(Debug)]
enum Unfollowed {
    Address(SocketAddr, io::Error),
    Certificate(UnfitCertificate),
}

#[derive(Debug)]
struct Control {
    /// Which program this is, as it was when it started.
    program: String,
    limits: Limits,
    lease_ms: u64,
    state: PathBuf,
    frontends: Frontends,
    access_logs: AccessLogs,
    tasks: TaskTracker,
    registry: Registry,
    in_force: BTreeMap<String, InForce>,
    /// Addresses of redirects that can't be listened on, and why.
    redirects_refused: BTreeMap<SocketAddr, String>,
    /// The connection that said Hello last.
    ruler: Option<u64>,
    /// The lapses that are written down.
    saved_lapses: Vec<(String, u64, u64)>,
    /// Drains under way.
    drains: JoinSet<()>,
}

/// What a request leads to.
enum Verdict {
    Answer(Response),
    /// The answer comes later.
    Later,
    /// Stop; the answer comes at the end.
    Stop {
        bound: Duration,
    },
}

/// Serves until SIGTERM, SIGINT or a `Shutdown`.
pub async fn serve(args: &ProxyArgs) -> Result<(), ProxyError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ProxyError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ProxyError::Signals)?;
    let socket = bind_control(&args.socket)?;
    let (limits, tasks) = (args.limits(), TaskTracker::new());
    let sockets = Sockets::new(args.shim.as_deref(), limits.stall);
    let mut control = Control {
        program: own_program().map_or_else(|_| String::new(), |path| identity::program(&path)),
        limits,
        lease_ms: args.lease_ms,
        state: args.state.clone(),
        frontends: Frontends::new(sockets, limits, tasks.clone()),
        access_logs: AccessLogs::start(&args.access_logs).map_err(ProxyError::AccessLog)?,
        tasks,
        registry: Registry::default(),
        in_force: BTreeMap::new(),
        redirects_refused: BTreeMap::new(),
        ruler: None,
        saved_lapses: Vec::new(),
        drains: JoinSet::new(),
    };
    control.restore().await;
    let (events, mut inbox) = mpsc::channel(64);
    let mut sessions = JoinSet::new();
    let mut last_session = 0;
    let grace = Duration::from_millis(args.grace_ms);
    let mut look = tokio::time::interval(LOOK);
    let (bound, answer) = loop {
        let lapse = control.next_lapse();
        tokio::select! {
            _ = terminate.recv() => break (grace, None),
            _ = interrupt.recv() => break (grace, None),
            Some(event) = inbox.recv() => match event {
                Event::Gone { session } => control.ruler = control.ruler.filter(|ruler| *ruler != session),
                Event::Asked { session, request: Numbered { id, body }, answer } => {
                    match control.obey(session, id, body, &answer).await {
                        Verdict::Answer(body) => drop(answer.send(Numbered { id, body })), // gone: nobody to tell
                        Verdict::Later => {}
                        Verdict::Stop { bound } => break (bound, Some((id, answer))),
                    }
                }
            },
            accepted = socket.accept(), if sessions.len() < MAX_SESSIONS => match accepted {
                Ok((stream, _)) => {
                    last_session += 1;
                    sessions.spawn(session::serve(last_session, stream, events.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a control connection failed");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
            Some(_) = sessions.join_next() => {}
            Some(_) = control.drains.join_next() => {}
            () = sleep_until(lapse), if lapse.is_some() => control.save().await,
            _ = look.tick() => {
                control.look_at_certificates().await;
                control.open_redirects().await;
            }
        }
    };
    drop(socket);
    control.stop(bound).await;
    if let Some((id, answer)) = answer {
        drop(answer.send(Numbered { id, body: Response::Done }));
    }
    drop((inbox, events));
    control.access_logs.end();
    // Sessions end once their last answer is written and their peer hangs up; a lazy peer is not waited for.
    let hang_up = async { while sessions.join_next().await.is_some() {} };
    let _lazy = tokio::time::timeout(Duration::from_millis(200), hang_up).await;
    if let Err(error) = std::fs::remove_file(&args.socket) {
        tracing::warn!(%error, "the control socket's file stays");
    }
    Ok(())
}

fn bind_control(path: &Path) -> Result<UnixListener, ProxyError> {
    let failed = |source| ProxyError::Socket { path: path.to_owned(), source };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ProxyError::Taken { path: path.to_owned() });
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // The mask makes the file private from its first moment on.
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = StdUnixListener::bind(path);
    rustix::process::umask(mask);
    let socket = bound.map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    UnixListener::from_std(socket).map_err(failed)
}

async fn sleep_until(deadline_ms: Option<u64>) {
    let left = deadline_ms.unwrap_or(0).saturating_sub(clock::now_ms());
    tokio::time::sleep(Duration::from_millis(left)).await;
}

fn refused(why: impl AsRef<str>) -> Response {
    Response::Refused { why: sanitize_line(why.as_ref()), newer: None }
}

impl Control {
    async fn obey(&mut self, session: u64, id: u64, request: Request, answer: &Answer) -> Verdict {
        if let Request::Hello { wire } = request {
            return Verdict::Answer(self.hello(session, wire));
        }
        if self.ruler != Some(session) && request != Request::Stats {
            let why = "another connection said Hello since, or this one never did".to_owned();
            return Verdict::Answer(refused(why));
        }
        match request {
            Request::Hello { wire } => Verdict::Answer(self.hello(session, wire)),
            Request::SetRoute(route) => Verdict::Answer(match self.set_route(route).await {
                Ok((listener, version)) => {
                    let redirect_refused = self.redirect_refused(&listener);
                    Response::Acked { listener, version, redirect_refused }
                }
                Err(refusal) => refusal,
            }),
            Request::RemoveRoute { listener } => {
                self.remove_route(&listener).await;
                Verdict::Answer(Response::Done)
            }
            Request::Renew { ttl_ms } => {
                self.renew(ttl_ms);
                Verdict::Answer(Response::Done)
            }
            Request::Stats => {
                self.registry.prune(clock::now_ms());
                Verdict::Answer(Response::Stats(self.stats()))
            }
            Request::Drain { instances, timeout_ms } => self.drain(id, &instances, timeout_ms, answer.clone()),
            Request::Shutdown { timeout_ms } => Verdict::Stop { bound: Duration::from_millis(timeout_ms) },
        }
    }

    fn hello(&mut self, session: u64, wire: u32) -> Response {
        if wire > PROXY_WIRE {
            let why = format!("this proxy speaks wire {PROXY_WIRE}, the asker {wire}: restart the proxy to upgrade it");
            return refused(why);
        }
        self.ruler = Some(session);
        Response::Hello {
            wire: PROXY_WIRE,
            pid: std::process::id(),
            program: self.program.clone(),
            level: PROXY_LEVEL,
            routes: self.in_force.values().map(|f| (f.route.listener.clone(), f.route.version)).collect(),
            lapsed: self.lapsed(),
        }
    }

    async fn set_route(&mut self, route: Route) -> Result<(String, u64), Response> {
        check(&route).map_err(refused)?;
        let acked = (route.listener.clone(), route.version);
        if let Some(current) = self.in_force.get(&route.listener) {
            let version = current.route.version;
            if current.route == route {
                return Ok(acked);
            }
            if route.version <= version {
                let why = format!("route {} of {} is stale: {version} is in force", route.version, route.listener);
                return Err(Response::Refused { why: sanitize_line(&why), newer: Some(version) });
            }
        }
        if let Some(other) = self.in_the_way(&route) {
            return Err(refused(format!("{} is listened on for {other}, which shares it with nobody", route.listen)));
        }
        let lease = Lease::until(clock::now_ms().saturating_add(self.lease_ms));
        self.follow(route, lease).await.map_err(|why| refused(why.in_words()))?;
        self.save().await;
        Ok(acked)
    }

    /// A service on the same address that can't be told from this one: bytes name no host.
    fn in_the_way(&self, route: &Route) -> Option<&str> {
        let others = self.in_force.values().map(|of| &of.route).filter(|of| of.listener != route.listener);
        let shares = |of: &Route| addresses(of).any(|address| addresses(route).any(|own| own == address));
        let mut here = others.filter(|of| (of.options.tcp || route.options.tcp) && shares(of));
        here.next().map(|of| of.listener.as_str())
    }

    /// Puts a route into force; whoever chooses from now on follows it.
    async fn follow(&mut self, route: Route, lease: Lease) -> Result<(), Unfollowed> {
        // What can fail comes first.
        let pairs = self.pairs(&route).await.map_err(Unfollowed::Certificate)?;
        self.frontends.open(listening(&route)).await.map_err(|error| Unfollowed::Address(route.listen, error))?;
        let routing = self.routing(&route, lease);
        failpoint::pass("proxy-before-swap");
        let mut left = Vec::new();
        let backend = if let Some(before) = self.in_force.remove(&route.listener) {
            left.extend(addresses(&before.route));
            before.backend.routing.store(Arc::new(routing));
            before.backend
        } else {
            Backend::new(&route.listener, routing, self.limits, self.tasks.clone())
        };
        tracing::info!(listener = route.listener, version = route.version, "a route is in force");
        let pools: Vec<&str> = route.pools.iter().map(|pool| pool.pool.as_str()).collect();
        self.registry.keep_only(&route.listener, &pools, clock::now_ms());
        left.extend(addresses(&route));
        self.in_force.insert(route.listener.clone(), InForce { route, backend, pairs });
        self.registry.prune(clock::now_ms());
        self.open_redirects().await;
        // Its addresses, and those that it had before.
        for address in left {
            self.lead(address).await;
        }
        Ok(())
    }

    fn routing(&mut self, route: &Route, lease: Lease) -> Routing {
        let mut pools: Vec<_> = route.pools.iter().collect();
        if route.sticky.is_some() {
            pools.sort_by_key(|pool| pool.role != ArmRole::Candidate);
        }
        let arms = pools.iter().map(|wanted| {
            let (pool, endpoints) = self.registry.pool(&route.listener, &wanted.pool, &wanted.endpoints);
            Arm { pool, role: wanted.role.clone(), version: wanted.version.clone(), weight: wanted.weight.0, endpoints }
        });
        let arms = arms.collect();
        let fallback = route.fallback.as_ref();
        let leased = fallback.and_then(|id| pools.iter().position(|pool| pool.pool == *id));
        Routing {
            arms,
            sticky: route.sticky.clone(),
            leased: leased.map(|arm| (arm, lease)),
            response_timeout: route.options.response_timeout_ms.map_or(self.limits.answer, Duration::from_millis),
            trusted_proxies: route.options.trusted_proxies.clone(),
            access_log: self.access_logs.of(route),
        }
    }

    async fn remove_route(&mut self, listener: &str) {
        if let Some(InForce { route, .. }) = self.in_force.remove(listener) {
            tracing::info!(listener, "a service is no longer reached");
            for address in addresses(&route) {
                self.lead(address).await;
            }
            self.registry.keep_only(listener, &[], clock::now_ms());
            self.save().await;
        }
    }

    fn stats(&self) -> Stats {
        let certificates = self
            .in_force
            .iter()
            .flat_map(|(listener, of)| of.pairs.iter().map(|pair| (listener.clone(), pair.state())));
        Stats {
            pools: self.registry.stats(),
            lapsed: self.lapsed(),
            certificates: certificates.collect(),
            redirects_refused: self
                .in_force
                .keys()
                .filter_map(|listener| Some((listener.clone(), self.redirect_refused(listener)?)))
                .collect(),
            unmatched: self.frontends.unmatched(),
        }
    }

    fn drain(&mut self, id: u64, ids: &[String], timeout_ms: u64, answer: Answer) -> Verdict {
        let routed = self.in_force.values().find_map(|f| {
            let mut endpoints = f.route.pools.iter().flat_map(|pool| &pool.endpoints);
            endpoints.find(|e| ids.contains(&e.instance)).map(|e| (&e.instance, &f.route.listener))
        });
        if let Some((instance, listener)) = routed {
            let why = format!("{instance} still stands in the route of {listener}: it would never be quiet");
            return Verdict::Answer(refused(why));
        }
        let instances = self.registry.instances(ids);
        for instance in &instances {
            instance.close();
        }
        self.drains.spawn(async move {
            let remaining = drain::wait(instances, Duration::from_millis(timeout_ms)).await;
            drop(answer.send(Numbered { id, body: Response::Drained { remaining } })); // gone: nobody to tell
        });
        Verdict::Later
    }

    /// Leases that lapsed: listener, version and when.
    fn lapses(&self, now_ms: u64) -> Vec<(String, u64, u64)> {
        let lapsed = self.in_force.values().filter_map(|f| {
            let routing = f.backend.routing.load();
            let (_, lease) = routing.leased.as_ref()?;
            Some((f.route.listener.clone(), f.route.version, lease.lapsed(now_ms)?))
        });
        lapsed.collect()
    }

    fn lapsed(&self) -> Vec<Lapse> {
        let now = clock::now_ms();
        let tell =
            |(listener, version, at): (String, u64, u64)| Lapse { listener, version, ago_ms: now.saturating_sub(at) };
        self.lapses(now).into_iter().map(tell).collect()
    }

    fn renew(&self, ttl_ms: u64) {
        for f in self.in_force.values() {
            if let Some((_, lease)) = &f.backend.routing.load().leased {
                lease.renew(clock::now_ms(), ttl_ms);
            }
        }
    }

    /// When there is a lapse to write down. The data path needs no timer: it looks at the clock with
    /// each choice.
    fn next_lapse(&self) -> Option<u64> {
        let now = clock::now_ms();
        if self.lapses(now) != self.saved_lapses {
            return Some(now);
        }
        let deadlines = self.in_force.values().filter_map(|f| {
            let routing = f.backend.routing.load();
            let (_, lease) = routing.leased.as_ref()?;
            lease.lapsed(now).is_none().then(|| lease.deadline_ms())
        });
        deadlines.min()
    }

    /// Writes down what is in force. A failure is only told: the route is in force, and an engine that
    /// finds an older one after a crash routes anew.
    async fn save(&mut self) {
        self.saved_lapses = self.lapses(clock::now_ms());
        for (listener, version, _) in &self.saved_lapses {
            tracing::warn!(listener, version, "nobody renewed the lease: everything goes to the fallback");
        }
        failpoint::pass("proxy-before-save");
        let routes = self.in_force.values().map(|f| f.route.clone()).collect();
        if let Err(error) = Saved::new(routes, self.saved_lapses.clone()).write(&self.state).await {
            tracing::error!(path = %self.state.display(), %error, "the routes could not be written");
        }
        failpoint::pass("proxy-after-save");
    }

    /// Comes back to what was in force. Leased routes begin on their fallback: nobody is known to
    /// judge. The first renewal brings them back, and without one they lapse in the usual time.
    async fn restore(&mut self) {
        let saved = match Saved::read(&self.state) {
            Ok(saved) => saved,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "starting without routes");
                return;
            }
        };
        for route in saved.routes {
            let (name, version) = (route.listener.clone(), route.version);
            if let Err(why) = check(&route) {
                tracing::error!(listener = name, why, "a saved route is not followed");
                continue;
            }
            let lapsed = saved.lapsed.iter().find(|(listener, of, _)| *listener == name && *of == version);
            let mut tries = 0;
            loop {
                let now = clock::now_ms();
                // A time in the future is of another boot.
                let lease = match lapsed {
                    Some((_, _, at)) => Lease::lapsed_since((*at).min(now)),
                    None => Lease::suspended_until(now.saturating_add(self.lease_ms)),
                };
                match self.follow(route.clone(), lease).await {
                    Ok(()) => break,
                    Err(Unfollowed::Address(address, error))
                        if tries < REBIND_TRIES && error.kind() == io::ErrorKind::AddrInUse =>
                    {
                        tracing::warn!(listener = name, %address, "still in use; trying again");
                        tries += 1;
                        tokio::time::sleep(REBIND_PAUSE).await;
                    }
                    Err(why) => {
                        tracing::error!(listener = name, why = why.in_words(), "a saved route is not followed");
                        break;
                    }
                }
            }
        }
        self.saved_lapses = self.lapses(clock::now_ms());
        self.frontends.hold_only_open().await;
    }

    /// Finishes what is in flight, up to the bound.
    async fn stop(&mut self, bound: Duration) {
        tracing::info!("stopping");
        self.frontends.close_all().await;
        self.tasks.close();
        // Connections to instances end as soon as their request does.
        self.registry.close_all();
        if tokio::time::timeout(bound, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "the bound for requests in flight is over");
            drain::end_tunnels(&self.registry.all()).await;
        }
        self.drains.shutdown().await;
    }
}

fn listening(route: &Route) -> Listening {
    Listening { listener: route.listener.clone(), address: route.listen }
}

impl Unfollowed {
    fn in_words(&self) -> String {
        match self {
            Unfollowed::Address(address, error) => not_listening(*address, error),
            Unfollowed::Certificate(unfit) => unfit.why.clone(),
        }
    }
}
