//! One table gives each action its name, sentence, default key and direction. Keymap, palette,
//! help, command line and documents derive from it.

use serde::{Deserialize, Serialize};

/// Which way an action moves the share of users that meet a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Fewer users meet the change: served first, never locked out.
    Reduces,
    /// More users meet the change, or something protective ends.
    Raises,
    /// Neither: bookkeeping such as storing a release.
    Neutral,
}

/// A row of the action table.
#[derive(Debug, Clone, Copy)]
pub struct ActionRow {
    /// The variant.
    pub action: Action,
    /// The command line's verb and the name used in keymap.toml.
    pub name: &'static str,
    /// The words on the footer.
    pub label: &'static str,
    /// One sentence for help, palette and man page.
    pub sentence: &'static str,
    /// Default key; `None`: palette and command line only.
    pub key: Option<&'static str>,
    /// Which way it moves exposure.
    pub direction: Direction,
}

macro_rules! actions {
    ($($variant:ident $name:literal $label:literal $key:expr, $direction:ident, $sentence:literal;)*) => {
        /// What a person can ask a backend or hub to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Action {
            $(#[doc = $sentence] $variant,)*
        }

        impl Action {
            /// Every action, in the order of help pages.
            pub const TABLE: &'static [ActionRow] = &[
                $(ActionRow { action: Action::$variant, name: $name, label: $label, sentence: $sentence, key: $key, direction: Direction::$direction },)*
            ];

            /// This action's row.
            #[must_use]
            pub const fn row(self) -> &'static ActionRow {
                match self {
                    $(Action::$variant => {
                        const ROW: ActionRow = ActionRow { action: Action::$variant, name: $name, label: $label, sentence: $sentence, key: $key, direction: Direction::$direction };
                        &ROW
                    })*
                }
            }
        }
    };
}

actions! {
    Promote "promote" "promote" Some("p"), Raises, "Let the rollout go on by one step.";
    PromoteFull "promote-full" "promote full" None, Raises, "Skip every remaining step: all traffic to the candidate.";
    Pause "pause" "pause" Some("z"), Reduces, "Stop the rollout where it is.";
    Resume "resume" "resume" Some("u"), Raises, "Let a paused rollout continue.";
    Abort "abort" "abort" Some("a"), Reduces, "Send all traffic back to stable and end the rollout.";
    Rollback "rollback" "roll back" Some("b"), Reduces, "Return to the version before, by the fastest safe path.";
    Retry "retry" "retry" None, Raises, "Start an aborted or failed rollout again from its first step.";
    Restart "restart" "restart" None, Raises, "Replace every instance of the current version, one after the other.";
    Drill "drill" "drill a rollback" None, Raises, "Rehearse the way back: roll back and return, both measured.";
    Approve "approve" "approve" Some("v"), Raises, "Say yes to what waits for approval.";
    Reject "reject" "reject" Some("x"), Reduces, "Say no to what waits for approval; its rollout is aborted.";
    Hold "hold" "hold" Some("H"), Reduces, "Hold the line: pause every rollout in scope until it is released.";
    Release "release-hold" "release hold" None, Raises, "Release one hold by its id: only what it held goes on.";
    LetThrough "let-through" "let through" Some("L"), Raises, "Let one held rollout go on; everything else that its hold stopped stays held.";
    Deploy "deploy" "deploy" None, Raises, "Start a rollout of a stored release.";
    Run "run" "run a command" None, Raises, "Run a command once, with what is stable, in the environment of a service.";
    EndRun "end-run" "end a command" None, Reduces, "End a command that was run and has not ended.";
    Apply "apply" "apply" None, Raises, "Put a new service configuration into force.";
    AddRelease "release-add" "add release" None, Neutral, "Store an artifact as a release.";
    RemoveRelease "release-rm" "remove release" None, Neutral, "Delete a stored release that nothing runs or needs.";
    Migration "migration" "settle migrations" None, Neutral, "Say of migrations that their data is there, or that it is not; runs none.";
    Annotate "annotate" "add a reason" Some("r"), Neutral, "Add to the record of a command why it was given, or what came of it; does nothing else.";
}

impl Action {
    /// Which way it moves exposure.
    #[must_use]
    pub const fn direction(self) -> Direction {
        self.row().direction
    }

    /// The verb of the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The action of that verb.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Action> {
        Self::TABLE.iter().find(|row| row.name == name).map(|row| row.action)
    }
}

/// A small set of actions, such as those that a backend could do to a rollout right now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Action>", into = "Vec<Action>")]
pub struct ActionSet(u32);

impl ActionSet {
    /// The set without members.
    pub const EMPTY: ActionSet = ActionSet(0);

    /// Adds one.
    pub const fn insert(&mut self, action: Action) {
        self.0 |= 1 << action as u32;
    }

    /// Is it a member?
    #[must_use]
    pub const fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }

    /// The members, in table order.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::TABLE.iter().map(|row| row.action).filter(move |action| self.contains(*action))
    }
}

impl FromIterator<Action> for ActionSet {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        let mut set = Self::EMPTY;
        actions.into_iter().for_each(|action| set.insert(action));
        set
    }
}

impl From<Vec<Action>> for ActionSet {
    fn from(actions: Vec<Action>) -> Self {
        actions.into_iter().collect()
    }
}

impl From<ActionSet> for Vec<Action> {
    fn from(set: ActionSet) -> Self {
        set.iter().collect()
    }
}
