//! The calls of one server.

use super::error::{ClientError, SubmitError};
use flightdeck_model::{
    Command, CommandId, Query, READS_ALERTS, READS_HEADER, Receipt, Refusal, Reply, WIRE_HEADER, WIRE_VERSION,
    sanitize, sanitize_json,
};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a question may take. The server gives up earlier and says so.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The same for a command: longer than a server waits for its backend.
const COMMAND_WITHIN: Duration = Duration::from_secs(55);
/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// More of an answer that is no JSON than this is not repeated to a person.
const QUOTED: usize = 200;

/// A connection to one server. Cheap to clone; connections are pooled and made when needed.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) http: reqwest::Client,
    socket: PathBuf,
}

/// A fresh id for a command: time-ordered and unique without a registry (UUID version 7).
#[must_use]
pub fn fresh_id() -> CommandId {
    CommandId(uuid::Uuid::now_v7().to_string())
}

impl Client {
    /// A client of the server that listens on that unix socket. Nothing is sent yet.
    pub fn unix(socket: &Path) -> Result<Client, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(WIRE_HEADER, HeaderValue::from(WIRE_VERSION));
        headers.insert(READS_HEADER, HeaderValue::from_static(READS_ALERTS));
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .default_headers(headers)
            .connect_timeout(CONNECT_WITHIN)
            .build()
            .map_err(|source| ClientError::Request { what: "prepare a connection", source })?;
        Ok(Client { http, socket: socket.to_owned() })
    }

    /// Where the server listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks one question.
    pub async fn query(&self, query: Query) -> Result<Reply, ClientError> {
        let request = self.http.post(url("/v1/query")).timeout(ANSWER_WITHIN).json(&query);
        let response = self.sent("ask the server", request.send().await)?;
        let response = self.checked(response).await?;
        match query {
            Query::ExportLedger => verbatim("read the answer", response).await,
            _ => decoded("read the answer", response).await,
        }
    }

    /// Sends one command. It is never sent twice: where the answer is lost the outcome is unknown.
    pub async fn submit(&self, command: Command) -> Result<Receipt, SubmitError> {
        let request = self.http.post(url("/v1/commands")).timeout(COMMAND_WITHIN).json(&command);
        self.receipt(request.send().await).await
    }

    /// Does the server's loop answer?
    pub async fn healthy(&self) -> Result<(), ClientError> {
        let response = self.http.get(url("/healthz")).timeout(CONNECT_WITHIN).send().await;
        let response = self.sent("ask for the server's health", response)?;
        self.checked(response).await.map(|_| ())
    }

    /// The server's metrics in Prometheus' text format.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let response = self.http.get(url("/metrics")).timeout(ANSWER_WITHIN).send().await;
        let response = self.sent("ask for metrics", response)?;
        let response = self.checked(response).await?;
        response.text().await.map_err(|source| ClientError::Request { what: "read the metrics", source })
    }

    pub(super) fn sent(&self, what: &'static str, outcome: reqwest::Result<Response>) -> Result<Response, ClientError> {
        outcome.map_err(|source| {
            if source.is_connect() { self.unreachable(source) } else { ClientError::Request { what, source } }
        })
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        let socket = self.socket.clone();
        let causes = std::iter::successors(Some(&source as &dyn std::error::Error), |error| error.source());
        let denied = causes.filter_map(|error| error.downcast_ref::<std::io::Error>());
        if denied.map(std::io::Error::kind).any(|kind| kind == std::io::ErrorKind::PermissionDenied) {
            ClientError::Denied { socket, source }
        } else {
            ClientError::NoServer { socket, source }
        }
    }

    /// The answer if it is a good one of a server whose vocabulary is known.
    pub(super) async fn checked(&self, response: Response) -> Result<Response, ClientError> {
        self.versioned(&response)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        Err(match serde_json::from_str::<Refusal>(&text) {
            Ok(refusal) => ClientError::Refused(refusal),
            Err(_) => ClientError::Answer { status: status.as_u16(), text: text.chars().take(QUOTED).collect() },
        })
    }

    fn versioned(&self, response: &Response) -> Result<(), ClientError> {
        let header = response.headers().get(WIRE_HEADER).and_then(|value| value.to_str().ok());
        match header.and_then(|value| value.parse::<u32>().ok()) {
            None => Err(ClientError::NotFlightdeck { socket: self.socket.clone() }),
            Some(theirs) if theirs > WIRE_VERSION => Err(ClientError::ServerNewer { theirs }),
            Some(_) => Ok(()),
        }
    }

    pub(super) async fn receipt(&self, outcome: reqwest::Result<Response>) -> Result<Receipt, SubmitError> {
        let response = match outcome {
            Ok(response) => response,
            Err(source) if source.is_connect() || source.is_builder() => {
                return Err(SubmitError::NotSent(self.unreachable(source).in_full()));
            }
            Err(source) => {
                return Err(SubmitError::Unknown(
                    ClientError::Request { what: "read the server's answer", source }.in_full(),
                ));
            }
        };
        if response.status() == StatusCode::GATEWAY_TIMEOUT {
            let said = response.text().await.unwrap_or_default();
            let why = serde_json::from_str::<Refusal>(&said).map_or(said, |refusal| refusal.why);
            return Err(SubmitError::Unknown(why));
        }
        let taken = response.status().is_success();
        match self.checked(response).await {
            Ok(response) => {
                decoded("read the receipt", response).await.map_err(|error| SubmitError::Unknown(error.in_full()))
            }
            Err(ClientError::Refused(refusal)) => Err(SubmitError::Refused(refusal)),
            // A good status from something whose words are not understood: it may have acted.
            Err(error) if taken => Err(SubmitError::Unknown(error.in_full())),
            Err(error) => Err(SubmitError::NotSent(error.in_full())),
        }
    }
}

async fn decoded<T: serde::de::DeserializeOwned>(what: &'static str, response: Response) -> Result<T, ClientError> {
    let text = response.text().await.map_err(|source| ClientError::Request { what, source })?;
    serde_json::from_str(&sanitize_json(&text, sanitize)).map_err(|source| ClientError::Decode { what, source })
}

/// What is hashed must stay as it is; whoever prints it makes it harmless.
async fn verbatim<T: serde::de::DeserializeOwned>(what: &'static str, response: Response) -> Result<T, ClientError> {
    let bytes = response.bytes().await.map_err(|source| ClientError::Request { what, source })?;
    serde_json::from_slice(&bytes).map_err(|source| ClientError::Decode { what, source })
}

/// The host is a matter of form: the socket decides who answers.
pub(super) fn url(path: &str) -> String {
    format!("http://flightdeck{path}")
}
