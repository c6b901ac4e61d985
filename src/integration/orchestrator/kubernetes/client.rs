//! A connection to one cluster: from settings to a client that knows who it is.

use super::access::only_namespace;
use super::explain::sentence;
use super::login::login;
use super::proxy::goes_direct;
use super::{KubernetesSettings, kubeconfig};
use flightdeck_model::sanitize_line;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long anything that is asked once may take, in seconds.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// How long before its credentials end a client is made anew.
const BEFORE_END: SignedDuration = SignedDuration::from_mins(1);
/// Contexts that a sentence names at most.
const NAMED: usize = 12;

/// A cluster that can be asked, as one of its users.
#[derive(Clone)]
pub struct Cluster {
    /// For lists, watches and reads. No deadline of its own: callers set one.
    pub reader: Client,
    /// For changes: never sends anything twice by itself. No deadline of its own: callers set one.
    pub writer: Client,
    /// Who the cluster says we are.
    pub identity: String,
    /// The context's own namespace, if that is all that may be looked at: no other is named in the
    /// settings, and listing all of them is not allowed.
    pub only: Option<String>,
    /// The context's name.
    pub context: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (context, identity) = (&self.context, &self.identity);
        f.debug_struct("Cluster").field("context", context).field("identity", identity).finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No file, or none that can be read.
    #[error("no kubeconfig: {0}")]
    Kubeconfig(String),
    /// No such context.
    #[error("{0}")]
    Context(String),
    /// The context says something that can't be used.
    #[error("context {context} can't be used: {why}")]
    Unusable { context: String, why: String },
    /// The API server refuses or can't be reached.
    #[error("{0}")]
    Server(String),
}

/// What connecting waits for, in words; told while it waits.
pub type Doing = watch::Sender<String>;

/// A place where connecting says what it waits for.
#[must_use]
pub fn doing() -> (Doing, watch::Receiver<String>) {
    watch::channel("its kubeconfig has not been read yet".to_owned())
}

/// Reads the kubeconfig, logs in and asks the cluster who we are. Dropped, it ends what it started.
pub async fn connect(settings: &KubernetesSettings, doing: &Doing) -> Result<Cluster, ConnectError> {
    // Made by the program at its start; a hub that is tested alone has nobody who did.
    drop(rustls::crypto::ring::default_provider().install_default());
    let path = settings.kubeconfig.clone();
    let kubeconfig = spawn_blocking(move || kubeconfig::read(path.as_deref()))
        .await
        .map_err(|error| ConnectError::Kubeconfig(error.to_string()))?
        .map_err(|error| ConnectError::Kubeconfig(error.to_string()))?;
    let context = context_of(&kubeconfig, settings.context.as_deref())?;
    let unusable = |why: String| ConnectError::Unusable { context: context.clone(), why: sanitize_line(&why) };
    let own_proxy = proxy_of(&kubeconfig, &context);
    let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(error.to_string()))?;
    prepare(&mut config, own_proxy.as_deref()).map_err(&unusable)?;
    let namespace = sanitize_line(&config.default_namespace);
    let until = login(&mut config.auth_info, doing).await.map_err(&unusable)?;
    doing.send_replace("the API server has not answered yet".to_owned());
    // The provider of an old kubeconfig may run a command of its own.
    let client = timeout(ANSWER, spawn_blocking(move || Client::try_from(config)))
        .await
        .map_err(|_| unusable(format!("its auth-provider did not answer within {} s", ANSWER.as_secs())))?
        .map_err(|error| unusable(error.to_string()))?
        .map_err(|error| unusable(sentence(&error)))?;
    let client = if until.is_some() { client.with_valid_until(until) } else { client };
    let identity = identity(&client).await?;
    let only = only_namespace(&client, settings, &namespace).await;
    Ok(Cluster { reader: client.clone(), writer: client, identity, only, context })
}

impl Cluster {
    /// When its credentials end so soon that it should be made anew.
    pub(super) fn renew_at(&self) -> Option<Timestamp> {
        self.reader.valid_until().as_ref().and_then(|end| end.checked_sub(BEFORE_END).ok())
    }
}

/// The context that is meant, if there is one of that name.
fn context_of(kubeconfig: &Kubeconfig, wanted: Option<&str>) -> Result<String, ConnectError> {
    let names: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    let current = kubeconfig.current_context.as_deref().filter(|name| !name.is_empty());
    let Some(wanted) = wanted.or(current) else {
        let why = format!("the kubeconfig has no current context; {}", there_are(&names));
        return Err(ConnectError::Context(why));
    };
    if names.contains(&wanted) {
        return Ok(wanted.to_owned());
    }
    Err(ConnectError::Context(format!("there is no context {}; {}", sanitize_line(wanted), there_are(&names))))
}

fn there_are(names: &[&str]) -> String {
    if names.is_empty() {
        return "the kubeconfig has none".to_owned();
    }
    let more = names.len().saturating_sub(NAMED);
    let some = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    sanitize_line(&format!("there are {some}{more}"))
}

/// The proxy that the kubeconfig itself names for a context's cluster.
fn proxy_of(kubeconfig: &Kubeconfig, context: &str) -> Option<String> {
    let context = kubeconfig.contexts.iter().find(|named| named.name == context)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.clone().filter(|url| !url.is_empty())
}

/// What kube leaves to its users.
fn prepare(config: &mut Config, own_proxy: Option<&str>) -> Result<(), String> {
    // It would send changes again whose answer said 429, 503 or 504. The watch has pauses of its own.
    config.default_retry = false;
    config.connect_timeout = Some(ANSWER);
    config.proxy_url = match own_proxy {
        // What the kubeconfig says counts, whatever the environment says.
        Some(url) => Some(url.parse().map_err(|error| format!("its proxy {url}: {error}"))?),
        // kube holds NO_PROXY against the proxy's own address.
        None if goes_direct(&config.cluster_url, &no_proxy()) => None,
        None => config.proxy_url.take(),
    };
    Ok(())
}

fn no_proxy() -> String {
    let value = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    value("NO_PROXY").or_else(|| value("no_proxy")).unwrap_or_default()
}

/// Who the cluster says we are. Servers before 1.28 don't tell.
async fn identity(client: &Client) -> Result<String, ConnectError> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let ask = SelfSubjectReview::default();
    let asked = timeout(ANSWER, api.create(&PostParams::default(), &ask)).await;
    match asked {
        Err(_) => Err(ConnectError::Server(format!("the API server did not answer within {} s", ANSWER.as_secs()))),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403..=405) => Ok("unknown".to_owned()),
        Ok(Err(error)) => Err(ConnectError::Server(sentence(&error))),
        Ok(Ok(review)) => {
            let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
            Ok(user.map_or_else(|| "unknown".to_owned(), |name| sanitize_line(&name)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(text: &str) -> Kubeconfig {
        Kubeconfig::from_yaml(text).unwrap()
    }

    const TWO: &str = "current-context: east
contexts:
- {name: east, context: {cluster: one, user: me}}
- {name: west, context: {cluster: two, user: me}}
clusters:
- {name: one, cluster: {server: 'https://one.test', proxy-url: 'http://proxy.test:3128'}}
- {name: two, cluster: {server: 'https://two.test'}}
users: [{name: me, user: {exec: {command: /bin/false, interactiveMode: Always, apiVersion: client.authentication.k8s.io/v1}}}]";

    #[test]
    fn a_context_that_does_not_exist_names_those_that_do() {
        let two = kubeconfig(TWO);
        assert_eq!(context_of(&two, None).unwrap(), "east");
        assert_eq!(context_of(&two, Some("west")).unwrap(), "west");
        let said = |of: &Kubeconfig, wanted| context_of(of, wanted).unwrap_err().to_string();
        assert_eq!(said(&two, Some("no\u{1b}rth")), "there is no context no\u{fffd}rth; there are east, west");
        let none = kubeconfig("contexts: []");
        assert_eq!(said(&none, None), "the kubeconfig has no current context; the kubeconfig has none");
        assert_eq!(said(&none, Some("x")), "there is no context x; the kubeconfig has none");
        let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(there_are(&names).ends_with("c11 and 8 more"));
    }

    #[tokio::test]
    async fn a_config_never_retries_and_keeps_its_own_proxy() {
        let of = async |context: &str| {
            let options = KubeConfigOptions { context: Some(context.into()), ..KubeConfigOptions::default() };
            Config::from_custom_kubeconfig(kubeconfig(TWO), &options).await.unwrap()
        };
        let mut config = of("east").await;
        let own = proxy_of(&kubeconfig(TWO), "east");
        prepare(&mut config, own.as_deref()).unwrap();
        assert!(!config.default_retry);
        assert_eq!(config.proxy_url.unwrap().to_string(), "http://proxy.test:3128/");
        assert_eq!(proxy_of(&kubeconfig(TWO), "west"), None);
        let mut config = of("west").await;
        assert!(prepare(&mut config, Some("http://a b")).unwrap_err().starts_with("its proxy http://a b: "));
    }

    #[tokio::test]
    async fn without_a_kubeconfig_or_login_there_is_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = KubernetesSettings::new("east".into());
        settings.kubeconfig = Some(dir.path().join("none"));
        let said = connect(&settings, &doing().0).await.unwrap_err().to_string();
        assert!(said.starts_with("no kubeconfig: ") && said.contains("No such file"), "{said}");
        let path = dir.path().join("two");
        std::fs::write(&path, TWO).unwrap();
        settings.kubeconfig = Some(path.clone());
        settings.context = Some("west".into());
        let said = connect(&settings, &doing().0).await.unwrap_err().to_string();
        assert!(said.starts_with("context west can't be used: its login command /bin/false failed"), "{said}");
        std::fs::write(&path, "{").unwrap();
        let said = connect(&settings, &doing().0).await.unwrap_err().to_string();
        assert!(said.starts_with("no kubeconfig: "), "{said}");
    }
}
