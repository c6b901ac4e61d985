//! What every system that has numbers must stand: good answers, bad ones, and none. A stub plays them; a new system
//! is one more [`Fixture`].

mod prometheus;
mod real;
pub mod stub;

use async_trait::async_trait;
use flightdeck::model::*;
use flightdeck::port::{Measured, Probe, ProbeError};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use stub::{Asked, Play, Stub};

/// How long an answer is waited for; only what never comes takes so long.
const WITHIN: Duration = Duration::from_millis(700);

/// A system, as far as the suite must know it.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens it at an address, with a time limit for its answers.
    async fn open(&self, url: &str, within: Duration) -> Arc<dyn Probe>;
    /// What it answers when all is well: stable 40 requests a second without errors, the candidate 4 with 2 failed,
    /// p95 180 and 212 ms, of every service.
    fn good(&self, asked: &Asked) -> Play;
    /// The same of requests and latencies that are no numbers.
    fn no_numbers(&self, asked: &Asked) -> Play;
    /// An answer that says that it lacks something.
    fn partial(&self, asked: &Asked) -> Play;
    /// A well-formed answer with nothing in it.
    fn empty(&self) -> Play;
    /// Its refusal of a question, with status 200 where it has such a thing.
    fn refusal(&self) -> Play;
    /// How many questions it may take to measure any number of rows.
    fn questions(&self) -> usize;
}

pub fn at() -> Timestamp {
    Timestamp::from_second(1_764_476_700).unwrap()
}

/// A canary on its way, of pods `NAME-58bb4f-…` and `NAME-7d5f9c-…`.
pub fn moving(name: &str) -> Arc<Rollout> {
    let mut row = crate::board::kit::rollout(name, "production");
    row.run.target.namespace = Some("shop".to_owned());
    name.clone_into(&mut row.run.target.name);
    for (arm, hash) in row.arms.iter_mut().zip(["58bb4f", "7d5f9c"]) {
        arm.pods = Some(PodNames::Set(format!("{name}-{hash}")));
    }
    Arc::new(row)
}

/// Role, requests, errors and p95 of each sample of a service.
fn told(measured: &Measured, service: &str) -> Vec<(ArmRole, u64, u64, Option<u32>)> {
    let of = measured.samples.iter().filter(|sample| sample.target.name == service);
    of.map(|sample| (sample.role.clone(), sample.requests, sample.errors, sample.p95_us)).collect()
}

fn whole() -> Vec<(ArmRole, u64, u64, Option<u32>)> {
    vec![(ArmRole::Stable, 600, 0, Some(180_000)), (ArmRole::Candidate, 60, 30, Some(212_000))]
}

/// A refusal stays one; the other kind may pass.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Passing,
    Refused,
}

async fn fails(fixture: &dyn Fixture, what: &str, play: Play, kind: Kind, words: &str) {
    let stub = Stub::start(move |_| play.clone());
    let probe = fixture.open(&stub.url(), WITHIN).await;
    let error = probe.measure(&[moving("web")], at()).await.expect_err(what);
    let found = match &error {
        ProbeError::Unreachable { .. } => Kind::Passing,
        ProbeError::Refused { .. } => Kind::Refused,
    };
    let said = error.to_string();
    assert_eq!(found, kind, "{what}: {said}");
    assert!(said.contains(words), "{what}: {said:?} without {words:?}");
    assert!(!said.contains('\n') && !said.contains('\u{1b}') && said.len() < 400, "{what}: {said:?}");
    assert!(!said.contains("s3cret"), "{what}: {said:?}");
    assert!(!stub.asked().is_empty(), "{what}: it was asked");
}

/// All of it.
async fn stands(fixture: Arc<dyn Fixture>) {
    good_answers(&fixture).await;
    bad_answers(&*fixture).await;
    no_answer(&*fixture).await;
    left_alone(&fixture).await;
}

async fn good_answers(fixture: &Arc<dyn Fixture>) {
    // Many rows take no more questions than one.
    let rows: Vec<_> = (0..200).map(|n| moving(&format!("web{n}"))).collect();
    let answers = Arc::clone(fixture);
    let stub = Stub::start(move |asked| answers.good(asked));
    let probe = fixture.open(&stub.url(), WITHIN).await;
    let measured = probe.measure(&rows, at()).await.expect("numbers");
    assert_eq!((told(&measured, "web0"), told(&measured, "web199")), (whole(), whole()));
    assert!(measured.samples.iter().all(|sample| sample.at == at()), "the time is an input");
    assert_eq!(stub.asked().len(), fixture.questions());
    assert!(stub.most_at_once() <= 4, "{} at once", stub.most_at_once());
    // Without a row that it could measure it is only seen whether it answers.
    let before = stub.asked().len();
    let none = Arc::new(crate::board::kit::rollout("engine", "production"));
    assert_eq!(probe.measure(&[none], at()).await, Ok(Measured::default()));
    assert_eq!(stub.asked().len(), before + 1);
    // Nothing there is no number, and is said.
    let answers = Arc::clone(fixture);
    let empty = Stub::start(move |_| answers.empty());
    let nothing = fixture.open(&empty.url(), WITHIN).await.measure(&[moving("web")], at()).await.expect("an answer");
    assert!(nothing.samples.is_empty() && nothing.warnings[0].contains("shop/web"), "{nothing:?}");
    // What is no number is none.
    let answers = Arc::clone(fixture);
    let odd = Stub::start(move |asked| answers.no_numbers(asked));
    let odd = fixture.open(&odd.url(), WITHIN).await.measure(&[moving("web")], at()).await.expect("an answer");
    assert!(odd.samples.iter().all(|sample| sample.p95_us.is_none()), "{odd:?}");
    assert!(!odd.samples.iter().any(|sample| sample.role == ArmRole::Candidate), "{odd:?}");
}

async fn bad_answers(fixture: &dyn Fixture) {
    let html = "<html><body>Please log in</body></html>";
    let (passing, refused) = (Kind::Passing, Kind::Refused);
    for (what, play, kind, words) in [
        ("a refusal", fixture.refusal(), refused, ""),
        ("garbage", Play::answer(200, "\u{1b}[2J}{"), refused, "not what its documentation says"),
        ("HTML with 200", Play::answer(200, html), refused, "not what its documentation says"),
        ("401", Play::answer(401, "Unauthorized"), refused, "401 Unauthorized"),
        ("403", Play::answer(403, html), refused, "403 Forbidden"),
        ("404", Play::answer(404, "404 page not found"), refused, "404 Not Found"),
        ("a redirect", Play::answer(302, ""), refused, "302 Found"),
        ("429", Play::answer(429, "slow down"), passing, "429 Too Many Requests"),
        ("500", Play::answer(500, html), passing, "500 Internal Server Error"),
        ("503", Play::answer(503, "no\nquorum"), passing, "503 Service Unavailable"),
        ("truncated", Play::Truncated, passing, "no answer"),
        ("reset", Play::Reset, passing, "no answer"),
    ] {
        fails(fixture, what, play, kind, words).await;
    }
}

async fn no_answer(fixture: &dyn Fixture) {
    fails(fixture, "slow", Play::Silent, Kind::Passing, "nothing within 0.7 s").await;
    // Its own bound on bytes is met before its time limit.
    let stub = Stub::start(|_| Play::Endless);
    let probe = fixture.open(&stub.url(), Duration::from_mins(1)).await;
    let error = probe.measure(&[moving("web")], at()).await.expect_err("it never ends");
    assert!(error.to_string().contains("longer than 16777216 bytes"), "{error}");
    let address = stub.url();
    drop(stub);
    let probe = fixture.open(&address, WITHIN).await;
    let error = probe.measure(&[moving("web")], at()).await.expect_err("nobody is there");
    assert!(matches!(error, ProbeError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

async fn left_alone(fixture: &Arc<dyn Fixture>) {
    // Nothing of an answer that lacks something is shown.
    let partial = Arc::clone(fixture);
    let lacking = Stub::start(move |asked| partial.partial(asked));
    let error = fixture.open(&lacking.url(), WITHIN).await.measure(&[moving("web")], at()).await.expect_err("partial");
    assert!(error.to_string().contains("may lack something"), "{error}");
    // Whoever asks for a rest gets it, and is asked again afterwards.
    let answers = Arc::clone(fixture);
    let stub = Stub::start(move |asked| {
        let rest = Play::Answer { status: 429, headers: vec![("retry-after", "60".to_owned())], body: String::new() };
        if asked.number < 4 { rest } else { answers.good(asked) }
    });
    let probe = fixture.open(&stub.url(), WITHIN).await;
    probe.measure(&[moving("web")], at()).await.expect_err("429");
    let asked = stub.asked().len();
    let later = |seconds| at() + SignedDuration::from_secs(seconds);
    let error = probe.measure(&[moving("web")], later(59)).await.expect_err("it rests");
    assert!(error.to_string().contains("left alone for 1 s more"), "{error}");
    assert_eq!(stub.asked().len(), asked, "it was not asked");
    stub.skip_to(4);
    let measured = probe.measure(&[moving("web")], later(60)).await.expect("numbers");
    assert_eq!(told(&measured, "web"), whole());
}
