//! A webhook, signed as the Standard Webhooks specification says: `webhook-id`, `webhook-timestamp` and
//! `webhook-signature`, the HMAC-SHA256 of `id.timestamp.body`. Source: standardwebhooks/standard-webhooks,
//! spec/standard-webhooks.md.

use crate::http::Http;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flightdeck_port::{NotTold, Notification, Sink, WrongSetting};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use ring::hmac;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
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
    /// `whsec_` is not followed by base64.
    #[error("the secret begins with whsec_ but is no base64 after that")]
    Secret,
    /// There is nothing in it.
    #[error("the secret is empty")]
    NoSecret,
}

/// Posts a notification to an address.
#[derive(Debug, Clone)]
pub struct WebhookNotifier {
    http: Http,
    secret: Option<Secret>,
}

impl WebhookNotifier {
    /// For the address of this key; signed where there is a secret.
    ///
    /// # Errors
    /// The address can't be called, or no certificate authority is known.
    pub fn new(key: &'static str, address: &str, secret: Option<Secret>) -> Result<WebhookNotifier, WrongSetting> {
        Ok(WebhookNotifier { http: Http::new(key, address, HeaderMap::new())?, secret })
    }
}

#[async_trait]
impl Sink for WebhookNotifier {
    async fn tell(&self, notification: &Notification, now: Timestamp) -> Result<(), NotTold> {
        let never = |error: &dyn std::error::Error| NotTold::for_good(error.to_string());
        let body = serde_json::to_vec(notification).map_err(|error| never(&error))?;
        let seconds = now.as_second();
        let id = HeaderValue::try_from(&notification.id).map_err(|error| never(&error))?;
        let mut headers = HeaderMap::from_iter([(ID, id), (TIMESTAMP, HeaderValue::from(seconds))]);
        if let Some(secret) = &self.secret {
            let signature = secret.sign(&notification.id, seconds, &body);
            headers.insert(SIGNATURE, HeaderValue::try_from(signature).map_err(|error| never(&error))?);
        }
        let answer = self.http.post(Bytes::from(body), &headers).await;
        let status = answer.map_err(|error| NotTold::passing(error.to_string()))?.status;
        let host = self.http.host();
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
            assert!(WebhookNotifier::new("url", address, None).is_err(), "{address}");
        }
    }
}
