//! Which service a request on an address is for: by its host, then by its path. Pure.

use flightdeck_model::Ingress;

/// Which hosts a service answers for, the more exact ones first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Exact(String),
    /// `.shop.example` of `*.shop.example`: one label stands before it.
    Wildcard(String),
    Any,
}

#[derive(Debug)]
struct Entry<T> {
    host: Host,
    /// Without a slash at its end; empty: any.
    path: String,
    to: T,
}

/// All that an address leads to. An exact host goes before a wildcard, that before any; of one host the
/// longest path goes first.
#[derive(Debug)]
pub struct Hosts<T>(Vec<Entry<T>>);

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Hosts<T> {
    /// Of what claims the same the first one counts.
    pub fn new<'i>(all: impl Iterator<Item = (&'i Ingress, T)>) -> Self {
        let mut entries: Vec<Entry<T>> = all
            .flat_map(|(ingress, to)| {
                ingress.claims().map(move |(host, path)| Entry {
                    host: Host::of(host),
                    path: path.to_owned(),
                    to: to.clone(),
                })
            })
            .collect();
        entries.sort_by(|a, b| a.host.cmp(&b.host).then_with(|| b.path.len().cmp(&a.path.len())));
        Self(entries)
    }
}

impl<T> Hosts<T> {
    /// What a request is for. `authority` may have a port; `path` has no query.
    pub fn choose(&self, authority: &str, path: &str) -> Option<&T> {
        self.choose_of(authority, path, |_| true)
    }

    /// The same among some of them.
    pub fn choose_of(&self, authority: &str, path: &str, among: impl Fn(&T) -> bool) -> Option<&T> {
        // What leads to one service whatever is asked needs no look at the request.
        if let [Entry { host: Host::Any, path, to }] = self.0.as_slice()
            && path.is_empty()
            && among(to)
        {
            return Some(to);
        }
        let host = name_of(authority);
        let fits = |entry: &&Entry<T>| entry.host.is(host) && begins(path, &entry.path) && among(&entry.to);
        self.0.iter().find(fits).map(|entry| &entry.to)
    }
}

impl Host {
    fn of(text: &str) -> Self {
        match text.strip_prefix('*') {
            _ if text.is_empty() => Self::Any,
            Some(suffix) => Self::Wildcard(suffix.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    fn is(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.eq_ignore_ascii_case(host),
            Self::Wildcard(suffix) => host.split_once('.').is_some_and(|(label, _)| {
                let rest = host.get(label.len()..).unwrap_or_default();
                !label.is_empty() && rest.eq_ignore_ascii_case(suffix)
            }),
        }
    }
}

/// The host of an authority: without its port and the dot of the root.
pub fn name_of(authority: &str) -> &str {
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// `/api` begins `/api` and `/api/x`, not `/apix`.
fn begins(path: &str, beginning: &str) -> bool {
    path.strip_prefix(beginning).is_some_and(|rest| beginning.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingress(hosts: &[&str], paths: &[&str]) -> Ingress {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Ingress { hosts: owned(hosts), paths: owned(paths), ..Ingress::default() }
    }

    #[test]
    fn the_most_exact_host_wins_then_the_longest_path() {
        let all = [
            (ingress(&[], &[]), "rest"),
            (ingress(&[], &["/api"]), "api of all"),
            (ingress(&["*.shop.example"], &[]), "any shop"),
            (ingress(&["shop.example", "www.shop.example"], &[]), "shop"),
            (ingress(&["shop.example"], &["/api", "/v2/"]), "shop api"),
            (ingress(&["shop.example"], &["/api/cart"]), "cart"),
        ];
        let hosts = Hosts::new(all.iter().map(|(ingress, to)| (ingress, *to)));
        for (authority, path, expected) in [
            ("shop.example", "/", "shop"),
            ("SHOP.example:8443", "/api", "shop api"),
            ("shop.example.", "/api/", "shop api"),
            ("shop.example", "/apix", "shop"),
            ("shop.example", "/v2", "shop api"),
            ("shop.example", "/v2/x", "shop api"),
            ("shop.example", "/api/cart/1", "cart"),
            ("www.shop.example", "/api", "shop"),
            ("eu.shop.example", "/", "any shop"),
            ("a.eu.shop.example", "/", "rest"),
            (".shop.example", "/", "rest"),
            ("other.example", "/api/cart", "api of all"),
            ("[::1]:80", "/", "rest"),
            ("", "*", "rest"),
        ] {
            assert_eq!(hosts.choose(authority, path), Some(&expected), "{authority} {path}");
        }
        let some = Hosts::new(all.iter().skip(2).map(|(ingress, to)| (ingress, *to)));
        assert_eq!(some.choose("other.example", "/"), None);
        assert_eq!(Hosts::<()>::default().choose("", "/"), None);
    }

    #[test]
    fn what_two_claim_is_named() {
        let clash = |a: &Ingress, b: &Ingress| a.clash(b);
        let shop = ingress(&["shop.example"], &["/api", "/v2"]);
        assert_eq!(clash(&ingress(&[], &[]), &ingress(&[], &[])).as_deref(), Some("every request"));
        assert_eq!(clash(&shop, &ingress(&["shop.example"], &["/v2/"])).as_deref(), Some("shop.example/v2"));
        assert_eq!(clash(&ingress(&[], &["/a"]), &ingress(&[], &["/a"])).as_deref(), Some("/a of every host"));
        assert_eq!(clash(&shop, &ingress(&["shop.example"], &[])), None);
        assert_eq!(clash(&shop, &ingress(&[], &["/api"])), None);
    }
}
