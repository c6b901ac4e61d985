//! A source that could not be made, such as for want of its secret: it stands among the others and says why, so that
//! it keeps nobody from those that are there.

use async_trait::async_trait;
use flightdeck_control::Authorized;
use flightdeck_model::{
    ActionSet, Body, Detail, LinkState, Refusal, RefusalKind, Rollout, Run, Scope, Scoped, SourceId, Stage,
};
use flightdeck_port::{Accepted, Capabilities, Executor, Followed, InspectError, NotDone};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use jiff::Timestamp;

/// In the place of a source.
#[derive(Debug, Clone)]
pub struct Unopened {
    pub source: SourceId,
    /// Of what it would have told: a part of its own, or all.
    pub part: &'static str,
    /// Why it could not be made.
    pub why: String,
    /// When that was tried.
    pub since: Timestamp,
}

#[async_trait]
impl Executor for Unopened {
    fn capabilities(&self) -> Capabilities {
        Capabilities { source: self.source.clone(), actions: ActionSet::default(), later: "", read_only: true }
    }

    fn watch(&self) -> BoxStream<'static, Scoped> {
        let scope = Scope { source: self.source.clone(), part: self.part.to_owned() };
        let state = LinkState::Stale { since: self.since, why: self.why.clone(), never: true };
        let told = Scoped { scope, body: Body::Link(state) };
        stream::iter([told]).chain(stream::pending()).boxed()
    }

    async fn execute(&self, _: &Authorized) -> Result<Accepted, NotDone> {
        Err(NotDone::Refused(Refusal::new(RefusalKind::Stale, self.why.clone())))
    }

    fn progress(&self, _: &Followed<'_>) -> Stage {
        Stage::Accepted
    }

    async fn read(&self, _: &Run) -> Result<Rollout, InspectError> {
        Err(InspectError::Unreachable(self.why.clone()))
    }

    async fn inspect(&self, _: &Run) -> Result<Detail, InspectError> {
        Err(InspectError::Unreachable(self.why.clone()))
    }
}
