//! Approval jobs of CircleCI, on a stub of it.

use crate::circleci::stub::{Pipeline, Stub, TOKEN};
use crate::circleci::{PROJECT, open};
use crate::support::fault::Fault;
use async_trait::async_trait;
use flightdeck::contract::{Backend, Fixture, Situation, Stop};
use flightdeck::integration::approval::Approvals;
use flightdeck::model::Target;
use flightdeck::port::Executor;
use std::sync::Arc;
use std::time::Duration;

pub struct CircleCiBackend;

struct OnStub {
    stub: Stub,
    source: Approvals,
    target: Option<Target>,
}

#[async_trait]
impl Backend for CircleCiBackend {
    fn name(&self) -> String {
        "circleci (stub)".into()
    }

    async fn open(&self) -> Result<Box<dyn Fixture>, Stop> {
        let stub = Stub::start();
        let source = open(&stub, TOKEN);
        Ok(Box::new(OnStub { stub, source, target: None }))
    }
}

/// The pipeline that waits.
const NUMBER: u64 = 42;

#[async_trait]
impl Fixture for OnStub {
    fn orchestrator(&self) -> Arc<dyn Executor> {
        Arc::new(self.source.clone())
    }

    async fn bring(&mut self, situation: Situation) -> Result<Target, Stop> {
        let cannot = |why: &str| Err(Stop::NotApplicable(why.to_owned()));
        {
            let mut world = self.stub.world();
            match situation {
                Situation::Approval => world.pipelines.push(Pipeline::waiting(NUMBER)),
                Situation::Paused | Situation::InFlight | Situation::Settled | Situation::Aborted => {
                    return cannot("it shows workflows that wait for a yes, and takes nothing but that");
                }
                Situation::Doomed => return cannot("its command is a yes: what it lets through is not promoted"),
                Situation::Uncontrolled => return cannot("what carries a yes out is CircleCI itself"),
                // Somebody answered in CircleCI.
                Situation::Changed => world.pipeline(NUMBER).approved("bert"),
                Situation::Deleted => world.pipelines.clear(),
                Situation::Denied => world.faults.always("POST", Fault::status(403, "Permission denied")),
                Situation::Slow => world.faults.once("POST", Fault::Late(Duration::from_secs(4))),
                Situation::Cut => world.faults.once("POST", Fault::Cut),
                Situation::Stale => world.faults.always("", Fault::Drop),
                Situation::Interrupted => {
                    world.pipeline(NUMBER).approved("bert");
                    // Long enough for one look: each asks twice.
                    world.faults.times("GET", Fault::Drop, 2);
                }
                Situation::Restored => world.faults.0.clear(),
            }
        }
        if situation == Situation::Approval {
            self.target = Some(Target {
                source: "circleci".into(),
                kind: "workflow".into(),
                namespace: Some(PROJECT.into()),
                name: format!("release-{NUMBER}-hold-w-{NUMBER}"),
                uid: format!("w-{NUMBER}/a-1"),
                first_name: None,
            });
        }
        self.target.clone().ok_or_else(|| Stop::Failed("nothing was brought about before".into()))
    }

    async fn close(self: Box<Self>) -> Result<(), Stop> {
        let wrong = self.stub.world().wrong.clone();
        if wrong.is_empty() { Ok(()) } else { Err(Stop::Failed(format!("not as CircleCI documents: {wrong:?}"))) }
    }
}
