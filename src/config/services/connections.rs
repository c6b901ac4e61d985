//! How users' connections are treated: what a service says everywhere, and what an environment says otherwise.

use super::confine;
use super::known::{SECOND, or};
use crate::reader::{Table, Value, quoted};
use flightdeck_model::{AccessLog, Connections, Ppm};
use ipnet::IpNet;
use jiff::SignedDuration;
use std::net::IpAddr;

/// What a service and each of its environments may say.
pub(super) const KEYS: [&str; 4] = ["response_timeout", "drain", "trusted_proxies", "access_log"];

/// Of an access log that says nothing of it.
const LOG_BYTES: u64 = 100 << 20;
/// Less is full within minutes.
const LEAST_LOG: u64 = 10 << 20;

/// Reads what a table says of it.
pub(super) fn connections(table: &Table<'_>) -> Option<Connections> {
    let response_timeout = or(table, "response_timeout", None, |value| value.duration(SECOND).map(Some));
    let drain = or(table, "drain", None, |value| value.duration(SignedDuration::ZERO).map(Some));
    let trusted_proxies = or(table, "trusted_proxies", None, |value| networks(&value).map(Some));
    let access_log = or(table, "access_log", None, |value| access_log(&value).map(Some));
    Some(Connections {
        response_timeout: response_timeout?,
        drain: drain?,
        trusted_proxies: trusted_proxies?,
        access_log: access_log?,
    })
}

/// `true`, `false`, or a table.
fn access_log(value: &Value<'_>) -> Option<AccessLog> {
    let all = AccessLog::On { sample: Ppm::ALL, max_bytes: LOG_BYTES };
    if !value.is_table() {
        return value.flag().map(|on| if on { all } else { AccessLog::Off });
    }
    let table = value.table(&["sample", "max_size"])?;
    let sample = or(&table, "sample", Ppm::ALL, |value| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1,000,000")]
        value.percentage().map(|ratio| Ppm((ratio * f64::from(Ppm::ALL.0)).round() as u32))
    });
    let max_bytes = or(&table, "max_size", LOG_BYTES, |value| confine::size(&value, LEAST_LOG, "100M"));
    Some(AccessLog::On { sample: sample?, max_bytes: max_bytes? })
}

fn networks(value: &Value<'_>) -> Option<Vec<IpNet>> {
    let each = value.list("a list of networks such as [\"10.0.0.0/8\", \"127.0.0.1\"]")?;
    let all: Vec<_> = each.iter().map(network).collect();
    all.into_iter().collect()
}

fn network(value: &Value<'_>) -> Option<IpNet> {
    let expected = "a network such as \"10.0.0.0/8\" or an address such as \"127.0.0.1\"";
    let text = value.text(expected)?;
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    match parsed {
        Some(network) if network.addr() == network.network() => Some(network),
        // Bits beyond the prefix are most likely a slip: which part is meant?
        Some(network) => {
            value.expected(expected, Some(quoted(&network.trunc().to_string())));
            None
        }
        None => {
            let meant = (text == "localhost").then(|| quoted("127.0.0.1"));
            value.expected(expected, meant);
            None
        }
    }
}
