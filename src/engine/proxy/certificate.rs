//! A certificate and its key, read from files and held against each other.

use flightdeck_model::{CertificateFiles, CertificatePart, UnfitCertificate};
use jiff::Timestamp;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use webpki::EndEntityCert;
use x509_cert::der::Decode;

/// Longest file; a chain has a few kilobytes.
const LONGEST: u64 = 1 << 20;
/// Permissions of all others than a file's owner and group: read and write.
const OTHERS: u32 = 0o006;

/// A certificate with its chain and the key that fits it.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// What a handshake needs.
    pub key: Arc<CertifiedKey>,
    /// It counts from then on.
    pub not_before: Timestamp,
    /// And until then.
    pub not_after: Timestamp,
}

fn unfit(part: CertificatePart, why: impl Display) -> UnfitCertificate {
    UnfitCertificate { part, why: why.to_string() }
}

/// Reads both files. Blocks.
pub fn read(files: &CertificateFiles) -> Result<Certificate, UnfitCertificate> {
    use CertificatePart::{Cert, Key};
    let chain = contents(&files.cert).map_err(|why| unfit(Cert, why))?;
    let key = contents(&files.key).map_err(|why| unfit(Key, why))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|error| unfit(Cert, format_args!("{} is no PEM file: {error}", files.cert.display())))?;
    let Some(first) = chain.first() else {
        return Err(unfit(Cert, format_args!("there is no certificate in {}", files.cert.display())));
    };
    let (not_before, not_after) = validity(first)
        .map_err(|why| unfit(Cert, format_args!("the certificate in {} can't be read: {why}", files.cert.display())))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| {
        unfit(Key, format_args!("there is no private key in {} that needs no passphrase", files.key.display()))
    })?;
    let pair = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            unfit(Key, format_args!("the key in {} is not that of the certificate", files.key.display()))
        }
        error => unfit(Key, format_args!("{} can't be used: {error}", files.key.display())),
    })?;
    Ok(Certificate { key: Arc::new(pair), not_before, not_after })
}

/// Why a key is no secret, if so. Blocks.
pub fn open_to_others(key: &Path) -> Option<UnfitCertificate> {
    let mode = std::fs::metadata(key).ok()?.permissions().mode();
    (mode & OTHERS != 0).then(|| {
        let shown = key.display();
        let why = format_args!("others than its owner and group may read or write {shown}; run: chmod o-rwx {shown}");
        unfit(CertificatePart::Key, why)
    })
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("{shown} can't be read: {error}"))?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| format!("{shown} can't be read: {error}"))?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{shown} has more than {LONGEST} bytes"));
    }
    Ok(bytes)
}

fn validity(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), String> {
    let parsed = x509_cert::Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let validity = parsed.tbs_certificate().validity();
    let at = |time: x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    };
    Ok((at(validity.not_before), at(validity.not_after)))
}

impl Certificate {
    /// Does it count then? If not: why.
    pub fn counts_at(&self, now: Timestamp) -> Result<(), UnfitCertificate> {
        let why = if now < self.not_before {
            format!("the certificate is not valid before {:.0}", self.not_before)
        } else if now >= self.not_after {
            format!("the certificate has expired at {:.0}", self.not_after)
        } else {
            return Ok(());
        };
        Err(unfit(CertificatePart::Cert, why))
    }

    fn parsed(&self) -> Option<EndEntityCert<'_>> {
        EndEntityCert::try_from(self.key.cert.first()?).ok()
    }

    /// The DNS names that it is for, wildcards included.
    pub fn names(&self) -> Vec<String> {
        self.parsed().map(|parsed| parsed.valid_dns_names().map(str::to_owned).collect()).unwrap_or_default()
    }
}

/// Is a certificate for that name?
pub fn names(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = key.cert.first().and_then(|first| EndEntityCert::try_from(first).ok());
    parsed.is_some_and(|parsed| parsed.verify_is_valid_for_subject_name(name).is_ok())
}
