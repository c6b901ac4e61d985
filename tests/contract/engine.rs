//! The engine with real processes, brought into each situation by commands of its own.

use crate::runtime::rig::Rig;
use async_trait::async_trait;
use flightdeck::board::Board;
use flightdeck::contract::{Backend, Fixture, Situation, Stop};
use flightdeck::engine::EngineExecutor;
use flightdeck::model::{Action, ConfigName, Phase, ServicePlace, Subject, Target};
use flightdeck::port::Executor;
use std::sync::Arc;

pub struct EngineBackend;

struct Engine(Rig);

const PAUSES: &str = "{ set_weight = 20 }, { pause = {} }, { set_weight = 60 }, { pause = {} }";
const TIMED: &str = r#"{ set_weight = 20 }, { pause = { duration = "1h" } }"#;
/// Nobody says yes in time: it takes itself back.
const DOOMED: &str =
    r#"{ set_weight = 20 }, { pause = {} }, { set_weight = 60 }, { approval = { count = 1, expires = "1s" } }"#;
const APPROVAL: &str = "{ set_weight = 20 }, { approval = { count = 1 } }, { set_weight = 60 }";

#[async_trait]
impl Backend for EngineBackend {
    fn name(&self) -> String {
        "engine".into()
    }

    async fn open(&self) -> Result<Box<dyn Fixture>, Stop> {
        Ok(Box::new(Engine(Rig::new())))
    }
}

impl Engine {
    /// A healthy version, and the next one in its canary.
    async fn canary(&mut self, steps: &str) {
        let rig = &mut self.0;
        // The first version needs nobody's yes.
        rig.apply(1, PAUSES, "keep_warm = \"1m\"").await;
        rig.healthy("1.0").await;
        rig.apply(1, steps, "keep_warm = \"1m\"").await;
        rig.add_release("1.1").await;
        rig.deploy("1.1").await;
        rig.until("its first weight", |board| board.rollouts().all(|row| row.step == Some(1))).await;
    }
}

#[async_trait]
impl Fixture for Engine {
    fn orchestrator(&self) -> Arc<dyn Executor> {
        Arc::new(EngineExecutor(self.0.engine.clone()))
    }

    async fn bring(&mut self, situation: Situation) -> Result<Target, Stop> {
        let cannot = |why: &str| Err(Stop::NotApplicable(why.to_owned()));
        match situation {
            Situation::Paused => self.canary(PAUSES).await,
            Situation::InFlight => self.canary(TIMED).await,
            Situation::Approval => self.canary(APPROVAL).await,
            Situation::Settled => {
                self.canary(PAUSES).await;
                self.0.effective(Action::PromoteFull).await;
                self.0.until("healthy", |board| board.rollouts().all(|row| row.phase == Phase::Healthy)).await;
            }
            Situation::Aborted => {
                self.canary(PAUSES).await;
                self.0.effective(Action::Abort).await;
                self.0.until("aborted", |board| board.rollouts().all(|row| row.phase == Phase::Aborted)).await;
            }
            Situation::Changed => {
                // Somebody else lets it go on: another step, another generation.
                self.0.effective(Action::Promote).await;
            }
            Situation::Deleted => {
                let target = self.0.row().run.target.clone();
                // The engine lets nothing go that is in flight.
                self.0.effective(Action::Abort).await;
                let aborted = |board: &Board| board.rollouts().all(|row| row.phase == Phase::Aborted);
                self.0.until("aborted", aborted).await;
                let path = self.0.scratch.dir.path().join("flightdeck.toml").display().to_string();
                let remove = vec![ServicePlace::of("shop@dev")];
                let text = "[environment.dev]\norder = 1\n".to_owned();
                self.0
                    .submit(Action::Apply, Subject::Config { name: ConfigName::default(), text, path, remove })
                    .await
                    .unwrap();
                self.0.until("the service is gone", |board| board.rollouts().next().is_none()).await;
                return Ok(target);
            }
            Situation::Denied => {
                return cannot("the engine knows no rights of its own: the hub's policy decides, see tests/control");
            }
            Situation::Slow | Situation::Cut => {
                return cannot("the engine answers in the hub's own process: there is no line to be slow or cut");
            }
            Situation::Uncontrolled => {
                return cannot("what carries commands out is the engine itself, which then takes none");
            }
            Situation::Doomed => self.canary(DOOMED).await,
            Situation::Stale | Situation::Interrupted => {
                return cannot("the engine is watched in the hub's own process; a lost proxy is in tests/runtime");
            }
            Situation::Restored => {}
        }
        Ok(self.0.row().run.target.clone())
    }

    async fn close(self: Box<Self>) -> Result<(), Stop> {
        self.0.finish().await;
        Ok(())
    }
}
