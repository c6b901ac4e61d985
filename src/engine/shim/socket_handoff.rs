//! Listening sockets in the hands of a shim: the kept process gives it a duplicate of each, so that
//! the kernel's queue stays while the process is away, and the next one gets them back. Sockets pass
//! beside a line on the shim's socket (`SCM_RIGHTS`, unix(7)).

use super::wire::{Listening, Request, Response};
use flightdeck_platform::sockets::{SocketPath, receive, send};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sockets that a shim holds at most; its limit of open files is usually 1024.
const MAX_HELD: usize = 512;
/// A shim answers at once or is broken.
const ANSWER: Duration = Duration::from_secs(2);

/// A shim's side.
#[derive(Debug, Default)]
pub struct Sockets(BTreeMap<Listening, OwnedFd>);

impl Sockets {
    /// Keeps a socket; says why not.
    pub fn hold(&mut self, at: Listening, socket: Option<OwnedFd>) -> Result<(), &'static str> {
        let socket = socket.ok_or("no socket came with the request")?;
        if self.0.len() >= MAX_HELD && !self.0.contains_key(&at) {
            return Err("too many sockets are held already");
        }
        self.0.insert(at, socket);
        Ok(())
    }

    /// A held socket.
    pub fn get(&self, at: &Listening) -> Option<BorrowedFd<'_>> {
        self.0.get(at).map(AsFd::as_fd)
    }

    /// Closes one.
    pub fn let_go(&mut self, at: &Listening) {
        self.0.remove(at);
    }

    /// Which are held.
    pub fn list(&self) -> Vec<Listening> {
        self.0.keys().cloned().collect()
    }
}

/// The other side: the socket of a shim that holds. Blocks, for two seconds at most at each call.
#[derive(Debug, Clone)]
pub struct Holder {
    socket: PathBuf,
}

impl Holder {
    /// By the path of its socket.
    pub fn new(socket: &Path) -> Holder {
        Holder { socket: socket.to_owned() }
    }

    /// Gives the shim a duplicate to hold.
    pub fn hold(&self, at: &Listening, socket: &TcpListener) -> io::Result<()> {
        self.ask(&Request::Hold(at.clone()), Some(socket.as_fd())).map(drop)
    }

    /// The socket that is held for this; an error if none is.
    pub fn lend(&self, at: &Listening) -> io::Result<TcpListener> {
        let (_, socket) = self.ask(&Request::Lend(at.clone()), None)?;
        socket.map(TcpListener::from).ok_or_else(|| io::Error::other("the shim sent no socket"))
    }

    /// The shim closes what it holds for this.
    pub fn let_go(&self, at: &Listening) -> io::Result<()> {
        self.ask(&Request::LetGo(at.clone()), None).map(drop)
    }

    /// Which sockets are held; an error also from a shim that can't hold.
    pub fn held(&self) -> io::Result<Vec<Listening>> {
        match self.ask(&Request::Held, None)? {
            (Response::Held(held), _) => Ok(held),
            (other, _) => Err(io::Error::other(format!("the shim answered {other:?}"))),
        }
    }

    fn ask(&self, request: &Request, socket: Option<BorrowedFd<'_>>) -> io::Result<(Response, Option<OwnedFd>)> {
        let dir = self.socket.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stream = UnixStream::connect(SocketPath::of(dir, self.socket.file_name().unwrap_or_default())?.path())?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        send(&stream, &line, socket)?;
        let (mut answer, mut given, mut buffer) = (Vec::new(), None, [0; 4096]);
        while answer.last() != Some(&b'\n') {
            let (count, socket) = receive(&stream, &mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
            given = socket.or(given);
        }
        match serde_json::from_slice(&answer)? {
            Response::Refused { why } => Err(io::Error::other(why)),
            response => Ok((response, given)),
        }
    }
}
