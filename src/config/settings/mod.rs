//! `config.toml`: how the program behaves. Layers: defaults < file < environment < flags.

mod layers;
mod notify;
mod provided;
mod reference;
mod slo;
mod sources;
#[cfg(test)]
mod tests;
mod watchdog;

pub use layers::{Effective, Origin, Row, load, resolve};
pub use notify::Notify;
pub use provided::{Providers, configured, provider};
pub use reference::{TEMPLATE, reference, schema};
pub use slo::{EnvironmentRules, LatencySlo, Slo};
pub use sources::Source;
pub use watchdog::Watchdog;

use super::services;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of one user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of the colour theme: `dark`, `light`, or a file in `themes/` beside this one, without `.toml`.
    pub theme: String,
    /// Does the cockpit take the mouse (click selects, wheel scrolls)?
    pub mouse: bool,
    /// File with your keys; without it `keymap.toml` beside this one.
    pub keymap: Option<PathBuf>,
    /// Servers that cockpit and command line join besides the local one: `[[servers]]` tables with `name` and `url`.
    pub servers: Vec<Server>,
    /// How `flightdeck serve` runs.
    pub serve: Serve,
    /// What is looked at without a server: a `[sources.NAME]` table each. Without any: the current context of a kubeconfig, where there is one.
    pub sources: BTreeMap<String, Source>,
    /// Who is told outside what happens on the server that reads this: a `[notify.NAME]` table each.
    pub notify: BTreeMap<String, Notify>,
    /// What is done by itself about a candidate that breaks its limits: a `[watchdog.ENVIRONMENT]` table each. The server does it for what it runs and for its `serve.sources`, the cockpit with `--watchdog` for its own sources.
    pub watchdog: BTreeMap<String, Watchdog>,
    /// What services promise their users, measured by sources of metrics: a `[slo.NAME]` table each.
    pub slo: BTreeMap<String, Slo>,
    /// What is asked for in an environment, whatever runs there: an `[environments.NAME]` table each.
    pub environments: BTreeMap<String, EnvironmentRules>,
}

/// A server to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// What the header calls it.
    pub name: String,
    /// Where it is: `unix:/path/to/server.sock`.
    pub url: String,
}

/// How a server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Serve {
    /// Ports of 127.0.0.1 that instances get, first and last.
    #[schemars(with = "String")]
    pub ports: Ports,
    /// Without a word from the server for so long, the proxy sends all traffic back to stable; 5 s to 1 h.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub lease: Duration,
    /// Group whose members may use the socket; without one only the user that runs the server.
    pub group: Option<String>,
    /// Who may change something: `user:NAME`, `group:NAME`, or a name of either; without any everyone who reaches the socket.
    pub operators: Vec<String>,
    /// Who may change the configuration and delete releases, written likewise; without any all operators.
    pub admins: Vec<String>,
    /// Who, beside `admins`, may apply which service configuration: a list a name, such as `shop = ["group:web"]`. Once it has an entry, configurations without one are for `admins` alone.
    pub apply: BTreeMap<String, Vec<String>>,
    /// Names of the `[sources.NAME]` that the server looks at itself, beside what it runs; without any none.
    pub sources: Vec<String>,
    /// What is kept.
    pub retention: Retention,
}

/// What a server keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Releases of each service; the oldest that nothing runs or needs go first. At least 2.
    pub releases: u32,
    /// Instances that have ended whose output is kept, newest first.
    pub logs: u32,
    /// Age of that output at most.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub log_age: Duration,
    /// Finished rollouts, newest first: the history. Boards show the newest 2000 of them.
    pub deployments: u32,
    /// Age of those at most.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schemars(with = "String")]
    pub deployment_age: Duration,
}

/// A range of ports, both ends included: `20000-29999`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports(pub RangeInclusive<u16>);

impl TryFrom<String> for Ports {
    type Error = String;

    fn try_from(text: String) -> Result<Ports, String> {
        let ends = text.split_once('-').map(|(first, last)| (first.trim().parse(), last.trim().parse()));
        match ends {
            Some((Ok(first), Ok(last))) if first >= 1024 && first < last => Ok(Ports(first..=last)),
            _ => Err(format!("expected two ports from 1024 to 65535 such as \"20000-29999\", found {text:?}")),
        }
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> String {
        format!("{}-{}", ports.0.start(), ports.0.end())
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            theme: "dark".to_owned(),
            mouse: true,
            keymap: None,
            servers: Vec::new(),
            serve: Serve::default(),
            sources: BTreeMap::new(),
            notify: BTreeMap::new(),
            watchdog: BTreeMap::new(),
            slo: BTreeMap::new(),
            environments: BTreeMap::new(),
        }
    }
}

impl Default for Serve {
    fn default() -> Serve {
        Serve {
            ports: Ports(20_000..=29_999),
            lease: Duration::from_mins(1),
            group: None,
            operators: Vec::new(),
            admins: Vec::new(),
            apply: BTreeMap::new(),
            sources: Vec::new(),
            retention: Retention::default(),
        }
    }
}

impl Default for Retention {
    fn default() -> Retention {
        Retention {
            releases: 20,
            logs: 50,
            log_age: Duration::from_hours(7 * 24),
            deployments: 10_000,
            deployment_age: Duration::from_hours(400 * 24),
        }
    }
}

/// What types alone don't say: the key and what is wrong with it.
fn check(settings: &Settings, providers: Providers<'_>) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if settings.theme.is_empty() || settings.theme.contains(['/', '.']) {
        wrong
            .push(("theme", format!("expected a theme's name without path and \".toml\", found {:?}", settings.theme)));
    }
    for (index, server) in settings.servers.iter().enumerate() {
        if !server.url.strip_prefix("unix:").is_some_and(|path| path.starts_with('/')) {
            wrong.push((
                "servers",
                format!("expected a url such as \"unix:/run/flightdeck/server.sock\", found {:?}", server.url),
            ));
        }
        let (earlier, _) = settings.servers.split_at(index);
        if server.name.is_empty() || earlier.iter().any(|other| other.name == server.name) {
            wrong.push(("servers", format!("expected a name that no other server has, found {:?}", server.name)));
        }
    }
    if let Some(what) = sources::wrong(providers, &settings.sources) {
        wrong.push(("sources", what));
    }
    if let Some(what) = notify::wrong(providers, &settings.notify) {
        wrong.push(("notify", what));
    }
    let unfit = |(name, who): &(&String, &Vec<String>)| !services::is_name(name) || who.is_empty();
    if let Some((name, _)) = settings.serve.apply.iter().find(unfit) {
        wrong.push(("serve.apply", format!("{name}: expected {}, and who may apply it", services::NAME)));
    }
    if !(Duration::from_secs(5)..=Duration::from_hours(1)).contains(&settings.serve.lease) {
        wrong.push(("serve.lease", format!("expected a duration from 5s to 1h, found {:?}", settings.serve.lease)));
    }
    if settings.serve.retention.releases < 2 {
        let found = settings.serve.retention.releases;
        wrong.push(("serve.retention.releases", format!("expected at least 2 (one to roll back to), found {found}")));
    }
    wrong
}
