//! What comes back: read, bounded, and never taken for more than it is.

use crate::http::Answer;
use flightdeck_model::sanitize_line;
use flightdeck_port::ProbeError;
use hyper::StatusCode;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Characters of a warning that are shown.
const MOST_WORDS: usize = 200;
/// Warnings that are shown.
const MOST_WARNINGS: usize = 3;

/// The values of one query, by namespace and set of pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Vector {
    /// What is a number; what is none (no traffic, a share of nothing) is left out.
    pub values: BTreeMap<(String, String), f64>,
    /// A value without labels, of queries that have one answer.
    pub alone: Option<f64>,
    /// Its own words on what may be missing or wrong.
    pub warnings: Vec<String>,
    /// At which second it was computed, by the server's clock.
    pub at: Option<f64>,
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    /// VictoriaMetrics' own word for an answer that lacks something.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
}

/// Reads the answer of one instant query. `namespace` and `set` are the labels that tell its series apart.
///
/// # Errors
/// It is a refusal, or no answer to that question.
pub(super) fn answer(answer: &Answer, namespace: &str, set: &str) -> Result<Vector, ProbeError> {
    if !answer.status.is_success() {
        return Err(refused(answer));
    }
    let garbled = |why: String| ProbeError::Refused { why };
    let envelope: Envelope = answer.json().map_err(garbled)?;
    if envelope.status != "success" {
        let said = envelope.error.as_deref().map_or_else(|| "without saying why".to_owned(), shown);
        return Err(garbled(format!("it refuses: {said}")));
    }
    let data = envelope.data.ok_or_else(|| garbled("its answer has no data".to_owned()))?;
    if data.result_type != "vector" {
        let kind = shown(&data.result_type);
        return Err(garbled(format!("its answer is a {kind} where a vector was asked for")));
    }
    let partial = envelope.is_partial.then(|| "a part of it did not answer".to_owned());
    let warnings = envelope.warnings.iter().map(|warning| shown(warning)).chain(partial).take(MOST_WARNINGS).collect();
    let mut vector = Vector { warnings, ..Vector::default() };
    for series in data.result {
        let (at, text) = series.value.ok_or_else(|| garbled("its answer has a series without a value".to_owned()))?;
        // It writes numbers as Rust reads them, NaN and +Inf included.
        let value: f64 = text.parse().map_err(|_| garbled(format!("{:?} is no number", shown(&text))))?;
        vector.at = Some(at);
        let label = |name: &str| series.metric.get(name).filter(|value| !value.is_empty()).cloned();
        match (label(namespace), label(set)) {
            _ if !value.is_finite() => {}
            (Some(of), Some(pods)) => {
                if let Some(other) = vector.values.insert((of.clone(), pods.clone()), value)
                    && (other - value).abs() > f64::EPSILON
                {
                    let name = sanitize_line(&format!("{of}/{pods}"));
                    return Err(garbled(format!("its answer has two values of {name}")));
                }
            }
            (None, None) if series.metric.is_empty() => vector.alone = Some(value),
            // A pod whose name has one part only belongs to no set.
            _ => {}
        }
    }
    Ok(vector)
}

/// Why it did not answer, and whether another time it may.
fn refused(answer: &Answer) -> ProbeError {
    let said = answer.complaint();
    let refused = |todo: &str| ProbeError::Refused { why: format!("{said}; {todo}") };
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => refused("may its `token` query?"),
        StatusCode::NOT_FOUND => refused("has its `url` the path before /api/v1?"),
        StatusCode::TOO_MANY_REQUESTS => ProbeError::Unreachable { why: said },
        status if status.is_server_error() => ProbeError::Unreachable { why: said },
        status if status.is_redirection() => refused("its `url` leads elsewhere, such as to a login"),
        _ => ProbeError::Refused { why: said },
    }
}

/// Words of others on one line.
fn shown(text: &str) -> String {
    sanitize_line(text).chars().take(MOST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hyper::header::HeaderMap;

    fn came(status: u16, body: &str) -> Result<Vector, ProbeError> {
        let status = StatusCode::from_u16(status).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        answer(&Answer { status, headers: HeaderMap::new(), body }, "namespace", "pod_set")
    }

    /// As Prometheus 2.42 answered.
    const RECORDED: &str = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"namespace":"shop","pod_set":"web-7d5f9c"},"value":[1764476702.135,"12.466666666666667"]},
        {"metric":{"namespace":"shop","pod_set":"web-58bb4f"},"value":[1764476702.135,"0"]},
        {"metric":{"namespace":"shop","pod_set":"api-6c9"},"value":[1764476702.135,"NaN"]},
        {"metric":{"namespace":"shop"},"value":[1764476702.135,"3"]}]}}"#;

    #[test]
    fn a_vector_is_read_and_what_is_no_number_is_left_out() {
        let vector = came(200, RECORDED).unwrap();
        let values: Vec<_> =
            vector.values.iter().map(|((of, set), value)| (of.as_str(), set.as_str(), *value)).collect();
        assert_eq!(values, [("shop", "web-58bb4f", 0.0), ("shop", "web-7d5f9c", 12.466_666_666_666_667)]);
        assert_eq!((vector.alone, vector.at), (None, Some(1_764_476_702.135)));
        let alone = came(
            200,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}}"#,
        );
        assert_eq!(alone.unwrap().alone, Some(7.0));
        let none =
            came(200, r#"{"status":"success","data":{"resultType":"vector","result":[]},"infos":["x"]}"#).unwrap();
        assert_eq!(none, Vector::default());
        for text in ["+Inf", "-Inf", "NaN"] {
            let body = RECORDED.replace("12.466666666666667", text);
            assert_eq!(came(200, &body).unwrap().values.len(), 1, "{text}");
        }
    }

    #[test]
    fn warnings_are_kept_short_and_clean() {
        let warned = r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["store \u001b[2J down","b","c","d"]}"#;
        let warnings = came(200, warned).unwrap().warnings;
        assert_eq!(warnings.len(), 3);
        assert!(warnings[0].starts_with("store ") && !warnings[0].contains('\u{1b}'), "{warnings:?}");
        let partial = r#"{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}"#;
        assert_eq!(came(200, partial).unwrap().warnings, ["a part of it did not answer"]);
    }

    #[test]
    fn what_is_no_answer_is_told_as_what_it_is() {
        let two = RECORDED.replace("web-58bb4f", "web-7d5f9c");
        for (status, body, passing, told) in [
            (
                400,
                r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\""}"#,
                false,
                "400 Bad Request: invalid parameter",
            ),
            (422, r#"{"status":"error","errorType":"422","error":"too many samples"}"#, false, "too many samples"),
            (200, r#"{"status":"error","errorType":"execution","error":"boom"}"#, false, "it refuses: boom"),
            (401, "Unauthorized\n", false, "may its `token` query?"),
            (404, "404 page not found", false, "the path before /api/v1"),
            (302, "", false, "such as to a login"),
            (429, "slow down", true, "429 Too Many Requests: slow down"),
            (
                503,
                r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#,
                true,
                "timed out",
            ),
            (502, "<html><body>Bad gateway", true, "502 Bad Gateway"),
            (200, "<html>log in</html>", false, "not what its documentation says"),
            (200, r#"{"status":"success"}"#, false, "no data"),
            (
                200,
                r#"{"status":"success","data":{"resultType":"scalar","result":[]}}"#,
                false,
                "a scalar where a vector",
            ),
            (
                200,
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}"#,
                false,
                "without a value",
            ),
            (
                200,
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"many"]}]}}"#,
                false,
                "\"many\" is no number",
            ),
            (200, &two, false, "two values of shop/web-7d5f9c"),
        ] {
            let error = came(status, body).unwrap_err();
            assert_eq!(matches!(error, ProbeError::Unreachable { .. }), passing, "{error}");
            assert!(error.to_string().contains(told), "{told}: {error}");
        }
    }
}
