//! The version of the vocabulary, on every request and answer.

use super::answer::Failure;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use flightdeck_model::{READS_ALERTS, READS_HEADER, RefusalKind, WIRE_HEADER, WIRE_VERSION};

/// Stamps every answer, and refuses what is newer than we are.
pub(super) async fn versioned(request: Request, next: Next) -> Response {
    let mut response = match check(request.headers()) {
        Ok(_) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    response.headers_mut().insert(WIRE_HEADER, HeaderValue::from(WIRE_VERSION));
    response
}

/// Refuses requests that don't say their version; scrapers and health checks need not.
pub(super) async fn required(request: Request, next: Next) -> Response {
    match check(request.headers()) {
        Ok(true) => next.run(request).await,
        Ok(false) => {
            let why = format!("the header `{WIRE_HEADER}: {WIRE_VERSION}` is missing");
            Failure::new(StatusCode::BAD_REQUEST, RefusalKind::Invalid, why).into_response()
        }
        Err(failure) => failure.into_response(),
    }
}

/// Does whoever asks read alerts? An older client does not say so.
pub(super) fn reads_alerts(headers: &HeaderMap) -> bool {
    let named = headers.get(READS_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    named.split(',').any(|name| name.trim() == READS_ALERTS)
}

/// Is a version stated, and one that we know?
fn check(headers: &HeaderMap) -> Result<bool, Failure> {
    let Some(value) = headers.get(WIRE_HEADER) else { return Ok(false) };
    match value.to_str().ok().and_then(|text| text.trim().parse::<u32>().ok()) {
        Some(theirs) if theirs > WIRE_VERSION => {
            let why = format!(
                "you speak version {theirs} of the protocol and this server {WIRE_VERSION}: \
                 upgrade the server, or use the client that came with it"
            );
            Err(Failure::new(StatusCode::UPGRADE_REQUIRED, RefusalKind::Invalid, why))
        }
        Some(theirs) if theirs > 0 => Ok(true),
        _ => {
            let why = format!("the header {WIRE_HEADER} holds no version; expected {WIRE_VERSION}");
            Err(Failure::new(StatusCode::BAD_REQUEST, RefusalKind::Invalid, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_say_that_they_read_alerts_is_told_of_none() {
        let reads = |said: Option<&'static str>| {
            let said = said.map(|said| (READS_HEADER.parse().unwrap(), HeaderValue::from_static(said)));
            reads_alerts(&HeaderMap::from_iter(said))
        };
        assert!(!reads(None), "a client of before there were any");
        assert!(!reads(Some("")) && !reads(Some("alerts2")));
        assert!(reads(Some("alerts")) && reads(Some("incidents, alerts")));
    }
}
