//! Queries of one's own, in the place of a preset's.

use flightdeck_port::WrongSetting;
use schemars::JsonSchema;
use serde::Deserialize;

/// What stands for the namespaces that are asked about, as a regular expression.
const NAMESPACES: &str = "{namespaces}";
/// What stands for the span of rates.
const RANGE: &str = "{range}";

/// Queries of one's own. Each may have `{namespaces}`, in the place of which comes a regular expression of the
/// namespaces that are asked about, and `{range}`; its series have the labels `namespace_label` and `arm_label`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Own {
    /// Answers a second, such as
    /// `sum by (namespace, pod_set) (rate(grpc_server_handled_total{namespace=~"{namespaces}"}[{range}]))`.
    #[schemars(title = "a query")]
    pub requests: String,
    /// Of those, failed; zero where none did, and nothing where that is not known.
    #[schemars(title = "a query")]
    pub errors: String,
    /// The median in seconds.
    #[serde(default)]
    #[schemars(title = "a query")]
    pub p50: Option<String>,
    /// The 95th percentile in seconds.
    #[serde(default)]
    #[schemars(title = "a query")]
    pub p95: Option<String>,
    /// The 99th percentile in seconds.
    #[serde(default)]
    #[schemars(title = "a query")]
    pub p99: Option<String>,
}

impl Own {
    fn all(&self) -> [(&'static str, Option<&str>); 5] {
        [
            ("requests", Some(&self.requests)),
            ("errors", Some(&self.errors)),
            ("p50", self.p50.as_deref()),
            ("p95", self.p95.as_deref()),
            ("p99", self.p99.as_deref()),
        ]
    }

    pub(super) fn check(&self) -> Result<(), WrongSetting> {
        for (name, query) in self.all() {
            let Some(query) = query else { continue };
            if query.trim().is_empty() {
                return Err(WrongSetting::at("queries", format!("{name}: expected a query, found none")));
            }
            if let Some(other) = placeholders(query).find(|found| ![NAMESPACES, RANGE].contains(found)) {
                let what = format!("{name}: there is no {other}, expected {NAMESPACES} or {RANGE}");
                return Err(WrongSetting::at("queries", what));
            }
        }
        Ok(())
    }

    /// A query with what its placeholders stand for.
    pub(super) fn filled(query: &str, namespaces: &str, range: &str) -> String {
        query.replace(NAMESPACES, namespaces).replace(RANGE, range)
    }
}

/// Words in braces: PromQL itself has matchers there, never a word alone.
fn placeholders(query: &str) -> impl Iterator<Item = &str> {
    let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    query.match_indices('{').filter_map(move |(at, _)| {
        let end = at + query[at..].find('}')?;
        is_word(&query[at + 1..end]).then(|| &query[at..=end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_words_in_braces_and_matchers_are_none() {
        let query = "rate(x{namespace=~\"{namespaces}\", a=\"{b}\"}[{range}]) or y{}";
        assert_eq!(placeholders(query).collect::<Vec<_>>(), ["{namespaces}", "{b}", "{range}"]);
        assert_eq!(Own::filled("x{n=~\"{namespaces}\"}[{range}]", "pay|shop", "60s"), "x{n=~\"pay|shop\"}[60s]");
    }
}
