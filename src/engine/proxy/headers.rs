//! What a proxy changes in the headers that pass it (RFC 9110, section 7.6). Pure.

use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Uri, Version};
use std::net::{IpAddr, Ipv6Addr};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Who asked, by the proxies on the way.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// What a proxy in front says of who asks for what.
const SAID_IN_FRONT: [HeaderName; 6] =
    [FORWARDED, FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, FORWARDED_PORT, REAL_IP];
/// Follows a request through all services.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken over from a user.
const MAX_REQUEST_ID: usize = 128;

const HOP_BY_HOP: [HeaderName; 8] =
    [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, CONNECTION];

/// What `Connection` can't name: whoever asks could take away what a hop before this one said, or what
/// tells where a request ends and whom it is for.
const END_TO_END: [HeaderName; 10] = [
    HOST,
    CONTENT_LENGTH,
    FORWARDED,
    FORWARDED_FOR,
    FORWARDED_PROTO,
    FORWARDED_HOST,
    REAL_IP,
    REQUEST_ID,
    AUTHORIZATION,
    COOKIE,
];

/// Removes what concerns one connection only, also what `Connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = connection_tokens(headers).filter_map(|token| token.parse().ok()).collect();
        for name in named.into_iter().filter(|name| !END_TO_END.contains(name)) {
            headers.remove(name);
        }
    }
    remove(headers, &HOP_BY_HOP);
}

/// Most requests have none of them, and to look at the few names that there are takes less time than to search
/// for each of these.
fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    if headers.keys().any(|name| names.contains(name)) {
        for name in names {
            headers.remove(name);
        }
    }
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// The protocol that a user or an instance wants to change to, if `Connection` names `Upgrade` too.
/// Never HTTP/2: behind it requests would pass that nobody here sees (`h2c` smuggling).
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let http = |token: &[u8]| token.trim_ascii().get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"h2"));
    if headers.get_all(UPGRADE).iter().any(|value| value.as_bytes().split(|byte| *byte == b',').any(http)) {
        return None;
    }
    connection_tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade")).then(|| protocol.clone())
}

/// Says that this connection changes its protocol.
pub fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Why a request's `Host`, or the authority of its absolute target, can't be trusted to mean one host
/// (RFC 9112, sections 3.2 and 3.2.2; RFC 9113, section 8.3.1).
pub fn bad_host(version: Version, headers: &HeaderMap, authority: Option<&str>) -> Option<&'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_2 && authority.is_none() => return Some("a request needs an authority"),
        (Some(host), None)
            if version == Version::HTTP_2
                && authority.is_some_and(|of| !of.as_bytes().eq_ignore_ascii_case(host.as_bytes())) =>
        {
            return Some("the Host header is another one than the request's authority");
        }
        (None, _) if version == Version::HTTP_11 => return Some("a request needs a Host header"),
        (Some(_), Some(_)) => return Some("a request has one Host header"),
        (Some(host), None) if !is_host(host.as_bytes()) => return Some("the Host header is no host"),
        _ => {}
    }
    authority.filter(|of| !is_host(of.as_bytes())).map(|_| "the request's target names no host")
}

/// A name or an address, with a port or without: what DNS and RFC 3986, section 3.2.2, agree on. Nothing that
/// separates (`,`, `@`, `/`) and nothing that is encoded, which two servers could read differently.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (address, after) = rest.split_at(end);
            let is_address = std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
            if !is_address {
                return false;
            }
            (address, after.get(1..).unwrap_or_default())
        }
        _ => value.split_at(value.iter().position(|byte| *byte == b':').unwrap_or(value.len())),
    };
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(byte);
    let digits = match port {
        [] => return !host.is_empty() && host.iter().all(in_name),
        [b':', digits @ ..] => digits,
        _ => return false,
    };
    let is_port = std::str::from_utf8(digits).is_ok_and(|text| text.parse::<u16>().is_ok());
    !host.is_empty() && host.iter().all(in_name) && digits.iter().all(u8::is_ascii_digit) && is_port
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'u> {
    /// The address of the connection.
    pub peer: &'u HeaderValue,
    /// It came over TLS.
    pub secure: bool,
    /// It is a proxy in front, whose word on who asks is taken.
    pub trusted: bool,
}

/// Who asks: whoever the proxy in front names, where one is trusted, else the connection itself.
pub fn client(headers: &HeaderMap, peer: IpAddr, trusted: bool) -> IpAddr {
    let last = headers.get_all(FORWARDED_FOR).iter().next_back().filter(|_| trusted);
    let named = last.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
    named.map_or(peer, |named| named.to_canonical())
}

/// In HTTP/2 a user may send cookies one by one; others know one header only (RFC 9113, section 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Put together of what could stand in a header, it can stand in one.
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Does the user read what follows a body?
fn wants_trailers(headers: &HeaderMap) -> bool {
    let tokens = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tokens.map(str::trim).any(|token| token.eq_ignore_ascii_case("trailers"))
}

/// Makes a user's headers those that an instance gets. `authority` is that of an absolute target, which goes
/// before `Host`; `instance` stands in for a missing one.
pub fn to_instance(
    headers: &mut HeaderMap,
    origin: Origin<'_>,
    authority: Option<HeaderValue>,
    instance: impl FnOnce() -> Option<HeaderValue>,
    new_id: impl FnOnce() -> HeaderValue,
) {
    let trailers = wants_trailers(headers);
    strip_hop_by_hop(headers);
    if trailers {
        // What a user reads is read here too, and passed on.
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    // The body is asked for at once, which lets hyper tell the user to continue.
    headers.remove(EXPECT);
    if let Some(host) = authority {
        headers.insert(HOST, host);
    } else if !headers.contains_key(HOST)
        && let Some(host) = instance()
    {
        headers.insert(HOST, host);
    }
    if !origin.trusted {
        remove(headers, &SAID_IN_FRONT);
    }
    headers.append(FORWARDED_FOR, origin.peer.clone());
    // A proxy in front knows better than this hop what the user spoke.
    let spoken = HeaderValue::from_static(if origin.secure { "https" } else { "http" });
    headers.entry(FORWARDED_PROTO).or_insert(spoken);
    if let Some(host) = headers.get(HOST).cloned() {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    if !headers.get(REQUEST_ID).is_some_and(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID) {
        headers.insert(REQUEST_ID, new_id());
    }
}

/// The target as it is sent to an origin, path and query; `None` where it is that already.
pub fn origin_form(uri: &Uri) -> Option<Uri> {
    let absolute = uri.scheme().is_some() || uri.authority().is_some();
    absolute.then(|| uri.path_and_query().cloned().map_or_else(|| Uri::from_static("/"), Uri::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap())).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn hop_by_hop_headers_and_those_that_connection_names_are_removed() {
        let mut headers = map(&[
            ("connection", "X-Foo, close"),
            ("connection", "x-bar"),
            ("x-foo", "1"),
            ("x-bar", "2"),
            ("x-keep", "3"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("host", "a"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["host", "x-keep"]);
        let mut headers = map(&[("connection", "host"), ("host", "a")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["host"]);
        let mut headers = map(&[("connection", "x-forwarded-for, content-length, x-real-ip, x-own")]);
        headers.extend(map(&[("x-forwarded-for", "1.2.3.4"), ("content-length", "3"), ("x-own", "1")]));
        strip_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["content-length", "x-forwarded-for"]);
    }

    #[test]
    fn an_instance_learns_who_asked_for_what() {
        let peer = HeaderValue::from_static("10.0.0.9");
        let direct = Origin { peer: &peer, secure: false, trusted: false };
        let id = || HeaderValue::from_static("made");
        let mut headers = map(&[("host", "shop.example"), ("expect", "100-continue")]);
        to_instance(&mut headers, direct, None, || None, id);
        assert_eq!(
            names(&headers),
            ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"]
        );
        assert_eq!(headers["x-forwarded-host"], "shop.example");
        assert_eq!(headers["x-request-id"], "made");

        let before =
            [("host", "b"), ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"), ("x-request-id", "r")];
        let mut headers = map(&before);
        let behind = Origin { trusted: true, ..direct };
        to_instance(&mut headers, behind, Some(HeaderValue::from_static("abs:8080")), || None, id);
        let all: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        assert_eq!(all, ["1.2.3.4", "10.0.0.9"]);
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["host"], "abs:8080");
        assert_eq!(headers["x-request-id"], "r");

        let mut headers = map(&before);
        headers.extend(map(&[("x-real-ip", "1.2.3.4"), ("forwarded", "for=1.2.3.4"), ("x-forwarded-port", "1")]));
        to_instance(&mut headers, Origin { secure: true, ..direct }, None, || None, id);
        let all: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        assert_eq!((all.as_slice(), &headers["x-forwarded-proto"]), (&[&peer][..], &HeaderValue::from_static("https")));
        let left = ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"];
        assert_eq!(names(&headers), left, "nobody else is believed");

        let mut headers = map(&[("x-request-id", &"r".repeat(129))]);
        to_instance(&mut headers, direct, None, || Some(HeaderValue::from_static("127.0.0.1:9")), id);
        assert_eq!((&headers["host"], &headers["x-request-id"]), (&"127.0.0.1:9".parse().unwrap(), &id()));
    }

    #[test]
    fn who_asks_is_said_by_a_trusted_proxy_only() {
        let peer: IpAddr = "10.0.0.9".parse().unwrap();
        for (values, said) in [
            (vec!["1.2.3.4"], "1.2.3.4"),
            (vec!["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
            (vec!["9.9.9.9", "1.2.3.4"], "1.2.3.4"),
            (vec!["::ffff:1.2.3.4"], "1.2.3.4"),
            (vec!["2001:db8::1"], "2001:db8::1"),
            (vec!["unknown"], "10.0.0.9"),
            (vec![], "10.0.0.9"),
        ] {
            let headers = map(&values.iter().map(|value| ("x-forwarded-for", *value)).collect::<Vec<_>>());
            assert_eq!(client(&headers, peer, true).to_string(), said, "{values:?}");
            assert_eq!(client(&headers, peer, false), peer, "{values:?}");
        }
    }

    #[test]
    fn cookies_become_one_header() {
        for (before, after) in
            [(vec![], vec![]), (vec!["a=1"], vec!["a=1"]), (vec!["a=1", "b=2; c=3"], vec!["a=1; b=2; c=3"])]
        {
            let mut headers = map(&before.iter().map(|value| ("cookie", *value)).collect::<Vec<_>>());
            join_cookies(&mut headers);
            let got: Vec<_> = headers.get_all("cookie").iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(got, after);
        }
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        assert_eq!(
            upgrade(&map(&[("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")])).unwrap(),
            "websocket"
        );
        assert_eq!(upgrade(&map(&[("upgrade", "websocket")])), None);
        assert_eq!(upgrade(&map(&[("connection", "upgrade")])), None);
        for hidden in ["h2c", "websocket, H2C", "h2"] {
            assert_eq!(upgrade(&map(&[("upgrade", hidden), ("connection", "upgrade")])), None, "{hidden}");
        }
    }

    #[test]
    fn a_request_has_one_host() {
        let bad = |version, headers: &[(&'static str, &str)], authority| bad_host(version, &map(headers), authority);
        assert!(bad(Version::HTTP_11, &[], None).is_some());
        assert!(bad(Version::HTTP_11, &[("host", "a"), ("host", "a")], None).is_some());
        assert!(bad(Version::HTTP_10, &[], None).is_none());
        assert!(bad(Version::HTTP_2, &[], None).is_some());
        assert!(bad(Version::HTTP_2, &[], Some("a")).is_none());
        assert!(bad(Version::HTTP_2, &[("host", "A")], Some("a")).is_none());
        assert!(bad(Version::HTTP_2, &[("host", "b")], Some("a")).is_some());
        for good in ["a", "shop.example:8080", "127.0.0.1:80", "[::1]", "[2001:db8::1]:443", "a_b-c.d~e"] {
            assert_eq!(bad(Version::HTTP_11, &[("host", good)], None), None, "{good}");
            assert_eq!(bad(Version::HTTP_11, &[("host", "a")], Some(good)), None, "{good}");
        }
        for garbage in [
            "", "a b", "a,b", "a/b", "me@a", "a?b", "a#b", "a%41", "a:b", "a:", "a:1:2", "a:70000", "a:+1", ":80",
            "[::1", "[a]", "[::1]x", "::1", "<a>", "a\\b",
        ] {
            assert!(bad(Version::HTTP_11, &[("host", garbage)], None).is_some(), "{garbage}");
            assert!(bad(Version::HTTP_11, &[("host", "a")], Some(garbage)).is_some(), "{garbage}");
        }
    }

    #[test]
    fn an_absolute_target_becomes_a_path() {
        for (from, to) in [("http://a:1/x?y=1", "/x?y=1"), ("/x", "/x"), ("*", "*"), ("http://a", "/")] {
            let uri = from.parse().unwrap();
            assert_eq!(origin_form(&uri).unwrap_or(uri), to, "{from}");
        }
    }
}
