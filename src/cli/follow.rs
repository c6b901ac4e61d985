//! Following a command to its effect.

use super::output::say;
use super::{Code, Failure};
use crate::client::{ClientEvent, Link};
use crate::model::{Body, Entity, Receipt, sanitize_line};
use futures::stream::{BoxStream, StreamExt as _};
use jiff::SignedDuration;
use std::time::Duration;
use tokio::time::Instant;

/// Reads receipts from the stream of updates.
pub(super) struct Follower {
    events: BoxStream<'static, ClientEvent>,
}

impl Follower {
    /// Opens the stream; what is sent after this returns can't be missed.
    pub(super) async fn open(link: &Link) -> Result<Follower, Failure> {
        let mut events = link.events();
        match events.next().await {
            Some(ClientEvent::Connected) => Ok(Follower { events }),
            Some(ClientEvent::Lost { why, .. }) => Err(Failure::new(Code::Unreachable, why)),
            _ => Err(Failure::new(Code::Unreachable, "the server told nothing")),
        }
    }

    async fn next(&mut self, id: &str) -> Option<Receipt> {
        loop {
            match self.events.next().await? {
                ClientEvent::Envelope(envelope) => match envelope.scoped.body {
                    Body::Upsert(Entity::Receipt(receipt)) if receipt.id.as_str() == id => return Some(*receipt),
                    _ => {}
                },
                ClientEvent::Lost { why, .. } => say(&format!("connection lost ({why}); trying again")),
                ClientEvent::Connected => {}
            }
        }
    }

    /// The first word of that receipt.
    pub(super) async fn any(&mut self, id: &str, within: SignedDuration) -> Result<Receipt, Failure> {
        let deadline = deadline(within);
        match tokio::time::timeout_at(deadline, self.next(id)).await {
            Ok(Some(receipt)) => Ok(receipt),
            _ => Err(Failure::new(Code::TimedOut, format!("nothing was seen of {id} within {within:#}"))),
        }
    }

    /// Follows a receipt to its last stage, saying each.
    pub(super) async fn until_final(
        &mut self,
        mut receipt: Receipt,
        within: SignedDuration,
    ) -> Result<Receipt, Failure> {
        let deadline = deadline(within);
        let mut said = None;
        loop {
            let stage = receipt.stage();
            if said.as_ref() != Some(stage) {
                let detail = stage.detail().map(|text| format!(": {}", sanitize_line(text))).unwrap_or_default();
                say(&format!("{}{detail}", stage.word()));
            }
            if stage.is_final() {
                return Ok(receipt);
            }
            said = Some(stage.clone());
            let id = receipt.id.to_string();
            receipt = match tokio::time::timeout_at(deadline, self.next(&id)).await {
                // The answer may have overtaken what the stream still tells.
                Ok(Some(older)) if older.stages.len() < receipt.stages.len() => receipt,
                Ok(Some(receipt)) => receipt,
                Ok(None) => return Err(Failure::new(Code::Unreachable, "the server ended before the effect was seen")),
                Err(_) => {
                    let last = receipt.stage().word();
                    let what = format!("the effect was not seen within {within:#}; last: {last}. It may still come");
                    return Err(Failure::new(Code::TimedOut, what).todo(format!("see `flightdeck get receipts {id}`")));
                }
            };
        }
    }
}

fn deadline(within: SignedDuration) -> Instant {
    Instant::now() + Duration::try_from(within).unwrap_or(Duration::ZERO)
}
