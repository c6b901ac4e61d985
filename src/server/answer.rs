//! Errors as answers: a status, and a refusal as JSON that says why.

use axum::Json;
use axum::body::Body;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flightdeck_model::{Refusal, RefusalKind};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use std::time::Duration;

/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Characters of what is wrong with a body.
const SAID: usize = 300;

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// HTTP status.
    pub(super) status: StatusCode,
    pub(super) refusal: Refusal,
}

impl Failure {
    /// With a status of its own.
    pub(super) fn new(status: StatusCode, kind: RefusalKind, why: impl Into<String>) -> Failure {
        Failure { status, refusal: Refusal::new(kind, why) }
    }

    /// The request is wrong.
    pub(super) fn invalid(why: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, RefusalKind::Invalid, why)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let status = match refusal.kind {
            RefusalKind::Invalid => StatusCode::BAD_REQUEST,
            RefusalKind::Denied => StatusCode::FORBIDDEN,
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::PinChanged | RefusalKind::NotApplicable | RefusalKind::Stale => StatusCode::CONFLICT,
            RefusalKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            RefusalKind::NotRecorded => StatusCode::SERVICE_UNAVAILABLE,
        };
        Failure { status, refusal }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.refusal)).into_response()
    }
}

/// For a path that is none.
pub(super) async fn no_such_path(uri: Uri) -> Failure {
    let path: String = uri.path().chars().take(100).collect();
    Failure::new(StatusCode::NOT_FOUND, RefusalKind::NotFound, format!("there is no {path:?} here"))
}

/// For a method that the path does not take.
pub(super) async fn no_such_method() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, RefusalKind::Invalid, "this path does not take that method")
}

/// A whole body of at most so many bytes.
pub(super) async fn read(body: Body, most: usize) -> Result<Bytes, Failure> {
    match tokio::time::timeout(BODY_WITHIN, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let why = format!("the body has more than {most} bytes");
            Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, RefusalKind::Invalid, why))
        }
        Ok(Err(error)) => Err(Failure::invalid(format!("the body can't be read: {error}"))),
        Err(_) => {
            let why = format!("the body did not arrive within {} s", BODY_WITHIN.as_secs());
            Err(Failure::new(StatusCode::REQUEST_TIMEOUT, RefusalKind::Invalid, why))
        }
    }
}

/// A body as JSON.
pub(super) async fn json<T: serde::de::DeserializeOwned>(body: Body, most: usize) -> Result<T, Failure> {
    let bytes = read(body, most).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        // It may repeat what was sent.
        let error: String = error.to_string().chars().take(SAID).collect();
        Failure::invalid(format!("the body is not what is expected: {error}"))
    })
}
