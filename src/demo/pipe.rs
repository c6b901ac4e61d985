//! A parent's pipe on standard input: when it closes, the parent is gone.

use std::io;
use std::os::fd::AsFd as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// Resolves when whoever holds the other end of standard input has closed it or died. What is
/// written there is read and dropped.
///
/// # Errors
/// If standard input is no pipe.
pub async fn stdin_closed() -> io::Result<()> {
    // No thread that blocks on a read: it could not be cancelled.
    let stdin = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut pipe = Receiver::from_file(stdin)?;
    let mut dropped = [0; 256];
    while pipe.read(&mut dropped).await? > 0 {}
    Ok(())
}
