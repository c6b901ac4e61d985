//! What the shell gives to a new cockpit.

use crate::app::{ConnectionId, Keymap};
use flightdeck_model::SourceId;

/// What the shell gives to a new cockpit.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What keys mean.
    pub keymap: Keymap,
    /// Name of the theme to begin with.
    pub theme: String,
    /// Names of all themes, for completion.
    pub themes: Vec<String>,
    /// Unique for this session: ids of commands begin with it.
    pub session: String,
    /// Refuse everything that changes anything.
    pub read_only: bool,
    /// What was looked for before the cockpit opened, and what was found.
    pub found: Vec<Found>,
    /// Connections that need not be there: one that was never up is not missed.
    pub optional: Vec<ConnectionId>,
    /// The sources of the hub in this process, and what each of them looks at, in words.
    pub watched: Vec<(SourceId, String)>,
}

/// Something that was looked for: a kubeconfig, a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What, such as `kubeconfig /home/me/.kube/config`.
    pub what: String,
    /// What came of it, such as `not there`, or its contexts.
    pub came: String,
    /// Is it of use?
    pub good: bool,
}
