//! What an answer could see: of everything that is looked at, what is complete, and what is not and why.

use flightdeck_model::{LinkState, Scope, SourceId};
use serde::Serialize;
use std::collections::BTreeMap;

/// The part that a hub's own rows belong to: it tells of the hub's ledger, not of what runs.
const HUB_PART: &str = "hub";

/// Parts without which every row is there all the same.
const BESIDE: [&str; 3] = [HUB_PART, Scope::METRICS_PART, Scope::ALERTS_PART];

/// Something that could not be seen, or of which only old rows are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// Which source; a server's name, or `kubeconfig`, where it is not even known which sources are there.
    pub source: String,
    /// Which part of it, such as `rollouts in shop`; empty: all of it.
    pub part: String,
    pub state: LinkState,
}

impl Unseen {
    /// Something that was looked for in vain.
    #[must_use]
    pub fn never(source: impl Into<String>, since: jiff::Timestamp, why: impl Into<String>) -> Unseen {
        let state = LinkState::Stale { since, why: why.into(), never: true };
        Unseen { source: source.into(), part: String::new(), state }
    }
}

/// How much could be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// Watches that are complete.
    pub seen: usize,
    /// What is not.
    pub unseen: Vec<Unseen>,
    /// Sources that look at less than was asked for, since no more is allowed, and all that they look at.
    pub only: Vec<(SourceId, String)>,
}

impl Sight {
    /// By the health of all watches. Of a source that is lost as a whole its parts say nothing more.
    pub fn of<'a>(links: impl IntoIterator<Item = (&'a Scope, &'a LinkState)>) -> Sight {
        Sight::counting(links.into_iter().filter(|(scope, _)| !BESIDE.contains(&scope.part.as_str())))
    }

    /// The same for whoever wants to know of alerts as well: without their sources none is known.
    pub fn with_alerts<'a>(links: impl IntoIterator<Item = (&'a Scope, &'a LinkState)>) -> Sight {
        let counts = |part: &str| part == Scope::ALERTS_PART || !BESIDE.contains(&part);
        Sight::counting(links.into_iter().filter(|(scope, _)| counts(&scope.part)))
    }

    fn counting<'a>(links: impl Iterator<Item = (&'a Scope, &'a LinkState)>) -> Sight {
        let mut sources: BTreeMap<&SourceId, Vec<(&Scope, &LinkState)>> = BTreeMap::new();
        for (scope, state) in links {
            sources.entry(&scope.source).or_default().push((scope, state));
        }
        let mut sight = Sight::default();
        for (source, watches) in sources {
            let (whole, parts): (Vec<_>, Vec<_>) = watches.into_iter().partition(|(scope, _)| scope.part.is_empty());
            if let Some((_, LinkState::Live { only: Some(only), .. })) = whole.first() {
                sight.only.push((source.clone(), only.clone()));
            }
            let has_rows = parts.iter().all(|(scope, _)| scope.part == Scope::PROXY_PART);
            let counted = match whole.first() {
                Some((_, state)) if !state.is_complete() => whole,
                Some(_) if has_rows => [whole, parts].concat(),
                _ => parts,
            };
            let (complete, not): (Vec<_>, Vec<_>) = counted.into_iter().partition(|(_, state)| state.is_complete());
            sight.seen += complete.len();
            sight.unseen.extend(not.into_iter().map(|(scope, state)| Unseen {
                source: source.to_string(),
                part: scope.part.clone(),
                state: state.clone(),
            }));
        }
        sight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn sight(links: &[(&str, &str, LinkState)]) -> Sight {
        let links: Vec<_> = links
            .iter()
            .map(|(source, part, state)| (Scope { source: (*source).into(), part: (*part).to_owned() }, state.clone()))
            .collect();
        Sight::of(links.iter().map(|(scope, state)| (scope, state)))
    }

    #[test]
    fn each_part_counts_and_a_lost_source_is_named_once() {
        let at = Timestamp::UNIX_EPOCH;
        let live = || LinkState::live(at);
        let denied = || LinkState::Denied { verb: "list".into(), resource: "daemonsets".into() };
        let absent = || LinkState::Absent { why: "Argo Rollouts is not installed there".into() };
        let lost = || LinkState::stale(at, "reset".into());
        let unseen = |sight: &Sight| -> Vec<String> {
            sight.unseen.iter().map(|one| format!("{} {}", one.source, one.part).trim_end().to_owned()).collect()
        };
        for (links, seen, expected) in [
            (vec![], 0, vec![]),
            (vec![("local", "", live()), ("local", "hub", lost())], 1, vec![]),
            (vec![("east", "", live()), ("prometheus", Scope::METRICS_PART, lost())], 1, vec![]),
            (vec![("east", "", live()), ("east", "rollouts", absent()), ("east", "deployments", live())], 2, vec![]),
            (
                vec![("east", "", live()), ("east", "rollouts", live()), ("east", "daemonsets", denied())],
                1,
                vec!["east daemonsets"],
            ),
            (vec![("east", "", live()), ("east", "daemonsets", denied())], 0, vec!["east daemonsets"]),
            (
                vec![
                    ("east", "", lost()),
                    ("east", "rollouts", lost()),
                    ("west", "", live()),
                    ("west", "rollouts", live()),
                ],
                1,
                vec!["east"],
            ),
            (vec![("east", "", LinkState::Connecting)], 0, vec!["east"]),
            (vec![("local", "", live()), ("local", Scope::PROXY_PART, LinkState::Connecting)], 1, vec!["local proxy"]),
        ] {
            let sight = sight(&links);
            assert_eq!(
                (sight.seen, unseen(&sight)),
                (seen, expected.into_iter().map(str::to_owned).collect()),
                "{links:?}"
            );
        }
        let scope = |source: &str, part: &str| Scope { source: source.into(), part: part.to_owned() };
        let links = [(scope("east", ""), live()), (scope("am", Scope::ALERTS_PART), lost())];
        let links = || links.iter().map(|(scope, state)| (scope, state));
        assert!(Sight::of(links()).unseen.is_empty(), "no row of a rollout is missing");
        let of = Sight::with_alerts(links());
        assert_eq!((of.seen, unseen(&of)), (1, vec!["am alerts".to_owned()]), "yet nobody knows which alerts fire");
        let narrow = LinkState::Live { as_of: at, only: Some("namespace shop".into()) };
        let narrowed = sight(&[("east", "", narrow), ("east", "rollouts in shop", live())]);
        assert_eq!(narrowed.only, [("east".into(), "namespace shop".to_owned())]);
        assert!(narrowed.unseen.is_empty());
    }
}
