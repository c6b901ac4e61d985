//! Sockets: a path that is short enough, and descriptors that travel beside bytes (`SCM_RIGHTS`).

pub use crate::system::SocketPath;

use crate::system;
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, SendAncillaryBuffer, SendAncillaryMessage, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Reads, with at most one descriptor that came beside the bytes. No program that is started gets it.
pub fn receive(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(stream, &mut [IoSliceMut::new(buffer)], &mut control, system::RECEIVE)?;
    let mut last = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            last = descriptors.last();
        }
    }
    let last = last.map(system::close_on_exec).transpose()?;
    Ok((got.bytes, last))
}

/// Writes a whole line, with a descriptor beside it if there is one.
pub fn send(stream: &UnixStream, line: &[u8], beside: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let descriptors = beside.as_slice();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    match sendmsg(stream, &[IoSlice::new(line)], &mut control, system::SEND)? {
        sent if sent == line.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}
