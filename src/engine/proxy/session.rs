//! One connection of the control socket: numbered JSON lines in, numbered answers out.

use super::wire::{Numbered, Request, Response};
use flightdeck_model::sanitize_line;
use futures::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

/// Longest line; a route of a thousand instances has about 100 kB.
const MAX_LINE: usize = 4 << 20;
/// Requests of one connection that may wait for their answer; then it is not read on.
const MAX_WAITING: usize = 256;

/// What a connection tells the control loop.
#[derive(Debug)]
pub enum Event {
    /// A request.
    Asked {
        session: u64,
        /// What, with its number.
        request: Numbered<Request>,
        /// Where the answer goes.
        answer: Answer,
    },
    Gone {
        session: u64,
    },
}

/// Where answers of one connection go.
pub type Answer = mpsc::UnboundedSender<Numbered<Response>>;

/// Serves one connection until it ends.
pub async fn serve(session: u64, stream: UnixStream, events: mpsc::Sender<Event>) {
    if let Err(error) = converse(session, stream, &events).await {
        tracing::warn!(session, %error, "a control connection broke");
    }
    // The loop is gone only when the process ends.
    let _ended = events.send(Event::Gone { session }).await;
}

async fn converse(session: u64, stream: UnixStream, events: &mpsc::Sender<Event>) -> Result<(), LinesCodecError> {
    let (mut sink, mut lines) = Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE)).split();
    let (answer, mut answers) = mpsc::unbounded_channel();
    let mut waiting = 0_usize;
    let mut reading = true;
    while reading || waiting > 0 {
        tokio::select! {
            line = lines.next(), if reading && waiting < MAX_WAITING => match line {
                None => reading = false,
                Some(Ok(line)) => match parse(&line) {
                    Ok(request) => {
                        waiting += 1;
                        let asked = Event::Asked { session, request, answer: answer.clone() };
                        if events.send(asked).await.is_err() {
                            return Ok(());
                        }
                    }
                    Err((id, why)) => sink.send(encode(&Numbered { id, body: refusal(why) })).await?,
                },
                Some(Err(error)) => {
                    let why = format!("the line can't be read: {error}");
                    sink.send(encode(&Numbered { id: 0, body: refusal(why) })).await?;
                    if !matches!(error, LinesCodecError::MaxLineLengthExceeded) {
                        return Err(error);
                    }
                    // A framed stream says once that it ended, then skips the rest of the line.
                    let _once = lines.next().await;
                }
            },
            Some(response) = answers.recv() => {
                waiting = waiting.saturating_sub(1);
                sink.send(encode(&response)).await?;
            }
        }
    }
    Ok(())
}

/// An error is the number that it seems to have, and why it is none.
fn parse(line: &str) -> Result<Numbered<Request>, (u64, String)> {
    serde_json::from_str(line).map_err(|error| {
        let id = serde_json::from_str::<serde_json::Value>(line).ok().and_then(|value| value.get("id")?.as_u64());
        (id.unwrap_or(0), sanitize_line(&format!("this is not a request: {error}")))
    })
}

fn refusal(why: String) -> Response {
    Response::Refused { why, newer: None }
}

fn encode(response: &Numbered<Response>) -> String {
    // Plain data with text keys: it always has a JSON form.
    serde_json::to_string(response).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer has no JSON form");
        String::new()
    })
}
