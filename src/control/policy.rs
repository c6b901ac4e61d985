//! Who may act at all.

use flightdeck_model::{Action, Actor, ConfigName, Refusal, RefusalKind, Subject};
use std::collections::BTreeMap;

/// What governs a hub. `Default`: advisory, everyone who reaches the hub may act.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Binding (a server), or advice to oneself (one's own process)?
    pub enforced: bool,
    /// Nothing may be changed from here, not even to reduce exposure.
    pub read_only: bool,
    /// Who may act, as [`Actor::is`] reads it; empty: everyone who reaches the hub.
    pub operators: Vec<String>,
    /// Who may change configuration and remove releases; empty: all operators.
    pub admins: Vec<String>,
    /// Who else may apply which configuration, and only that. With any entry here those that have none are for
    /// `admins` alone; empty: all configurations are as `admins` says.
    pub apply: BTreeMap<ConfigName, Vec<String>>,
}

/// Is the actor named in the list, by name or role? The program itself always is.
fn named(list: &[String], actor: &Actor) -> bool {
    actor.is_system() || list.iter().any(|entry| actor.is(entry))
}

impl Policy {
    /// Is it somebody who may do more than watch, if anybody here may?
    #[must_use]
    pub fn is_operator(&self, actor: &Actor) -> bool {
        self.operators.is_empty() || named(&self.operators, actor)
    }

    /// May they do this sort of thing at all? `Err` says who may.
    pub fn allows(&self, actor: &Actor, action: Action, subject: &Subject) -> Result<(), Refusal> {
        let denied = |why: String| Err(Refusal::new(RefusalKind::Denied, why));
        if self.read_only {
            return denied("this hub is read-only: nothing can be changed from here".to_owned());
        }
        if !self.is_operator(actor) {
            let list = self.operators.join(", ");
            return denied(format!("{} may not {}: only {list} may act here", actor.name, action.name()));
        }
        if let (Subject::Config { name, .. }, false) = (subject, self.apply.is_empty()) {
            return self.may_apply(actor, name).or_else(denied);
        }
        let administrative = matches!(action, Action::Apply | Action::RemoveRelease);
        if administrative && !self.admins.is_empty() && !named(&self.admins, actor) {
            let list = self.admins.join(", ");
            return denied(format!("{} may not {}: only {list} may", actor.name, action.name()));
        }
        Ok(())
    }

    /// `Err` says who may.
    fn may_apply(&self, actor: &Actor, name: &ConfigName) -> Result<(), String> {
        let theirs = self.apply.get(name).map(Vec::as_slice).unwrap_or_default();
        if named(theirs, actor) || named(&self.admins, actor) {
            return Ok(());
        }
        let may: Vec<_> = theirs.iter().chain(&self.admins).map(String::as_str).collect();
        let who = if may.is_empty() {
            format!("nobody may, since serve.apply does not name {name} and serve.admins is empty")
        } else {
            format!("only {} may", may.join(", "))
        };
        Err(format!("{} may not apply the configuration {name}: {who}", actor.name))
    }
}
