//! The proxy under its shim: what happens to users while it is away.

use super::rig::*;
use crate::process::{Scratch, exe, spec, until};
use flightdeck::engine::process::client::{ask, end, launch, recorded};
use flightdeck::engine::process::socket_handoff::Holder;
use flightdeck::engine::process::wire::{Listening, Request as ShimRequest, SOCKET_FILE, ShimSpec};
use flightdeck::engine::proxy::SHIM_VARIABLE;
use flightdeck::engine::proxy::wire::{Request, Response};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

struct Kept {
    _scratch: Scratch,
    dir: PathBuf,
    control: Control,
}

fn control(dir: &Path) -> Control {
    let stream = wait_for("the proxy's control socket", || UnixStream::connect(dir.join("proxy.sock")).ok());
    let mut control = Control::new(stream);
    control.hello();
    control
}

async fn kept() -> Kept {
    let scratch = Scratch::new();
    let dir = scratch.path("proxy");
    let args = ["proxy", "--socket", "proxy.sock", "--state", "routes.json"];
    let env = BTreeMap::from([(SHIM_VARIABLE.to_owned(), SOCKET_FILE.to_owned())]);
    let spec = ShimSpec { keep: true, env, ..spec("proxy", exe(), &args, &dir) };
    assert_eq!(launch(exe(), &dir, &spec, &BTreeMap::new()).await.unwrap().failed, None);
    let control = control(&dir);
    Kept { _scratch: scratch, dir, control }
}

impl Kept {
    fn route(&mut self, route: &flightdeck::engine::proxy::wire::Route) {
        let acked =
            Response::Acked { listener: route.listener.clone(), version: route.version, redirect_refused: None };
        assert_eq!(self.control.call(Request::SetRoute(route.clone())), acked);
    }

    fn held(&self) -> Vec<SocketAddr> {
        let held = Holder::new(&self.dir.join(SOCKET_FILE)).held().unwrap();
        held.into_iter().map(|Listening { address, .. }| address).collect()
    }

    /// Kills the proxy and waits for the next one.
    async fn crash(&mut self) {
        let process = recorded(&self.dir).unwrap().process.unwrap();
        assert!(process.kill());
        until("another proxy", || async { recorded(&self.dir)?.process.filter(|next| *next != process) }).await;
        self.control = control(&self.dir);
    }
}

/// One request on a new connection: the status, or how it went wrong.
fn fresh(address: SocketAddr) -> Result<u16, ErrorKind> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = String::new();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
        .and_then(|()| stream.read_to_string(&mut answer))
        .map_err(|error| error.kind())?;
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(ErrorKind::UnexpectedEof)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_killed_under_load_refuses_no_connection() {
    const THREADS: usize = 4;
    const KILLS: usize = 5;
    let sample = Sample::quick("a", "1");
    let (mut kept, listen) = (kept().await, free_address());
    kept.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    let (done, served, cut) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let users = || {
        while !done.load(SeqCst) {
            match fresh(listen) {
                Ok(200) => served.fetch_add(1, SeqCst),
                // In flight on the one that was killed.
                Err(ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe) => {
                    cut.fetch_add(1, SeqCst)
                }
                other => panic!("{other:?}"),
            };
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(users)).collect();
        let kills = async {
            for _ in 0..KILLS {
                let before = served.load(SeqCst);
                until("some requests", || async { (served.load(SeqCst) > before + 50).then_some(()) }).await;
                kept.crash().await;
            }
        };
        let killed = tokio::task::block_in_place(|| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tokio::runtime::Handle::current().block_on(kills)))
        });
        done.store(true, SeqCst);
        let ended: Vec<_> = threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        killed.unwrap();
        for ended in ended {
            ended.unwrap();
        }
    });
    assert!(cut.load(SeqCst) <= THREADS * KILLS, "{cut:?} were cut, {THREADS} in flight at each of {KILLS} kills");
    end(&kept.dir).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_while_the_proxy_is_away_waits_in_the_queue() {
    let sample = Sample::quick("a", "1");
    let (mut kept, listen) = (kept().await, free_address());
    kept.route(&route(1, listen, vec![pool("stable", 100, vec![sample.endpoint()])]));
    // Two quick ends make the third start wait for a while.
    kept.crash().await;
    kept.crash().await;
    assert!(recorded(&kept.dir).unwrap().process.unwrap().kill());
    let status = tokio::task::spawn_blocking(move || fresh(listen)).await.unwrap();
    assert_eq!(status, Ok(200));
    end(&kept.dir).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_what_is_listened_on() {
    let sample = Sample::quick("a", "1");
    let (mut kept, first, second) = (kept().await, free_address(), free_address());
    let to = |version, listen| route(version, listen, vec![pool("stable", 100, vec![sample.endpoint()])]);
    kept.route(&to(1, first));
    assert_eq!(kept.held(), [first]);
    kept.route(&to(2, second));
    assert_eq!(kept.held(), [second], "a listener that moved lets go");
    assert!(TcpStream::connect(first).is_err(), "its address is free");
    kept.crash().await;
    assert_eq!((kept.held(), get(second, "/").status), (vec![second], 200));
    let holder = Holder::new(&kept.dir.join(SOCKET_FILE));
    let stray = Listening { listener: "gone@production".into(), address: first };
    holder.hold(&stray, &std::net::TcpListener::bind(first).unwrap()).unwrap();
    kept.crash().await;
    assert_eq!(kept.held(), [second], "nobody listens on the other");
    let remove = Request::RemoveRoute { listener: "shop@production".to_owned() };
    assert_eq!(kept.control.call(remove), Response::Done);
    assert_eq!(kept.held(), []);
    assert!(TcpStream::connect(second).is_err(), "its address is free");
    assert!(holder.lend(&stray).unwrap_err().to_string().contains("no such socket"));
    end(&kept.dir).await.unwrap();
}

#[tokio::test]
async fn the_shim_of_an_instance_holds_nothing() {
    let scratch = Scratch::new();
    let dir = scratch.path("i");
    let spec = spec("i-1", exe(), &["sample-app", "--port", "0"], &dir);
    launch(exe(), &dir, &spec, &BTreeMap::new()).await.unwrap();
    let holder = Holder::new(&dir.join(SOCKET_FILE));
    let at = Listening { listener: "shop@production".into(), address: free_address() };
    let refused = holder.hold(&at, &std::net::TcpListener::bind(at.address).unwrap()).unwrap_err();
    assert!(refused.to_string().contains("not kept"), "{refused}");
    // A line that promises a socket and brings none.
    let answer = ask(&dir, &ShimRequest::Hold(at)).await.unwrap();
    assert!(matches!(answer, flightdeck::engine::process::wire::Response::Refused { .. }));
    end(&dir).await.unwrap();
}
