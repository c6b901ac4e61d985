//! One client for every system that speaks HTTP: TLS, time limits, a bound on what is read, and errors that say
//! whether a request can have had an effect. Redirects are not followed: what is meant stands in the settings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use flightdeck_model::sanitize_line;
use flightdeck_port::WrongSetting;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// For a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// For a whole answer.
const ANSWER: Duration = Duration::from_secs(20);
/// Bytes of an answer.
const MOST_BYTES: usize = 16 << 20;
/// Characters of a system's own words in a message.
const MOST_WORDS: usize = 200;
/// In which Jenkins says why not, beside a page for a browser.
const X_ERROR: &str = "x-error";

/// A system at its address.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Url,
    /// Go with each request.
    headers: HeaderMap,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Whatever it was.
    pub status: StatusCode,
    /// Of the answer.
    pub headers: HeaderMap,
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
        why: String,
    },
    /// The answer is lost: the request may have had its effect.
    #[error("no answer from {host}: {why}")]
    Lost {
        /// Host and port.
        host: String,
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

/// A text as one part of a path, whatever is in it.
#[must_use]
pub fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

impl Http {
    /// At an address of the settings; `key` is where that stands. `headers` go with each request.
    ///
    /// # Errors
    /// It is no address, or there is no TLS here.
    pub fn new(key: &'static str, address: &str, headers: HeaderMap) -> Result<Http, WrongSetting> {
        Http::secured(key, address, headers, &Tls::default())
    }

    /// The same with certificates of its own.
    ///
    /// # Errors
    /// Likewise, or one of them is none.
    pub fn secured(key: &'static str, address: &str, headers: HeaderMap, tls: &Tls) -> Result<Http, WrongSetting> {
        let base = url_of(key, address)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.enforce_http(false);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls.config(key)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Ok(Http { client: Client::builder(TokioExecutor::new()).build(connector), base, headers })
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
        self.get_with(path, query, &HeaderMap::new()).await
    }

    /// The same with headers of its own, such as `If-None-Match`.
    ///
    /// # Errors
    /// Neither was answered.
    pub async fn get_with(&self, path: &str, query: &[(&str, &str)], own: &HeaderMap) -> Result<Answer, HttpError> {
        let mut url = self.at(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        match self.asked(Method::GET, &url, None, Bytes::new(), own).await {
            Err(_) => self.asked(Method::GET, &url, None, Bytes::new(), own).await,
            answer => answer,
        }
    }

    /// Changes something, once: what is lost is never sent again.
    ///
    /// # Errors
    /// It did not leave, or its answer is lost.
    pub async fn send(&self, method: Method, path: &str, body: &serde_json::Value) -> Result<Answer, HttpError> {
        let body = Bytes::from(body.to_string());
        self.asked(method, &self.at(path), Some("application/json"), body, &HeaderMap::new()).await
    }

    /// Changes something by its address alone, once.
    ///
    /// # Errors
    /// It did not leave, or its answer is lost.
    pub async fn send_empty(&self, path: &str) -> Result<Answer, HttpError> {
        // Said, since some proxies take no POST without a length.
        let none = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static("0"))]);
        self.asked(Method::POST, &self.at(path), None, Bytes::new(), &none).await
    }

    /// Takes something away, once.
    ///
    /// # Errors
    /// It did not leave, or its answer is lost.
    pub async fn delete(&self, path: &str) -> Result<Answer, HttpError> {
        self.asked(Method::DELETE, &self.at(path), None, Bytes::new(), &HeaderMap::new()).await
    }

    /// Posts JSON that is written already, such as what a signature is about, with headers of its own. Once.
    ///
    /// # Errors
    /// It did not leave, or its answer is lost.
    pub async fn post(&self, body: Bytes, own: &HeaderMap) -> Result<Answer, HttpError> {
        self.asked(Method::POST, &self.base, Some("application/json"), body, own).await
    }

    /// Reads by a form, where a query would be too long for an address.
    ///
    /// # Errors
    /// Not answered, twice.
    pub async fn ask(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer, HttpError> {
        let body = Bytes::from(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish());
        let (url, kind, own) = (self.at(path), Some("application/x-www-form-urlencoded"), HeaderMap::new());
        match self.asked(Method::POST, &url, kind, body.clone(), &own).await {
            Err(_) => self.asked(Method::POST, &url, kind, body, &own).await,
            answer => answer,
        }
    }

    /// Reads by a question in JSON.
    ///
    /// # Errors
    /// Not answered, twice.
    pub async fn ask_json(&self, path: &str, body: &serde_json::Value) -> Result<Answer, HttpError> {
        let (url, kind, own) = (self.at(path), Some("application/json"), HeaderMap::new());
        let body = Bytes::from(body.to_string());
        match self.asked(Method::POST, &url, kind, body.clone(), &own).await {
            Err(_) => self.asked(Method::POST, &url, kind, body, &own).await,
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

    async fn asked(
        &self,
        method: Method,
        url: &Url,
        kind: Option<&'static str>,
        body: Bytes,
        own: &HeaderMap,
    ) -> Result<Answer, HttpError> {
        let not_sent = |why: String| HttpError::NotSent { host: self.host(), why };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(|_| not_sent("its address can't be asked".to_owned()))?;
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(concat!("flightdeck/", env!("CARGO_PKG_VERSION"))));
        request.headers_mut().extend(kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind))));
        request.headers_mut().extend(self.headers.clone());
        request.headers_mut().extend(own.clone());
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| {
                let (host, why) = (self.host(), innermost(&error));
                if error.is_connect() { HttpError::NotSent { host, why } } else { HttpError::Lost { host, why } }
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await.map_err(|error| {
                let why = if error.is::<http_body_util::LengthLimitError>() {
                    format!("its answer is longer than {MOST_BYTES} bytes")
                } else {
                    innermost(&*error)
                };
                HttpError::Lost { host: self.host(), why }
            })?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        let late = |_| HttpError::Lost { host: self.host(), why: format!("nothing within {} s", ANSWER.as_secs()) };
        timeout(ANSWER, answer).await.map_err(late)?
    }
}

/// Certificates beside those that this machine trusts.
#[derive(Clone, Default)]
pub struct Tls {
    /// Of those who signed the system's own, in their place, PEM; at the key `ca`.
    pub ca: Option<Vec<u8>>,
    /// What is shown to the system, and its key, PEM; at the keys `client_certificate` and `client_key`.
    pub identity: Option<(Vec<u8>, String)>,
}

impl Tls {
    fn config(&self, key: &'static str) -> Result<ClientConfig, WrongSetting> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| WrongSetting::at(key, format!("no TLS: {error}")))?;
        let trusting = match &self.ca {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("ca", pem)? {
                    roots.add(certificate).map_err(|error| WrongSetting::at("ca", error.to_string()))?;
                }
                builder.with_root_certificates(roots)
            }
            None => builder.with_native_roots().map_err(|error| {
                WrongSetting::at(key, format!("the certificates that this machine trusts: {error}"))
            })?,
        };
        let Some((chain, secret)) = &self.identity else { return Ok(trusting.with_no_client_auth()) };
        let chain = certificates("client_certificate", chain)?;
        let secret = PrivateKeyDer::from_pem_slice(secret.as_bytes())
            .map_err(|_| WrongSetting::at("client_key", "expected a private key, PEM"))?;
        trusting.with_client_auth_cert(chain, secret).map_err(|error| {
            WrongSetting::at("client_key", format!("it does not go with `client_certificate`: {error}"))
        })
    }
}

fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, WrongSetting> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(WrongSetting::at(key, "expected a file with certificates, PEM")),
    }
}

impl Answer {
    /// Its body, read as JSON.
    ///
    /// # Errors
    /// It is another thing, such as the page of a login, in words.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| self.not_as_documented(&error.to_string()))
    }

    /// Nothing is in its body.
    ///
    /// # Errors
    /// Something is, such as the page of a login, in words.
    pub fn empty(&self) -> Result<(), String> {
        if self.body.trim_ascii().is_empty() { Ok(()) } else { Err(self.not_as_documented("it should be empty")) }
    }

    fn not_as_documented(&self, why: &str) -> String {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("nothing named");
        format!("its answer is not what its documentation says ({why}; it came as {})", sanitize_line(kind))
    }

    /// Its status and the beginning of its own words, on one line.
    #[must_use]
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let message = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|body| {
            let words = ["message", "error", "errorMessage"];
            // Some say nothing but the sentence, as JSON.
            let whole = || body.as_str().map(str::to_owned);
            words.iter().find_map(|key| body.get(key)?.as_str().map(str::to_owned)).or_else(whole)
        });
        let aside = self.headers.get(X_ERROR).and_then(|why| why.to_str().ok()).map(str::to_owned);
        // A page for a browser says nothing on one line.
        let plain = || (!text.trim_start().starts_with('<')).then(|| text.clone().into_owned());
        let said = message.or(aside).or_else(plain).unwrap_or_default();
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

/// `Authorization: Basic …`, marked so that no message shows it.
///
/// # Errors
/// They can't stand in a header.
pub fn basic(key: &'static str, user: &str, password: &str) -> Result<HeaderMap, WrongSetting> {
    // A file ends with a line's end; a blank may be the password's own.
    let both = BASE64.encode(format!("{user}:{}", password.trim_end_matches(['\r', '\n'])));
    header(key, AUTHORIZATION, &format!("Basic {both}"))
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
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    sanitize_line(&innermost.to_string())
}
