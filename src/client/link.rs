//! A hub, wherever it is: behind a server's socket or in this process.

use super::client::Client;
use super::error::{ClientError, SubmitError};
use super::events::ClientEvent;
use flightdeck_hub::{Hub, Subscription};
use flightdeck_model::{Actor, Command, Query, Receipt, Reply};
use futures::stream::{self, BoxStream, StreamExt as _};
use std::time::Duration;

/// How to reach a hub. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Link {
    /// Behind a server, which says who we are and enforces its policy.
    Server(Client),
    /// In this process. It ends when every link to it is dropped.
    Local {
        hub: Hub,
        /// In whose name everything is asked.
        actor: Actor,
    },
}

impl Link {
    /// Asks one question.
    pub async fn query(&self, query: Query) -> Result<Reply, ClientError> {
        match self {
            Link::Server(client) => client.query(query).await,
            Link::Local { hub, actor } => Ok(hub.query(actor.clone(), query).await),
        }
    }

    /// Sends one command, once.
    pub async fn submit(&self, command: Command) -> Result<Receipt, SubmitError> {
        match self {
            Link::Server(client) => client.submit(command).await,
            Link::Local { hub, actor } => Ok(hub.submit(actor.clone(), command).await?),
        }
    }

    /// Follows all updates, from a snapshot on; never ends.
    pub fn events(&self) -> BoxStream<'static, ClientEvent> {
        match self {
            Link::Server(client) => client.events().boxed(),
            Link::Local { hub, .. } => {
                let follow = Follow { hub: hub.clone(), at: At::Begin, last: None };
                stream::unfold(follow, |mut follow| async move {
                    let event = follow.next().await;
                    Some((event, follow))
                })
                .boxed()
            }
        }
    }

    /// The server's client; outputs of instances and artifacts travel by it alone.
    #[must_use]
    pub fn server(&self) -> Option<&Client> {
        match self {
            Link::Server(client) => Some(client),
            Link::Local { .. } => None,
        }
    }

    /// Where it is, in words.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Link::Server(client) => client.socket().display().to_string(),
            Link::Local { .. } => "this process".to_owned(),
        }
    }
}

enum At {
    Begin,
    Following(Subscription),
    /// The hub has ended: nothing will ever come again.
    Ended,
}

struct Follow {
    hub: Hub,
    at: At,
    last: Option<(u64, u64)>,
}

impl Follow {
    async fn next(&mut self) -> ClientEvent {
        loop {
            match &mut self.at {
                At::Begin => match self.hub.subscribe(self.last).await {
                    Some(subscription) => {
                        self.at = At::Following(subscription);
                        return ClientEvent::Connected;
                    }
                    None => return self.ended(),
                },
                At::Following(subscription) => match subscription.next().await {
                    Some(envelope) => {
                        // Sequence 0 is within a snapshot: no place to go on from.
                        self.last = (envelope.seq > 0).then_some((envelope.epoch, envelope.seq)).or(self.last);
                        return ClientEvent::Envelope(Box::new((*envelope).clone()));
                    }
                    // Too far behind, or the hub has ended: asking again tells.
                    None => match self.hub.subscribe(self.last).await {
                        Some(subscription) => self.at = At::Following(subscription),
                        None => return self.ended(),
                    },
                },
                At::Ended => std::future::pending::<()>().await,
            }
        }
    }

    fn ended(&mut self) -> ClientEvent {
        self.at = At::Ended;
        ClientEvent::Lost { why: "the hub in this process has ended".to_owned(), heard: Some(Duration::ZERO) }
    }
}
