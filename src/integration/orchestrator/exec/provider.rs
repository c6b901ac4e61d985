//! `kind = "exec"`: a program of one's own that speaks JSON lines.

use super::{Exec, ExecSettings};
use async_trait::async_trait;
use flightdeck_model::{Action, Body, LinkState};
use flightdeck_port::{
    Checked, Configured, Executor as _, Provider, RawSettings, Section, System, WrongSetting, schema_of, typed,
};
use futures::StreamExt as _;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a program may take to tell its first complete list.
const HELLO: Duration = Duration::from_secs(10);

/// A program, as it is written in the settings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The program, by its absolute path, and its arguments.
    #[schemars(title = "command = [\"/path/to/program\"]")]
    command: Vec<String>,
}

/// The kind in the registry.
#[derive(Debug, Clone, Copy)]
pub struct ExecProvider;

fn command(raw: &RawSettings) -> Result<Vec<String>, WrongSetting> {
    let Settings { command } = typed(raw)?;
    match command.first() {
        None => Err(WrongSetting::at("command", "expected command = [\"/path/to/program\"], found an empty list")),
        Some(program) if !Path::new(program).is_absolute() => {
            Err(WrongSetting::at("command", format!("expected the program's absolute path first, found {program:?}")))
        }
        Some(_) => Ok(command),
    }
}

fn opened(configured: &Configured) -> Result<Exec, WrongSetting> {
    let (source, read_only) = (configured.name.clone(), configured.read_only);
    Ok(Exec::new(ExecSettings { source, command: command(&configured.settings)?, read_only }))
}

#[async_trait]
impl Provider for ExecProvider {
    fn kind(&self) -> &'static str {
        "exec"
    }

    fn about(&self) -> &'static str {
        "a program of your own that speaks JSON lines on its standard input and output (docs/exec.md)"
    }

    fn section(&self) -> Section {
        Section::Sources
    }

    fn schema(&self) -> Schema {
        schema_of::<Settings>()
    }

    fn check(&self, raw: &RawSettings) -> Result<(), WrongSetting> {
        command(raw).map(drop)
    }

    fn describe(&self, raw: &RawSettings) -> String {
        format!("what `{}` tells", command(raw).unwrap_or_default().join(" "))
    }

    async fn open(&self, configured: &Configured) -> Result<System, WrongSetting> {
        Ok(System::Executor(Arc::new(opened(configured)?)))
    }

    /// Starts it as a cockpit would, and ends it once it has said what it knows.
    async fn doctor(&self, configured: &Configured) -> Checked {
        let bad = |what: String| Checked::Bad {
            what,
            todo: "run it in your shell: its first line should be a hello as in docs/exec.md".to_owned(),
        };
        let source = match opened(configured) {
            Ok(source) => source,
            Err(wrong) => return bad(wrong.what),
        };
        let command = command(&configured.settings).unwrap_or_default().join(" ");
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
        match timeout(HELLO, heard).await {
            Err(_) => bad(format!("`{command}` told no complete list within {} s", HELLO.as_secs())),
            Ok(Err(why)) => bad(format!("`{command}`: {why}")),
            Ok(Ok(())) => {
                let actions: Vec<_> = source.capabilities().actions.iter().map(Action::name).collect();
                let knows = if actions.is_empty() { "nothing".to_owned() } else { actions.join(", ") };
                Checked::Good(format!("`{command}` says hello; it takes {knows}"))
            }
        }
    }
}
