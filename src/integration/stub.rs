//! A system for tests that answers one request, and keeps it.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

pub(crate) struct Stub(TcpListener);

impl Stub {
    pub(crate) async fn bind() -> Stub {
        Stub(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The request: its head, and its body.
    pub(crate) async fn answer(self, status: &str, body: &str) -> (String, String) {
        let (stream, _) = self.0.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            stream.read_line(&mut head).await.unwrap();
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut asked = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut asked).await.unwrap();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        (head, String::from_utf8(asked).unwrap())
    }
}
