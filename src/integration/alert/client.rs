//! Requests to a system that tells of alerts, and what it says no with.

use super::settings::Access;
use crate::http::{Answer, Http, HttpError};
use arc_swap::ArcSwap;
use flightdeck_port::WrongSetting;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Why nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// One sentence, without secrets.
    pub why: String,
    /// It asks to be left alone for so long.
    pub rest: Option<Duration>,
    /// It does not let us.
    pub denied: bool,
}

impl Problem {
    pub fn of(why: impl Into<String>) -> Problem {
        Problem { why: why.into(), rest: None, denied: false }
    }
}

/// One such system, with its secret as it was last read.
#[derive(Debug)]
pub(super) struct Client {
    access: Access,
    http: ArcSwap<Http>,
}

impl Client {
    /// Reads its secret; connects nothing.
    pub async fn open(access: Access) -> Result<Client, WrongSetting> {
        let http = access.client().await?;
        Ok(Client { access, http: ArcSwap::from_pointee(http) })
    }

    pub fn host(&self) -> String {
        self.access.host()
    }

    /// Reads JSON. Where the secret is not taken it may be another by now: it is read again, once.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Problem> {
        let mut answer = self.ask(path, query).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            let http = self.access.client().await.map_err(|wrong| Problem::of(wrong.what))?;
            self.http.store(Arc::new(http));
            answer = self.ask(path, query).await?;
        }
        judged(&answer)?;
        answer.json().map_err(Problem::of)
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, Problem> {
        let http = self.http.load_full();
        http.get(path, query).await.map_err(|error| Problem::of(error.to_string()))
    }

    /// Changes something, once.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Answer, HttpError> {
        self.http.load_full().send(Method::POST, path, body).await
    }

    /// Takes something away, once.
    pub async fn delete(&self, path: &str) -> Result<Answer, HttpError> {
        self.http.load_full().delete(path).await
    }
}

/// Is it an answer to what was asked? Pure.
pub(super) fn judged(answer: &Answer) -> Result<(), Problem> {
    if answer.status.is_success() {
        return Ok(());
    }
    let said = answer.complaint();
    let problem = Problem { why: said.clone(), rest: answer.retry_after(), denied: false };
    let todo = |todo: &str| Problem { why: format!("{said}; {todo}"), ..problem.clone() };
    Err(match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Problem { denied: true, ..todo("may its `token`, or `username`, read alerts?") }
        }
        StatusCode::NOT_FOUND => todo("has its `url` the path before /api?"),
        status if status.is_redirection() => todo("its `url` leads elsewhere, such as to a login"),
        _ => problem,
    })
}
