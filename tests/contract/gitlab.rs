//! Waiting deployments of GitLab, on a stub of it.

use crate::gitlab::stub::{Deployment, Stub, TOKEN};
use crate::gitlab::{PROJECT, open};
use crate::support::fault::Fault;
use async_trait::async_trait;
use flightdeck::contract::{Backend, Fixture, Situation, Stop};
use flightdeck::integration::approval::Approvals;
use flightdeck::model::Target;
use flightdeck::port::Executor;
use std::sync::Arc;
use std::time::Duration;

pub struct GitLabBackend;

struct OnStub {
    stub: Stub,
    source: Approvals,
    target: Option<Target>,
}

#[async_trait]
impl Backend for GitLabBackend {
    fn name(&self) -> String {
        "gitlab (stub)".into()
    }

    async fn open(&self) -> Result<Box<dyn Fixture>, Stop> {
        let stub = Stub::start();
        let source = open(&stub, TOKEN);
        Ok(Box::new(OnStub { stub, source, target: None }))
    }
}

/// The deployment that waits.
const ID: u64 = 42;

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
                Situation::Approval => world.deployments.push(Deployment::waiting(PROJECT, ID)),
                Situation::Paused | Situation::InFlight | Situation::Settled | Situation::Aborted => {
                    return cannot("it shows deployments that wait for a yes, and takes nothing but that");
                }
                Situation::Doomed => return cannot("its command is a yes: what it lets through is not promoted"),
                Situation::Uncontrolled => return cannot("what carries a yes out is GitLab itself"),
                // A newer one of the same branch took its place.
                Situation::Changed => world.deployments.push(Deployment::waiting(PROJECT, ID + 1)),
                Situation::Deleted => world.deployments.clear(),
                Situation::Denied => world.faults.always("POST", Fault::status(403, "403 Forbidden")),
                Situation::Slow => world.faults.once("POST", Fault::Late(Duration::from_secs(4))),
                // A lost answer to the yes itself is read back: that of the start of the job is not.
                Situation::Cut => world.faults.once("POST /projects/acme%2Fteam%2Fshop/jobs", Fault::Cut),
                Situation::Stale => world.faults.always("", Fault::Drop),
                Situation::Interrupted => {
                    world.deployments.push(Deployment::waiting(PROJECT, ID + 1));
                    // Long enough for one look: each asks twice.
                    world.faults.times("GET", Fault::Drop, 2);
                }
                Situation::Restored => world.faults.0.clear(),
            }
        }
        if situation == Situation::Approval {
            self.target = Some(Target {
                source: "gitlab".into(),
                kind: "deployment".into(),
                namespace: Some(PROJECT.into()),
                name: format!("deploy-{ID}-production"),
                uid: ID.to_string(),
                first_name: None,
            });
        }
        self.target.clone().ok_or_else(|| Stop::Failed("nothing was brought about before".into()))
    }

    async fn close(self: Box<Self>) -> Result<(), Stop> {
        let wrong = self.stub.world().wrong.clone();
        if wrong.is_empty() { Ok(()) } else { Err(Stop::Failed(format!("not as GitLab documents: {wrong:?}"))) }
    }
}
