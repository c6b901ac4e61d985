//! Who is at the other end: the user is the kernel's word, taken when the connection was made; their groups are
//! looked up for each request, so that rights that were taken away are gone at once.

use super::answer::Failure;
use super::limits::Share;
use axum::http::StatusCode;
use flightdeck_model::{Action, Actor, Direction, RefusalKind, sanitize_line};
use flightdeck_platform::groups_of;
use nix::unistd::{Gid, Group, Uid, User};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long a look-up may take: the user database may be on the network.
const WITHIN: Duration = Duration::from_secs(2);

/// The user at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    /// As they were when they connected.
    known: Actor,
    uid: u32,
    share: Arc<Share>,
}

impl Peer {
    /// The user of that id. `None`: who that is can't be looked up now.
    pub(super) async fn of(uid: u32, share: Arc<Share>) -> Option<Peer> {
        let known = look_up(uid, &share).await?;
        Some(Peer { known, uid, share })
    }

    pub(super) fn actor(&self) -> &Actor {
        &self.known
    }

    pub(super) fn share(&self) -> &Share {
        &self.share
    }
}

/// Who asks, as known now.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    now: Option<Actor>,
    before: Actor,
}

impl Asker {
    pub(super) async fn look_up(peer: &Peer) -> Asker {
        Asker { now: look_up(peer.uid, &peer.share).await, before: peer.known.clone() }
    }

    /// For a question.
    pub(super) fn actor(self) -> Actor {
        self.now.unwrap_or(self.before)
    }

    /// For an action. Where the user database does not answer, what reduces exposure goes by the groups of when
    /// the connection was made; nothing else is done.
    pub(super) fn actor_for(self, action: Action) -> Result<Actor, Failure> {
        match self.now {
            Some(now) => Ok(now),
            None if action.direction() == Direction::Reduces => Ok(self.before),
            None => {
                let why = format!("your groups could not be looked up within {} s; nothing was done", WITHIN.as_secs());
                Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, RefusalKind::Internal, why))
            }
        }
    }
}

/// Off the loop, on few threads of each user: one that hangs must not take those of the others.
async fn look_up(uid: u32, share: &Share) -> Option<Actor> {
    let found = async {
        let place = share.looking_up().await?;
        let found = tokio::task::spawn_blocking(move || {
            let found = actor_of(uid);
            drop(place);
            found
        });
        match found.await {
            Ok(Ok(actor)) => Some(actor),
            Ok(Err(error)) => {
                tracing::warn!(%error, uid, "a user can't be looked up");
                None
            }
            Err(error) => {
                tracing::error!(%error, uid, "looking up a user failed");
                None
            }
        }
    };
    tokio::time::timeout(WITHIN, found).await.ok().flatten()
}

/// The login name and groups of a user id. One without a name is `uid:…` and has no groups.
///
/// # Errors
/// If the user database can't be read: better no answer than the wrong rights.
pub fn actor_of(uid: u32) -> io::Result<Actor> {
    let Some(user) = User::from_uid(Uid::from_raw(uid))? else {
        return Ok(Actor { name: format!("uid:{uid}"), uid: Some(uid), roles: Vec::new() });
    };
    let mut roles = Vec::new();
    for gid in groups_of(&user.name, user.gid.as_raw())? {
        roles.extend(Group::from_gid(Gid::from_raw(gid))?.map(|group| sanitize_line(&group.name)));
    }
    roles.sort();
    roles.dedup();
    Ok(Actor { name: sanitize_line(&user.name), uid: Some(uid), roles })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_groups_cannot_be_looked_up_only_what_reduces_exposure_is_done() {
        let actor = |role: &str| Actor { name: "alice".into(), uid: Some(1), roles: vec![role.into()] };
        let fresh = Asker { now: Some(actor("guests")), before: actor("ops") };
        let lost = Asker { now: None, before: actor("ops") };
        for action in [Action::Abort, Action::Pause, Action::Hold, Action::Reject, Action::Rollback] {
            assert_eq!(fresh.clone().actor_for(action).unwrap(), actor("guests"), "{action:?}");
            assert_eq!(lost.clone().actor_for(action).unwrap(), actor("ops"), "{action:?}");
        }
        assert_eq!(fresh.actor_for(Action::Promote).unwrap(), actor("guests"));
        assert_eq!(lost.actor_for(Action::Promote).unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
