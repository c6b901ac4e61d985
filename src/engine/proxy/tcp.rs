//! Connections whose bytes pass as they are: each goes to one instance for its whole life.

use super::backend::Backend;
use super::clock;
use super::flight::Flight;
use super::pool::{Instance, Pool, Tunnel};
use super::route::Choice;
use super::user::Place;
use flightdeck_model::Ppm;
use rustix::net::sockopt::set_socket_keepalive;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes that are carried at once.
const PIECE: usize = 8192;

/// Carries a user's connection until both sides are done, or until its instance must go. It is open for that long.
pub async fn serve(backend: Arc<Backend>, user: TcpStream, _place: Place) {
    let Some((mut flight, pool, instance, stream)) = connect(&backend).await else { return };
    flight.opened();
    let Tunnel { leaving, _counted } = instance.tunnel();
    // Either side may end a connection at any time: an error here says only that it did.
    let carried = tokio::select! {
        carried = carry_both(user, stream, &pool) => carried,
        () = leaving.cancelled() => Err(io::Error::other("its instance leaves")),
    };
    if let Err(error) = carried {
        tracing::debug!(listener = backend.name, %error, "a connection was cut");
    }
}

/// An instance that takes the connection; one that refuses it lets the next one try.
async fn connect(backend: &Backend) -> Option<(Flight, Arc<Pool>, Arc<Instance>, TcpStream)> {
    let (started, place) = (clock::instant(), fastrand::u32(..Ppm::ALL.0));
    let mut tried: Vec<Arc<Instance>> = Vec::new();
    let mut last: Option<(Flight, Arc<Pool>)> = None;
    loop {
        let preferred = last.as_ref().map(|(_, pool)| &**pool);
        // Nothing is awaited between this and the count: an instance that drains is not given another one.
        let choice = backend.routing.load().choose(clock::now_ms(), place, preferred, &tried);
        let (pool, instance) = match choice {
            Choice::Instance(pool, instance) => (pool, instance),
            Choice::Nobody(pool) => {
                Flight::begin(started, pool, None).failed();
                return None;
            }
            Choice::Exhausted => {
                if let Some((flight, _)) = last {
                    flight.failed();
                }
                return None;
            }
        };
        let flight = match last.take() {
            Some((mut flight, _)) => {
                flight.move_to(&pool, &instance);
                flight
            }
            None => Flight::begin(started, Arc::clone(&pool), Some(Arc::clone(&instance))),
        };
        match instance.open_stream(backend.limits.connect).await {
            Ok(stream) => return Some((flight, pool, instance, stream)),
            Err(error) => {
                tracing::debug!(instance = instance.id, %error, "an instance took no connection");
                instance.connect_failed(clock::now_ms());
                tried.push(instance);
                last = Some((flight, pool));
            }
        }
    }
}

/// Each side may stop sending and still listen.
async fn carry_both(mut user: TcpStream, mut instance: TcpStream, pool: &Pool) -> io::Result<()> {
    for stream in [&user, &instance] {
        stream.set_nodelay(true)?;
        // Who vanished without a word is found out, however long both are silent.
        set_socket_keepalive(stream, true)?;
    }
    let (from_user, to_user) = user.split();
    let (from_instance, to_instance) = instance.split();
    let both = tokio::try_join!(
        carry(from_user, to_instance, &pool.counters.received),
        carry(from_instance, to_user, &pool.counters.sent),
    );
    both.map(drop)
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, bytes: &AtomicU64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).await?;
        let read = piece.get(..read).unwrap_or_default();
        if read.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(read).await?;
        bytes.fetch_add(read.len() as u64, Relaxed);
    }
}
