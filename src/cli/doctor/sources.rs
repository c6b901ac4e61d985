//! The sources of one's own: does each answer, to whom, and what may they not do there?

use super::{Check, fail, ok, said, warn};
use crate::cli::Context;
use crate::cli::sources::{Sources, find};

/// Checks each, and says whether there is any.
pub(super) async fn check(context: &Context) -> (bool, Vec<Check>) {
    let Sources { planned, found, unseen } = match find(context) {
        Ok(sources) => sources,
        Err(failure) => {
            let todo = failure.todo.unwrap_or_else(|| "mend `--context` or the file".to_owned());
            return (false, vec![fail("sources", failure.what, &todo)]);
        }
    };
    let mut checks: Vec<Check> = found
        .into_iter()
        .filter(|found| !found.good)
        .map(|found| match (&unseen, found.came.as_str()) {
            (Some(why), _) => fail("kubeconfig", why, "unset KUBECONFIG, or mend what it names"),
            (None, "not there") => ok("kubeconfig", format!("{} is not there; only a cluster needs one", found.what)),
            (None, came) => {
                warn("kubeconfig", format!("{}: {came}", found.what), "`kubectl config get-contexts` lists them")
            }
        })
        .collect();
    for one in &planned {
        checks.push(said(&format!("source {}", one.source()), one.doctor().await));
    }
    (!planned.is_empty(), checks)
}
