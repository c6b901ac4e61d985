//! TLS towards users: the certificates of one address, chosen by name and read again when their files change.

use super::certificate::{self, Certificate};
use arc_swap::ArcSwap;
use flightdeck_model::{CertificateFiles, CertificateState, UnfitCertificate};
use jiff::Timestamp;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// What is spoken inside, the better one first.
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];
/// HTTP/2 in the words of TLS.
pub const HTTP_2: &[u8] = b"h2";

/// The certificates of an address; swapped whole.
#[derive(Debug, Default)]
pub struct Keys(ArcSwap<Vec<Arc<CertifiedKey>>>);

impl Keys {
    /// From the next handshake on these.
    pub fn store(&self, keys: Vec<Arc<CertifiedKey>>) {
        self.0.store(Arc::new(keys));
    }

    /// Are there any? Without one the address speaks no TLS.
    pub fn any(&self) -> bool {
        !self.0.load().is_empty()
    }
}

impl ResolvesServerCert for Keys {
    /// The first that is for the name that is asked for; the first of all for another name or none.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.0.load();
        let several = keys.len() > 1;
        let name = hello.server_name().filter(|_| several).and_then(|name| ServerName::try_from(name).ok());
        let fit = name.and_then(|name| keys.iter().find(|key| certificate::names(key, &name)));
        fit.or_else(|| keys.first()).map(Arc::clone)
    }
}

/// How an address speaks TLS: 1.2 and 1.3, with HTTP/2 and HTTP/1.1 inside.
pub fn config(keys: Arc<Keys>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(keys);
    config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    config.ticketer = Ticketer::new()?;
    Ok(Arc::new(config))
}

/// What tells one content of a file from another without reading it: device, inode, size and time of change.
type Stamp = (u64, u64, u64, i64, i64);

/// One pair of files, and what was read of it last that could be used.
#[derive(Debug, Clone)]
pub struct Pair {
    pub files: CertificateFiles,
    /// In force.
    pub certificate: Certificate,
    /// Why what is in the files now is not in force.
    pub trouble: Option<UnfitCertificate>,
    /// Of the files as they were looked at last.
    stamps: [Option<Stamp>; 2],
}

impl Pair {
    /// What is told of it.
    pub fn state(&self) -> CertificateState {
        CertificateState {
            cert: self.files.cert.clone(),
            until: self.certificate.not_after,
            trouble: self.trouble.as_ref().map(|unfit| unfit.why.clone()),
        }
    }

    /// Reads the files. An expired certificate is better than none. Blocks.
    pub fn read(files: &CertificateFiles) -> Result<Pair, UnfitCertificate> {
        let stamps = stamps(files);
        let certificate = certificate::read(files)?;
        Ok(Pair { files: files.clone(), certificate, trouble: None, stamps })
    }

    /// Reads the files again if they changed. True if something else is in force, or wrong, than before. Blocks.
    pub fn look(&mut self, now: Timestamp) -> bool {
        let stamps = stamps(&self.files);
        if stamps == self.stamps {
            return false;
        }
        self.stamps = stamps;
        let read = certificate::read(&self.files);
        match read.and_then(|new| new.counts_at(now).map(|()| new)) {
            Ok(new) => {
                tracing::info!(cert = %self.files.cert.display(), until = %new.not_after, "a new certificate is in force");
                self.certificate = new;
                self.trouble = None;
            }
            Err(why) => {
                tracing::error!(cert = %self.files.cert.display(), why = why.why, "the certificate before stays in force");
                self.trouble = Some(why);
            }
        }
        true
    }
}

fn stamps(files: &CertificateFiles) -> [Option<Stamp>; 2] {
    let stamp = |path: &Path| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.dev(), about.ino(), about.size(), about.ctime(), about.ctime_nsec()))
    };
    [stamp(&files.cert), stamp(&files.key)]
}
