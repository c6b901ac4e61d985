//! What goes wrong on the way to GitHub and back.

use super::stub::Fault;
use super::*;
use flightdeck::port::{InspectError, NotDone};

fn instead(status: &'static str, headers: &str, body: &str) -> Fault {
    Fault::Instead { status, headers: headers.into(), body: body.into() }
}

#[tokio::test]
async fn what_is_as_it_was_costs_nothing_and_is_told_once() {
    let mut bench = Bench::new();
    bench.asked().await;
    let count =
        |bench: &Bench, status: &str| bench.stub.world().requests.iter().filter(|line| line.ends_with(status)).count();
    let unchanged = crate::process::until("a look that was all the same", || async {
        Some(count(&bench, "304")).filter(|count| *count >= 9)
    });
    unchanged.await;
    assert_eq!(count(&bench, "200"), 4, "{:?}", bench.stub.world().requests);
    // Nothing was told of it.
    let next = futures::poll!(bench.updates.next());
    assert!(next.is_pending(), "{next:?}");
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_makes_no_other_stale() {
    let stub = Stub::start();
    stub.world().runs.extend([StubRun::waiting(REPOSITORY, 42), StubRun::waiting("acme/till", 7)]);
    let mut bench = Bench::of(stub, TOKEN, &[REPOSITORY, "acme/till"]);
    bench.until("both ask", |board| board.approvals().count() == 2).await;
    bench.stub.world().fail("GET /repos/acme/till", instead("502 Bad Gateway", "", "<html>"));
    bench.link("acme/till", |link| matches!(link, LinkState::Stale { why, .. } if why.contains("502"))).await;
    assert!(matches!(bench.board.link_of(&part(REPOSITORY)), Some(LinkState::Live { .. })));
    assert_eq!(bench.board.approvals().count(), 2, "what was known of it stays");
    bench.stub.world().faults.clear();
    bench.link("acme/till", |link| matches!(link, LinkState::Live { .. })).await;
}

#[tokio::test]
async fn each_no_of_github_is_told_with_what_to_do() {
    let stub = Stub::start();
    let mut wrong = Bench::of(stub.clone(), "github_pat_of_nobody", &[REPOSITORY]);
    wrong.stale("GitHub does not take the token (401 Unauthorized: Bad credentials): renew it").await;
    stub.world().fail("GET /repos/acme/gone", Fault::status("404 Not Found", "Not Found"));
    stub.world().fail("GET /repos/acme/hidden", Fault::status("403 Forbidden", "Resource not accessible"));
    let mut bench = Bench::of(stub, TOKEN, &["acme/gone", "acme/hidden"]);
    for (repository, said) in
        [("acme/gone", "404 Not Found: Not Found"), ("acme/hidden", "403 Forbidden: Resource not accessible")]
    {
        let denied = |link: &LinkState| match link {
            LinkState::Denied { verb, resource } => verb.contains(said) && resource == repository,
            _ => false,
        };
        bench.link(repository, denied).await;
    }
}

#[tokio::test]
async fn a_rate_limit_is_said_and_nothing_is_asked_until_it_is_over() {
    let mut bench = Bench::new();
    let approval = bench.asked().await;
    let yes = bench.command(Action::Approve, &approval, None);
    let limited = instead("403 Forbidden", "retry-after: 3\r\n", r#"{"message":"secondary rate limit"}"#);
    bench.stub.world().fail_once("GET", limited);
    bench.stale("GitHub's rate limit is used up until").await;
    let asked = bench.stub.world().requests.len();
    let Err(NotDone::NotSent { why }) = bench.source.execute(&yes).await else { panic!("it wants to be left alone") };
    assert!(why.contains("rate limit"), "{why}");
    let run = approval.run.clone();
    assert!(matches!(bench.source.read(&run).await, Err(InspectError::Unreachable(why)) if why.contains("rate limit")));
    assert_eq!(bench.stub.world().requests.len(), asked);
    bench.live().await;
    bench.source.execute(&yes).await.unwrap();
}

#[tokio::test]
async fn the_last_request_of_an_hour_is_the_last_one() {
    let mut bench = Bench::new();
    bench.asked().await;
    let reset = Timestamp::now().as_second() + 600;
    let headers =
        format!("content-type: application/json\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: {reset}\r\n");
    bench.stub.world().fail_once("GET", instead("200 OK", &headers, r#"{"workflow_runs":[]}"#));
    bench.stale("GitHub's rate limit is used up until").await;
}

#[tokio::test]
async fn an_answer_that_is_none_makes_stale_and_says_what_came() {
    let mut bench = Bench::new();
    bench.asked().await;
    let html = instead("200 OK", "content-type: text/html\r\n", "<html>Sign in</html>");
    let huge = instead("200 OK", "content-type: application/json\r\n", &"[".repeat(17 << 20));
    for (fault, why) in [
        (html, "its answer is not what its documentation says"),
        (huge, "its answer is longer than 16777216 bytes"),
        (instead("500 Oops", "", ""), "GitHub answers 500"),
        (instead("503 Service Unavailable", "", "<html>"), "GitHub answers 503 Service Unavailable"),
        (Fault::Truncated, "no answer from 127.0.0.1"),
        (Fault::Drop, "no answer from 127.0.0.1"),
    ] {
        bench.stub.world().fail("GET", fault);
        bench.stale(why).await;
        assert_eq!(bench.board.approvals().count(), 1, "{why}: what was known stays");
        bench.stub.world().faults.clear();
        bench.live().await;
    }
}

#[tokio::test]
async fn a_slow_answer_is_an_answer() {
    let mut bench = Bench::new();
    bench.stub.world().fail("GET", Fault::Late(Duration::from_millis(700)));
    bench.asked().await;
    assert!(!matches!(bench.board.link_of(&part(REPOSITORY)), Some(LinkState::Stale { .. })));
}

#[tokio::test]
async fn a_review_whose_answer_is_lost_is_unknown_and_never_sent_again() {
    let mut bench = Bench::new();
    let approval = bench.asked().await;
    let yes = bench.command(Action::Approve, &approval, None);
    bench.stub.world().fail_once("POST", Fault::Cut);
    let outcome = bench.source.execute(&yes).await;
    assert!(matches!(outcome, Err(NotDone::Unknown { .. })), "{outcome:?}");
    // It did arrive, and that is seen.
    bench.reaches(&yes, "effective").await;
    assert_eq!(bench.posted().len(), 1);
}

#[tokio::test]
async fn what_github_says_to_a_review_is_told_as_what_it_is() {
    let mut bench = Bench::new();
    let approval = bench.asked().await;
    let yes = bench.command(Action::Approve, &approval, None);
    let cases = [
        (Fault::status("401 Unauthorized", "Bad credentials"), "denied"),
        (Fault::status("403 Forbidden", "Resource not accessible"), "denied"),
        (Fault::status("404 Not Found", "Not Found"), "not found"),
        (Fault::status("422 Unprocessable", "No pending deployment requests"), "not applicable"),
        (instead("500 Oops", "", ""), "unknown"),
        (instead("200 OK", "content-type: text/html\r\n", "<html>Sign in</html>"), "unknown"),
        (Fault::Drop, "unknown"),
        (Fault::Truncated, "unknown"),
        (instead("429 Too Many", "retry-after: 60\r\n", ""), "not sent"),
    ];
    for (fault, expected) in cases {
        let said = format!("{fault:?}");
        bench.stub.world().fail_once("POST", fault.clone());
        let outcome = bench.source.execute(&yes).await.expect_err(&said);
        let told = match &outcome {
            NotDone::Refused(Refusal { kind: RefusalKind::Denied, .. }) => "denied",
            NotDone::Refused(Refusal { kind: RefusalKind::NotFound, .. }) => "not found",
            NotDone::Refused(_) => "not applicable",
            NotDone::Unknown { .. } => "unknown",
            NotDone::NotSent { .. } => "not sent",
        };
        assert_eq!(told, expected, "{said}: {outcome:?}");
        if matches!(fault, Fault::Truncated) {
            // That one was carried out.
            let mut world = bench.stub.world();
            let run = world.run(run_id());
            run.reviews.clear();
            run.gates[0].pending = true;
        }
    }
}

#[tokio::test]
async fn nobody_there_is_not_sent() {
    let stub = Stub::start();
    stub.world().runs.push(StubRun::waiting(REPOSITORY, 42));
    let mut bench = Bench::of(stub, TOKEN, &[REPOSITORY]);
    let approval = bench.asked().await;
    let yes = bench.command(Action::Approve, &approval, None);
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let settings = Settings {
        url: nobody,
        token: "env:UNUSED".into(),
        repositories: vec![REPOSITORY.into()],
        every: Duration::from_secs(15),
        environments: Vec::new(),
    };
    let source = waiting_deployments("github".into(), false, settings, TOKEN).unwrap();
    let Err(NotDone::NotSent { why }) = source.execute(&yes).await else { panic!("nobody takes it") };
    assert!(why.contains("cannot reach 127.0.0.1"), "{why}");
}

#[tokio::test]
async fn doctor_says_who_it_is_and_what_it_may_not_read() {
    use flightdeck::integration::approval::github::GitHub;
    use flightdeck::port::{Checked, Configured, Provider, System};
    use std::os::unix::fs::OpenOptionsExt;
    let stub = Stub::start();
    stub.world().runs.push(StubRun::waiting(REPOSITORY, 42));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path).unwrap();
    std::io::Write::write_all(&mut &file, format!("{TOKEN}\n").as_bytes()).unwrap();
    let settings = serde_json::json!({
        "url": stub.url(), "token": format!("file:{}", path.display()), "repositories": [REPOSITORY],
    });
    let settings = settings.as_object().unwrap().clone();
    let configured = Configured { name: "github".into(), read_only: true, for_others: false, settings };
    let said = GitHub.doctor(&configured).await;
    let good = "as octo: 1 deployment waits for a yes (looked at: 1 repo); the right to decide shows with each";
    assert_eq!(said, Checked::Good(good.into()));
    let Ok(System::Executor(opened)) = GitHub.open(&configured).await else { panic!("it can be opened") };
    assert!(opened.capabilities().read_only);
    stub.world().fail("GET /repos", Fault::status("404 Not Found", "Not Found"));
    let Checked::Bad { what, todo } = GitHub.doctor(&configured).await else { panic!("it may not be read") };
    assert_eq!(what, "acme/shop: it is not there, or not for this token (404 Not Found: Not Found)");
    assert!(todo.contains("docs/github.md"), "{todo}");
    std::fs::write(&path, "other").unwrap();
    assert!(matches!(GitHub.doctor(&configured).await, Checked::Bad { todo, .. } if todo.contains("new token")));
}

#[tokio::test]
async fn a_token_that_is_nobodys_reads_and_says_as_whom_it_may_not() {
    let stub = Stub::start();
    let mut run = StubRun::waiting(REPOSITORY, 42);
    run.gates[0].can_approve = false;
    stub.world().runs.push(run);
    stub.world().fail("GET /user", Fault::status("403 Forbidden", "Resource not accessible by integration"));
    let mut bench = Bench::of(stub, TOKEN, &[REPOSITORY]);
    let approval = bench.asked().await;
    let reviewers = approval.reviewers.unwrap();
    assert_eq!(reviewers.login, None);
    let why = "GitHub does not count this token's account among the reviewers of production: octo, team release can";
    assert_eq!(reviewers.denied.as_deref(), Some(why));
}
