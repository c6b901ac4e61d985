//! How every metrics system is asked: with a secret that is read again once it is not taken, left alone for as long
//! as it asks, a few questions at a time, within a time limit.

use crate::http::{Answer, Http, HttpError};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use flightdeck_port::{ProbeError, WrongSetting};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// For all answers of one question together.
const WITHIN: Duration = Duration::from_secs(20);
/// Queries at once.
const AT_ONCE: usize = 4;
/// Left alone for no longer than that, whatever it asks for.
const LONGEST_REST: Duration = Duration::from_mins(10);

/// What opens a system.
#[async_trait]
pub(super) trait Access: fmt::Debug + Send + Sync {
    /// A client for its address, with its secrets as they are now.
    async fn client(&self) -> Result<Http, WrongSetting>;
}

/// What is sent. Nothing is changed by it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    Form(&'static str, Vec<(&'static str, String)>),
    Json(&'static str, serde_json::Value),
}

/// One system that is asked.
#[derive(Debug)]
pub(super) struct Asker {
    access: Box<dyn Access>,
    within: Duration,
    http: ArcSwap<Http>,
    /// Its secret was not taken: it is read again before the next question.
    refused: AtomicBool,
    /// Until then it asked to be left alone, in milliseconds since 1970.
    rests: AtomicI64,
}

impl Asker {
    /// Reads its secrets, connects nothing.
    pub(super) async fn open(access: impl Access + 'static) -> Result<Asker, WrongSetting> {
        let http = ArcSwap::from_pointee(access.client().await?);
        let (refused, rests) = (AtomicBool::new(false), AtomicI64::new(i64::MIN));
        Ok(Asker { access: Box::new(access), within: WITHIN, http, refused, rests })
    }

    /// With another time limit.
    pub(super) fn within(self, within: Duration) -> Asker {
        Asker { within, ..self }
    }

    /// Host and port, for messages.
    pub(super) fn host(&self) -> String {
        self.http.load().host()
    }

    /// Is it to be asked at all?
    pub(super) async fn ready(&self, now: Timestamp) -> Result<(), ProbeError> {
        let rests = self.rests.load(Ordering::Relaxed);
        if now.as_millisecond() < rests {
            let left = (rests - now.as_millisecond() + 999) / 1000;
            let host = self.host();
            return Err(ProbeError::Unreachable { why: format!("{host} asks to be left alone for {left} s more") });
        }
        if self.refused.swap(false, Ordering::Relaxed) {
            let client = self.access.client().await.map_err(|wrong| {
                self.refused.store(true, Ordering::Relaxed);
                ProbeError::Refused { why: wrong.what }
            })?;
            self.http.store(Arc::new(client));
        }
        Ok(())
    }

    /// What came back, whatever it is; a word of it that it wants to be left alone is kept.
    pub(super) async fn ask(&self, request: &Request, now: Timestamp) -> Result<Answer, ProbeError> {
        let http = self.http.load_full();
        let came = match request {
            Request::Form(path, form) => {
                let form: Vec<_> = form.iter().map(|(key, value)| (*key, value.as_str())).collect();
                http.ask(path, &form).await
            }
            Request::Json(path, body) => http.ask_json(path, body).await,
        };
        let came = came.map_err(|error| lost(&error))?;
        if matches!(came.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            self.refused.store(true, Ordering::Relaxed);
        }
        let rest = came.retry_after().or_else(|| reset(&came)).filter(|_| !came.status.is_success());
        if let Some(until) = rest.and_then(|rest| SignedDuration::try_from(rest.min(LONGEST_REST)).ok()) {
            let until = now.saturating_add(until).unwrap_or(Timestamp::MAX);
            self.rests.store(until.as_millisecond(), Ordering::Relaxed);
        }
        Ok(came)
    }

    /// Its secret was not taken, though the status says nothing of it.
    pub(super) fn distrust(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// All of it, within the time limit.
    pub(super) async fn bounded<T>(
        &self,
        asking: impl Future<Output = Result<T, ProbeError>>,
    ) -> Result<T, ProbeError> {
        timeout(self.within, asking).await.unwrap_or_else(|_| {
            let why = format!("{}: nothing within {} s", self.host(), self.within.as_secs_f32());
            Err(ProbeError::Unreachable { why })
        })
    }
}

/// How long until it answers again, where it says that in seconds as Datadog does; others name a moment so.
fn reset(answer: &Answer) -> Option<Duration> {
    let seconds = answer.headers.get("x-ratelimit-reset")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|rest| *rest <= LONGEST_REST)
}

/// The answers of several questions, in their order, a few at a time; the first that fails ends it.
pub(super) async fn all<T>(
    asking: impl IntoIterator<Item = impl Future<Output = Result<T, ProbeError>>>,
) -> Result<Vec<T>, ProbeError> {
    stream::iter(asking).buffered(AT_ONCE).try_collect().await
}

/// What came is no answer to what was asked.
pub(super) fn garbled(why: &str) -> ProbeError {
    ProbeError::Refused { why: why.to_owned() }
}

/// Why an answer is a refusal, and whether another time it may not be.
pub(super) fn refused(answer: &Answer, credentials: &str, address: &str) -> ProbeError {
    let said = answer.complaint();
    let refused = |todo: &str| ProbeError::Refused { why: format!("{said}; {todo}") };
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => refused(credentials),
        StatusCode::NOT_FOUND => refused(address),
        StatusCode::TOO_MANY_REQUESTS => ProbeError::Unreachable { why: said },
        status if status.is_server_error() => ProbeError::Unreachable { why: said },
        status if status.is_redirection() => refused("its address leads elsewhere, such as to a login"),
        _ => ProbeError::Refused { why: said },
    }
}

/// What was lost on the way, in its own words.
fn lost(error: &HttpError) -> ProbeError {
    let (HttpError::NotSent { host, why } | HttpError::Lost { host, why }) = error;
    ProbeError::Unreachable { why: format!("{host}: {why}") }
}
