//! The server as it is: the real binary, its socket, and bytes on it.

mod dashboard;
mod lifecycle;
mod requests;
mod socket;
mod transfers;

use crate::support::live::{DEADLINE, Server};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// Sends bytes as they are and reads the answer to its end.
pub fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("waiting for an answer to {:?}: {error}", String::from_utf8_lossy(bytes)),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request with a body and more headers; answered once, then the connection is closed.
pub fn request(server: &Server, line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    raw(server, format!("{head}{body}").as_bytes())
}

/// The header that every request needs.
pub const WIRE: &str = "flightdeck-wire: 2\r\n";

/// The body of an answer, as JSON.
pub fn json(answer: &str) -> serde_json::Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no body: {answer:?}"));
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}
