//! Addresses that a service is reached at, each once on a machine.

use crate::reader::Value;
use flightdeck_model::{InForce, Ingress, Listens, ServiceKind};
use std::net::{IpAddr, SocketAddr};

/// A listener, for the search for clashes.
pub(super) struct Listener<'d> {
    pub(super) value: Value<'d>,
    pub(super) address: SocketAddr,
    /// Of what nothing can tell apart from others.
    pub(super) of: ServiceKind,
    pub(super) ingress: Ingress,
}

/// An address that is to be listened on.
pub(super) fn listen<'d>(
    value: Value<'d>,
    of: ServiceKind,
    ingress: Ingress,
    listeners: &mut Vec<Listener<'d>>,
) -> Option<SocketAddr> {
    let expected = "an address and port such as \"127.0.0.1:8080\"";
    let text = value.text(expected)?;
    let Some(address) = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0) else {
        let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).filter(|port| *port != 0);
        let local = text.starts_with(':') || text.starts_with("localhost:") || !text.contains(':');
        value.expected(expected, port.filter(|_| local).map(|port| format!("\"127.0.0.1:{port}\"")));
        return None;
    };
    if listeners.len() >= MOST_LISTENERS {
        value.wrong(&format!("expected at most {MOST_LISTENERS} addresses in one file"), None);
        return None;
    }
    listeners.push(Listener { value, address, of, ingress });
    Some(address)
}

/// Notes listeners that can't be open at the same time, and those of one address that nothing tells apart, here
/// or in another configuration.
pub(super) fn clashes(listeners: &[Listener<'_>], beside: &[InForce]) {
    let elsewhere: Vec<_> = beside
        .iter()
        .flat_map(|other| {
            let listens = other.spec.listens();
            listens.map(|of| Listens { place: format!("{} of {}", of.place, other.words()), ..of })
        })
        .collect();
    for (index, listener) in listeners.iter().enumerate() {
        let (earlier, _) = listeners.split_at(index);
        let here = earlier.iter().map(|of| (of.value.path.as_str(), of.address, of.of, &of.ingress));
        let elsewhere = elsewhere.iter().map(|of| (of.place.as_str(), of.address, of.kind, &of.ingress));
        let mut others = here.chain(elsewhere);
        if let Some(why) = others.find_map(|(name, at, kind, ingress)| listener.clash(name, at, kind, ingress)) {
            listener.value.wrong(&why, None);
        }
    }
}

impl Listener<'_> {
    fn clash(&self, other: &str, at: SocketAddr, kind: ServiceKind, ingress: &Ingress) -> Option<String> {
        let whole = |of: &Ingress| of.hosts.is_empty() && of.paths.is_empty();
        let raw = [self.of, kind].contains(&ServiceKind::Tcp);
        if raw || self.address != at || (whole(&self.ingress) && whole(ingress)) {
            let found = self.address;
            return clash(self.address, at)
                .then(|| format!("expected an address that {other} does not use, found \"{found}\""));
        }
        if let Some(what) = self.ingress.clash(ingress) {
            return Some(format!("expected hosts or paths that tell it from {other}, found {what} in both"));
        }
        let tls = |of: &Ingress| !of.certificates.is_empty();
        (tls(&self.ingress) != tls(ingress))
            .then(|| format!("expected tls here and for {other}, or for neither: they share an address"))
    }
}

/// Addresses in one file: each is compared with each.
const MOST_LISTENERS: usize = 1000;

/// `[::]` takes IPv4 as well on Linux unless told otherwise.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4());
    a.port() == b.port() && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}
