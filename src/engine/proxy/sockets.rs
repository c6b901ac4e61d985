//! Where listening sockets come from: the shim that holds them, or the kernel.

use flightdeck_platform::set_user_timeout;
use flightdeck_shim::socket_handoff::Holder;
use flightdeck_shim::wire::Listening;
use rustix::net::{listen, sockopt};
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

/// Connections that wait to be accepted; the kernel bounds it by `net.core.somaxconn`.
const QUEUE: i32 = 4096;

/// Takes, gives back and forgets listening sockets.
#[derive(Debug, Clone)]
pub struct Sockets {
    holder: Option<Holder>,
    /// A user who takes nothing of an answer for so long is cut off.
    stall: Duration,
}

impl Sockets {
    /// With the socket of a shim that holds them, if there is one.
    pub fn new(shim: Option<&Path>, stall: Duration) -> Self {
        Self { holder: shim.map(Holder::new), stall }
    }

    /// The socket that is held for its address, else a new one, which is then held; with as what it is held.
    pub async fn take(&self, at: &Listening) -> io::Result<(TcpListener, Listening)> {
        let (this, at) = (self.clone(), at.clone());
        blocking(move || {
            let (socket, held) = match this.lent(&at) {
                Some(lent) => lent,
                None => (this.bind(&at)?, at),
            };
            // Connections take these over from the socket that they come in on.
            sockopt::set_tcp_nodelay(&socket, true)?;
            match set_user_timeout(&socket, this.stall) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    tracing::info!(address = %held.address, %error, "slow users are cut off when the kernel gives up");
                }
                set => set?,
            }
            socket.set_nonblocking(true)?;
            Ok((socket, held))
        })
        .await
    }

    /// By whichever service of an address it is held.
    fn lent(&self, at: &Listening) -> Option<(TcpListener, Listening)> {
        let holder = self.holder.as_ref()?;
        let held = holder.held().ok()?.into_iter().find(|held| held.address == at.address)?;
        Some((holder.lend(&held).ok()?, held))
    }

    fn bind(&self, at: &Listening) -> io::Result<TcpListener> {
        let socket = TcpListener::bind(at.address)?;
        listen(&socket, QUEUE)?;
        if let Some(Err(error)) = self.holder.as_ref().map(|holder| holder.hold(at, &socket)) {
            tracing::warn!(listener = at.listener, %error, "the socket is not held: a crash would refuse connections");
        }
        Ok(socket)
    }

    /// The address is to be free once it is closed here.
    pub async fn let_go(&self, at: Listening) {
        let Some(holder) = self.holder.clone() else { return };
        if let Err(error) = blocking(move || holder.let_go(&at)).await {
            tracing::warn!(%error, "the shim did not let go of a socket");
        }
    }

    /// Nothing else stays held.
    pub async fn keep_only(&self, wanted: Vec<Listening>) {
        let Some(holder) = self.holder.clone() else { return };
        let kept = blocking(move || {
            for at in holder.held()?.iter().filter(|at| !wanted.contains(at)) {
                holder.let_go(at)?;
            }
            Ok(())
        });
        if let Err(error) = kept.await {
            tracing::warn!(%error, "sockets may be held that nobody listens on");
        }
    }
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(io::Error::other)?
}
