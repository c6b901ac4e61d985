//! The sources of one's own: does each answer, to whom, and what may they not do there?

use super::{Check, fail, ok, warn};
use crate::cli::Context;
use crate::cli::sources::{Planned, Sources, find};
use crate::integration::orchestrator::exec::{Exec, ExecSettings};
use crate::integration::orchestrator::kubernetes::client::{connect, doing};
use crate::integration::orchestrator::kubernetes::{ConnectError, KubernetesSettings, lacking};
use crate::model::{Action, Body, LinkState};
use crate::port::Executor as _;
use futures::StreamExt as _;
use std::time::Duration;
use tokio::time::timeout;

/// How long a program may take to tell its first complete list.
const HELLO: Duration = Duration::from_secs(10);
/// How long a login and the first answer of a cluster may take.
const CONNECTED: Duration = Duration::from_secs(20);

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
        let name = format!("source {}", one.source());
        checks.push(match one {
            Planned::Kubernetes(settings) => cluster(&name, settings).await,
            Planned::Exec(settings) => program(&name, settings.clone()).await,
        });
    }
    (!planned.is_empty(), checks)
}

async fn cluster(name: &str, settings: &KubernetesSettings) -> Check {
    let (doing, at) = doing();
    let cluster = match timeout(CONNECTED, connect(settings, &doing)).await {
        Ok(Ok(cluster)) => cluster,
        Err(_) => {
            let what = format!("no connection within {} s: {}", CONNECTED.as_secs(), *at.borrow());
            return fail(name, what, "does `kubectl auth whoami` in that context answer?");
        }
        Ok(Err(error)) => {
            let todo = match &error {
                ConnectError::Kubeconfig(_) | ConnectError::Context(_) => "`kubectl config get-contexts` lists them",
                ConnectError::Unusable { .. } => "log in in your shell first; flightdeck never asks",
                ConnectError::Server(_) => "does `kubectl auth whoami` in that context say the same?",
            };
            return fail(name, error.to_string(), todo);
        }
    };
    let mut who = format!("context {} answers; you are {}", cluster.context, cluster.identity);
    let mut settings = settings.clone();
    if let Some(namespace) = &cluster.only {
        who = format!("{who}, only namespace {namespace} is looked at, since you may not list all namespaces,");
        settings.namespaces = vec![namespace.clone()];
    }
    let lacking = match lacking(&cluster, &settings).await {
        Ok(lacking) => lacking,
        Err(why) => return warn(name, format!("{who}; what you may do is not known: {why}"), "try again"),
    };
    let all: Vec<_> = lacking.read.iter().chain(&lacking.change).map(String::as_str).collect();
    let lack = format!("{who}, and lack {}", all.join("; "));
    match (lacking.read.is_empty(), lacking.change.is_empty()) {
        (true, true) if settings.read_only => ok(name, format!("{who} and may read all that it looks at")),
        (true, true) => ok(name, format!("{who} and may read and change all that it looks at")),
        (true, false) => {
            warn(name, lack, "have the role of config/kubernetes/operator.yaml bound to you, or set read_only = true")
        }
        (false, _) => fail(
            name,
            lack,
            "have the role of config/kubernetes/reader.yaml bound to you, or narrow the source: \
             `namespaces = [\"NAME\"]`, `kinds = [\"rollouts\"]` in its table [sources.NAME] of config.toml",
        ),
    }
}

/// Starts it as a cockpit would, and ends it once it has said what it knows.
async fn program(name: &str, settings: ExecSettings) -> Check {
    let command = settings.command.join(" ");
    let source = Exec::new(settings);
    let mut told = source.watch();
    let heard = async {
        while let Some(scoped) = told.next().await {
            match scoped.body {
                Body::Link(LinkState::Live { .. }) => return Ok(()),
                Body::Link(LinkState::Stale { why, .. }) => return Err(why),
                _ => {}
            }
        }
        Err("it told nothing".to_owned())
    };
    let todo = "run it in your shell: its first line should be a hello as in docs/exec.md";
    match timeout(HELLO, heard).await {
        Err(_) => fail(name, format!("`{command}` told no complete list within {} s", HELLO.as_secs()), todo),
        Ok(Err(why)) => fail(name, format!("`{command}`: {why}"), todo),
        Ok(Ok(())) => {
            let actions: Vec<_> = source.capabilities().actions.iter().map(Action::name).collect();
            let knows = if actions.is_empty() { "nothing".to_owned() } else { actions.join(", ") };
            ok(name, format!("`{command}` says hello; it takes {knows}"))
        }
    }
}
