//! What an OTLP receiver says. Source: opentelemetry-proto, docs/specification.md, "OTLP/HTTP Response".

use crate::http::Answer;
use flightdeck_model::sanitize_line;
use flightdeck_port::NotTold;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// `ExportTraceServiceResponse`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    partial_success: Option<PartialSuccess>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PartialSuccess {
    /// 64 bits: a string, or a number.
    rejected_spans: Value,
    error_message: String,
}

/// Did it take all spans?
///
/// # Errors
/// It did not. Only what the specification names so is tried again.
pub(super) fn judged(answer: &Answer) -> Result<(), NotTold> {
    match answer.status {
        status if status.is_success() => taken(answer),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Err(NotTold::passing(answer.complaint())),
        _ => Err(NotTold::for_good(answer.complaint())),
    }
}

fn taken(answer: &Answer) -> Result<(), NotTold> {
    // An empty message is written as nothing by some.
    if answer.body.is_empty() {
        return Ok(());
    }
    let Ok(response) = serde_json::from_slice::<Response>(&answer.body) else {
        return Err(NotTold::for_good("200 OK, but what answers is no OTLP receiver: is the endpoint right?"));
    };
    let Some(PartialSuccess { rejected_spans, error_message }) = response.partial_success else { return Ok(()) };
    let rejected = rejected_spans.as_str().map_or_else(|| rejected_spans.to_string(), str::to_owned);
    let why = sanitize_line(&error_message);
    if matches!(rejected.as_str(), "null" | "0" | "") {
        if !why.is_empty() {
            tracing::warn!(%why, "an OTLP receiver took all spans and has something to say");
        }
        return Ok(());
    }
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    // It must not be sent again: what was taken would be there twice.
    Err(NotTold::for_good(format!("{rejected} spans were rejected{why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hyper::header::HeaderMap;

    #[test]
    fn only_what_the_specification_names_is_sent_again() {
        for (status, body, expected) in [
            (200, r#"{"partialSuccess":{}}"#, None),
            (200, "{}", None),
            (200, "", None),
            (200, r#"{"partialSuccess":{"rejectedSpans":"0","errorMessage":"use gzip"}}"#, None),
            (
                200,
                r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}"#,
                Some((false, "2 spans were rejected: too old")),
            ),
            (200, r#"{"partialSuccess":{"rejectedSpans":1}}"#, Some((false, "1 spans were rejected"))),
            (200, "<html>log in</html>", Some((false, "is the endpoint right?"))),
            (400, r#"{"code":3,"message":"invalid trace id"}"#, Some((false, "400 Bad Request: invalid trace id"))),
            (401, "", Some((false, "401"))),
            (404, "404 page not found", Some((false, "404"))),
            (413, "", Some((false, "413"))),
            (429, "", Some((true, "429"))),
            (500, "", Some((false, "500"))),
            (502, "", Some((true, "502"))),
            (503, r#"{"code":14,"message":"sending queue is full"}"#, Some((true, "sending queue is full"))),
            (504, "", Some((true, "504"))),
        ] {
            let (status, body) = (StatusCode::from_u16(status).unwrap(), Bytes::from_static(body.as_bytes()));
            let judged = judged(&Answer { status, headers: HeaderMap::new(), body: body.clone() });
            match (judged, expected) {
                (Ok(()), None) => {}
                (Err(NotTold { why, again }), Some((expected, words))) => {
                    assert!(again == expected && why.contains(words), "{status} {body:?}: {again} {why}");
                }
                (judged, _) => panic!("{status} {body:?}: {judged:?}"),
            }
        }
    }
}
