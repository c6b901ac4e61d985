//! What addresses lead to: services by host and path, their certificates, and redirects.

use super::{Control, clock};
use crate::backend::Lead;
use crate::hosts::Hosts;
use crate::tls::Pair;
use crate::wire::Route;
use flightdeck_model::{CertificatePart, UnfitCertificate};
use flightdeck_shim::wire::Listening;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

impl Control {
    /// The certificates of a route: those that it has already stay as they are.
    pub(super) async fn pairs(&mut self, route: &Route) -> Result<Vec<Pair>, UnfitCertificate> {
        let before = self.in_force.get(&route.listener);
        let files = &route.options.ingress.certificates;
        if let Some(before) = before.filter(|before| before.route.options.ingress.certificates == *files) {
            return Ok(before.pairs.clone());
        }
        let files = files.clone();
        let read = move || files.iter().map(Pair::read).collect();
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| {
            Err(UnfitCertificate {
                part: CertificatePart::Cert,
                why: format!("reading the certificates failed: {error}"),
            })
        })
    }

    /// Makes an address lead to what is to be reached there now; nothing: it closes.
    pub(super) async fn lead(&mut self, address: SocketAddr) {
        let here = || self.in_force.values().filter(|of| of.route.listen == address);
        let from_here = || self.in_force.values().filter(|of| of.route.options.ingress.redirect_from == Some(address));
        if here().chain(from_here()).next().is_none() {
            self.redirects_refused.remove(&address);
            return self.frontends.close(address).await;
        }
        if let Some(all) = here().find(|of| of.route.options.tcp) {
            return self.frontends.lead_all(address, Arc::clone(&all.backend));
        }
        let services = here().map(|of| (&of.route.options.ingress, Lead::Service(Arc::clone(&of.backend))));
        let redirects =
            from_here().map(|of| (&of.route.options.ingress, Lead::Redirect { port: of.route.listen.port() }));
        let hosts = Hosts::new(services.chain(redirects));
        let keys = here().flat_map(|of| &of.pairs).map(|pair| Arc::clone(&pair.certificate.key)).collect();
        self.frontends.lead(address, hosts, keys);
    }

    /// Listens where redirects come from. What can't be had there does not keep services from their users: it is
    /// told, and tried again.
    pub(super) async fn open_redirects(&mut self) {
        let wanted = self.in_force.values().filter_map(|of| Some((of, of.route.options.ingress.redirect_from?)));
        let closed = wanted.filter(|(_, address)| !self.frontends.is_open(*address));
        let closed: Vec<_> =
            closed.map(|(of, address)| Listening { listener: of.route.listener.clone(), address }).collect();
        for at in closed {
            let address = at.address;
            match self.frontends.open(at).await {
                Ok(()) => {
                    self.redirects_refused.remove(&address);
                    self.lead(address).await;
                }
                Err(error) => {
                    let why = not_listening(address, &error);
                    if self.redirects_refused.get(&address) != Some(&why) {
                        tracing::error!(why, "nobody is sent on to TLS from there; tried again until it works");
                    }
                    self.redirects_refused.insert(address, why);
                }
            }
        }
    }

    /// Why the address of a listener's redirect is not listened on.
    pub(super) fn redirect_refused(&self, listener: &str) -> Option<String> {
        let address = self.in_force.get(listener)?.route.options.ingress.redirect_from?;
        self.redirects_refused.get(&address).cloned()
    }

    /// Puts certificates into force whose files changed.
    pub(super) async fn look_at_certificates(&mut self) {
        let pairs: Vec<(String, Vec<Pair>)> = self
            .in_force
            .iter()
            .filter(|(_, of)| !of.pairs.is_empty())
            .map(|(listener, of)| (listener.clone(), of.pairs.clone()))
            .collect();
        if pairs.is_empty() {
            return;
        }
        let now = clock::wall();
        let look = move || {
            let looked = pairs.into_iter().map(|(listener, mut pairs)| {
                let changed = pairs.iter_mut().filter_map(|pair| pair.look(now).then_some(())).count();
                (listener, pairs, changed > 0)
            });
            looked.filter(|(.., changed)| *changed).collect::<Vec<_>>()
        };
        let changed = match tokio::task::spawn_blocking(look).await {
            Ok(changed) => changed,
            Err(error) => return tracing::error!(%error, "the files of certificates can't be looked at"),
        };
        for (listener, pairs, _) in changed {
            if let Some(of) = self.in_force.get_mut(&listener) {
                of.pairs = pairs;
                let address = of.route.listen;
                self.lead(address).await;
            }
        }
    }
}

/// Where users come in.
pub(super) fn addresses(route: &Route) -> impl Iterator<Item = SocketAddr> + use<> {
    std::iter::once(route.listen).chain(route.options.ingress.redirect_from)
}

pub(super) fn not_listening(address: SocketAddr, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        return format!("{address} is in use by another program");
    }
    format!("listening on {address} failed: {error}")
}
