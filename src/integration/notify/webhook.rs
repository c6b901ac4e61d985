//! A webhook, signed as the Standard Webhooks specification says: `webhook-id`, `webhook-timestamp` and
//! `webhook-signature`, the HMAC-SHA256 of `id.timestamp.body`. Source: standardwebhooks/standard-webhooks,
//! spec/standard-webhooks.md.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flightdeck_port::{NotTold, Notification, Sink};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use ring::hmac;
use std::error::Error as _;
use std::time::Duration;
use tokio::time::timeout;

/// So long one try may take, connecting included. The specification asks for 15 to 30 s.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of an answer that are read before the connection is given up.
const ANSWER: usize = 64 << 10;
/// What a secret begins with that is written in base64.
const PREFIX: &str = "whsec_";

/// The secret that both sides know. It is never shown.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// From its text: `whsec_` and base64, or any text as it stands.
    ///
    /// # Errors
    /// What follows `whsec_` is no base64, or there is nothing.
    pub fn read(text: &str) -> Result<Secret, WebhookError> {
        let text = text.trim();
        let bytes = match text.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| WebhookError::Secret)?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.is_empty() { Err(WebhookError::NoSecret) } else { Ok(Secret(bytes)) }
    }

    /// `v1,` and the signature in base64.
    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut signed = format!("{id}.{seconds}.").into_bytes();
        signed.extend_from_slice(body);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), &signed);
        format!("v1,{}", STANDARD.encode(tag.as_ref()))
    }
}

/// Why a webhook can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Its address can't be called.
    #[error("{0:?} is no address such as https://example.com/hook")]
    Address(String),
    /// `whsec_` is not followed by base64.
    #[error("the secret begins with whsec_ but is no base64 after that")]
    Secret,
    /// There is nothing in it.
    #[error("the secret is empty")]
    NoSecret,
    /// The certificates that the machine trusts can't be read.
    #[error("reading the certificates that this machine trusts")]
    Roots(#[source] std::io::Error),
}

/// Posts a notification to an address. Redirects are not followed.
#[derive(Debug, Clone)]
pub struct WebhookNotifier {
    address: Uri,
    secret: Option<Secret>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl WebhookNotifier {
    /// For an address; signed where there is a secret.
    ///
    /// # Errors
    /// The address can't be called, or no certificate authority is known.
    pub fn new(address: &str, secret: Option<Secret>) -> Result<WebhookNotifier, WebhookError> {
        let uri: Uri = address.parse().map_err(|_| WebhookError::Address(address.to_owned()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(WebhookError::Address(address.to_owned()));
        }
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(WebhookError::Roots)?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(WebhookNotifier { address: uri, secret, client: Client::builder(TokioExecutor::new()).build(connector) })
    }
}

#[async_trait]
impl Sink for WebhookNotifier {
    async fn tell(&self, notification: &Notification, now: Timestamp) -> Result<(), NotTold> {
        let body = serde_json::to_vec(notification).map_err(|error| NotTold::for_good(error.to_string()))?;
        let seconds = now.as_second();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.address.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("user-agent", concat!("flightdeck/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &notification.id)
            .header("webhook-timestamp", seconds.to_string());
        if let Some(secret) = &self.secret {
            request = request.header("webhook-signature", secret.sign(&notification.id, seconds, &body));
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|error| NotTold::for_good(error.to_string()))?;
        let host = self.address.host().unwrap_or_default();
        let answer = async {
            let answer = self.client.request(request).await.map_err(|error| reason(host, &error))?;
            let status = answer.status();
            // What it says is not needed; read, the connection can be used again.
            drop(Limited::new(answer.into_body(), ANSWER).collect().await);
            Ok::<_, NotTold>(status)
        };
        let late = |_| NotTold::passing(format!("{host} did not answer within {} s", PATIENCE.as_secs()));
        let status = timeout(PATIENCE, answer).await.map_err(late)??;
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(NotTold::for_good(format!("{host} answers 410 Gone: it wants no more of them"))),
            status if status.is_redirection() => {
                Err(NotTold::passing(format!("{host} answers {status}; redirects are not followed")))
            }
            status => Err(NotTold::passing(format!("{host} answers {status}"))),
        }
    }
}

/// Why a request did not come through, without its address, which may hold a token.
fn reason(host: &str, error: &hyper_util::client::legacy::Error) -> NotTold {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let root = error.source().map_or_else(|| error.to_string(), |_| innermost.to_string());
    NotTold::passing(format!("{host}: {root}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        // The example of the specification's reference libraries.
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_and_addresses_that_can_not_be_used_are_named() {
        assert!(matches!(Secret::read("whsec_***"), Err(WebhookError::Secret)));
        assert!(matches!(Secret::read(" \n"), Err(WebhookError::NoSecret)));
        assert_eq!(format!("{:?}", Secret::read("hunter2").unwrap()), "Secret");
        for address in ["", "example.com/hook", "ftp://example.com", "http://"] {
            assert!(matches!(WebhookNotifier::new(address, None), Err(WebhookError::Address(_))), "{address}");
        }
    }
}
