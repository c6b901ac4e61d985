//! One table says what each action is and means. Keymap, palette, help, command line, confirmations, the hub that
//! follows a command to its effect, and documents derive from it; how a backend carries one out is the backend's.

use jiff::SignedDuration;
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

/// What sort of thing an action is about; each goes with one variant of [`Subject`](super::Subject).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    Rollout,
    Approval,
    Scope,
    Hold,
    NewRollout,
    Release,
    Migrations,
    Command,
    OneOff,
    Receipt,
    Alert,
    Silence,
    Config,
}

impl SubjectKind {
    /// With its article, as a sentence names it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            SubjectKind::Rollout => "a rollout",
            SubjectKind::Approval => "an approval",
            SubjectKind::Scope => "a scope",
            SubjectKind::Hold => "a hold's id",
            SubjectKind::NewRollout => "a service and an environment",
            SubjectKind::Release => "a release",
            SubjectKind::Migrations => "a service's migrations",
            SubjectKind::Command => "a command line",
            SubjectKind::OneOff => "a command that runs",
            SubjectKind::Receipt => "a command's receipt",
            SubjectKind::Alert => "an alert",
            SubjectKind::Silence => "a silence's id",
            SubjectKind::Config => "a configuration",
        }
    }
}

/// What an action wants of the users, which is what undoes it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// More of them at a version, or all: undone when its run ends badly, or they are taken back later.
    Forward,
    /// All of them at the version before: undone when its run ends badly.
    Back,
    /// None of them at a version: undone when it gets some again.
    Away,
    /// Nothing that a run can undo.
    Nothing,
}

/// How much a confirmation asks for where the action raises exposure. What reduces it is a yes at most, whatever
/// the tier: whoever stops something must not be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// The key is enough; for several targets, and where it raises exposure after all, as [`Self::ForMany`].
    Key,
    /// A yes; a typed challenge for several targets.
    ForMany,
    /// A yes; a typed challenge in a critical environment.
    ByTier,
    /// A typed challenge always.
    Challenge,
    /// A typed challenge and a reason.
    ChallengeAndReason,
}

/// Where people find an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// The screen, and a verb of the command line that follows from this table.
    Everywhere,
    /// The screen, and a verb of the command line with arguments of its own (`src/cli/`).
    OwnVerb,
    /// The command line alone.
    CommandLine,
}

/// A row of the action table: all that is known of an action but how a backend carries it out.
#[derive(Debug, Clone, Copy)]
pub struct ActionRow {
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
    pub about: SubjectKind,
    pub aim: Aim,
    /// How long its effect is waited for before it counts as timed out; `None`: it has its own bound, or none.
    pub effect_timeout: Option<SignedDuration>,
    /// Unfinished commands on the same target whose place it takes.
    pub supersedes: &'static [Action],
    pub confirmation: Confirmation,
    pub surface: Surface,
}

macro_rules! actions {
    ($(
        $(#[$attribute:meta])*
        $variant:ident $name:literal $label:literal $key:expr, $direction:ident, $sentence:literal,
        $about:ident $aim:ident within $timeout:expr, supersedes $supersedes:expr, $confirmation:ident $surface:ident;
    )*) => {
        /// What a person can ask a backend or hub to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Action {
            $(#[doc = $sentence] $(#[$attribute])* $variant,)*
        }

        impl Action {
            /// Every action, in the order of help pages.
            pub const TABLE: &'static [ActionRow] = &[$(ActionRow {
                action: Action::$variant,
                name: $name,
                label: $label,
                sentence: $sentence,
                key: $key,
                direction: Direction::$direction,
                about: SubjectKind::$about,
                aim: Aim::$aim,
                effect_timeout: $timeout,
                supersedes: $supersedes,
                confirmation: Confirmation::$confirmation,
                surface: Surface::$surface,
            }),*];
        }
    };
}

const fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// What lets a rollout go on.
macro_rules! forward {
    ($($more:ident),*) => {
        &[
            Action::Promote,
            Action::PromoteFull,
            Action::Resume,
            Action::LetThrough,
            Action::Approve,
            Action::Retry,
            Action::Restart,
            Action::Drill,
            $(Action::$more,)*
        ]
    };
}

// Timeouts: what stands still does so at once; on the way back stable may have to grow first and the candidate's
// instances finish their requests; on the way forward instances may have to be started and become ready; what goes
// instance by instance takes longest.
actions! {
    Promote "promote" "promote" Some("p"), Raises, "Let the rollout go on by one step.",
        Rollout Forward within Some(minutes(10)), supersedes &[Action::Pause], ByTier Everywhere;
    PromoteFull "promote-full" "promote full" None, Raises, "Skip every remaining step: all traffic to the candidate.",
        Rollout Forward within Some(minutes(20)), supersedes &[Action::Pause], Challenge OwnVerb;
    Pause "pause" "pause" Some("z"), Reduces, "Stop the rollout where it is.",
        Rollout Nothing within Some(minutes(1)), supersedes forward!(), Key Everywhere;
    Resume "resume" "resume" Some("u"), Raises, "Let a paused rollout continue.",
        Rollout Forward within Some(minutes(10)), supersedes &[Action::Pause], ForMany Everywhere;
    Abort "abort" "abort" Some("a"), Reduces, "Send all traffic back to stable and end the rollout.",
        Rollout Away within Some(minutes(5)), supersedes forward!(Pause, Deploy), ForMany Everywhere;
    Rollback "rollback" "roll back" Some("b"), Reduces, "Return to the version before, by the fastest safe path.",
        Rollout Back within Some(minutes(20)), supersedes forward!(Pause, Deploy), Challenge Everywhere;
    // A backend may take a retry while the abort is still on its way.
    Retry "retry" "retry" None, Raises, "Start an aborted or failed rollout again from its first step.",
        Rollout Forward within Some(minutes(10)), supersedes forward!(Pause, Deploy, Abort, Reject), ByTier Everywhere;
    Restart "restart" "restart" None, Raises, "Replace every instance of the current version, one after the other.",
        Rollout Forward within Some(minutes(20)), supersedes &[], Challenge Everywhere;
    Drill "drill" "drill a rollback" None, Raises, "Rehearse the way back: roll back and return, both measured.",
        Rollout Back within Some(minutes(20)), supersedes &[], Challenge OwnVerb;
    Approve "approve" "approve" Some("v"), Raises, "Say yes to what waits for approval.",
        Approval Forward within Some(minutes(2)), supersedes &[Action::Pause], ByTier Everywhere;
    Reject "reject" "reject" Some("x"), Reduces, "Say no to what waits for approval; its rollout is aborted.",
        Approval Away within Some(minutes(5)), supersedes forward!(Pause, Deploy), ForMany Everywhere;
    Hold "hold" "hold" Some("H"), Reduces, "Hold the line: pause every rollout in scope until it is released.",
        Scope Nothing within Some(minutes(1)), supersedes forward!(), ForMany OwnVerb;
    #[serde(rename = "release")]
    ReleaseHold "release-hold" "release hold" None, Raises, "Release one hold by its id: only what it held goes on.",
        Hold Nothing within Some(minutes(1)), supersedes &[Action::Hold], Challenge OwnVerb;
    // It undoes what somebody decided in an incident: never by a key alone, and never without a reason.
    LetThrough "let-through" "let through" Some("L"), Raises, "Let one held rollout go on; everything else that its hold stopped stays held.",
        Rollout Nothing within Some(minutes(2)), supersedes &[], ChallengeAndReason Everywhere;
    Deploy "deploy" "deploy" None, Raises, "Start a rollout of a stored release.",
        NewRollout Forward within Some(minutes(10)), supersedes
            &[Action::Promote, Action::PromoteFull, Action::Resume, Action::Approve, Action::Pause, Action::Deploy],
        ByTier CommandLine;
    Run "run" "run a command" None, Raises, "Run a command once, with what is stable, in the environment of a service.",
        Command Nothing within None, supersedes &[], ByTier CommandLine;
    EndRun "end-run" "end a command" None, Reduces, "End a command that was run and has not ended.",
        OneOff Nothing within Some(minutes(2)), supersedes &[], ForMany CommandLine;
    Apply "apply" "apply" None, Raises, "Put a new service configuration into force.",
        Config Nothing within Some(minutes(2)), supersedes &[], ForMany CommandLine;
    AddRelease "release-add" "add release" None, Neutral, "Store an artifact as a release.",
        Release Nothing within Some(minutes(2)), supersedes &[], Key CommandLine;
    RemoveRelease "release-rm" "remove release" None, Neutral, "Delete a stored release that nothing runs or needs.",
        Release Nothing within Some(minutes(2)), supersedes &[], ForMany CommandLine;
    Migration "migration" "settle migrations" None, Neutral, "Say of migrations that their data is there, or that it is not; runs none.",
        Migrations Nothing within Some(minutes(2)), supersedes &[], ForMany CommandLine;
    Annotate "annotate" "add a reason" Some("r"), Neutral, "Add to the record of a command why it was given, or what came of it; does nothing else.",
        Receipt Nothing within Some(minutes(2)), supersedes &[], Key OwnVerb;
    // It reaches no user, and takes an alarm from those who would come: never without a reason.
    Silence "silence" "silence" Some("m"), Neutral, "Silence an alert for a while, or until its rollout ends; it stays in sight as silenced.",
        Alert Nothing within Some(minutes(2)), supersedes &[], ForMany OwnVerb;
    Unsilence "unsilence" "end a silence" Some("U"), Neutral, "End a silence that was made with flightdeck: its alert notifies again.",
        Silence Nothing within Some(minutes(2)), supersedes &[], ForMany OwnVerb;
}

impl Action {
    /// This action's row.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "rows stand in the order of the variants, made by the same macro")]
    pub const fn row(self) -> &'static ActionRow {
        &Self::TABLE[self as usize]
    }

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

#[cfg(test)]
mod tests {
    use super::super::{EntityRef, Run, Subject};
    use super::*;

    #[test]
    fn names_on_the_wire_and_in_ledgers_are_those_of_the_first_version() {
        let json = |value: serde_json::Value| value.as_str().map(str::to_owned).unwrap_or(value["type"].to_string());
        assert_eq!(json(serde_json::to_value(Action::ReleaseHold).unwrap()), "release");
        let new = Subject::NewRollout {
            source: "local".into(),
            service: "shop".into(),
            environment: "production".into(),
            version: None,
            from: None,
        };
        assert_eq!(json(serde_json::to_value(new).unwrap()), "\"deployment\"");
        let target = serde_json::json!({"source": "a", "kind": "b", "namespace": null, "name": "c", "uid": "d"});
        let run: Run = serde_json::from_value(serde_json::json!({"target": target, "revision": "1"})).unwrap();
        assert_eq!(json(serde_json::to_value(EntityRef::RolloutRecord(run)).unwrap()), "\"deployment\"");
    }

    #[test]
    fn what_reduces_exposure_never_asks_for_text_and_rows_stand_in_order() {
        for row in Action::TABLE {
            assert_eq!(row.action.row().name, row.name);
            let typed = matches!(row.confirmation, Confirmation::ChallengeAndReason);
            assert!(!(typed && row.direction == Direction::Reduces), "{}", row.name);
        }
    }
}
