//! Which requests on an address are for a service, and how users speak to it there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What tells a service from others on its address. `Default` is a whole address without TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Ingress {
    /// Names in lower case, `shop.example` or `*.shop.example`; empty: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Beginnings of paths, whole segments such as `/api`; empty: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Certificates for TLS, the first one for names that none of them has; empty: plain HTTP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFiles>,
    /// Plain HTTP there is told to come back over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_from: Option<SocketAddr>,
}

/// A certificate with its chain, and its key, in PEM files; absolute paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CertificateFiles {
    /// The certificate first, then its chain.
    pub cert: PathBuf,
    /// Its key, without a passphrase.
    pub key: PathBuf,
}

/// One of two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificatePart {
    /// [`CertificateFiles::cert`].
    Cert,
    /// [`CertificateFiles::key`].
    Key,
}

/// Why a certificate and its key can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UnfitCertificate {
    /// Which file is wrong.
    pub part: CertificatePart,
    pub why: String,
}

/// A certificate that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CertificateState {
    /// Where it was read from.
    pub cert: PathBuf,
    /// It counts until then.
    pub until: Timestamp,
    /// Why what lies there now is not in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Ingress {
    /// Is it a whole address without TLS?
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Ingress::default()
    }

    /// A host with a path that both claim, in words; `None`: requests are told apart.
    #[must_use]
    pub fn clash(&self, other: &Ingress) -> Option<String> {
        let mine: Vec<_> = self.claims().collect();
        other.claims().find(|claim| mine.contains(claim)).map(|(host, path)| match (host, path) {
            ("", "") => "every request".to_owned(),
            ("", path) => format!("{path} of every host"),
            (host, "") => host.to_owned(),
            (host, path) => format!("{host}{path}"),
        })
    }

    /// Each host with each path; empty text is any.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &str)> {
        static ANY: [String; 1] = [String::new()];
        let hosts = if self.hosts.is_empty() { &ANY } else { self.hosts.as_slice() };
        let paths = if self.paths.is_empty() { &ANY } else { self.paths.as_slice() };
        hosts.iter().flat_map(move |host| paths.iter().map(move |path| (host.as_str(), path.trim_end_matches('/'))))
    }
}
