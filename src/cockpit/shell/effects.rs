//! Carries out what the state asked for, without ever keeping the loop waiting.

use super::connections::{Server, follow};
use crate::app::{ConnectionId, Event, Submitted, Token};
use flightdeck_client::{Link, SubmitError, fresh_id};
use flightdeck_model::{Command, Query};
use futures::StreamExt as _;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::task::{AbortHandle, JoinSet};

/// Lines of an instance's past output that a following begins with.
const PAST_LINES: u32 = 1000;

/// The servers and every task that is under way.
pub(super) struct Effects {
    servers: Vec<Server>,
    follows: HashMap<Token, AbortHandle>,
    events: Sender<Event>,
    pub(super) tasks: JoinSet<()>,
}

impl Effects {
    /// Joins every server.
    pub(super) fn start(servers: Vec<(String, Link)>, events: Sender<Event>) -> Effects {
        let mut tasks = JoinSet::new();
        let joined = servers.into_iter().enumerate().map(|(id, (name, link))| {
            let again = Arc::new(Notify::new());
            tasks.spawn(follow(id, name, link.clone(), Arc::clone(&again), events.clone()));
            Server { link, again }
        });
        Effects { servers: joined.collect(), follows: HashMap::new(), events, tasks }
    }

    /// Ends every task and lets go of every link.
    pub(super) async fn end(mut self) {
        self.tasks.shutdown().await;
    }

    /// Tries a connection now.
    pub(super) fn reconnect(&self, id: ConnectionId) {
        if let Some(server) = self.servers.get(id) {
            server.again.notify_one();
        }
    }

    /// Asks; the answer comes as [`Event::Reply`].
    pub(super) fn ask(&mut self, connection: ConnectionId, token: Token, query: Query) {
        let (link, events) = (self.link(connection), self.events.clone());
        self.tasks.spawn(async move {
            let reply = match link {
                Some(link) => link.query(query).await.map(Box::new).map_err(|error| error.in_full()),
                None => Err(NO_SERVER.to_owned()),
            };
            // The cockpit may have ended meanwhile: nobody waits for the answer then.
            let _ = events.send(Event::Reply { token, reply }).await;
        });
    }

    /// Sends a command, once; the outcome comes as [`Event::Submitted`].
    pub(super) fn submit(&mut self, connection: ConnectionId, token: Token, mut command: Command) {
        if command.id.0.is_empty() {
            command.id = fresh_id();
        }
        let (link, events) = (self.link(connection), self.events.clone());
        self.tasks.spawn(async move {
            let outcome = match link {
                Some(link) => match link.submit(command).await {
                    Ok(receipt) => Submitted::Taken(Box::new(receipt)),
                    Err(SubmitError::Refused(refusal)) => Submitted::Refused(refusal),
                    Err(SubmitError::NotSent(why)) => Submitted::NotSent(why),
                    Err(SubmitError::Unknown(why)) => Submitted::Unknown(why),
                },
                None => Submitted::NotSent(NO_SERVER.to_owned()),
            };
            // The cockpit may have ended meanwhile; the server goes on with the command all the same.
            let _ = events.send(Event::Submitted { token, outcome }).await;
        });
    }

    /// Follows an instance's output until it ends or [`Effects::unfollow`] is called.
    pub(super) fn follow(&mut self, connection: ConnectionId, token: Token, instance: String) {
        let (client, events) = (self.link(connection), self.events.clone());
        let task = self.tasks.spawn(async move {
            let why = match client.as_ref().map(Link::server) {
                Some(Some(client)) => relay(client, token, &instance, &events).await,
                Some(None) => "outputs of instances are read from a server only".to_owned(),
                None => NO_SERVER.to_owned(),
            };
            // As above.
            let _ = events.send(Event::LogEnded { token, why }).await;
        });
        self.follows.insert(token, task);
    }

    /// Ends a following.
    pub(super) fn unfollow(&mut self, token: Token) {
        if let Some(task) = self.follows.remove(&token) {
            task.abort();
        }
    }

    fn link(&self, id: ConnectionId) -> Option<Link> {
        self.servers.get(id).map(|server| server.link.clone())
    }
}

const NO_SERVER: &str = "there is no such connection";

/// Hands on lines; returns why there are no more.
async fn relay(client: &flightdeck_client::Client, token: Token, instance: &str, events: &Sender<Event>) -> String {
    let mut lines = match client.follow_log(instance, PAST_LINES).await {
        Ok(lines) => lines,
        Err(error) => return error.in_full(),
    };
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) => {
                let line = flightdeck_model::sanitize_line(&line);
                if events.send(Event::LogLine { token, line }).await.is_err() {
                    break;
                }
            }
            Err(error) => return error.in_full(),
        }
    }
    "the instance's output ended".to_owned()
}
