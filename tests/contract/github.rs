//! Waiting deployments of GitHub, on a stub of it.

use crate::github::stub::{Fault, Run, Stub, TOKEN};
use crate::github::{REPOSITORY, open};
use async_trait::async_trait;
use flightdeck::contract::{Backend, Fixture, Situation, Stop};
use flightdeck::integration::approval::Approvals;
use flightdeck::model::Target;
use flightdeck::port::Executor;
use std::sync::Arc;
use std::time::Duration;

pub struct GitHubBackend;

struct OnStub {
    stub: Stub,
    source: Approvals,
    target: Option<Target>,
}

#[async_trait]
impl Backend for GitHubBackend {
    fn name(&self) -> String {
        "github (stub)".into()
    }

    async fn open(&self) -> Result<Box<dyn Fixture>, Stop> {
        let stub = Stub::start();
        let source = open(&stub, TOKEN, &[REPOSITORY]);
        Ok(Box::new(OnStub { stub, source, target: None }))
    }
}

/// The run that waits.
const NUMBER: u64 = 42;

#[async_trait]
impl Fixture for OnStub {
    fn orchestrator(&self) -> Arc<dyn Executor> {
        Arc::new(self.source.clone())
    }

    async fn bring(&mut self, situation: Situation) -> Result<Target, Stop> {
        let cannot = |why: &str| Err(Stop::NotApplicable(why.to_owned()));
        let id = Run::waiting(REPOSITORY, NUMBER).id;
        {
            let mut world = self.stub.world();
            match situation {
                Situation::Approval => world.runs.push(Run::waiting(REPOSITORY, NUMBER)),
                Situation::Paused | Situation::InFlight | Situation::Settled | Situation::Aborted => {
                    return cannot("it shows runs that wait for a review, and takes nothing but that");
                }
                Situation::Doomed => return cannot("its command is a review: what it lets through is not promoted"),
                Situation::Uncontrolled => return cannot("what carries a review out is GitHub itself"),
                Situation::Changed => world.run(id).rerun(),
                Situation::Deleted => world.runs.clear(),
                Situation::Denied => {
                    world.fail("POST", Fault::status("403 Forbidden", "Resource not accessible by this token"));
                }
                Situation::Slow => world.fail_once("POST", Fault::Late(Duration::from_secs(4))),
                Situation::Cut => world.fail_once("POST", Fault::Cut),
                Situation::Stale => world.fail("", Fault::Drop),
                Situation::Interrupted => {
                    world.run(id).rerun();
                    // Long enough for one look: each asks twice.
                    world.faults.push(("GET".into(), Fault::Drop, Some(2)));
                }
                Situation::Restored => world.faults.clear(),
            }
        }
        if situation == Situation::Approval {
            let run = self.stub.world().runs[0].clone();
            self.target = Some(Target {
                source: "github".into(),
                kind: "workflow".into(),
                namespace: Some(REPOSITORY.into()),
                name: format!("Deploy-{NUMBER}-production"),
                uid: format!("{}/{}", run.id, run.gates[0].id),
                first_name: None,
            });
        }
        self.target.clone().ok_or_else(|| Stop::Failed("nothing was brought about before".into()))
    }

    async fn close(self: Box<Self>) -> Result<(), Stop> {
        let wrong = self.stub.world().wrong.clone();
        if wrong.is_empty() { Ok(()) } else { Err(Stop::Failed(format!("not as GitHub describes: {wrong:?}"))) }
    }
}
