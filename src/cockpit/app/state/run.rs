//! One rollout, opened; the output of one of its instances; the program's own log.

use crate::app::list::Cursor;
use crate::app::{ConnectionId, Token};
use flightdeck_model::{Detail, Run};
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// Lines of an instance's output that are kept.
pub const OUTPUT_LINES: usize = 5000;

/// Where Tab is on a Rollout page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RolloutPanel {
    /// Its instances; `l` follows the selected one.
    #[default]
    Instances,
    /// Sets of instances of one template, by role.
    Sets,
    /// What happened, across people and sources, newest first.
    Timeline,
    /// Judgements and analyses with their numbers, newest first.
    Analysis,
    /// Alerts that concern it, those that notify first.
    Alerts,
    /// Revisions that it could go back to, newest first.
    Revisions,
    /// Commands and how far they came, newest first.
    Actions,
    /// How a rollback would go.
    Plan,
}

impl RolloutPanel {
    /// All, in the order of Tab.
    pub const ALL: [RolloutPanel; 8] = [
        RolloutPanel::Instances,
        RolloutPanel::Sets,
        RolloutPanel::Timeline,
        RolloutPanel::Analysis,
        RolloutPanel::Alerts,
        RolloutPanel::Revisions,
        RolloutPanel::Actions,
        RolloutPanel::Plan,
    ];
}

/// One rollout, opened.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutPage {
    /// Which run was opened.
    pub run: Run,
    /// Where Tab is.
    pub panel: RolloutPanel,
    /// Selection in each panel, by what its rows are called.
    pub cursors: BTreeMap<RolloutPanel, Cursor<String>>,
    /// What its backend said when it was asked.
    pub live: Live,
    /// What lies over the page's panels.
    pub over: Option<Over>,
    /// The moment whose numbers the charts show; without one the newest.
    pub reading: Option<Timestamp>,
}

/// What a backend said of the opened rollout when it was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    /// The newest answer.
    pub detail: Option<Box<Detail>>,
    pub read: Option<Timestamp>,
    /// Its raw object as YAML, line by line.
    pub raw: Vec<String>,
    /// The question that has no answer yet.
    pub asked: Option<Token>,
    /// When the last answer came, whatever it was.
    pub at: Option<Timestamp>,
    /// Why the last question was not answered.
    pub failed: Option<String>,
    /// The row changed since it was asked.
    pub changed: bool,
}

/// What lies over the panels of an opened rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// The row that is selected in the panel, in full.
    Record {
        /// First line shown.
        top: usize,
    },
    /// The backend's own object.
    Raw {
        /// First line shown.
        top: usize,
    },
    /// The template of another revision against the one that is asked for now.
    Diff {
        /// Which revision is selected.
        revision: Option<String>,
        /// First line shown.
        top: usize,
    },
}

/// The Logs page: the program's own records, which the view takes from the logger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogsPage {
    /// Pages back from the newest record; 0 follows.
    pub pages_back: usize,
}

/// An instance's output.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputPage {
    /// What copying takes: the instance, or the command line that shows its output.
    pub copies: String,
    /// What it is, such as `checkout 1.10.0 candidate, production`.
    pub title: String,
    /// Which following brings its lines.
    pub token: Token,
    /// Of which server.
    pub connection: ConnectionId,
    /// Oldest first, at most [`OUTPUT_LINES`].
    pub lines: VecDeque<String>,
    /// Lines dropped at the old end.
    pub dropped: u64,
    /// Show the newest; scrolling up ends it, `G` starts it.
    pub follow: bool,
    /// Without `follow`: the first line shown, counted from the first line ever.
    pub top: u64,
    /// Why no more come.
    pub ended: Option<String>,
}
