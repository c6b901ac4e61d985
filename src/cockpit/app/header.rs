//! What the header says: every source with its freshness, holds, who you are.

use super::fresh::lost;
use super::state::State;
use super::{ConnectionId, ConnectionState};
use flightdeck_board::Freshness;
use flightdeck_model::{Hold, LinkState, Scope};
use std::collections::{BTreeMap, BTreeSet};

/// The part that a hub's own rows (receipts) belong to: no source that anything runs at, so it is
/// shown only when it is not well.
const HUB_PART: &str = "hub";

/// A source in the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceItem {
    /// Its name; the server's while it has told of no source.
    pub name: String,
    /// Which server tells of it.
    pub connection: ConnectionId,
    /// The worst of its watches.
    pub freshness: Freshness,
    /// All that is looked at, such as `namespace shop`, where more was asked for than is allowed.
    pub only: Option<String>,
    /// Nothing of it may be changed from here, as far as its rows say.
    pub read_only: bool,
    /// It measures the rows of others, and has none itself.
    pub measures: bool,
}

/// A hold in the header.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldItem<'a> {
    /// As one of its sources tells it.
    pub hold: &'a Hold,
    /// So many stand still by it.
    pub held: usize,
    /// So many go on, since somebody undid it there from outside.
    pub undone: usize,
}

/// The header.
#[derive(Debug, Clone, PartialEq)]
pub struct Header<'a> {
    /// Sources in the order of their servers.
    pub sources: Vec<SourceItem>,
    /// Holds in force, each once over all sources that have it.
    pub holds: Vec<HoldItem<'a>>,
    /// Who you are to the first server that is up.
    pub actor: Option<&'a str>,
    /// Is policy enforced on every server that is up?
    pub enforced: bool,
    /// Was the cockpit told to change nothing?
    pub read_only: bool,
}

/// What the header says.
#[must_use]
pub fn header(state: &State) -> Header<'_> {
    let ups = || {
        state.connections.iter().filter_map(|connection| match &connection.state {
            ConnectionState::Up { actor, enforced } => Some((actor, *enforced)),
            _ => None,
        })
    };
    Header {
        sources: sources(state),
        holds: holds(state),
        actor: ups().next().map(|(actor, _)| actor.name.as_str()),
        enforced: ups().next().is_some() && ups().all(|(_, enforced)| enforced),
        read_only: state.settings.read_only,
    }
}

fn holds(state: &State) -> Vec<HoldItem<'_>> {
    let mut items: Vec<HoldItem<'_>> = Vec::new();
    for hold in state.board.holds() {
        let (held, undone) = (hold.held().count(), hold.undone().count());
        match items.iter_mut().find(|item| item.hold.id == hold.id) {
            Some(item) => (item.held, item.undone) = (item.held + held, item.undone + undone),
            None => items.push(HoldItem { hold, held, undone }),
        }
    }
    items
}

/// Every source with its freshness.
#[must_use]
pub fn sources(state: &State) -> Vec<SourceItem> {
    let mut items = Vec::new();
    for (id, connection) in state.connections.iter().enumerate() {
        if state.unmissed(id) {
            continue;
        }
        let lost = lost(connection);
        let mut worst: BTreeMap<&str, Option<Freshness>> = BTreeMap::new();
        for scope in connection.scopes.iter().filter(|scope| shown(state, id, scope)) {
            // Rows may come under a scope that is no watch, such as samples; its source is known all the same.
            let link = state.board.link_of(scope);
            let own = lost.clone().or_else(|| link.map(|link| Freshness::of(Some(link))));
            let known = worst.entry(scope.source.as_str()).or_default();
            *known = known.take().into_iter().chain(own).max_by_key(rank);
        }
        if worst.is_empty() {
            let freshness = lost.unwrap_or(Freshness::Connecting);
            let name = connection.name.clone();
            items.push(SourceItem { name, connection: id, freshness, only: None, read_only: false, measures: false });
        }
        items.extend(worst.into_iter().map(|(name, freshness)| {
            SourceItem {
                name: name.to_owned(),
                connection: id,
                freshness: freshness.unwrap_or(Freshness::Connecting),
                only: only(state, name),
                read_only: read_only(state, name),
                measures: of(&connection.scopes, name)
                    .all(|scope| scope.part == Scope::METRICS_PART || scope.part == Scope::ALERTS_PART),
            }
        }));
    }
    items
}

fn of<'a>(scopes: &'a BTreeSet<Scope>, source: &'a str) -> impl Iterator<Item = &'a Scope> {
    scopes.iter().filter(move |scope| scope.source.as_str() == source)
}

fn only(state: &State, source: &str) -> Option<String> {
    match state.board.link_of(&Scope { source: source.into(), part: String::new() }) {
        Some(LinkState::Live { only, .. }) => only.clone(),
        _ => None,
    }
}

/// Is all that its first rows offer denied?
fn read_only(state: &State, source: &str) -> bool {
    const LOOKED_AT: usize = 20;
    let of_it = state.board.rollouts().filter(|row| row.run.target.source.as_str() == source);
    let mut rows = of_it.filter(|row| row.offers.iter().next().is_some()).take(LOOKED_AT).peekable();
    rows.peek().is_some() && rows.all(|row| row.offers.iter().all(|action| row.denial(action).is_some()))
}

fn shown(state: &State, connection: ConnectionId, scope: &Scope) -> bool {
    let well = !matches!(state.board.link_of(scope), Some(LinkState::Stale { .. } | LinkState::Denied { .. }));
    !(scope.part == HUB_PART && well) && state.owners.get(&scope.source) == Some(&connection)
}

const fn rank(freshness: &Freshness) -> u8 {
    match freshness {
        Freshness::Fresh => 0,
        Freshness::Connecting => 1,
        Freshness::Denied { .. } => 2,
        Freshness::Never { .. } => 3,
        Freshness::Stale { .. } => 4,
    }
}
