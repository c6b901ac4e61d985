//! What a kind of service has no use for: each such key is refused with what to use instead.

use crate::reader::{Table, Value};
use flightdeck_model::ServiceKind;

/// Keys of a service or of one of its environments that fit no worker.
const NO_WORKER: [(&str, &str); 12] = [
    ("listen", "a worker is reached by nobody; expected kind = \"http\" or \"tcp\" for what listens"),
    ("hosts", NO_REQUESTS),
    ("paths", NO_REQUESTS),
    ("tls", NO_REQUESTS),
    ("response_timeout", NO_REQUESTS),
    ("trusted_proxies", NO_REQUESTS),
    ("redirect_from", NO_REQUESTS),
    ("access_log", NO_REQUESTS),
    (
        "drain",
        "nothing of a worker is in flight here; expected stop = { grace = \"30s\" }, its time to finish its work",
    ),
    (
        "keep_warm",
        "the version before would go on working beside the new one; expected none: a way back starts it again",
    ),
    ("canary", "a worker has no traffic to share out; expected rolling, blue_green or recreate"),
    ("preview", "a worker has no address to be tried at; expected a hook among checks that tries it"),
];
/// Those that fit nothing whose bytes pass as they are.
const NO_TCP: [(&str, &str); 8] = [
    ("hosts", OWN_ADDRESS),
    ("paths", OWN_ADDRESS),
    ("tls", "the bytes of a TCP service pass as they are; expected the service itself to speak TLS"),
    ("response_timeout", "a TCP service has connections and no answers; expected limits in the service itself"),
    ("trusted_proxies", "the bytes of a TCP service pass as they are; expected none"),
    ("redirect_from", OWN_ADDRESS),
    ("access_log", "a TCP service has connections and no requests; expected a log of the service itself"),
    ("sticky", "what passes on a connection does not tell users apart; expected none: a connection stays where it is"),
];
const NO_REQUESTS: &str = "a worker has no requests; expected kind = \"http\" for what answers them";
const OWN_ADDRESS: &str = "a TCP service has its address for itself; expected another listen for each service";

/// Notes keys of a table that the kind of its service has no use for; `None` if there is one.
pub(super) fn fits(kind: ServiceKind, table: &Table<'_>) -> Option<()> {
    let unfit = match kind {
        ServiceKind::Http => &[][..],
        ServiceKind::Tcp => &NO_TCP[..],
        ServiceKind::Worker => &NO_WORKER[..],
    };
    let found = unfit.iter().filter_map(|(key, why)| Some((table.get(key)?, *why)));
    (found.inspect(|(value, why)| value.wrong_key(why, None)).count() == 0).then_some(())
}

/// Notes a judgement by requests of a service that has none; `None` then.
pub(super) fn judged(kind: ServiceKind, value: &Value<'_>) -> Option<()> {
    let why = match kind {
        ServiceKind::Http => return Some(()),
        ServiceKind::Tcp => "nothing is known of what a TCP service answers",
        ServiceKind::Worker => "a worker has no requests to be judged by",
    };
    value.wrong_key(&format!("{why}; expected a hook that judges it: {{ hook = {{ name = …, run = … }} }}"), None);
    None
}

/// Notes an address in the command line of a worker's hook, or of `what` else is run once; `None` then.
pub(super) fn addressed(kind: ServiceKind, word: &Value<'_>, what: &str) -> Option<()> {
    let named = ["listen", "preview"].into_iter().find(|name| word.says(&format!("{{{name}}}")));
    let name = named.filter(|_| kind == ServiceKind::Worker);
    if let Some(name) = name {
        word.wrong(&format!("a worker's {what} has no {{{name}}}: a worker is reached by nobody"), None);
    }
    name.is_none().then_some(())
}
