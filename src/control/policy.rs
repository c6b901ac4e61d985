//! Who may act at all.

use crate::model::{Action, Actor, Refusal, RefusalKind};

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
}

/// Is the actor named in the list, by name or role? The program itself always is: nobody can log
/// in under its names, since they hold a colon.
fn named(list: &[String], actor: &Actor) -> bool {
    is_system(actor) || list.iter().any(|entry| actor.is(entry))
}

fn is_system(actor: &Actor) -> bool {
    actor.uid.is_none() && actor.name.starts_with("system:")
}

impl Policy {
    /// Is it somebody who may do more than watch, if anybody here may?
    #[must_use]
    pub fn is_operator(&self, actor: &Actor) -> bool {
        self.operators.is_empty() || named(&self.operators, actor)
    }

    /// May they do this sort of thing at all? `Err` says who may.
    pub fn allows(&self, actor: &Actor, action: Action) -> Result<(), Refusal> {
        let denied = |why: String| Err(Refusal::new(RefusalKind::Denied, why));
        if self.read_only {
            return denied("this hub is read-only: nothing can be changed from here".to_owned());
        }
        if !self.is_operator(actor) {
            let list = self.operators.join(", ");
            return denied(format!("{} may not {}: only {list} may act here", actor.name, action.name()));
        }
        let administrative = matches!(action, Action::Apply | Action::RemoveRelease);
        if administrative && !self.admins.is_empty() && !named(&self.admins, actor) {
            let list = self.admins.join(", ");
            return denied(format!("{} may not {}: only {list} may", actor.name, action.name()));
        }
        Ok(())
    }
}
