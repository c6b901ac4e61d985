//! What comes back: read, bounded, and never taken for more than it is.

use crate::http::Answer;
use crate::metrics::asking;
use crate::metrics::naming::Key;
use crate::metrics::numbers::{Vector, shown, spelled};
use flightdeck_port::ProbeError;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Warnings that are shown.
const MOST_WARNINGS: usize = 3;

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

/// The labels that make the key of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels<'a> {
    /// Without one of these it is of nobody.
    pub needed: &'a [&'a str],
    /// These may be empty.
    pub further: &'a [&'a str],
}

/// Reads the answer of one instant query.
///
/// # Errors
/// It is a refusal, or no answer to that question.
pub(super) fn answer(answer: &Answer, labels: Labels<'_>) -> Result<Vector, ProbeError> {
    if !answer.status.is_success() {
        return Err(asking::refused(
            answer,
            "may its `token` or `username` query?",
            "has its `url` the path before /api/v1?",
        ));
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
        if !value.is_finite() {
            continue;
        }
        if series.metric.is_empty() {
            vector.alone = Some(value);
        }
        // A pod whose name has one part only belongs to no set.
        let Some(key) = key(&series.metric, labels) else { continue };
        if let Some(other) = vector.values.insert(key.clone(), value)
            && (other - value).abs() > f64::EPSILON
        {
            return Err(garbled(format!("its answer has two values of {}", spelled(&key))));
        }
    }
    Ok(vector)
}

fn key(metric: &BTreeMap<String, String>, labels: Labels<'_>) -> Option<Key> {
    let value = |name: &&str| metric.get(*name).filter(|value| !value.is_empty()).cloned();
    let needed: Option<Key> = labels.needed.iter().map(value).collect();
    let further = labels.further.iter().map(|name| value(name).unwrap_or_default());
    needed.filter(|key| !key.is_empty()).map(|key| key.into_iter().chain(further).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hyper::StatusCode;
    use hyper::header::HeaderMap;

    fn came(status: u16, body: &str) -> Result<Vector, ProbeError> {
        let status = StatusCode::from_u16(status).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        let labels = Labels { needed: &["namespace", "pod_set"], further: &[] };
        answer(&Answer { status, headers: HeaderMap::new(), body }, labels)
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
        let values: Vec<_> = vector.values.iter().map(|(key, value)| (key.join("/"), *value)).collect();
        assert_eq!(
            values,
            [("shop/web-58bb4f".to_owned(), 0.0), ("shop/web-7d5f9c".to_owned(), 12.466_666_666_666_667)]
        );
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
            (401, "Unauthorized\n", false, "may its `token` or `username` query?"),
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
