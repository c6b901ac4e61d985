//! What goes wrong on the way to Alertmanager and back.

use super::*;
use crate::probe::stub::Stub;
use flightdeck::control::{Authorized, Policy, decide};
use flightdeck::integration::alert::alertmanager::AlertmanagerProvider;
use flightdeck::port::{Checked, NotDone, Provider as _};
use jiff::Timestamp;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex};

/// What is played to requests of a method instead.
type Fault = Arc<Mutex<Option<(&'static str, Play)>>>;

/// Plays well, but for what is put into it.
fn stub() -> (Stub, Fault) {
    let fault = Fault::default();
    let playing = Arc::clone(&fault);
    let stub = Stub::start(move |asked| match &*playing.lock().unwrap() {
        Some((method, play)) if asked.method == *method => play.clone(),
        _ if asked.method == "POST" => Play::answer(200, r#"{"silenceID":"8c1c2f0e-0000-4000-8000-000000000001"}"#),
        _ => told(asked),
    });
    (stub, fault)
}

#[tokio::test]
async fn a_failed_look_makes_stale_with_the_reason_and_what_was_known_stays() {
    let (stub, fault) = stub();
    let mut watched = Watched::of(json!({"url": stub.url()})).await;
    watched.live().await;
    let limited =
        Play::Answer { status: 429, headers: vec![("retry-after", "0".to_owned())], body: "slow down".to_owned() };
    let faults = [
        (Play::answer(401, "Unauthorized\n"), "401 Unauthorized: Unauthorized; may its `token`"),
        (limited, "429 Too Many Requests: slow down"),
        (Play::answer(503, "<html>"), "503 Service Unavailable"),
        (Play::answer(400, r#""bad matcher format: x""#), "400 Bad Request: bad matcher format: x"),
        (Play::answer(404, "404 page not found"), "the path before /api"),
        (Play::answer(302, ""), "such as to a login"),
        (Play::answer(200, "<html>log in</html>"), "not what its documentation says"),
        (Play::answer(200, r#"{"alerts":[]}"#), "not what its documentation says"),
        (Play::Truncated, "no answer from 127.0.0.1"),
        (Play::Reset, "no answer from 127.0.0.1"),
        (Play::Endless, "longer than 16777216 bytes"),
    ];
    for (play, why) in faults {
        *fault.lock().unwrap() = Some(("GET", play));
        watched.stale(why).await;
        assert_eq!(watched.board.alerts().count(), 1, "{why}: what was known stays");
        *fault.lock().unwrap() = None;
        watched.live().await;
    }
}

#[tokio::test]
async fn what_was_never_reached_is_never_no_alerts() {
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut watched = Watched::of(json!({"url": nobody})).await;
    watched.stale("cannot reach 127.0.0.1").await;
    assert!(matches!(watched.board.link_of(&alerts()), Some(LinkState::Stale { never: true, .. })));
}

/// What a person may do by what the board has.
fn authorized(watched: &Watched, command: &Command) -> Authorized {
    let alice = Actor { name: "alice".into(), uid: Some(1), roles: vec![] };
    decide(&Policy::default(), &watched.board, &alice, command, Timestamp::now()).unwrap()
}

#[tokio::test]
async fn what_is_said_to_a_silence_is_told_as_what_it_is() {
    let (stub, fault) = stub();
    let mut watched = Watched::of(json!({"url": stub.url()})).await;
    watched.live().await;
    let yes = authorized(&watched, &silence("c-1", "3e7a6bf4f2f4d6a3", None));
    for (play, expected) in [
        (Play::answer(400, r#""silence invalid: end time must not be in the past""#), "invalid: silence invalid"),
        (Play::answer(422, r#"{"code":602,"message":"matchers in body is required"}"#), "invalid: matchers in body"),
        (Play::answer(401, ""), "denied"),
        (Play::answer(403, ""), "denied"),
        (Play::answer(429, "slow down"), "not sent"),
        (Play::answer(500, "boom"), "unknown"),
        (Play::answer(200, "<html>log in</html>"), "unknown"),
        (Play::Truncated, "unknown"),
        (Play::Reset, "unknown"),
    ] {
        *fault.lock().unwrap() = Some(("POST", play.clone()));
        let outcome = watched.source.execute(&yes).await.unwrap_err();
        let word = match &outcome {
            NotDone::Refused(Refusal { kind: RefusalKind::Denied, .. }) => "denied".to_owned(),
            NotDone::Refused(Refusal { kind: RefusalKind::Invalid, why, .. }) => format!("invalid: {why}"),
            NotDone::Refused(refusal) => format!("{:?}", refusal.kind),
            NotDone::Unknown { .. } => "unknown".to_owned(),
            NotDone::NotSent { .. } => "not sent".to_owned(),
        };
        let said = expected.rsplit(": ").next().unwrap();
        assert!(word.starts_with(expected.split(':').next().unwrap()) && word.contains(said), "{play:?}: {outcome:?}");
        let sent = stub.asked().iter().filter(|asked| asked.method == "POST").count();
        assert!(sent > 0, "{play:?}");
    }
    let posts = || stub.asked().iter().filter(|asked| asked.method == "POST").count();
    assert_eq!(posts(), 9, "none of them twice");
    *fault.lock().unwrap() = None;
    let accepted = watched.source.execute(&yes).await.unwrap();
    assert_eq!(accepted.note.as_deref(), Some("silence 8c1c2f0e-0000-4000-8000-000000000001"));
    let last = stub.asked().into_iter().rfind(|asked| asked.method == "POST").unwrap();
    let body: Value = serde_json::from_str(&last.body).unwrap();
    assert_eq!((body["createdBy"].as_str(), body["matchers"].as_array().unwrap().len()), (Some("alice"), 4));
}

#[tokio::test]
async fn an_id_that_would_be_another_address_is_never_asked_for() {
    let (stub, _) = stub();
    let mut watched = Watched::of(json!({"url": stub.url()})).await;
    watched.live().await;
    for id in ["../status", "", "a?b", "a/b"] {
        let made = Some(MadeSilence { command: "c-0".into(), run: None });
        let (at, source) = (Timestamp::UNIX_EPOCH, SOURCE.into());
        let (matches, owner, reason) = (String::new(), "ann".to_owned(), String::new());
        let row = Silence { source, id: id.into(), matches, owner, reason, since: at, until: at, made };
        watched.board.apply(&Scoped { scope: alerts(), body: Body::Upsert(Entity::Silence(Box::new(row))) });
        let yes = authorized(&watched, &unsilence("c-1", &id.into()));
        let outcome = watched.source.execute(&yes).await;
        assert!(matches!(outcome, Err(NotDone::Refused(Refusal { kind: RefusalKind::Invalid, .. }))), "{outcome:?}");
    }
    assert!(stub.asked().iter().all(|asked| asked.method == "GET"));
}

#[tokio::test]
async fn a_secret_is_read_again_where_it_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    let file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path).unwrap();
    drop(file);
    std::fs::write(&path, "old\n").unwrap();
    let stub = Stub::start(|asked| {
        // `ann:new`
        if asked.header("authorization") == Some("Basic YW5uOm5ldw==") { told(asked) } else { Play::answer(401, "no") }
    });
    let password = format!("file:{}", path.display());
    let settings = json!({"url": stub.url(), "username": "ann", "password": password});
    let mut watched = Watched::of(settings.clone()).await;
    watched.stale("401 Unauthorized: no; may its `token`, or `username`, read alerts?").await;
    let bad = AlertmanagerProvider.doctor(&configured(settings.clone())).await;
    assert!(
        matches!(&bad, Checked::Bad { what, todo } if what.contains("401") && todo.contains("[sources.am]")),
        "{bad:?}"
    );
    std::fs::write(&path, "new\n").unwrap();
    watched.live().await;
    let good = AlertmanagerProvider.doctor(&configured(settings)).await;
    assert!(matches!(&good, Checked::Good(what) if what.ends_with("answers: 1 alert")), "{good:?}");
}
