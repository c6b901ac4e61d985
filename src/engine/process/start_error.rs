//! Why something can't be started.

use flightdeck_model::Cause;

/// Why an instance can't be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct StartError {
    pub why: String,
    /// Trying again can't help.
    pub permanent: bool,
    /// Why, if that was seen.
    pub cause: Option<Box<Cause>>,
}

impl StartError {
    /// One that trying again can't help.
    pub fn permanent(why: impl Into<String>) -> StartError {
        StartError { why: why.into(), permanent: true, cause: None }
    }

    /// One that may pass.
    pub fn passing(why: impl Into<String>) -> StartError {
        StartError { why: why.into(), permanent: false, cause: None }
    }

    /// One that trying again can't help, with the reason that was seen.
    pub fn of(cause: Cause) -> StartError {
        StartError { why: format!("cannot run the command: {cause}"), permanent: true, cause: Some(Box::new(cause)) }
    }
}

impl From<flightdeck_secrets::SecretError> for StartError {
    fn from(error: flightdeck_secrets::SecretError) -> StartError {
        StartError { why: error.why, permanent: error.permanent, cause: None }
    }
}
