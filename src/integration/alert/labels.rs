//! What labels and annotations say, made harmless and short. Pure.

use flightdeck_model::{Alert, AlertAbout, AlertSeverity, AlertState, LONGEST_NAME, SourceId, sanitize_line};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Labels of an alert that are kept.
const MOST_LABELS: usize = 40;
/// Characters of a label's value.
const LONGEST_VALUE: usize = 200;
/// Characters of a summary.
const LONGEST_SUMMARY: usize = 300;
/// An address that is longer leads nowhere that a person would read.
const LONGEST_URL: usize = 2000;

/// Which labels name what; of each the first that an alert has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Naming {
    pub namespace: Vec<String>,
    pub workload: Vec<String>,
    pub pod_set: Vec<String>,
    pub pod: Vec<String>,
    pub service: Vec<String>,
    pub environment: Vec<String>,
    pub sources: Vec<SourceId>,
}

/// An alert as a system tells of it.
#[derive(Debug, Clone)]
pub(super) struct Told<'a> {
    pub fingerprint: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    pub annotations: &'a BTreeMap<String, String>,
    pub since: Timestamp,
    pub url: Option<&'a str>,
    pub state: AlertState,
}

/// One line, at most so long.
pub(super) fn short(text: &str, most: usize) -> String {
    sanitize_line(text.trim()).chars().take(most).collect()
}

/// The row of an alert.
pub(super) fn alert(source: &SourceId, told: Told<'_>, naming: &Naming) -> Alert {
    let Told { fingerprint, labels, annotations, since, url, state } = told;
    let label = |name: &str| labels.get(name).map(String::as_str).filter(|value| !value.trim().is_empty());
    let annotation = |name: &&str| annotations.get(*name).map(String::as_str).filter(|text| !text.trim().is_empty());
    let said = ["summary", "message", "description"].iter().find_map(annotation).unwrap_or_default();
    let kept = labels.iter().take(MOST_LABELS);
    Alert {
        source: source.clone(),
        fingerprint: short(fingerprint, LONGEST_VALUE),
        name: short(label("alertname").unwrap_or("an alert without a name"), LONGEST_VALUE),
        severity: AlertSeverity::of(label("severity").unwrap_or_default()),
        summary: short(said, LONGEST_SUMMARY),
        labels: kept.map(|(name, value)| (short(name, LONGEST_VALUE), short(value, LONGEST_VALUE))).collect(),
        since,
        url: url.filter(|url| is_link(url)).map(sanitize_line),
        state,
        about: about(labels, naming),
    }
}

fn is_link(url: &str) -> bool {
    url.len() <= LONGEST_URL && (url.starts_with("https://") || url.starts_with("http://"))
}

/// A pod's set: `web-7d5f9c` of `web-7d5f9c-x2x4z`, `store` of `store-0`.
fn set_of(pod: &str) -> Option<String> {
    pod.rsplit_once('-').map(|(set, _)| set.to_owned()).filter(|set| !set.is_empty())
}

fn about(labels: &BTreeMap<String, String>, naming: &Naming) -> AlertAbout {
    let named = |names: &[String]| {
        let value = names.iter().find_map(|name| labels.get(name).filter(|value| !value.is_empty()))?;
        // Cut off it would name something else.
        (value.len() <= LONGEST_NAME).then(|| sanitize_line(value))
    };
    AlertAbout {
        sources: naming.sources.clone(),
        namespace: named(&naming.namespace),
        workload: named(&naming.workload),
        pod_set: named(&naming.pod_set).or_else(|| set_of(&named(&naming.pod)?)),
        service: named(&naming.service).map(Into::into),
        environment: named(&naming.environment).map(Into::into),
    }
}

/// The name that alerts have by their labels where their system gives them none.
pub(super) fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    use sha2::{Digest as _, Sha256};
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    for (name, value) in labels {
        // Neither can be read as a part of the other.
        for text in [name, value] {
            hash.update(text.len().to_be_bytes());
            hash.update(text.as_bytes());
        }
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::Labels;
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn told(labels: &[(&str, &str)], annotations: &[(&str, &str)], url: Option<&str>) -> Alert {
        let (labels, annotations) = (map(labels), map(annotations));
        let naming = Labels::default().naming().unwrap();
        let told = Told {
            fingerprint: "f",
            labels: &labels,
            annotations: &annotations,
            since: Timestamp::UNIX_EPOCH,
            url,
            state: AlertState::Firing,
        };
        alert(&"am".into(), told, &naming)
    }

    #[test]
    fn the_usual_labels_say_what_an_alert_is_about() {
        let labels = [
            ("alertname", "HighErrors"),
            ("severity", "critical"),
            ("namespace", "shop"),
            ("deployment", "web"),
            ("pod", "web-7d5f9c-x2x4z"),
            ("app", "checkout"),
            ("env", "production"),
        ];
        let alert = told(&labels, &[("description", "long"), ("summary", "5 % fail")], Some("http://prom/graph"));
        assert_eq!((alert.name.as_str(), alert.severity), ("HighErrors", AlertSeverity::Critical));
        assert_eq!((alert.summary.as_str(), alert.url.as_deref()), ("5 % fail", Some("http://prom/graph")));
        let about = alert.about;
        assert_eq!((about.namespace.as_deref(), about.workload.as_deref()), (Some("shop"), Some("web")));
        assert_eq!(about.pod_set.as_deref(), Some("web-7d5f9c"));
        assert_eq!(about.service.unwrap().as_str(), "checkout");
        assert_eq!(about.environment.unwrap().as_str(), "production");
        let alert = told(&[("service", "a"), ("app", "b")], &[], None);
        assert_eq!(alert.about.service.unwrap().as_str(), "a", "the first of them");
        assert_eq!((alert.name.as_str(), alert.severity), ("an alert without a name", AlertSeverity::Unknown));
    }

    #[test]
    fn hostile_labels_are_harmless_short_and_name_nothing_else() {
        let long = "x".repeat(5000);
        let many: Vec<(String, String)> = (0..100).map(|at| (format!("z{at:03}"), long.clone())).collect();
        let mut labels: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        labels.extend([("alertname", "up\u{1b}[2J\u{202e}"), ("namespace", "shop"), ("deployment", &long)]);
        let alert = told(&labels, &[("summary", "a\nb\u{7}")], Some("javascript:alert(1)"));
        let text = serde_json::to_string(&alert).unwrap();
        assert!(!flightdeck_model::has_hidden(&text.replace('\u{fffd}', "")), "{text}");
        assert_eq!(alert.summary, "a b\u{fffd}");
        assert_eq!((alert.labels.len(), alert.url), (MOST_LABELS, None));
        assert!(alert.labels.values().all(|value| value.chars().count() <= LONGEST_VALUE));
        assert_eq!(alert.about.workload, None, "a name that is cut off would be another's");
    }

    #[test]
    fn a_fingerprint_is_that_of_the_labels_alone() {
        let one = fingerprint(&map(&[("a", "bc"), ("d", "")]));
        assert_eq!(one, fingerprint(&map(&[("d", ""), ("a", "bc")])));
        assert_ne!(one, fingerprint(&map(&[("ab", "c"), ("d", "")])));
        assert_eq!(one.len(), 16);
    }
}
