//! A user's place: the same for the same key and salt, on every machine and in every version. Pure.

use super::headers::FORWARDED_FOR;
use super::wire::Sticky;
use flightdeck_model::{Ppm, StickyKey};
use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// The cookie that the proxy sets.
const VISITOR: &str = "flightdeck-visitor";

/// The place of whoever asks, in 0..1,000,000; `None` without a key.
pub fn place(sticky: &Sticky, headers: &HeaderMap, client: IpAddr) -> Option<u32> {
    let value = match &sticky.key {
        // What stands there anybody may have written; who asks is known.
        StickyKey::Header(name) if FORWARDED_FOR == name.as_str() => {
            return Some(place_of(&sticky.salt, client.to_string().as_bytes()));
        }
        StickyKey::Header(name) => headers.get(name)?.as_bytes(),
        StickyKey::Cookie(name) => cookie(headers, name.as_bytes())?,
        StickyKey::Own => cookie(headers, VISITOR.as_bytes())?,
    };
    (!value.is_empty()).then(|| place_of(&sticky.salt, value))
}

/// The place of a visitor that the proxy has just named.
pub fn place_of_visitor(sticky: &Sticky, visitor: &str) -> u32 {
    place_of(&sticky.salt, visitor.as_bytes())
}

/// What keeps a visitor's name for 30 days, out of reach for scripts.
pub fn set_cookie(visitor: &str, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{VISITOR}={visitor}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(cookie).ok()
}

/// The first 64 bits of SHA-256 over salt, a zero byte and value, big-endian, scaled down.
fn place_of(salt: &str, value: &[u8]) -> u32 {
    let hash = Sha256::new().chain_update(salt).chain_update([0]).chain_update(value).finalize();
    let first = hash.iter().take(8).fold(0_u64, |first, byte| first << 8 | u64::from(*byte));
    u32::try_from((u128::from(first) * u128::from(Ppm::ALL.0)) >> 64).unwrap_or(0)
}

/// The first cookie of that name (RFC 6265, section 4.2.1).
fn cookie<'h>(headers: &'h HeaderMap, name: &[u8]) -> Option<&'h [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_place_never_changes_from_version_to_version() {
        // printf 'run-7\0alice' | sha256sum: the first 16 digits, times 1,000,000, by 2^64.
        for (salt, value, expected) in [("run-7", "alice", 71_281), ("run-8", "alice", 423_752), ("", "", 430_481)] {
            assert_eq!(place_of(salt, value.as_bytes()), expected, "{salt} {value}");
        }
    }

    #[test]
    fn places_are_spread_evenly() {
        let mut tenths = [0_u32; 10];
        for user in 0..20_000 {
            tenths[place_of("salt", format!("user-{user}").as_bytes()) as usize / 100_000] += 1;
        }
        // Binomial with a standard deviation of 42.
        assert!(tenths.iter().all(|count| (1_800..2_200).contains(count)), "{tenths:?}");
    }

    #[test]
    fn the_key_is_a_header_or_a_cookie_by_its_whole_name() {
        let by = |key| Sticky { key, salt: "s".into() };
        let header = by(StickyKey::Header("X-User".into()));
        let cookie = by(StickyKey::Cookie("uid".into()));
        let alice = Some(place_of("s", b"alice"));
        let place = |sticky: &Sticky, headers: &HeaderMap| place(sticky, headers, IpAddr::from([10, 0, 0, 9]));
        let address = by(StickyKey::Header("X-Forwarded-For".into()));
        let forged = headers(&[("x-forwarded-for", "alice")]);
        assert_eq!(place(&address, &forged), Some(place_of("s", b"10.0.0.9")));
        assert_eq!(place(&header, &headers(&[("x-user", "alice")])), alice);
        for (value, expected) in [
            ("uid=alice", alice),
            ("xuid=bob; uid=alice; uid=carol", alice),
            ("uidx=bob;uid=alice", alice),
            ("uid=", None),
            ("id=alice", None),
        ] {
            assert_eq!(place(&cookie, &headers(&[("cookie", value)])), expected, "{value}");
        }
        assert_eq!(place(&cookie, &headers(&[("cookie", "a=b"), ("cookie", "uid=alice")])), alice);
        assert_eq!(place(&header, &headers(&[])), None);
    }
}
