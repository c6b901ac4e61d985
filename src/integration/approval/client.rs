//! Requests to a system of approvals: conditional where something is known, held back while it asks to be left alone, and what it
//! says no with told apart by what to do.

use super::system::Words;
use crate::http::{Answer, Http, HttpError};
use bytes::Bytes;
use flightdeck_model::LinkState;
use flightdeck_port::WrongSetting;
use hyper::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;

/// How many requests are left of a limit, and when it begins anew in seconds since 1970.
const REMAINING: [&str; 2] = ["x-ratelimit-remaining", "ratelimit-remaining"];
const RESET: [&str; 2] = ["x-ratelimit-reset", "ratelimit-reset"];
/// Where a system says no without saying for how long: GitHub's documents ask for a minute.
const MINUTE: SignedDuration = SignedDuration::from_secs(60);
/// A limit is counted by the hour.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[expect(
    clippy::disallowed_methods,
    reason = "requests are a shell: limits end at a time, and a look says when it was"
)]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// What was answered before, by request.
#[derive(Debug, Default)]
pub(super) struct Cache {
    known: BTreeMap<String, Known>,
    /// Requests that counted for a limit since the last time that it was asked.
    charged: u32,
}

#[derive(Debug)]
struct Known {
    etag: HeaderValue,
    body: Bytes,
    used: bool,
}

impl Cache {
    /// How many requests counted for a limit since the last time.
    pub fn charged(&mut self) -> u32 {
        std::mem::take(&mut self.charged)
    }

    /// What was not asked for since the last time is forgotten.
    pub fn forget_unused(&mut self) {
        self.known.retain(|_, known| std::mem::take(&mut known.used));
    }
}

/// Why nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The token is none, or no more.
    Unauthorized(String),
    /// The token is good and may not do this.
    Forbidden(String),
    /// It is not there, or not for this token: most do not say which.
    Missing(String),
    /// It wants to be left alone until then.
    Limited(Timestamp),
    /// No answer, or none that could be used.
    Unreachable(String),
}

impl Problem {
    /// One sentence.
    pub fn sentence(&self, system: &str) -> String {
        match self {
            Problem::Unauthorized(said) => format!("{system} does not take the token ({said}): renew it"),
            Problem::Forbidden(said) => format!("the token may not do this ({said})"),
            Problem::Missing(said) => format!("it is not there, or not for this token ({said})"),
            Problem::Limited(until) => {
                format!("{system}'s rate limit is used up until {}: nothing is asked before", clock(*until))
            }
            Problem::Unreachable(why) => why.clone(),
        }
    }

    /// What the health of a place is then: it was well last, if it ever was, and is tried since it began.
    pub fn link(&self, words: Words, place: &str, well: Option<Timestamp>, began: Timestamp) -> LinkState {
        let Words { system, rights, .. } = words;
        let denied = |said: &str| LinkState::Denied {
            verb: format!("read on its {} ({system} says {said}; {} names the rights)", rights.0, rights.1),
            resource: place.to_owned(),
        };
        match self {
            Problem::Forbidden(said) | Problem::Missing(said) => denied(said),
            other => {
                LinkState::Stale { since: well.unwrap_or(began), why: other.sentence(system), never: well.is_none() }
            }
        }
    }
}

fn clock(at: Timestamp) -> impl std::fmt::Display {
    at.strftime("%H:%M:%S UTC")
}

/// What is not there says so with a status, and is no reason to know nothing of all else.
pub(super) fn there<T>(answer: Result<T, Problem>) -> Result<Option<T>, Problem> {
    match answer {
        Ok(content) => Ok(Some(content)),
        Err(Problem::Missing(_)) => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// A system with one token.
#[derive(Debug)]
pub(super) struct Client {
    system: &'static str,
    /// Does an answer that is as it was cost nothing of the limit?
    unchanged_is_free: bool,
    http: Http,
    /// Nothing is asked before.
    resting: watch::Sender<Option<Timestamp>>,
    /// What the last answer said of its limit.
    limit: watch::Sender<Option<Limit>>,
}

/// How many requests are left, and when there are more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    remaining: i64,
    reset: Timestamp,
}

/// Where nothing is known of a limit, requests that count are so far apart on average.
const APART: Duration = Duration::from_millis(200);
/// What a limit leaves to others who use the same token.
const OTHERS: i32 = 4;

impl Client {
    /// `headers` go with each request, the token's among them.
    pub fn new(
        system: &'static str,
        unchanged_is_free: bool,
        url: &str,
        headers: HeaderMap,
    ) -> Result<Client, WrongSetting> {
        let (resting, limit) = (watch::Sender::new(None), watch::Sender::new(None));
        Ok(Client { system, unchanged_is_free, http: Http::new("url", url, headers)?, resting, limit })
    }

    /// Reads; an answer that is as it was costs nothing of the rate limit.
    pub async fn get<T: DeserializeOwned>(
        &self,
        cache: &mut Cache,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Problem> {
        self.rested()?;
        let key = format!("{path}?{query:?}");
        let condition = cache.known.get(&key).map(|known| (IF_NONE_MATCH, known.etag.clone()));
        let answer = self.http.get_with(path, query, &HeaderMap::from_iter(condition)).await;
        let mut answer = answer.map_err(|error| Problem::Unreachable(error.to_string()))?;
        if answer.status == StatusCode::NOT_MODIFIED
            && let Some(known) = cache.known.get_mut(&key)
        {
            known.used = true;
            cache.charged = cache.charged.saturating_add(u32::from(!self.unchanged_is_free));
            answer.body = known.body.clone();
            self.counted(&answer);
            return answer.json().map_err(Problem::Unreachable);
        }
        cache.charged = cache.charged.saturating_add(1);
        self.judged(&answer)?;
        let content = answer.json().map_err(Problem::Unreachable)?;
        if let Some(etag) = answer.headers.get(ETAG) {
            cache.known.insert(key, Known { etag: etag.clone(), body: answer.body.clone(), used: true });
        }
        Ok(content)
    }

    /// Changes something, once.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Answer, HttpError> {
        self.http.send(Method::POST, path, body).await
    }

    /// Changes something by its address alone, once.
    pub async fn post_empty(&self, path: &str) -> Result<Answer, HttpError> {
        self.http.send_empty(path).await
    }

    /// What a problem is for people.
    pub fn sentence(&self, problem: &Problem) -> String {
        problem.sentence(self.system)
    }

    /// How long a place waits after a look with so many requests that count, so that so many places keep within the
    /// limit.
    pub fn pace(&self, charged: u32, places: usize) -> Duration {
        pace(*self.limit.borrow(), charged, places, now())
    }

    /// May it be asked now?
    pub fn rested(&self) -> Result<(), Problem> {
        let until = *self.resting.borrow();
        until.filter(|until| *until > now()).map_or(Ok(()), |until| Err(Problem::Limited(until)))
    }

    /// What an answer says of itself and of the rate limit.
    pub fn judged(&self, answer: &Answer) -> Result<(), Problem> {
        self.counted(answer);
        let problem = problem(self.system, answer, now());
        if let Some(Problem::Limited(until)) = problem {
            self.resting.send_replace(Some(until));
        }
        problem.map_or(Ok(()), Err)
    }

    /// The last request that was allowed: the next one is not sent.
    fn counted(&self, answer: &Answer) {
        let (remaining, reset) = (number(answer, REMAINING), number(answer, RESET));
        if let Some((remaining, reset)) = remaining.zip(reset.and_then(|second| Timestamp::from_second(second).ok())) {
            self.limit.send_replace(Some(Limit { remaining, reset }));
        }
        if let Some(until) = used_up(answer, now()) {
            self.resting.send_replace(Some(until));
        }
    }
}

/// How long a place waits between two looks of which each has so many requests that count, so that all places together
/// keep within the limit. Pure.
fn pace(limit: Option<Limit>, charged: u32, places: usize, now: Timestamp) -> Duration {
    let left = limit.filter(|limit| limit.reset > now).map(|limit| {
        let until = limit.reset.duration_since(now).min(HOUR);
        until * OTHERS / (OTHERS - 1) / i32::try_from(limit.remaining.max(1)).unwrap_or(i32::MAX)
    });
    let apart = left.and_then(|left| Duration::try_from(left).ok()).unwrap_or(APART);
    apart.saturating_mul(charged).saturating_mul(u32::try_from(places).unwrap_or(u32::MAX))
}

fn number(answer: &Answer, names: [&str; 2]) -> Option<i64> {
    let value = names.into_iter().find_map(|name| answer.headers.get(name))?;
    value.to_str().ok()?.trim().parse().ok()
}

/// When a limit that is used up ends. A clock that is off by hours stops nothing for longer than one.
fn used_up(answer: &Answer, now: Timestamp) -> Option<Timestamp> {
    if number(answer, REMAINING)? > 0 {
        return None;
    }
    let reset = Timestamp::from_second(number(answer, RESET)?).ok()?;
    let (soonest, latest) = (now.checked_add(SignedDuration::from_secs(1)).ok()?, now.checked_add(HOUR).ok()?);
    Some(reset.clamp(soonest, latest))
}

/// Why an answer is not what was asked for. Pure.
fn problem(system: &str, answer: &Answer, now: Timestamp) -> Option<Problem> {
    let said = || answer.complaint();
    let after = |wait: SignedDuration| now.checked_add(wait.min(HOUR)).unwrap_or(now);
    let asked = answer.retry_after().and_then(|wait| SignedDuration::try_from(wait).ok()).map(after);
    let limit = asked.or_else(|| used_up(answer, now));
    match answer.status.as_u16() {
        200..=299 => None,
        429 => Some(Problem::Limited(limit.unwrap_or_else(|| after(MINUTE)))),
        // The same status says that the token may not, and that a limit is used up.
        403 => Some(limit.map_or_else(|| Problem::Forbidden(said()), Problem::Limited)),
        401 => Some(Problem::Unauthorized(said())),
        301 | 302 | 307 | 308 => {
            Some(Problem::Missing(format!("{}: it has moved, name it as it is now", answer.status)))
        }
        404 | 410 => Some(Problem::Missing(said())),
        _ => Some(Problem::Unreachable(format!("{system} answers {}", said()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Answer {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers = headers.iter().map(header).collect();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn what_a_system_says_no_with_is_told_apart_by_what_to_do() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let said = r#"{"message":"Bad credentials"}"#;
        let limited = |second| Some(Problem::Limited(at(second)));
        for (answer, expected) in [
            (answer(200, &[(REMAINING[0], "0"), (RESET[0], "1000100")], "[]"), None),
            (answer(401, &[], said), Some(Problem::Unauthorized("401 Unauthorized: Bad credentials".into()))),
            (answer(403, &[(REMAINING[0], "4999")], ""), Some(Problem::Forbidden("403 Forbidden".into()))),
            (answer(403, &[("retry-after", "30")], ""), limited(1_000_030)),
            (answer(403, &[(REMAINING[0], "0"), (RESET[0], "1000100")], ""), limited(1_000_100)),
            // A clock that is off, or a number that can't be meant.
            (answer(403, &[(REMAINING[0], "0"), (RESET[0], "5")], ""), limited(1_000_001)),
            (answer(403, &[(REMAINING[0], "0"), (RESET[0], "9000000000")], ""), limited(1_003_600)),
            (answer(429, &[("retry-after", "9999999999999")], ""), limited(1_003_600)),
            (answer(429, &[], ""), limited(1_000_060)),
            (answer(404, &[], "<html>"), Some(Problem::Missing("404 Not Found".into()))),
            (answer(502, &[], "<html>"), Some(Problem::Unreachable("GitHub answers 502 Bad Gateway".into()))),
        ] {
            assert_eq!(problem("GitHub", &answer, now), expected, "{answer:?}");
        }
    }

    #[test]
    fn the_last_request_of_a_limit_says_when_the_next_may_be_sent() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let of = |remaining| used_up(&answer(200, &[(REMAINING[0], remaining), (RESET[0], "1000100")], ""), now);
        assert_eq!(of("1"), None);
        assert_eq!(of("0"), Some(Timestamp::from_second(1_000_100).unwrap()));
        assert_eq!(of("soon"), None);
        // GitLab spells them without the X.
        let gitlab = answer(200, &[(REMAINING[1], "0"), (RESET[1], "1000100")], "");
        assert_eq!(used_up(&gitlab, now), Some(Timestamp::from_second(1_000_100).unwrap()));
    }

    #[test]
    fn many_places_keep_within_a_limit_together() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let limit = |remaining, seconds| {
            Some(Limit { remaining, reset: now.checked_add(SignedDuration::from_secs(seconds)).unwrap() })
        };
        // Of 4,000 in an hour three quarters: 3,000, so that 6 requests of each of 200 places come every 24 minutes.
        assert_eq!(pace(limit(4000, 3600), 6, 200, now).as_secs(), 1440);
        assert_eq!(pace(limit(4000, 3600), 0, 200, now), Duration::ZERO, "what is free may come as often as is asked");
        // A limit that is over, one that is used up, a clock that is off by hours.
        assert_eq!(pace(limit(0, -5), 6, 10, now), Duration::from_secs(12));
        assert_eq!(pace(limit(0, 60), 1, 1, now), Duration::from_secs(80));
        assert_eq!(pace(limit(60, 900_000), 1, 1, now), Duration::from_secs(80));
        assert_eq!(pace(None, 6, 200, now), Duration::from_mins(4));
    }
}
