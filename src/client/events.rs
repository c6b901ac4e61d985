//! The stream of updates: reconnects by itself and resumes where it stopped.

use super::sse::SseParser;
use super::transfer::{LineStream, lines_of};
use super::{Client, ClientError, url};
use crate::model::{Envelope, sanitize_json, sanitize_line};
use futures::stream::{self, Stream, StreamExt as _};
use std::time::Duration;

/// First wait after a lost connection; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The server says something at least each 15 s; after this much silence it is taken for gone.
const SILENCE: Duration = Duration::from_secs(45);
/// Longest line of the stream: one row as JSON.
const LONGEST_LINE: usize = 16 << 20;

/// What the stream of updates tells.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// The connection is up; updates follow.
    Connected,
    /// One update.
    Envelope(Box<Envelope>),
    /// The connection is lost, and why. It is tried again without being asked.
    Lost(String),
}

enum Link {
    /// To be tried after so long.
    Down(Duration),
    /// Followed.
    Up(Box<LineStream>, SseParser),
}

struct Follow {
    client: Client,
    link: Link,
    last: Option<String>,
    wait: Duration,
}

impl Client {
    /// Follows all updates, from a snapshot on; never ends. After a loss it connects again, with
    /// growing waits and some jitter, and resumes after the last update that arrived.
    pub fn events(&self) -> impl Stream<Item = ClientEvent> + Send + Unpin + 'static {
        let follow = Follow { client: self.clone(), link: Link::Down(Duration::ZERO), last: None, wait: FIRST_WAIT };
        Box::pin(stream::unfold(follow, |mut follow| async move {
            let event = follow.next().await;
            Some((event, follow))
        }))
    }
}

impl Follow {
    async fn next(&mut self) -> ClientEvent {
        loop {
            let told = match &mut self.link {
                Link::Down(wait) => {
                    tokio::time::sleep(*wait).await;
                    return match self.client.open_events(self.last.as_deref()).await {
                        Ok(lines) => {
                            self.link = Link::Up(Box::new(lines), SseParser::default());
                            ClientEvent::Connected
                        }
                        Err(error) => self.lost(error.in_full()),
                    };
                }
                Link::Up(lines, parser) => match tokio::time::timeout(SILENCE, lines.next()).await {
                    Err(_) => Err(format!("nothing heard for {} s", SILENCE.as_secs())),
                    Ok(None) => Err("the server closed the stream".to_owned()),
                    Ok(Some(Err(error))) => Err(ClientError::Stream(error).in_full()),
                    Ok(Some(Ok(line))) => Ok(parser.line(&line)),
                },
            };
            match told {
                Ok(None) => {}
                Ok(Some(event)) => match serde_json::from_str::<Envelope>(&sanitize_json(&event.data, sanitize_line)) {
                    Ok(envelope) => {
                        self.last = event.id;
                        self.wait = FIRST_WAIT;
                        return ClientEvent::Envelope(Box::new(envelope));
                    }
                    // Without its words the board would be wrong: begin again with a snapshot.
                    Err(error) => {
                        self.last = None;
                        return self.lost(format!("an update is not understood: {error}"));
                    }
                },
                Err(why) => return self.lost(why),
            }
        }
    }

    fn lost(&mut self, why: String) -> ClientEvent {
        let jitter = 0.75 + fastrand::f64() * 0.5;
        self.link = Link::Down(self.wait.mul_f64(jitter));
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        ClientEvent::Lost(why)
    }
}

impl Client {
    async fn open_events(&self, last: Option<&str>) -> Result<LineStream, ClientError> {
        let mut request = self.http.get(url("/v1/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answered = tokio::time::timeout(super::ANSWER_WITHIN, request.send()).await;
        let Ok(answered) = answered else {
            return Err(ClientError::Silent);
        };
        let response = self.sent("follow the server's updates", answered)?;
        Ok(lines_of(self.checked(response).await?, LONGEST_LINE))
    }
}
