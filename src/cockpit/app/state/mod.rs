//! Everything that the cockpit knows. The view draws it and cannot change it; only
//! [`super::update`] does.

mod filled;
mod lists;
mod overlay;
mod phases;
mod run;
mod servers;
mod settings;
mod typing;
mod widest;

pub use filled::{Filled, at_step};
pub use lists::{ApprovalsPage, DeckPage, DeckPanel, HistoryPage};
pub use overlay::{Completion, Notice, Overlay, Palette, Tone};
pub(super) use phases::Phases;
pub use run::{Live, LogsPage, OUTPUT_LINES, OutputPage, Over, RolloutPage, RolloutPanel};
pub use servers::{Asked, Connection, OwnCommand, OwnProgress};
pub use settings::{Found, Settings};
pub use typing::Typing;
pub use widest::Widest;

use super::dialog::Dialog;
use super::list::Cursor;
use super::memo::Memo;
use super::pages::Page;
use super::{ConnectionId, ConnectionState, Key, Token};
use flightdeck_board::{Board, Needs};
use flightdeck_model::{Run, SourceId, Subject};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, VecDeque};

/// Below so many columns only a sentence is shown that says so.
pub const MIN_COLUMNS: u16 = 40;
/// Below so many rows only a sentence is shown that says so.
pub const MIN_ROWS: u16 = 10;
/// What the footer said: so much of it is kept.
pub const MESSAGES: usize = 500;

/// The whole state.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Time of the last event. The view is given its own `now`.
    pub now: Timestamp,
    /// Columns of the terminal.
    pub columns: u16,
    /// Rows of the terminal.
    pub rows: u16,
    /// What the shell gave.
    pub settings: Settings,
    /// Name of the theme in use; the palette changes it.
    pub theme: String,
    /// One per server; the index is the [`ConnectionId`].
    pub connections: Vec<Connection>,
    /// Which connection speaks for a source. The first that told of it: a source has exactly one hub.
    pub owners: BTreeMap<SourceId, ConnectionId>,
    /// The rows of all hubs, merged.
    pub board: Board,
    /// What is shown.
    pub page: Page,
    /// Where Esc leads, innermost last.
    pub back: Vec<Page>,
    pub deck: DeckPage,
    pub approvals: ApprovalsPage,
    pub ended: HistoryPage,
    /// The rollout that was opened last.
    pub rollout: Option<RolloutPage>,
    /// The program's own log.
    pub logs: LogsPage,
    /// An instance's output, followed.
    pub output: Option<OutputPage>,
    /// What lies over the page and takes the keys.
    pub overlay: Option<Overlay>,
    /// How the last keys came.
    pub typing: Typing,
    /// What was typed into the palette before, oldest first.
    pub history: Vec<String>,
    /// One line that passes.
    pub notice: Option<Notice>,
    /// What passed there, oldest first, and when it was said.
    pub messages: VecDeque<(Timestamp, Tone, String)>,
    /// Where one is on pages that have no more state than that: the selected row by its name, the first line.
    pub cursors: BTreeMap<Page, Cursor<String>>,
    /// So many columns of a text that is wider than the screen lie left of it.
    pub shift: u16,
    /// Some source tells numbers, or has told some.
    pub measured: bool,
    /// One's own commands, oldest first.
    pub commands: Vec<OwnCommand>,
    /// Questions without an answer yet.
    pub asked: BTreeMap<Token, Asked>,
    pub next_token: Token,
    /// Keys of a sequence that has begun, such as the first `g` of `g g`.
    pub sequence: Vec<Key>,
    /// The screen may differ from what was drawn. The shell clears it when it has drawn.
    pub visible_changed: bool,
    /// The wake that the shell was last asked for.
    pub wake: Option<Timestamp>,
    /// When something visible changes by itself, as of the last look.
    pub(super) ticks: Option<Timestamp>,
    /// Rows since the board was last trimmed.
    pub(super) untrimmed: u32,
    /// Rows changed since what ticks was last looked at.
    pub(super) unlooked: bool,
    /// Since a person did something, or every source has told its rows, cursors stay where they are.
    pub(super) cursors_stay: bool,
    /// What needs a person; computed when asked for, kept in step with rows, dropped when all of it changes.
    pub(super) attention: Memo<Needs>,
    /// How many rollouts of each phase every environment has; as above.
    pub(super) phases: Memo<Phases>,
    /// Which columns of the Deck have anything to show; as above.
    pub(super) filled: Memo<Filled>,
}

impl State {
    /// Is it a connection that need not be there, and never was?
    #[must_use]
    pub fn unmissed(&self, id: ConnectionId) -> bool {
        let never_up = |connection: &Connection| {
            connection.hub.is_none() && !matches!(connection.state, ConnectionState::Up { .. })
        };
        self.settings.optional.contains(&id) && self.connections.get(id).is_none_or(never_up)
    }

    /// A cockpit that knows nothing yet.
    #[must_use]
    pub fn new(columns: u16, rows: u16, settings: Settings) -> State {
        State {
            now: Timestamp::UNIX_EPOCH,
            columns,
            rows,
            theme: settings.theme.clone(),
            settings,
            connections: Vec::new(),
            owners: BTreeMap::new(),
            board: Board::default(),
            page: Page::Deck,
            back: Vec::new(),
            deck: DeckPage::default(),
            approvals: ApprovalsPage::default(),
            ended: HistoryPage::default(),
            rollout: None,
            logs: LogsPage::default(),
            output: None,
            overlay: None,
            typing: Typing::default(),
            history: Vec::new(),
            notice: None,
            messages: VecDeque::new(),
            cursors: BTreeMap::new(),
            shift: 0,
            measured: false,
            commands: Vec::new(),
            asked: BTreeMap::new(),
            next_token: 1,
            sequence: Vec::new(),
            visible_changed: true,
            wake: None,
            ticks: None,
            untrimmed: 0,
            unlooked: false,
            cursors_stay: false,
            attention: Memo::default(),
            phases: Memo::default(),
            filled: Memo::default(),
        }
    }

    /// Is the terminal too small to show anything but that?
    #[must_use]
    pub fn too_small(&self) -> bool {
        self.columns < MIN_COLUMNS || self.rows < MIN_ROWS
    }

    /// Which server speaks for a run's source.
    #[must_use]
    pub fn owner(&self, run: &Run) -> Option<ConnectionId> {
        self.owners.get(&run.target.source).copied()
    }

    /// The server that speaks for a source.
    #[must_use]
    pub fn server(&self, source: &SourceId) -> Option<&Connection> {
        self.connections.get(*self.owners.get(source)?)
    }

    /// The dialog that is open.
    #[must_use]
    pub fn dialog(&self) -> Option<&Dialog> {
        match &self.overlay {
            Some(Overlay::Dialog(dialog)) => Some(dialog),
            _ => None,
        }
    }

    /// The newest of one's own commands about a run, for its row.
    #[must_use]
    pub fn own_command(&self, run: &Run) -> Option<&OwnCommand> {
        self.commands.iter().rev().find(|command| match &command.subject {
            Subject::Run(of) | Subject::Approval { run: of, .. } => of == run,
            Subject::Scope { frozen, .. } => frozen.contains(run),
            _ => false,
        })
    }

    /// What the rows of the board fill.
    #[must_use]
    pub fn filled(&self) -> &Filled {
        self.filled.get(|| Filled::of(&self.board))
    }

    /// A token that no other question has.
    pub(super) fn token(&mut self) -> Token {
        let token = self.next_token;
        self.next_token += 1;
        token
    }

    /// Shows a line for a while.
    pub(super) fn say(&mut self, tone: Tone, text: impl Into<String>) {
        let seconds = match tone {
            Tone::Plain => 5,
            Tone::Good => 8,
            Tone::Warn => 10,
            Tone::Bad => 15,
        };
        let until = self.now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        let text = text.into();
        if self.messages.len() >= MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back((self.now, tone, text.clone()));
        self.notice = Some(Notice { text, tone, until });
        self.visible_changed = true;
    }

    /// Drops the lists that were computed from rows that changed.
    pub(super) fn forget_lists(&mut self) {
        self.attention.clear();
        self.phases.clear();
        self.filled.clear();
        self.deck.list.clear();
        self.approvals.list.clear();
        self.ended.forget();
        self.unlooked = true;
    }
}
