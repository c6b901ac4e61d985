//! By what a metrics system tells whose its numbers are, and what of it an arm of a row has.

use flightdeck_model::{Arm, PodNames, Rollout};
use std::collections::BTreeSet;

/// The values of the labels that say whose a number is.
pub(super) type Key = Vec<String>;

/// Which labels say whose a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// The namespace, and the set of pods: a pod's name without its last part.
    PodSet,
    /// The namespace, and the hash of the pods' template.
    Template,
    /// The namespace and the workload, whatever its pods run.
    Workload,
    /// The namespace, the workload and its version.
    Version,
    /// The service and its version, as those who instrument it call them.
    Release,
    /// A Service, as a proxy spells it.
    Service,
    /// The environment, the service, the version and the role, as the built-in engine tells them.
    Side,
}

/// What an arm is called by a [`Naming`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// So. One of them is enough.
    Keys(Vec<Key>),
    /// As all sets of pods of this workload are.
    SetsOf(Key),
    /// The labels do not tell its row's sides apart.
    Untold,
    /// It has nothing that could be measured so.
    Nothing,
}

impl Naming {
    pub(super) fn of(self, row: &Rollout, arm: &Arm) -> Named {
        if self == Naming::Side {
            let parts = [row.environment.as_str(), row.service.as_str(), arm.version.as_str(), &arm.role.to_string()];
            return Named::Keys(vec![parts.map(str::to_owned).to_vec()]);
        }
        let Some(namespace) = row.run.target.namespace.as_deref().filter(|name| !name.is_empty()) else {
            return Named::Nothing;
        };
        let key = |rest: &[&str]| -> Key { [namespace].iter().chain(rest).map(|part| (*part).to_owned()).collect() };
        let (workload, alone) = (row.run.target.name.as_str(), row.arms.len() == 1);
        match (self, &arm.pods) {
            (Naming::Service, pods) => match &arm.service {
                Some(service) => Named::Keys(spellings(namespace, service)),
                None if pods.is_none() || row.arms.iter().any(|arm| arm.service.is_some()) => Named::Nothing,
                // What is usual, where nothing else can be meant.
                None if alone => Named::Keys(spellings(namespace, workload)),
                None => Named::Untold,
            },
            (_, None) => Named::Nothing,
            (Naming::PodSet, Some(PodNames::Set(name))) => Named::Keys(vec![key(&[name])]),
            (Naming::PodSet, Some(PodNames::Workload(name))) => Named::SetsOf(key(&[name])),
            (Naming::Template, Some(PodNames::Set(name))) => {
                let hash = name.strip_prefix(workload).and_then(|rest| rest.strip_prefix('-'));
                hash.map_or(Named::Untold, |hash| Named::Keys(vec![key(&[hash])]))
            }
            (Naming::Workload, Some(_)) if alone => Named::Keys(vec![key(&[workload])]),
            (Naming::Version, Some(_)) if tells_versions_apart(row) => {
                Named::Keys(vec![key(&[workload, arm.version.as_str()])])
            }
            (Naming::Release, Some(_)) if tells_versions_apart(row) => {
                let names: BTreeSet<&str> = [row.service.as_str(), workload].into();
                let version = arm.version.as_str();
                Named::Keys(names.into_iter().map(|name| vec![name.to_owned(), version.to_owned()]).collect())
            }
            _ => Named::Untold,
        }
    }
}

fn tells_versions_apart(row: &Rollout) -> bool {
    let versions: BTreeSet<&str> = row.arms.iter().map(|arm| arm.version.as_str()).collect();
    versions.len() == row.arms.len()
}

/// How proxies spell a Service: by its name alone, or with its namespace (Traefik, HAProxy and Envoy as ingress
/// controllers, Istio).
pub(super) fn spellings(namespace: &str, service: &str) -> Vec<Key> {
    let with = ["-", "_", "/", "_svc_"].map(|between| format!("{namespace}{between}{service}"));
    let host = format!("{service}.{namespace}");
    [service.to_owned(), host].into_iter().chain(with).map(|name| vec![name]).collect()
}

/// What a proxy's name of something may spell, the name as it stands first: `shop-web-80@kubernetes`,
/// `shop/web/80/da39a3ee5e`, `outbound|80||web.shop.svc.cluster.local`.
pub(super) fn meant(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned()];
    let bare = name.split('@').next().unwrap_or(name);
    if let Some((_, host)) = bare.rsplit_once('|') {
        all.extend(host.split_once(".svc").map(|(service, _)| service.to_owned()));
        return all;
    }
    all.push(bare.to_owned());
    let mut rest = bare;
    for _ in 0..2 {
        match rest.rsplit_once(['-', '_', '/']) {
            Some((before, last))
                if is_port(last) || (is_hash(last) && rest[..rest.len() - last.len()].ends_with('/')) =>
            {
                all.push(before.to_owned());
                rest = before;
            }
            _ => break,
        }
    }
    all
}

/// A port, by its number or by a name that only ports have. Anything else may be a part of a Service's name, and of
/// two Services one must not be taken for the other.
fn is_port(part: &str) -> bool {
    matches!(part, "http" | "https" | "http2" | "h2c" | "grpc")
        || (!part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
}

fn is_hash(part: &str) -> bool {
    part.len() == 10 && part.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_name_spells_a_service_with_its_port_and_never_another_service() {
        let spells = |name: &str, service: &str| {
            let all = spellings("shop", service);
            meant(name).into_iter().any(|name| all.contains(&vec![name]))
        };
        for (name, service) in [
            ("web", "web"),
            ("shop-web", "web"),
            ("web@file", "web"),
            ("shop-web-80@kubernetes", "web"),
            ("shop-web-canary-http@kubernetescrd", "web-canary"),
            ("shop_web_8080", "web"),
            ("shop_svc_web_http", "web"),
            ("shop/web/80/da39a3ee5e", "web"),
            ("outbound|80|v2|web.shop.svc.cluster.local", "web"),
        ] {
            assert!(spells(name, service), "{name}: {:?}", meant(name));
        }
        for name in
            ["shop-web-canary", "shop-web-v2-80@kubernetes", "web-canary@file", "web/da39a3", "", "-80", "@", "|"]
        {
            assert!(!spells(name, "web"), "{name}: {:?}", meant(name));
        }
    }
}
