//! Everything that the cockpit knows. The view draws it and cannot change it; only
//! [`super::update`] does.

use super::dialog::Dialog;
use super::filled::Filled;
use super::history::HistoryPage;
use super::keymap::Keymap;
use super::strip::Phases;
use super::typing::Typing;
use super::widest::Widest;
use super::{ConnectionId, ConnectionState, Key, Token};
use flightdeck_board::{Board, List, Needs, Order};
use flightdeck_model::{
    Action, ApprovalId, CommandId, Detail, HubId, Receipt, Refusal, Run, Scope, SourceId, Subject, Target,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::OnceLock;

/// Below so many columns only a sentence is shown that says so.
pub const MIN_COLUMNS: u16 = 40;
/// Below so many rows only a sentence is shown that says so.
pub const MIN_ROWS: u16 = 10;
/// What the footer said: so much of it is kept.
pub const MESSAGES: usize = 500;
/// Lines of an instance's output that are kept.
pub const OUTPUT_LINES: usize = 5000;

/// Something computed from the rest of the state when it is asked for, and dropped when that changes.
/// It says nothing new, so two states are equal whether it was computed or not.
#[derive(Debug, Clone)]
pub(super) struct Memo<T>(OnceLock<T>);

impl<T> Memo<T> {
    pub(super) fn get(&self, compute: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(compute)
    }

    /// What was computed, to be kept in step with a change.
    pub(super) fn known(&mut self) -> Option<&mut T> {
        self.0.get_mut()
    }

    pub(super) fn clear(&mut self) {
        self.0 = OnceLock::new();
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Memo(OnceLock::new())
    }
}

impl<T> PartialEq for Memo<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

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
    /// First line shown of those.
    pub messages_top: usize,
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

/// One server.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// What its user calls it.
    pub name: String,
    pub state: ConnectionState,
    /// Since when it is so.
    pub since: Timestamp,
    /// Which hub answers there, once it told something.
    pub hub: Option<HubId>,
    /// That hub's epoch.
    pub epoch: u64,
    /// The newest update seen.
    pub seq: u64,
    /// Sources that it tells of but another connection speaks for; what it says of them is dropped.
    pub disputed: BTreeSet<SourceId>,
    /// Watches that this connection told of; all of them are stale while it is down.
    pub scopes: BTreeSet<Scope>,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Page {
    /// What needs you, and all rollouts.
    Deck,
    /// What waits for a yes.
    Approvals,
    /// What has ended.
    History,
    Rollout,
    /// The program's own log.
    Logs,
    /// What the footer said.
    Messages,
    /// An instance's output.
    Output,
}

/// A cursor that sticks to what it points at, not to where that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor<K> {
    /// What is selected; `None` until there is something.
    pub key: Option<K>,
    /// Where it was seen last: where the cursor goes when its row is gone.
    pub index: usize,
    /// First row on the screen, kept so that a list does not jump.
    pub top: usize,
}

impl<K> Default for Cursor<K> {
    fn default() -> Self {
        Cursor { key: None, index: 0, top: 0 }
    }
}

/// A line of text that is being typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// What was typed.
    pub text: String,
    /// Byte offset of the cursor; always on a character's edge.
    pub cursor: usize,
}

/// Where Tab is on the Deck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeckPanel {
    /// The list of what needs a person.
    Needs,
    /// The list of rollouts.
    #[default]
    Rollouts,
}

/// The Deck's state. Rows come from [`super::rows`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeckPage {
    /// Where Tab is.
    pub panel: DeckPanel,
    /// Selection in the list of rollouts.
    pub cursor: Cursor<Target>,
    /// Selection in "Needs you".
    pub needs: Cursor<flightdeck_board::AttentionSubject>,
    /// Marked with space; they stay marked when a filter hides them.
    pub marks: BTreeSet<Target>,
    /// What was typed after `/`.
    pub filter: String,
    /// Sorted by.
    pub order: Order,
    /// The other way round.
    pub reverse: bool,
    /// Leave out what is settled and healthy.
    pub in_flight_only: bool,
    /// What the columns have had to hold.
    pub widest: Widest,
    /// The list, in order; computed when asked for, kept in step with rows, dropped when all of it changes.
    pub(super) list: Memo<List>,
}

/// The Approvals page's state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApprovalsPage {
    /// Selection.
    pub cursor: Cursor<ApprovalId>,
    /// Marked with space.
    pub marks: BTreeSet<ApprovalId>,
    /// What was typed after `/`.
    pub filter: String,
    /// Ids in the order of the list; pending first, then settled ones of late.
    pub(super) list: Memo<Vec<ApprovalId>>,
}

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
    /// Revisions that it could go back to, newest first.
    Revisions,
    /// Commands and how far they came, newest first.
    Actions,
    /// How a rollback would go.
    Plan,
}

impl RolloutPanel {
    /// All, in the order of Tab.
    pub const ALL: [RolloutPanel; 7] = [
        RolloutPanel::Instances,
        RolloutPanel::Sets,
        RolloutPanel::Timeline,
        RolloutPanel::Analysis,
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

/// What lies over a page. It takes all keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    /// The keys of this page.
    Help {
        /// First line shown.
        top: usize,
    },
    /// `:`
    Palette(Palette),
    /// `/`: the page's filter, applied while typing.
    Filter {
        /// What is typed.
        input: Input,
        /// What Esc brings back.
        before: String,
    },
    /// A confirmation.
    Dialog(Box<Dialog>),
}

/// The palette.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Palette {
    /// What is typed.
    pub input: Input,
    /// What it could become, best first.
    pub completions: Vec<Completion>,
    /// Which of them Enter takes; `None`: the text as typed.
    pub selected: Option<usize>,
    /// Where in the history, counted from the newest; `None`: not in it.
    pub recalled: Option<usize>,
}

/// A line that the palette offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The whole text.
    pub text: String,
    /// One sentence, or why it can't be done now.
    pub help: String,
    /// Could it be done now?
    pub available: bool,
}

/// How a notice is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// For information.
    Plain,
    /// Seen to have worked.
    Good,
    /// Look at it.
    Warn,
    /// It did not work.
    Bad,
}

/// One line that passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    /// How it is meant; the view adds a glyph.
    pub tone: Tone,
    /// When it goes by itself; the next key takes it away as well.
    pub until: Timestamp,
}

/// One's own command and what became of it. Once a receipt is there it is also on the board.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnCommand {
    pub id: CommandId,
    /// Binds the outcome.
    pub token: Token,
    /// To which server.
    pub connection: ConnectionId,
    pub action: Action,
    pub subject: Subject,
    /// Action and target in words.
    pub title: String,
    pub sent: Timestamp,
    /// How far it came.
    pub progress: OwnProgress,
}

/// How far one's own command came.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnProgress {
    /// On its way to the server.
    Sending,
    /// The newest receipt.
    Receipt(Box<Receipt>),
    /// The server said no.
    Refused(Refusal),
    /// It never left.
    NotSent(String),
    /// The answer was lost; a receipt may still come.
    Unknown(String),
}

/// What a question was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// For an item of a confirmation that is open or about to be.
    Item {
        /// Which confirmation.
        dialog: Token,
        item: usize,
    },
    /// For everything about a run.
    Detail(Run),
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
            messages_top: 0,
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
