//! What a configuration refers to on this machine.

use super::clock::clock;
use crate::process::confine;
use flightdeck_config::services::Machine;
use flightdeck_model::{CertificateFiles, RunAs, SecretRef, UnfitCertificate};
use flightdeck_proxy::certificate;
use nix::unistd::{Group, User};

/// The machine that this process runs on, as its user sees it.
#[derive(Debug, Clone, Copy)]
pub struct ThisMachine;

impl Machine for ThisMachine {
    fn secret(&self, reference: &SecretRef) -> Result<(), String> {
        flightdeck_secrets::check(reference).map_err(|why| format!("the server cannot read this secret: {why}"))
    }

    fn certificate(&self, files: &CertificateFiles) -> Result<Vec<String>, UnfitCertificate> {
        let certificate = certificate::read(files)?;
        certificate.counts_at(clock())?;
        certificate::open_to_others(&files.key).map_or_else(|| Ok(certificate.names()), Err)
    }

    fn user(&self, run_as: &RunAs) -> Result<(), String> {
        confine::check(run_as)
    }

    fn approver(&self, name: &str) -> Result<(), String> {
        let failed = |error: nix::Error| format!("users and groups of the server's machine can't be read: {error}");
        // One without a name is known by its number.
        let numbered = name.strip_prefix("uid:").is_some_and(|uid| uid.parse::<u32>().is_ok());
        if numbered
            || User::from_name(name).map_err(failed)?.is_some()
            || Group::from_name(name).map_err(failed)?.is_some()
        {
            return Ok(());
        }
        Err(format!("expected a user or group of the server's machine, found {name:?}: nobody could approve"))
    }
}
