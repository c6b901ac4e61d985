//! Who is at the other end: the kernel's word, taken when the connection was made.

use crate::model::{Actor, sanitize_line};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use std::ffi::CString;
use std::io;
use tokio::net::UnixStream;

/// The peer of a connection. Names are looked up off the loop, since they may come over a network.
pub(super) async fn of(stream: &UnixStream) -> io::Result<Actor> {
    let uid = stream.peer_cred()?.uid();
    tokio::task::spawn_blocking(move || actor_of(uid)).await.map_err(io::Error::other)?
}

/// The login name and groups of a user id. One without a name is `uid:…` and has no groups.
///
/// # Errors
/// If the user database can't be read: better no answer than the wrong rights.
pub fn actor_of(uid: u32) -> io::Result<Actor> {
    let Some(user) = User::from_uid(Uid::from_raw(uid))? else {
        return Ok(Actor { name: format!("uid:{uid}"), uid: Some(uid), roles: Vec::new() });
    };
    let name = CString::new(user.name.as_str()).map_err(io::Error::other)?;
    let mut roles = Vec::new();
    for gid in getgrouplist(&name, Gid::from_raw(user.gid.as_raw()))? {
        roles.extend(Group::from_gid(gid)?.map(|group| sanitize_line(&group.name)));
    }
    roles.sort();
    roles.dedup();
    Ok(Actor { name: sanitize_line(&user.name), uid: Some(uid), roles })
}
