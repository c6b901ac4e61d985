//! The table of pages: what each is called, how one gets there, and which keys it has. What a page does is in its
//! file here, how it is drawn in the file of the same name in the view.

pub mod approvals;
pub mod deck;
pub mod history;
pub mod logs;
pub mod messages;
pub mod output;
pub mod rollout;

use super::command::{Bound, UiCommand as C, UiRow};
use flightdeck_model::Action;

/// Every page with the file that has it, here and in the view, and its row. `$with` is a macro that is given all
/// of them.
macro_rules! pages {
    ($with:ident) => {
        $with! {
            Deck deck DECK "What needs you, and all rollouts.";
            Approvals approvals APPROVALS "What waits for a yes.";
            History history HISTORY "What has ended.";
            Rollout rollout ROLLOUT "One rollout, opened.";
            Logs logs LOGS "The program's own log.";
            Messages messages MESSAGES "What the footer said.";
            Output output OUTPUT "An instance's output.";
        }
    };
}
pub(crate) use pages;

macro_rules! ids {
    ($($page:ident $file:ident $row:ident $doc:literal;)*) => {
        /// What is shown.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Page {
            $(#[doc = $doc] $page,)*
        }

        impl Page {
            /// All.
            pub const ALL: &'static [Page] = &[$(Page::$page,)*];

            /// This page's row.
            #[must_use]
            pub const fn row(self) -> &'static Row {
                match self {
                    $(Page::$page => &$row,)*
                }
            }
        }
    };
}
pages!(ids);

/// How one gets to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// By its command, as a place of its own.
    Command,
    /// By its command, and back to where that was given.
    Over,
    /// From a row of another page.
    Row,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// The command that shows it.
    pub command: UiRow,
    pub reached: Reached,
    /// Where one is then, in a sentence: `the Deck`.
    pub place: &'static str,
    /// The section of keymap.toml that holds here before `[global]`.
    pub section: Option<&'static str>,
    /// Does `[rollouts]` hold, too?
    pub rollouts: bool,
    /// Commands that its section takes; elsewhere they say that they work here.
    pub takes: &'static [C],
    /// What stands on the footer, most wanted first.
    pub footer: &'static [Bound],
}

impl Page {
    /// Does its section take that command?
    #[must_use]
    pub fn takes(self, command: C) -> bool {
        self.row().takes.contains(&command)
    }

    /// Where a command works: `the Deck and the History page`; `None`: on every page.
    #[must_use]
    pub fn places(command: C) -> Option<String> {
        let places: Vec<&str> = Page::ALL.iter().filter(|page| page.takes(command)).map(|p| p.row().place).collect();
        let (last, others) = places.split_last()?;
        let others: Vec<&str> = others.iter().map(|place| place.strip_suffix(" page").unwrap_or(place)).collect();
        Some(if others.is_empty() { (*last).to_owned() } else { format!("{} and {last}", others.join(", ")) })
    }
}

const fn command(page: Page, name: &'static str, label: &'static str, sentence: &'static str) -> UiRow {
    UiRow { command: C::Show(page), name, label, sentence }
}

const DECK: Row = Row {
    command: command(Page::Deck, "deck", "deck", "Show what needs you and all rollouts."),
    reached: Reached::Command,
    place: "the Deck",
    section: Some("deck"),
    rollouts: true,
    takes: &[C::Open, C::NextPanel, C::PreviousPanel, C::Mark, C::Filter, C::Sort, C::SortReverse, C::InFlight],
    footer: &[
        Bound::Act(Action::Promote),
        Bound::Act(Action::Pause),
        Bound::Act(Action::Resume),
        Bound::Act(Action::Abort),
        Bound::Act(Action::Hold),
        Bound::Act(Action::Rollback),
        Bound::Ui(C::Open),
        Bound::Ui(C::Filter),
        Bound::Ui(C::Mark),
        Bound::Ui(C::Sort),
        Bound::Ui(C::NextPanel),
    ],
};

const APPROVALS: Row = Row {
    command: command(Page::Approvals, "approvals", "approvals", "Show what waits for a yes."),
    reached: Reached::Command,
    place: "the Approvals page",
    section: Some("approvals"),
    rollouts: false,
    takes: &[C::Open, C::Mark, C::Filter],
    footer: &[
        Bound::Act(Action::Approve),
        Bound::Act(Action::Reject),
        Bound::Ui(C::Open),
        Bound::Ui(C::Mark),
        Bound::Ui(C::Filter),
        Bound::Ui(C::Back),
        Bound::Act(Action::Hold),
    ],
};

const HISTORY: Row = Row {
    command: command(Page::History, "history", "history", "Show what has ended, and what it adds up to."),
    reached: Reached::Command,
    place: "the History page",
    section: Some("history"),
    rollouts: false,
    takes: &[C::Open, C::Filter, C::Failures, C::Sort, C::SortReverse],
    footer: &[
        Bound::Ui(C::Open),
        Bound::Ui(C::Filter),
        Bound::Ui(C::Failures),
        Bound::Ui(C::Sort),
        Bound::Ui(C::SortReverse),
        Bound::Ui(C::Copy),
        Bound::Ui(C::Back),
        Bound::Act(Action::Hold),
    ],
};

const ROLLOUT: Row = Row {
    command: command(Page::Rollout, "rollout", "rollout", "Show the rollout that was opened last."),
    reached: Reached::Row,
    place: "an opened rollout: select one and open it",
    section: Some("rollout"),
    rollouts: true,
    takes: &[
        C::Open,
        C::NextPanel,
        C::PreviousPanel,
        C::Output,
        C::Timeline,
        C::ReadEarlier,
        C::ReadLater,
        C::Raw,
        C::Diff,
    ],
    footer: &[
        Bound::Act(Action::Promote),
        Bound::Act(Action::Pause),
        Bound::Act(Action::Resume),
        Bound::Act(Action::Abort),
        Bound::Act(Action::Rollback),
        Bound::Ui(C::Open),
        Bound::Ui(C::NextPanel),
        Bound::Ui(C::Output),
        Bound::Ui(C::Back),
        Bound::Ui(C::ReadEarlier),
        Bound::Ui(C::Raw),
        Bound::Ui(C::Diff),
        Bound::Act(Action::Hold),
    ],
};

const LOGS: Row = Row {
    command: command(Page::Logs, "log-page", "logs", "Show this program's own log."),
    reached: Reached::Command,
    place: "the page of logs",
    section: Some("logs"),
    rollouts: false,
    takes: &[],
    footer: &[Bound::Ui(C::PageUp), Bound::Ui(C::PageDown), Bound::Ui(C::Last), Bound::Ui(C::Back)],
};

const MESSAGES: Row = Row {
    command: command(Page::Messages, "messages", "messages", "Show in full what the footer said, newest first."),
    reached: Reached::Over,
    place: "the page of messages",
    section: None,
    rollouts: false,
    takes: &[],
    footer: &[Bound::Ui(C::PageUp), Bound::Ui(C::PageDown), Bound::Ui(C::Back)],
};

const OUTPUT: Row = Row {
    command: command(Page::Output, "output-page", "output", "Show the output that is followed."),
    reached: Reached::Row,
    place: "an instance's output",
    section: Some("output"),
    rollouts: false,
    takes: &[],
    footer: &[Bound::Ui(C::PageUp), Bound::Ui(C::PageDown), Bound::Ui(C::Last), Bound::Ui(C::Copy), Bound::Ui(C::Back)],
};
