//! Names and identities. Each is a checked or opaque string, so that two kinds can't be mixed up.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

name!(
    /// One configured backend: `local` for a server's engine, a context name for Kubernetes.
    SourceId
);
name!(
    /// One hub, unique for its life; part of every envelope.
    HubId
);
name!(
    /// A deployable service.
    ServiceName
);
name!(
    /// An environment that releases pass through.
    EnvironmentName
);
name!(
    /// One of the configurations that a server has in force together. `Default` is that of a text that names none.
    ConfigName
);
name!(
    /// A release's version as its owner writes it.
    Version
);
name!(
    /// One approval request.
    ApprovalId
);
name!(
    /// One hold ("stop the line"), such as `H-3`.
    HoldId
);
name!(
    /// One silence of an alert, as its source calls it.
    SilenceId
);
name!(
    /// One command; chosen by the client, so that a repeated submission is recognised.
    CommandId
);
name!(
    /// One receipt; the same text as its command's id.
    ReceiptId
);

impl Default for ConfigName {
    fn default() -> ConfigName {
        ConfigName::from("default")
    }
}

impl ConfigName {
    pub(crate) fn is_default(&self) -> bool {
        *self == ConfigName::default()
    }
}

/// The workload that rollouts happen to. Stable under reloads of any configuration, and the same one after it was
/// renamed: what was written down of it before stays about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// The backend that owns it.
    pub source: SourceId,
    /// The backend's own word for its kind: `service`, `Deployment`, `Rollout`, …
    pub kind: String,
    /// Kubernetes namespace; the environment for the built-in engine.
    pub namespace: Option<String>,
    /// The backend's name of it.
    pub name: String,
    /// Changes when it is deleted and made again under the same name.
    pub uid: String,
    /// What it was called first, where it was renamed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
}

impl Target {
    /// What tells it from all others, in the order that lists have.
    fn identity(&self) -> (&SourceId, &str, Option<&str>, &str, &str) {
        let name = self.first_name.as_ref().unwrap_or(&self.name);
        (&self.source, &self.kind, self.namespace.as_deref(), name, &self.uid)
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Target) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Target {}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Target) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Target {
    fn cmp(&self, other: &Target) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Display for Target {
    /// `source/namespace/name`, the form that the command line accepts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{}/{}", self.source, namespace, self.name),
            None => write!(f, "{}/{}", self.source, self.name),
        }
    }
}

/// One rollout of a target. Receipts, approvals and evidence bind to a run, never to a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Run {
    /// What is rolled out.
    pub target: Target,
    /// Which rollout of it; opaque, unique within the target.
    pub revision: String,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.target, self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn target(name: &str, uid: &str, first_name: Option<&str>) -> Target {
        let (source, namespace) = ("local".into(), Some("production".to_owned()));
        let first_name = first_name.map(str::to_owned);
        Target { source, kind: "service".into(), namespace, name: name.into(), uid: uid.into(), first_name }
    }

    #[test]
    fn a_renamed_target_is_the_same_and_another_one_of_its_old_name_is_not() {
        let (before, now) = (target("shop", "u1", None), target("store", "u1", Some("shop")));
        assert_eq!(before, now);
        assert_ne!(now, target("shop", "u2", None));
        assert_ne!(now, target("store", "u2", None));
        let known = BTreeSet::from([before.clone()]);
        assert!(known.contains(&now) && known.contains(&target("market", "u1", Some("shop"))));
        assert_eq!(now.to_string(), "local/production/store");
        let written = serde_json::to_string(&before).unwrap();
        assert!(!written.contains("first_name"), "{written}");
        assert_eq!(serde_json::from_str::<Target>(&written).unwrap(), now);
    }
}
