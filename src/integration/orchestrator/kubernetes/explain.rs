//! What a failed request means, in one sentence a person can act on.

use flightdeck_model::sanitize_line;
use kube::client::AuthError;

/// Characters of another program's words that a sentence takes in.
const WORDS: usize = 200;

/// What went wrong with a request, in one line without credentials.
#[must_use]
pub fn sentence(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => match status.code {
            401 => "the API server refuses these credentials (401 Unauthorized): log in again".to_owned(),
            _ if status.reason == "Failed to parse error data" => {
                format!("the server answers {}, but not as an API server does: {}", status.code, page(&status.message))
            }
            code => format!("the API server answers {code}: {}", some(&status.message)),
        },
        kube::Error::Auth(error) => of_login(error),
        kube::Error::SerdeError(_) => "the server does not answer as an API server does".to_owned(),
        kube::Error::Service(error) => {
            let login = error.downcast_ref::<AuthError>();
            login.map_or_else(|| format!("cannot reach the API server: {}", root(error.as_ref())), of_login)
        }
        kube::Error::HyperError(error) => format!("the connection broke: {}", root(error)),
        kube::Error::ReadEvents(error) => format!("the connection broke: {}", root(error)),
        other => other.to_string(),
    };
    sanitize_line(&text)
}

fn of_login(error: &AuthError) -> String {
    match error {
        // Its own words show the whole command and all that it wrote, where secrets may be.
        AuthError::AuthExecRun { out, .. } => {
            let how = out.status.code().map_or("by a signal".to_owned(), |code| format!("with {code}"));
            format!("the command of its auth-provider failed {how}")
        }
        other => format!("login failed: {}", some(&other.to_string())),
    }
}

/// The innermost cause: the outer ones only say that a request failed.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    some(&inner.to_string())
}

/// The text of a page of HTML, as far as it fits.
fn page(html: &str) -> String {
    let mut inside = false;
    let text: String = html
        .chars()
        .map(|c| match c {
            '<' => {
                inside = true;
                ' '
            }
            '>' => {
                inside = false;
                ' '
            }
            _ if inside => ' ',
            c => c,
        })
        .collect();
    some(&text)
}

/// One line of at most [`WORDS`] characters.
pub(super) fn some(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = words.chars().take(WORDS).collect();
    if short.len() < words.len() { format!("{short}…") } else { short }
}

/// Are these credentials refused, so that asking again with them is of no use?
#[must_use]
pub fn is_unauthorized(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 401,
        kube::Error::Auth(_) => true,
        kube::Error::Service(error) => error.downcast_ref::<AuthError>().is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn each_failure_has_its_sentence() {
        let api = |code, message: &str, reason: &str| {
            kube::Error::Api(Status::failure(message, reason).with_code(code).boxed())
        };
        for (error, expected) in [
            (
                api(401, "Unauthorized", "Unauthorized"),
                "the API server refuses these credentials (401 Unauthorized): log in again",
            ),
            (
                api(500, "etcd\nis \u{1b}[2J ill", "InternalError"),
                "the API server answers 500: etcd is \u{fffd}[2J ill",
            ),
            (
                api(503, "<html><h1>captive portal</h1>", "Failed to parse error data"),
                "the server answers 503, but not as an API server does: captive portal",
            ),
            (
                kube::Error::SerdeError(serde_json::from_str::<u8>("<html>").unwrap_err()),
                "the server does not answer as an API server does",
            ),
            (
                kube::Error::Service(Box::new(std::io::Error::other("no route"))),
                "cannot reach the API server: no route",
            ),
        ] {
            assert_eq!(sentence(&error), expected);
        }
        assert_eq!(some(&"x".repeat(500)).chars().count(), WORDS + 1);
    }

    #[test]
    fn a_failed_provider_tells_no_secret() {
        let output = std::process::Output {
            status: std::process::ExitStatus::from_raw(256),
            stdout: b"token".to_vec(),
            stderr: b"token".to_vec(),
        };
        let error = kube::Error::Auth(AuthError::AuthExecRun { cmd: "get token".into(), out: Box::new(output) });
        assert_eq!(sentence(&error), "the command of its auth-provider failed with 1");
        assert!(is_unauthorized(&error));
    }
}
