//! A server that plays what it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// One request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// How many came before.
    pub number: usize,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// Decoded.
    pub form: Vec<(String, String)>,
    /// As it came.
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn field(&self, name: &str) -> &str {
        self.form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub enum Play {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// The first half of an answer.
    Truncated,
    /// Nothing, and the connection ends.
    Reset,
    /// Nothing, and the connection stays.
    Silent,
    /// An answer that goes on and on.
    Endless,
}

impl Play {
    pub fn answer(status: u16, body: &str) -> Play {
        Play::Answer { status, headers: Vec::new(), body: body.to_owned() }
    }
}

/// Ends with its listener once it is dropped.
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    number: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
    over: AtomicBool,
    /// Held open without an answer.
    silent: Mutex<Vec<TcpStream>>,
}

impl Stub {
    pub fn start(play: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, play) = (Arc::new(Shared::default()), Arc::new(play));
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, play) = (Arc::clone(&serving), Arc::clone(&play));
                std::thread::spawn(move || serve(stream.unwrap(), &shared, &*play));
            }
        });
        Stub { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// How many were served at the same time.
    pub fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    /// The next request gets this number at least.
    pub fn skip_to(&self, number: usize) {
        self.shared.number.fetch_max(number, Ordering::SeqCst);
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: TcpStream, shared: &Shared, play: &dyn Fn(&Asked) -> Play) {
    let running = shared.running.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most.fetch_max(running, Ordering::SeqCst);
    if let Some(asked) = read(&stream, shared) {
        let what = play(&asked);
        shared.asked.lock().unwrap().push(asked);
        // Whoever gave up hears no answer.
        drop(answer(stream, what, shared));
    }
    shared.running.fetch_sub(1, Ordering::SeqCst);
}

fn read(stream: &TcpStream, shared: &Shared) -> Option<Asked> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? <= 2 {
            break;
        }
        headers.extend(line.trim().split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Some(0), |(_, value)| value.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    let pairs = body.split('&').filter(|_| !body.starts_with('{')).filter_map(|pair| pair.split_once('='));
    let form = pairs.map(|(k, v)| (decoded(k), decoded(v))).collect();
    let number = shared.number.fetch_add(1, Ordering::SeqCst);
    Some(Asked { number, method, path, headers, form, body })
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&hex, 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(out).unwrap()
}

fn answer(mut stream: TcpStream, play: Play, shared: &Shared) -> std::io::Result<()> {
    match play {
        Play::Answer { status, headers, body } => {
            write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n", body.len())?;
            for (name, value) in headers {
                write!(stream, "{name}: {value}\r\n")?;
            }
            write!(stream, "\r\n{body}")
        }
        Play::Truncated => {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n{{\"status\":\"succ")
        }
        Play::Reset => stream.shutdown(Shutdown::Both),
        Play::Silent => {
            shared.silent.lock().unwrap().push(stream);
            Ok(())
        }
        Play::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
            let part = vec![b' '; 1 << 20];
            loop {
                stream.write_all(&part)?;
            }
        }
    }
}
