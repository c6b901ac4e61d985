//! The stream of updates: reconnects by itself and resumes where it stopped.

use super::client::{ANSWER_WITHIN, Client, url};
use super::error::ClientError;
use super::sse::SseParser;
use super::transfer::{LineStream, lines_of};
use flightdeck_model::{Envelope, HEARTBEAT_HEADER, sanitize_json, sanitize_line};
use futures::stream::{self, Stream, StreamExt as _};
use std::time::Duration;
use tokio::time::Instant;

/// First wait after a lost connection; doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// What a server that does not tell its heartbeat takes for one.
const USUAL_HEARTBEAT: Duration = Duration::from_secs(15);
/// A server that was silent for so many heartbeats is taken for gone.
const BEATS: u32 = 3;
/// And for so long at least: a machine that is merely busy may be late.
const LEAST_SILENCE: Duration = Duration::from_millis(3500);
/// Longest line of the stream: one row as JSON.
const LONGEST_LINE: usize = 16 << 20;

/// What the stream of updates tells.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// The connection is up; updates follow.
    Connected,
    /// One update.
    Envelope(Box<Envelope>),
    /// The connection is lost. It is tried again without being asked.
    Lost {
        why: String,
        /// How long ago the last word was heard; `None`: none ever was.
        heard: Option<Duration>,
    },
}

enum Link {
    /// To be tried after so long.
    Down(Duration),
    /// Followed; after so much silence it is lost.
    Up(Box<LineStream>, SseParser, Duration),
}

struct Follow {
    client: Client,
    link: Link,
    last: Option<String>,
    wait: Duration,
    /// When the last word came.
    heard: Option<Instant>,
}

impl Client {
    /// Follows all updates, from a snapshot on; never ends. After a loss it connects again, with
    /// growing waits and some jitter, and resumes after the last update that arrived.
    pub fn events(&self) -> impl Stream<Item = ClientEvent> + Send + Unpin + 'static {
        let (link, client) = (Link::Down(Duration::ZERO), self.clone());
        let follow = Follow { client, link, last: None, wait: FIRST_WAIT, heard: None };
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
                        Ok((lines, silence)) => {
                            self.link = Link::Up(Box::new(lines), SseParser::default(), silence);
                            self.heard = Some(Instant::now());
                            ClientEvent::Connected
                        }
                        Err(error) => self.lost(error.in_full()),
                    };
                }
                Link::Up(lines, parser, silence) => match tokio::time::timeout(*silence, lines.next()).await {
                    Err(_) => Err("the server says nothing any more".to_owned()),
                    Ok(None) => Err("the server closed the stream".to_owned()),
                    Ok(Some(Err(error))) => Err(ClientError::Stream(error).in_full()),
                    Ok(Some(Ok(line))) => {
                        self.heard = Some(Instant::now());
                        Ok(parser.line(&line))
                    }
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
        ClientEvent::Lost { why, heard: self.heard.map(|heard| heard.elapsed()) }
    }
}

impl Client {
    /// The stream, and after how much silence it is lost.
    async fn open_events(&self, last: Option<&str>) -> Result<(LineStream, Duration), ClientError> {
        let mut request = self.http.get(url("/v1/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answered = tokio::time::timeout(ANSWER_WITHIN, request.send()).await;
        let Ok(answered) = answered else {
            return Err(ClientError::Silent);
        };
        let response = self.sent("follow the server's updates", answered)?;
        let response = self.checked(response).await?;
        let told = response.headers().get(HEARTBEAT_HEADER).and_then(|value| value.to_str().ok());
        let silence = silence(told.and_then(|value| value.parse().ok()));
        Ok((lines_of(response, LONGEST_LINE), silence))
    }
}

/// How long a server that says something at least each so many seconds may be silent.
fn silence(heartbeat: Option<u16>) -> Duration {
    let beat = heartbeat.map_or(USUAL_HEARTBEAT, |seconds| Duration::from_secs(seconds.into()));
    beat.min(USUAL_HEARTBEAT).saturating_mul(BEATS).max(LEAST_SILENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_follows_the_servers_heartbeat() {
        for (told, millis) in [(None, 45_000), (Some(0), 3500), (Some(1), 3500), (Some(2), 6000), (Some(600), 45_000)] {
            assert_eq!(silence(told), Duration::from_millis(millis), "{told:?}");
        }
    }
}
