//! Everything that a key can be bound to: pages, the cockpit's other commands, one table row each, and the
//! actions of [`Action::TABLE`].

use super::pages::{Page, Reached};
use flightdeck_model::Action;

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct UiRow {
    /// The variant.
    pub command: UiCommand,
    /// Its name in keymap.toml and in the palette.
    pub name: &'static str,
    /// The words on the footer.
    pub label: &'static str,
    /// One sentence for help and palette.
    pub sentence: &'static str,
}

macro_rules! commands {
    ($($variant:ident $name:literal $label:literal $sentence:literal;)*) => {
        /// What a key can do to the cockpit itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum UiCommand {
            /// Show that page.
            Show(Page),
            $(#[doc = $sentence] $variant,)*
        }

        impl UiCommand {
            /// Every command, in the order of help pages.
            pub fn all() -> impl Iterator<Item = UiCommand> {
                let called = Page::ALL.iter().filter(|page| page.row().reached != Reached::Row);
                called.map(|page| UiCommand::Show(*page)).chain([$(UiCommand::$variant,)*])
            }

            /// This command's row.
            #[must_use]
            pub const fn row(self) -> &'static UiRow {
                match self {
                    UiCommand::Show(page) => &page.row().command,
                    $(UiCommand::$variant => {
                        const ROW: UiRow = UiRow { command: UiCommand::$variant, name: $name, label: $label, sentence: $sentence };
                        &ROW
                    })*
                }
            }
        }
    };
}

commands! {
    Open "open" "open" "Open what is selected.";
    Back "back" "back" "Go back to where you came from.";
    MoveDown "move-down" "down" "Move down by one row.";
    MoveUp "move-up" "up" "Move up by one row.";
    First "first" "first" "Move to the first row.";
    Last "last" "last" "Move to the last row; in an output, follow it.";
    PageDown "page-down" "page down" "Move down by one page.";
    PageUp "page-up" "page up" "Move up by one page.";
    HalfPageDown "half-page-down" "half page down" "Move down by half a page.";
    HalfPageUp "half-page-up" "half page up" "Move up by half a page.";
    ScrollLeft "scroll-left" "scroll left" "Show what lies left of a text that is wider than the screen.";
    ScrollRight "scroll-right" "scroll right" "Show what lies right of a text that is wider than the screen.";
    NextPanel "next-panel" "next panel" "Move to the next panel or field.";
    PreviousPanel "previous-panel" "previous panel" "Move to the previous panel or field.";
    Mark "mark" "mark" "Mark or unmark the selected row.";
    Filter "filter" "filter" "Show only rows that match what you type.";
    Failures "failures" "failures" "Show what did not succeed in the last seven days, or everything again.";
    Sort "sort" "sort" "Sort by the next column.";
    SortReverse "sort-reverse" "reverse" "Reverse the order.";
    InFlight "in-flight" "in flight only" "Leave out rollouts that are settled and healthy, or show them again.";
    Output "output" "output" "Follow the output of the selected instance.";
    Timeline "timeline" "timeline" "Show what happened to this rollout, across people and sources.";
    ReadEarlier "read-earlier" "earlier" "Read the charts a moment earlier, and what happened then.";
    ReadLater "read-later" "later" "Read the charts a moment later; behind the newest they go on by themselves.";
    Raw "raw" "raw object" "Show the backend's own object.";
    Diff "diff" "diff" "Compare the template of another revision with the one that is asked for now.";
    Copy "copy" "copy" "Copy the name of what is selected.";
    Reconnect "reconnect" "reconnect" "Try lost connections again now.";
    Palette "palette" "commands" "Type a command.";
    Help "help" "help" "Show the keys of this page.";
    Suspend "suspend" "suspend" "Stop the program until the shell continues it.";
    Leave "leave" "leave" "Go back to where you came from; on a first page, end the program: rollouts go on.";
    Quit "quit" "quit" "End the program; rollouts go on.";
    Confirm "confirm" "yes" "Do it, where no text is asked for.";
    Accept "accept" "accept" "Take what is typed.";
    Cancel "cancel" "cancel" "Leave without doing anything.";
    Reopen "reopen" "open anew" "Open a confirmation anew whose row has changed, on the row as it is now.";
    Complete "complete" "complete" "Take the next completion.";
    CompleteBack "complete-back" "complete back" "Take the completion before.";
    Earlier "earlier" "earlier" "The entry before in completions or history.";
    Later "later" "later" "The entry after in completions or history.";
    Left "left" "left" "Move left by one character.";
    Right "right" "right" "Move right by one character.";
    LineStart "line-start" "line start" "Move to the start of the line.";
    LineEnd "line-end" "line end" "Move to the end of the line.";
    Erase "erase" "erase" "Erase the character before.";
    EraseNext "erase-next" "erase next" "Erase the character after.";
    EraseWord "erase-word" "erase word" "Erase the word before.";
    EraseLine "erase-line" "erase line" "Erase everything before.";
}

/// What a key is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bound {
    /// Something that a person asks a server for.
    Act(Action),
    /// Something that the cockpit does by itself.
    Ui(UiCommand),
}

impl Bound {
    /// All, actions first.
    pub fn all() -> impl Iterator<Item = Bound> {
        let actions = Action::TABLE.iter().map(|row| Bound::Act(row.action));
        actions.chain(UiCommand::all().map(Bound::Ui))
    }

    /// Its name in keymap.toml and in the palette.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Bound::Act(action) => action.row().name,
            Bound::Ui(command) => command.row().name,
        }
    }

    /// The words on the footer.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Bound::Act(action) => action.row().label,
            Bound::Ui(command) => command.row().label,
        }
    }

    /// One sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Bound::Act(action) => action.row().sentence,
            Bound::Ui(command) => command.row().sentence,
        }
    }

    /// What has that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Bound> {
        Self::all().find(|bound| bound.name() == name)
    }
}
