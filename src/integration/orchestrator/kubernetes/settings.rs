//! What a Kubernetes source is made of; the configuration is turned into this.

use super::resource::Resource;
use flightdeck_model::{Actor, EnvironmentName, Refusal, RefusalKind, ServiceName, SourceId, Tier};
use std::path::PathBuf;

/// Which namespaces are which environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRule {
    /// Namespaces: a name, with `*` for any characters.
    pub namespaces: String,
    /// The environment that they are.
    pub environment: EnvironmentName,
    /// How much care it asks for.
    pub tier: Tier,
}

/// One cluster, as one user of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// What it is called here.
    pub source: SourceId,
    /// File with contexts; `None`: `$KUBECONFIG`, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// Which context; `None`: the current one.
    pub context: Option<String>,
    /// Namespaces to watch; empty: all.
    pub namespaces: Vec<String>,
    /// Label selector that workloads must match.
    pub selector: Option<String>,
    /// Kinds to watch; empty: all.
    pub kinds: Vec<Resource>,
    /// Environments by namespace, first match counts.
    pub environments: Vec<EnvironmentRule>,
    /// The environment of every other namespace; `None`: the source's name.
    pub environment: Option<EnvironmentName>,
    /// The care that it asks for.
    pub tier: Tier,
    /// Position of this source's environments in the order of promotion.
    pub order: u32,
    /// Nothing may be changed through this source.
    pub read_only: bool,
    /// The name that people have at the cluster, with `{user}` for the one they have here: their commands are sent in it.
    pub impersonate: Option<String>,
    /// Commands come from other people than whose account this is.
    pub for_others: bool,
}

impl KubernetesSettings {
    /// What people call a workload: its name where one namespace is watched, else `namespace/name`,
    /// since two namespaces may have workloads of one name.
    #[must_use]
    pub fn service_of(&self, namespace: &str, name: &str) -> ServiceName {
        if self.namespaces.len() == 1 { ServiceName::from(name) } else { ServiceName(format!("{namespace}/{name}")) }
    }

    /// A context with everything else as it is by default.
    #[must_use]
    pub fn new(source: SourceId) -> KubernetesSettings {
        KubernetesSettings {
            source,
            kubeconfig: None,
            context: None,
            namespaces: Vec::new(),
            selector: None,
            kinds: Vec::new(),
            environments: Vec::new(),
            environment: None,
            tier: Tier::Standard,
            order: 0,
            read_only: false,
            impersonate: None,
            for_others: false,
        }
    }

    /// In whose name a command of that actor is sent; `None`: as the account that the context has. The program's own
    /// commands, such as the watchdog's, are always sent so.
    ///
    /// # Errors
    /// The account is not theirs, and nobody said who they are at the cluster.
    pub fn sends_as(&self, actor: &Actor) -> Result<Option<String>, Refusal> {
        if actor.is_system() {
            return Ok(None);
        }
        match &self.impersonate {
            Some(pattern) => Ok(Some(pattern.replace("{user}", &actor.name))),
            None if self.for_others => {
                let why = format!(
                    "the server looks at {} with an account of its own and does nothing there in the name of {}:                      `impersonate` in [sources.{}] says who people are at the cluster; nothing was done",
                    self.source, actor.name, self.source
                );
                Err(Refusal::new(RefusalKind::Denied, why))
            }
            None => Ok(None),
        }
    }

    /// Which environment a namespace is, and how much care that asks for.
    #[must_use]
    pub fn environment_of(&self, namespace: &str) -> (EnvironmentName, Tier) {
        match self.environments.iter().find(|rule| fits(&rule.namespaces, namespace)) {
            Some(rule) => (rule.environment.clone(), rule.tier),
            None => (self.other_environment(), self.tier),
        }
    }

    /// The environment of namespaces that no rule names.
    #[must_use]
    pub fn other_environment(&self) -> EnvironmentName {
        self.environment.clone().unwrap_or_else(|| EnvironmentName(self.source.0.clone()))
    }
}

/// Is a name meant by a pattern in which `*` stands for any characters?
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_several_namespaces_are_watched_theirs_tells_two_workloads_of_one_name_apart() {
        let watched = |namespaces: &[&str]| {
            let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
            let settings = KubernetesSettings { namespaces, ..KubernetesSettings::new("east".into()) };
            settings.service_of("shop", "web").to_string()
        };
        assert_eq!([watched(&[]), watched(&["shop"]), watched(&["shop", "bank"])], ["shop/web", "web", "shop/web"]);
    }

    #[test]
    fn people_act_in_their_own_name_or_not_at_all_where_the_account_is_not_theirs() {
        let alice = Actor { name: "alice".to_owned(), uid: Some(1000), roles: Vec::new() };
        let settings = |impersonate: Option<&str>, for_others| KubernetesSettings {
            impersonate: impersonate.map(str::to_owned),
            for_others,
            ..KubernetesSettings::new("east".into())
        };
        let named = Some("{user}@example.com");
        assert_eq!(settings(None, false).sends_as(&alice), Ok(None));
        assert_eq!(settings(named, true).sends_as(&alice), Ok(Some("alice@example.com".to_owned())));
        assert_eq!(settings(named, true).sends_as(&Actor::system("watchdog")), Ok(None));
        assert!(settings(None, true).sends_as(&alice).unwrap_err().why.contains("`impersonate` in [sources.east]"));
        // Whoever calls themselves so on a socket is still somebody.
        let posing = Actor { name: "system:watchdog".to_owned(), uid: Some(1000), roles: Vec::new() };
        assert!(settings(None, true).sends_as(&posing).is_err());
    }

    #[test]
    fn a_star_in_a_pattern_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("shop", "shop", true),
            ("shop", "shop-2", false),
            ("shop-*", "shop-2", true),
            ("shop-*", "shop", false),
            ("*", "", true),
            ("*", "anything", true),
            ("*-prod", "shop-prod", true),
            ("*-prod", "shop-prod-2", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("a*a", "a", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_names_the_environment() {
        let rule = |namespaces: &str, environment: &str, tier| EnvironmentRule {
            namespaces: namespaces.into(),
            environment: environment.into(),
            tier,
        };
        let mut settings = KubernetesSettings::new("east".into());
        settings.environments =
            vec![rule("shop-prod", "production", Tier::Critical), rule("*-prod", "other", Tier::Low)];
        assert_eq!(settings.environment_of("shop-prod"), ("production".into(), Tier::Critical));
        assert_eq!(settings.environment_of("x-prod"), ("other".into(), Tier::Low));
        assert_eq!(settings.environment_of("dev"), ("east".into(), Tier::Standard));
        settings.environment = Some("staging".into());
        assert_eq!(settings.environment_of("dev"), ("staging".into(), Tier::Standard));
    }
}
