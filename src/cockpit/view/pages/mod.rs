//! One file a page.

pub(super) mod approvals;
pub(super) mod columns;
pub(super) mod deck;
pub(super) mod empty;
mod fit;
pub(super) mod history;
pub(super) mod logs;
pub(super) mod messages;
pub(super) mod output;
pub(super) mod phase;
pub(super) mod rollout;
pub(super) mod run_live;
mod run_panels;
pub(super) mod small;
