//! A secret of a system's settings: where it is kept stands there, and it is read when the system is opened.

use flightdeck_model::SecretRef;
use flightdeck_port::WrongSetting;
use std::path::Path;

/// What is wrong with where a secret is said to be; nothing is read.
///
/// # Errors
/// It is no reference (nothing of it is repeated), or names no absolute path.
pub fn check(key: &'static str, text: &str) -> Result<SecretRef, WrongSetting> {
    match text.parse() {
        Err(flightdeck_model::NoSecretRef) => Err(WrongSetting::at(key, flightdeck_model::NoSecretRef.to_string())),
        Ok(SecretRef::File(path)) if !Path::new(&path).is_absolute() => {
            Err(WrongSetting::at(key, "expected an absolute path after \"file:\""))
        }
        Ok(reference) => Ok(reference),
    }
}

/// Reads it.
///
/// # Errors
/// As for [`check`], or it can't be read; never with the secret.
pub async fn read(key: &'static str, text: &str) -> Result<String, WrongSetting> {
    let read = flightdeck_secrets::read_one(&check(key, text)?).await;
    read.map_err(|error| WrongSetting::at(key, format!("cannot be read: {}", error.why)))
}
