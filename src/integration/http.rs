//! One client for every system that speaks HTTP: TLS, time limits, a bound on what is read, and errors that say
//! whether a request can have had an effect. Redirects are not followed: what is meant stands in the settings.

use bytes::{Bytes, BytesMut};
use flightdeck_model::sanitize_line;
use flightdeck_port::WrongSetting;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;
use std::error::Error as _;
use std::time::Duration;

/// For a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// For a whole answer.
const ANSWER: Duration = Duration::from_secs(20);
/// Bytes of an answer.
const MOST_BYTES: usize = 16 << 20;
/// Characters of a system's own words in a message.
const MOST_WORDS: usize = 200;

/// A system at its address.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    base: Url,
    most_bytes: usize,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Whatever it was.
    pub status: StatusCode,
    /// Of the answer.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Bytes,
}

/// Why nothing usable came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The request never left: it had no effect.
    #[error("cannot reach {host}: {why}")]
    NotSent {
        /// Host and port.
        host: String,
        /// Why.
        why: String,
    },
    /// The answer is lost: the request may have had its effect.
    #[error("no answer from {host}: {why}")]
    Lost {
        /// Host and port.
        host: String,
        /// Why.
        why: String,
    },
}

/// An address of the settings; `key` is where it stands.
///
/// # Errors
/// It is none.
pub fn url_of(key: &'static str, address: &str) -> Result<Url, WrongSetting> {
    let url = Url::parse(address).map_err(|error| WrongSetting::at(key, format!("expected an address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(WrongSetting::at(key, "expected an address that begins with \"https://\" or \"http://\""));
    }
    Ok(url)
}

/// Host and port, for messages.
#[must_use]
pub fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl Http {
    /// At an address of the settings; `key` is where that stands. `headers` go with each request.
    ///
    /// # Errors
    /// It is no address, or there is no TLS here.
    pub fn new(key: &'static str, address: &str, headers: HeaderMap) -> Result<Http, WrongSetting> {
        let base = url_of(key, address)?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("flightdeck/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .build()
            .map_err(|error| WrongSetting::at(key, format!("cannot make a client: {}", reason(&error))))?;
        Ok(Http { client, base, most_bytes: MOST_BYTES })
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn host(&self) -> String {
        host_of(&self.base)
    }

    /// Reads. Asked once more where the first answer was lost, since reading changes nothing.
    ///
    /// # Errors
    /// Neither was answered.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, HttpError> {
        let request = || self.client.get(self.at(path)).query(query);
        match self.answered(request()).await {
            Err(_) => self.answered(request()).await,
            answer => answer,
        }
    }

    /// Changes something, once: what is lost is never sent again.
    ///
    /// # Errors
    /// It did not leave, or its answer is lost.
    pub async fn send(&self, method: Method, path: &str, body: &serde_json::Value) -> Result<Answer, HttpError> {
        self.answered(self.client.request(method, self.at(path)).json(body)).await
    }

    /// Asks with a form, where a query would be too long for an address. For reading.
    ///
    /// # Errors
    /// Not answered, twice.
    pub async fn ask(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer, HttpError> {
        let body = Url::parse_with_params("http://form", form).ok();
        let body = body.as_ref().and_then(Url::query).unwrap_or_default().to_owned();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let request = || self.client.post(self.at(path)).header(CONTENT_TYPE, form.clone()).body(body.clone());
        match self.answered(request()).await {
            Err(_) => self.answered(request()).await,
            answer => answer,
        }
    }

    /// Below the address of the settings, whatever path that has.
    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        if path.is_empty() {
            return url;
        }
        url.set_path(&format!("{}/{}", self.base.path().trim_end_matches('/'), path.trim_start_matches('/')));
        url
    }

    async fn answered(&self, request: reqwest::RequestBuilder) -> Result<Answer, HttpError> {
        let response = request.send().await.map_err(|error| self.error(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.read(response).await?;
        Ok(Answer { status, headers, body })
    }

    async fn read(&self, mut response: Response) -> Result<Bytes, HttpError> {
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.error(&error))? {
            if body.len() + part.len() > self.most_bytes {
                let why = format!("its answer is longer than {} bytes", self.most_bytes);
                return Err(HttpError::Lost { host: self.host(), why });
            }
            body.extend_from_slice(&part);
        }
        Ok(body.freeze())
    }

    fn error(&self, error: &reqwest::Error) -> HttpError {
        let (host, why) = (self.host(), reason(error));
        if error.is_connect() || error.is_builder() {
            HttpError::NotSent { host, why }
        } else {
            HttpError::Lost { host, why }
        }
    }
}

impl Answer {
    /// Its body, read as JSON.
    ///
    /// # Errors
    /// It is another thing, such as the page of a login, in words.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing named");
            format!("its answer is not what its documentation says ({error}; it came as {})", sanitize_line(kind))
        })
    }

    /// Its status and the beginning of its own words, on one line.
    #[must_use]
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let message = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|body| {
            let words = ["message", "error", "errorMessage"];
            words.iter().find_map(|key| body.get(key)?.as_str().map(str::to_owned))
        });
        // A page for a browser says nothing on one line.
        let said =
            message.or_else(|| (!text.trim_start().starts_with('<')).then(|| text.into_owned())).unwrap_or_default();
        let said: String = sanitize_line(&said).chars().take(MOST_WORDS).collect();
        if said.trim().is_empty() { self.status.to_string() } else { format!("{}: {}", self.status, said.trim()) }
    }

    /// How long it asks to be left alone, where it says so in seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

/// `Authorization: Bearer …`, marked so that no message shows it.
///
/// # Errors
/// The token can't stand in a header.
pub fn bearer(key: &'static str, token: &str) -> Result<HeaderMap, WrongSetting> {
    header(key, AUTHORIZATION, &format!("Bearer {}", token.trim()))
}

/// One header with a secret in it.
///
/// # Errors
/// The secret can't stand in a header.
pub fn header(key: &'static str, name: HeaderName, value: &str) -> Result<HeaderMap, WrongSetting> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| WrongSetting::at(key, "expected a secret that can stand in a header: one line of visible text"))?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(name, value)]))
}

/// The innermost reason, without the address: a query may name what nobody else should read.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("nothing within {} s", ANSWER.as_secs());
    }
    let mut innermost: &dyn std::error::Error = error;
    let mut source = error.source();
    while let Some(inner) = source {
        (innermost, source) = (inner, inner.source());
    }
    sanitize_line(&innermost.to_string())
}
