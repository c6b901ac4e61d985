//! Inputs that builds of Jenkins wait for, on a stub of it.

use crate::jenkins::stub::{Build, Stub, TOKEN};
use crate::jenkins::{JOB, open};
use crate::support::fault::Fault;
use async_trait::async_trait;
use flightdeck::contract::{Backend, Fixture, Situation, Stop};
use flightdeck::integration::approval::Approvals;
use flightdeck::model::Target;
use flightdeck::port::Executor;
use std::sync::Arc;
use std::time::Duration;

pub struct JenkinsBackend;

struct OnStub {
    stub: Stub,
    source: Approvals,
    target: Option<Target>,
}

#[async_trait]
impl Backend for JenkinsBackend {
    fn name(&self) -> String {
        "jenkins (stub)".into()
    }

    async fn open(&self) -> Result<Box<dyn Fixture>, Stop> {
        let stub = Stub::start();
        let source = open(&stub, TOKEN);
        Ok(Box::new(OnStub { stub, source, target: None }))
    }
}

/// The build that waits.
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
                Situation::Approval => world.builds.push(Build::waiting(NUMBER)),
                Situation::Paused | Situation::InFlight | Situation::Settled | Situation::Aborted => {
                    return cannot("it shows builds that wait for an input, and takes nothing but that");
                }
                Situation::Doomed => return cannot("its command is a yes: what it lets through is not promoted"),
                Situation::Uncontrolled => return cannot("what carries a yes out is Jenkins itself"),
                // Somebody answered in Jenkins.
                Situation::Changed => world.build(NUMBER).answered(None),
                Situation::Deleted => world.builds.clear(),
                Situation::Denied => world.faults.always("POST", Fault::page(403, &[])),
                Situation::Slow => world.faults.once("POST", Fault::Late(Duration::from_secs(4))),
                // It has its effect, and tests/jenkins/ looks at it: but there is no vote that could be counted.
                Situation::Cut => {
                    return cannot("it does not tell who said what: a yes whose answer is lost has no vote");
                }
                Situation::Stale => world.faults.always("", Fault::Drop),
                Situation::Interrupted => {
                    world.build(NUMBER).answered(None);
                    // Long enough for one look: each asks twice.
                    world.faults.times("GET", Fault::Drop, 2);
                }
                Situation::Restored => world.faults.0.clear(),
            }
        }
        if situation == Situation::Approval {
            self.target = Some(Target {
                source: "jenkins".into(),
                kind: "pipeline".into(),
                namespace: Some(JOB.into()),
                name: format!("feature%2Flogin-{NUMBER}-Prod"),
                uid: format!("{NUMBER}/Prod"),
                first_name: None,
            });
        }
        self.target.clone().ok_or_else(|| Stop::Failed("nothing was brought about before".into()))
    }

    async fn close(self: Box<Self>) -> Result<(), Stop> {
        let wrong = self.stub.world().wrong.clone();
        if wrong.is_empty() { Ok(()) } else { Err(Stop::Failed(format!("not as Jenkins documents: {wrong:?}"))) }
    }
}
