//! What the proxy says, and what it must know when it comes back.

use super::asks::Silent;
use super::clock::clock;
use super::link::{LinkEvent, LinkOrder};
use super::task::EngineTask;
use super::windows;
use crate::process::listening;
use flightdeck_engine_core::{Input, Sent, Slot, SlotKey};
use flightdeck_model::{CertificateState, LinkState, Listening};
use flightdeck_proxy::wire::{Lapse, PROXY_LEVEL, Route, Stats};
use jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use tokio::time::Instant;

impl EngineTask {
    pub(super) async fn linked(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up { routes, lapsed, level } => {
                self.reconcile(&routes, lapsed).await;
                self.told_in_part(level).await;
            }
            LinkEvent::Down { why } => {
                self.up = false;
                self.publisher.proxy(LinkState::stale(clock(), why));
            }
            LinkEvent::Acked { listener, version, lacking, redirect_refused } => {
                if let Some((slot, preview)) = self.state.of_listener(&listener) {
                    if !preview {
                        self.redirects(BTreeMap::from([(slot.clone(), redirect_refused)])).await;
                    }
                    if let Some(lacking) = &lacking {
                        tracing::error!(%slot, preview, lacking, "a route is followed in part");
                    }
                    self.feed(vec![Input::RouteAcked { slot, preview, version, lacking }]).await;
                }
            }
            LinkEvent::Refused { listener, version, newer, why } => {
                if let Some((slot, preview)) = self.state.of_listener(&listener) {
                    let why = self.with_owner(&slot, preview, why);
                    self.warn_of_refusal(&slot, preview, &why);
                    self.feed(vec![Input::RouteRefused { slot, preview, version, newer, why }]).await;
                }
            }
            LinkEvent::Stats { stats, alone } => {
                self.count_draining(&stats, alone).await;
                self.certified(&stats).await;
                self.redirects(self.redirects_of(&stats)).await;
                self.counted(stats).await;
            }
        }
    }

    /// The proxy is there (again): leases that lapsed first, then every route that is not in force.
    pub(super) async fn reconcile(&mut self, in_force: &[(String, u64)], lapsed: Vec<Lapse>) {
        self.up = true;
        self.publisher.proxy(LinkState::live(clock()));
        self.lapsed(lapsed).await;
        let mut orders = Vec::new();
        let listeners = self
            .state
            .slots
            .values()
            .flat_map(|slot| [(slot.listener(false), &slot.routing), (slot.listener(true), &slot.preview)]);
        for (listener, routing) in listeners {
            let there = in_force.iter().find(|(name, _)| *name == listener).map(|(_, version)| *version);
            let newest = routing.sent.last().or(routing.acked.as_ref());
            match newest {
                Some(Sent { route: Some(route), version, .. })
                    if there != Some(*version) || !routing.sent.is_empty() =>
                {
                    orders.push(LinkOrder::Route(route.clone()));
                }
                Some(Sent { route: None, version, .. }) if there.is_some() || !routing.sent.is_empty() => {
                    orders.push(LinkOrder::Unroute { listener, version: *version });
                }
                _ => {}
            }
        }
        for (listener, version) in in_force {
            if self.state.of_listener(listener).is_none() {
                orders.push(LinkOrder::Unroute { listener: listener.clone(), version: *version });
            }
        }
        for order in orders {
            self.send(order);
        }
        if self.leased() {
            self.renew();
        }
        self.try_addresses().await;
    }

    /// A proxy that was replaced by a newer one kept of some routes only what it knew.
    async fn told_in_part(&mut self, level: u32) {
        if level < PROXY_LEVEL {
            return;
        }
        let lost = self.state.slots.iter().flat_map(|(slot, of)| {
            let routings = [(false, &of.routing), (true, &of.preview)].into_iter();
            let in_part = routings.filter(|(_, routing)| routing.lacking.is_some());
            in_part.map(|(preview, _)| Input::RouteLost { slot: slot.clone(), preview })
        });
        let lost: Vec<_> = lost.collect();
        if !lost.is_empty() {
            self.feed(lost).await;
        }
    }

    /// What is still in flight on instances that leave. `alone`: it is all in this proxy.
    async fn count_draining(&mut self, stats: &Stats, alone: bool) {
        let draining: BTreeSet<&str> =
            self.instances().filter(|of| of.draining.is_some()).map(|of| of.id.as_str()).collect();
        if draining.is_empty() {
            return;
        }
        let mut requests = BTreeMap::new();
        let counts = stats.pools.iter().filter(|_| alone).flat_map(|pool| &pool.by_instance);
        for (instance, count) in counts.filter(|(instance, _)| draining.contains(instance.as_str())) {
            *requests.entry(instance.clone()).or_default() += count;
        }
        self.feed(vec![Input::InFlight { requests }]).await;
    }

    /// The certificates that are in force.
    async fn certified(&mut self, stats: &Stats) {
        let mut now: BTreeMap<SlotKey, Vec<CertificateState>> = BTreeMap::new();
        for (listener, certificate) in &stats.certificates {
            if let Some((slot, false)) = self.state.of_listener(listener) {
                now.entry(slot).or_default().push(certificate.clone());
            }
        }
        let changed = self.state.slots.iter().filter_map(|(slot, of)| {
            let certificates = now.remove(slot).unwrap_or_default();
            (of.certificates != certificates).then(|| Input::Certificates { slot: slot.clone(), certificates })
        });
        let changed: Vec<_> = changed.collect();
        if !changed.is_empty() {
            self.feed(changed).await;
        }
    }

    /// By slot, why the address of its redirect is not listened on.
    fn redirects_of(&self, stats: &Stats) -> BTreeMap<SlotKey, Option<String>> {
        let refused = |slot: &Slot| {
            let listener = slot.listener(false);
            stats.redirects_refused.iter().find(|(name, _)| *name == listener).map(|(_, why)| why.clone())
        };
        self.state.slots.iter().map(|(key, slot)| (key.clone(), refused(slot))).collect()
    }

    async fn redirects(&mut self, refused: BTreeMap<SlotKey, Option<String>>) {
        let changed = refused.into_iter().filter_map(|(slot, why)| {
            let of = self.state.slots.get(&slot)?;
            let from = self.redirect_from(&slot);
            let why = why.zip(from).map(|(why, from)| owned(&why, from, of.redirect_refused.as_ref()));
            (of.redirect_refused != why).then_some(Input::Redirect { slot, refused: why })
        });
        let changed: Vec<_> = changed.collect();
        if !changed.is_empty() {
            self.feed(changed).await;
        }
    }

    fn redirect_from(&self, slot: &SlotKey) -> Option<SocketAddr> {
        self.state.spec.services.get(&slot.service)?.placements.get(&slot.environment)?.ingress.redirect_from
    }

    /// With who has the address, if somebody does. It is looked for once: a refused route is tried again each second.
    fn with_owner(&self, slot: &SlotKey, preview: bool, why: String) -> String {
        let routing = self.state.slots.get(slot).map(|of| if preview { &of.preview } else { &of.routing });
        let before = routing.and_then(|routing| routing.refused.as_ref());
        match routing.and_then(|routing| routing.newest_route()) {
            Some(route) => owned(&why, route.listen, before),
            None => why,
        }
    }

    /// A route is tried again every second: the log has it once, until something else is wrong.
    fn warn_of_refusal(&self, slot: &SlotKey, preview: bool, why: &str) {
        let routing = self.state.slots.get(slot).map(|of| if preview { &of.preview } else { &of.routing });
        if routing.is_some_and(|routing| routing.refused.as_deref() != Some(why)) {
            tracing::error!(%slot, preview, why, "not listening: users can't reach it there; tried again until it works");
        }
    }

    /// Tries the addresses that nothing is routed to yet: a service that is deployed later would not be
    /// reached there. Those that are routed tell by the proxy's answer.
    pub(super) async fn try_addresses(&mut self) {
        let held: BTreeSet<SocketAddr> = self.state.slots.values().flat_map(|slot| listens(slot)).collect();
        let mut found = Vec::new();
        for (key, slot) in self.state.slots.iter().filter(|(_, slot)| !slot.removed) {
            let placement =
                self.state.spec.services.get(&key.service).and_then(|of| of.placements.get(&key.environment));
            let Some((placement, listen)) = placement.and_then(|of| Some((of, of.listen?))) else { continue };
            if slot.routing.newest_route().is_some() || held.contains(&listen) {
                continue;
            }
            let redirect = placement.ingress.redirect_from.filter(|from| !held.contains(from));
            let mut both = std::iter::once(listen).chain(redirect);
            let why = both.find_map(|address| why_not_bound(address, slot.taken.as_ref()));
            if why != slot.taken {
                if let Some(why) = &why {
                    tracing::error!(slot = %key, why, "not listening: users would not reach it there");
                } else {
                    tracing::info!(slot = %key, %listen, "its address can be listened on again");
                }
                found.push(Input::Tried { slot: key.clone(), why });
            }
        }
        if !found.is_empty() {
            self.feed(found).await;
        }
    }

    /// Addresses of the configuration that are not listened on as they should be.
    pub(super) fn silent(&self) -> Vec<Silent> {
        let services = self.state.spec.services.iter();
        let placed =
            services.flat_map(|(name, of)| of.placements.iter().map(move |(environment, of)| (name, environment, of)));
        let silent = placed.flat_map(|(service, environment, of)| {
            let key = SlotKey { service: service.clone(), environment: environment.clone() };
            let slot = self.state.slots.get(&key).filter(|slot| !slot.removed);
            let own = slot.and_then(|slot| of.listen.map(|listen| (listen, slot.listening(listen))));
            let redirect = slot.and_then(|slot| slot.redirect_listening(of));
            own.into_iter().chain(redirect).filter_map(move |(address, listening)| {
                let why = match listening {
                    Listening::Open | Listening::Closed => return None,
                    Listening::Pending => None,
                    Listening::Refused { why } => Some(why),
                };
                Some(Silent { place: format!("{service} in {environment}"), address: address.to_string(), why })
            })
        });
        silent.collect()
    }

    pub(super) async fn lapsed(&mut self, lapsed: Vec<Lapse>) {
        let now = clock();
        let inputs: Vec<Input> = lapsed
            .into_iter()
            .filter_map(|lapse| {
                let ago = SignedDuration::from_millis(i64::try_from(lapse.ago_ms).unwrap_or(i64::MAX));
                let at = now.checked_sub(ago).unwrap_or(now);
                let (slot, _) = self.state.of_listener(&lapse.listener)?;
                Some(Input::LeaseLapsed { slot, version: lapse.version, at })
            })
            .collect();
        if !inputs.is_empty() {
            self.feed(inputs).await;
        }
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = (&SlotKey, &Route)> {
        self.state.slots.iter().filter_map(|(slot, state)| {
            let newest = state.routing.sent.last().or(state.routing.acked.as_ref());
            Some((slot, newest?.route.as_ref()?))
        })
    }

    pub(super) fn leased(&self) -> bool {
        self.routes().any(|(_, route)| route.fallback.is_some())
    }

    pub(super) async fn counted(&mut self, stats: Stats) {
        let lapsed = stats.lapsed.clone();
        self.unmatched.send_replace(stats.unmatched.clone());
        let routes: Vec<_> = self.routes().map(|(slot, route)| (slot.clone(), route.clone())).collect();
        let windows = self.counters.read(stats, std_now(), routes.iter().map(|(slot, route)| (slot, route)));
        self.metrics.send_replace(self.counters.metrics());
        let (now, mut inputs, mut samples) = (clock(), Vec::new(), Vec::new());
        for window in windows {
            let Some(slot) = self.state.slots.get(&window.slot) else { continue };
            if window.traffic {
                let target = slot.target(&self.settings.source);
                let route = routes.iter().find(|(key, _)| *key == window.slot);
                samples.extend(route.iter().flat_map(|(_, route)| windows::samples(&window, route, &target, now)));
            }
            if window.traffic || slot.active().is_some() {
                inputs.push(Input::Window { slot: window.slot, pools: window.pools, window_ms: window.window_ms });
            }
        }
        self.publisher.samples(samples);
        self.lapsed(lapsed).await;
        if !inputs.is_empty() {
            self.feed(inputs).await;
        }
    }
}

/// Addresses that the proxy listens on for a slot, or is about to.
fn listens(slot: &Slot) -> Vec<SocketAddr> {
    let routings = [&slot.routing, &slot.preview].into_iter();
    let sent = routings.flat_map(|routing| routing.acked.iter().chain(&routing.sent));
    let routes = sent.filter_map(|sent| sent.route.as_ref());
    routes.flat_map(|route| std::iter::once(route.listen).chain(route.options.ingress.redirect_from)).collect()
}

/// A reason, with who listens on the port instead; the same as before where that began so.
fn owned(why: &str, listen: SocketAddr, before: Option<&String>) -> String {
    match before.filter(|before| before.starts_with(why)) {
        Some(before) => before.clone(),
        None => listening::owner(listen.port()).map_or_else(|| why.to_owned(), |owner| format!("{why}: {owner}")),
    }
}

/// Why an address can't be listened on now; `before`: why it could not be before.
fn why_not_bound(listen: SocketAddr, before: Option<&String>) -> Option<String> {
    match std::net::TcpListener::bind(listen) {
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Some(owned(&format!("{listen} is in use by another program"), listen, before))
        }
        Err(error) => Some(format!("listening on {listen} failed: {error}")),
    }
}

/// The monotonic clock.
fn std_now() -> std::time::Instant {
    Instant::now().into_std()
}
