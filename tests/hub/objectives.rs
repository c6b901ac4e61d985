//! Objectives: counted by a probe, told in the row, and asked of before something is promoted.

use super::*;
use async_trait::async_trait;
use flightdeck::hub::ObjectiveRule;
use flightdeck::port::{Measured, ProbeError, ProbeReport, RowTally, TallyQuestion};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// Failures of a thousand requests in each window, or why they are not known; `None`: no answer yet.
type Told = Option<Result<f64, &'static str>>;

struct Counts {
    told: watch::Sender<Told>,
    asked: watch::Sender<usize>,
}

#[async_trait]
impl Probe for Counts {
    fn source(&self) -> &SourceId {
        static SOURCE: std::sync::LazyLock<SourceId> = std::sync::LazyLock::new(|| "prometheus".into());
        &SOURCE
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn measure(&self, _: &[Arc<Rollout>], _: Timestamp) -> Result<Measured, ProbeError> {
        Ok(Measured::default())
    }

    async fn tally(&self, question: &TallyQuestion, _: Timestamp) -> Result<Vec<RowTally>, ProbeError> {
        self.asked.send_modify(|asked| *asked += 1);
        let told = self.told.subscribe().wait_for(Option::is_some).await.unwrap().unwrap();
        let bad = told.map_err(|why| ProbeError::Refused { why: why.to_owned() })?;
        let row = |target: &Target| RowTally {
            target: target.clone(),
            indicator: Indicator::Availability,
            found: Ok(Tally { requests: 1000.0, bad, covers: None }),
        };
        Ok(question.wanted.iter().map(row).collect())
    }

    async fn explain(&self, _: &[Arc<Rollout>], _: Timestamp) -> ProbeReport {
        unreachable!("a hub asks for numbers only")
    }
}

/// 99.9 % of the requests of a service in `staging`, where nothing is promoted while that burns too fast.
fn promises(settings: &mut HubSettings) {
    let seconds = SignedDuration::from_secs;
    let objective = Objective {
        name: "availability".to_owned(),
        indicator: Indicator::Availability,
        target: Ppm(999_000),
        window: seconds(120),
        burn: BurnLimit { rate: 14.4, long: seconds(60), short: seconds(30) },
    };
    settings.objectives = vec![
        ObjectiveRule { objective: objective.clone(), services: vec!["checkout".into()], environments: Vec::new() },
        ObjectiveRule { objective, services: Vec::new(), environments: vec!["production".into()] },
    ];
    settings.on_burn.insert("staging".into(), OnBurn::Refuse);
}

async fn promised(told: Told) -> (Bench, Arc<Counts>) {
    let counts = Arc::new(Counts { told: watch::Sender::new(told), asked: watch::Sender::new(0) });
    let dir = Arc::new(TempDir::new().unwrap());
    let bench = Bench::made(World::new(), dir, PATIENCE, promises, Vec::new(), vec![counts.clone()]).await;
    (bench, counts)
}

fn status(board: &Board) -> Option<&ObjectiveStatus> {
    let [status] = board.rollouts().next()?.objectives.as_slice() else { return None };
    Some(status)
}

async fn until_burns(bench: &Bench, burns: bool) -> Board {
    let so = |board: &Board| status(board).is_some_and(|status| status.burns_too_fast(Timestamp::now()) == Ok(burns));
    bench.until(if burns { "it burns" } else { "it burns no more" }, so).await
}

#[tokio::test]
async fn nothing_is_promoted_while_a_budget_burns_too_fast_and_what_reduces_goes_through() {
    let (bench, counts) = promised(Some(Ok(20.0))).await;
    let board = until_burns(&bench, true).await;
    let burning = status(&board).unwrap();
    assert!(burning.burning_since.is_some() && burning.on_burn == OnBurn::Refuse, "{burning:?}");
    let refusal = bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Denied);
    let said = "staging asks that nothing is promoted while an error budget burns too fast, as that of checkout does: \
                availability: 99.9 % without failure over 2 m; budget overspent by 1900 %; burns 20× over 60 s and 20× \
                over 30 s, too fast since";
    assert!(refusal.why.starts_with(&said.replace("60 s", "1 m")), "{refusal}");
    let promote = bench.world.command("c-1", Action::Promote);
    let ask = || Query::Prepare { action: Action::Promote, subject: promote.subject.clone() };
    let Reply::Prepared(prepared) = bench.hub.query(alice(), ask()).await else { panic!("no answer") };
    assert!(matches!(prepared.decision, Decision::Refuse(_)), "{prepared:?}");
    assert!(bench.world.done().is_empty());
    // Too little known refuses nothing, and is said.
    counts.told.send_replace(Some(Err("401 Unauthorized")));
    let so = |board: &Board| status(board).is_some_and(|status| status.short.why.is_some());
    bench.until("the failure", so).await;
    let board = until_burns(&bench, true).await;
    assert!(status(&board).unwrap().short.counted.is_some(), "the numbers stay for as long as they are of now");
    counts.told.send_replace(Some(Ok(1.0)));
    let board = until_burns(&bench, false).await;
    assert_eq!(status(&board).unwrap().burning_since, None);
    let promoted = bench.submit(promote).await.unwrap();
    bench.stage(&promoted.id.0, "effective").await;
    counts.told.send_replace(Some(Ok(20.0)));
    until_burns(&bench, true).await;
    bench.submit(bench.world.command("c-2", Action::Abort)).await.unwrap();
    bench.stage("c-2", "effective").await;
    assert_eq!(bench.world.done(), [Action::Promote, Action::Abort]);
}

#[tokio::test]
async fn a_hub_that_was_just_started_asks_before_it_promotes() {
    let (bench, counts) = promised(None).await;
    let promote = bench.submit(bench.world.command("c-1", Action::Promote));
    tokio::pin!(promote);
    let mut asked = counts.asked.subscribe();
    tokio::select! {
        answer = &mut promote => panic!("nobody knows yet: {answer:?}"),
        _ = asked.wait_for(|asked| *asked > 0) => {}
    }
    counts.told.send_replace(Some(Ok(20.0)));
    let refusal = promote.await.unwrap_err();
    assert!(refusal.why.starts_with("staging asks that nothing is promoted"), "{refusal}");
    assert!(bench.world.done().is_empty());
}

#[tokio::test]
async fn where_nobody_can_tell_it_is_said_and_nothing_is_refused() {
    let (bench, _counts) = promised(Some(Err("401 Unauthorized"))).await;
    let promote = bench.world.command("c-1", Action::Promote);
    let so = |board: &Board| status(board).is_some_and(|status| status.short.why.is_some());
    bench.until("the failure", so).await;
    let ask = Query::Prepare { action: Action::Promote, subject: promote.subject.clone() };
    let Reply::Prepared(prepared) = bench.hub.query(alice(), ask).await else { panic!("no answer") };
    let warned = |text: &&String| text.contains("whether it does is not known") && text.contains("401 Unauthorized");
    assert_eq!(prepared.forecast.warnings.iter().filter(warned).count(), 1, "{prepared:?}");
    let promoted = bench.submit(promote).await.unwrap();
    bench.stage(&promoted.id.0, "effective").await;
}
