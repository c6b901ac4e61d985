//! Where a secret is kept. The secret itself stands in no configuration, journal or message.

use super::{EnvironmentName, ServiceName};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a secret is read at each start; as text `file:PATH`, `env:NAME` or `command:["PROGRAM", "ARG"]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// A file's content without its last line break.
    File(String),
    /// A variable of the server's own environment.
    Env(String),
    /// What a program writes to its standard output, without the last line break. The program first, then its
    /// arguments; no shell has a part in it.
    Command(Vec<String>),
}

/// A text is no reference. It may be the secret itself, so nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected \"file:PATH\", \"env:NAME\" or \"command:PROGRAM ARGS\", found something else; a secret never stands \
     in this file"
)]
pub struct NoSecretRef;

impl SecretRef {
    /// The placeholders that it may contain.
    pub const PLACEHOLDERS: [&'static str; 2] = ["environment", "service"];

    /// The reference with its placeholders filled in.
    #[must_use]
    pub fn at(&self, service: &ServiceName, environment: &EnvironmentName) -> SecretRef {
        // Neither name can hold a brace, so that no filled-in text is taken for a placeholder.
        let fill = |text: &String| text.replace("{environment}", &environment.0).replace("{service}", &service.0);
        match self {
            SecretRef::File(path) => SecretRef::File(fill(path)),
            SecretRef::Env(name) => SecretRef::Env(fill(name)),
            SecretRef::Command(words) => SecretRef::Command(words.iter().map(fill).collect()),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::File(path) => write!(f, "file:{path}"),
            SecretRef::Env(name) => write!(f, "env:{name}"),
            SecretRef::Command(words) => {
                let words: Vec<String> =
                    words.iter().map(|word| serde_json::Value::from(word.as_str()).to_string()).collect();
                write!(f, "command:[{}]", words.join(","))
            }
        }
    }
}

impl FromStr for SecretRef {
    type Err = NoSecretRef;

    /// Words of a command are a JSON list, or what spaces separate.
    fn from_str(text: &str) -> Result<SecretRef, NoSecretRef> {
        let (kind, rest) = text.split_once(':').ok_or(NoSecretRef)?;
        match kind {
            "file" if !rest.is_empty() => Ok(SecretRef::File(rest.to_owned())),
            "env" if !rest.is_empty() && !rest.contains(['=', '\0']) => Ok(SecretRef::Env(rest.to_owned())),
            "command" => {
                let words: Vec<String> = if rest.trim_start().starts_with('[') {
                    serde_json::from_str(rest).map_err(|_| NoSecretRef)?
                } else {
                    rest.split_whitespace().map(str::to_owned).collect()
                };
                let whole = words.first().is_some_and(|program| !program.is_empty());
                if whole && !words.iter().any(|word| word.contains('\0')) {
                    Ok(SecretRef::Command(words))
                } else {
                    Err(NoSecretRef)
                }
            }
            _ => Err(NoSecretRef),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = NoSecretRef;

    fn try_from(text: String) -> Result<SecretRef, NoSecretRef> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(reference: SecretRef) -> String {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> SecretRef {
        SecretRef::Command(words.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn references_are_read_and_written_as_text() {
        for (text, expected) in [
            ("file:/run/secrets/db", SecretRef::File("/run/secrets/db".into())),
            ("env:DB_URL", SecretRef::Env("DB_URL".into())),
            ("command:pass show  shop/db", command(&["pass", "show", "shop/db"])),
            (r#"command:["pass", "show", "shop db"]"#, command(&["pass", "show", "shop db"])),
        ] {
            let read: SecretRef = text.parse().unwrap();
            assert_eq!(read, expected, "{text}");
            let written = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<SecretRef>(&written).unwrap(), expected, "{written}");
        }
        for text in [
            "hunter2",
            "file:",
            "env:",
            "env:A=B",
            "command:",
            "command:[]",
            "command:[1]",
            "command:[\"\"]",
            "vault:x",
        ] {
            let error = text.parse::<SecretRef>().unwrap_err().to_string();
            assert!(!error.contains("hunter2") && error.contains("file:PATH"), "{text}: {error}");
        }
    }

    #[test]
    fn placeholders_say_where() {
        let at = |text: &str| text.parse::<SecretRef>().unwrap().at(&"shop".into(), &"dev".into()).to_string();
        assert_eq!(at("file:/s/{environment}/{service}/{x}"), "file:/s/dev/shop/{x}");
        assert_eq!(at("env:DB_{environment}"), "env:DB_dev");
        assert_eq!(at("command:pass {service}-{environment}"), r#"command:["pass","shop-dev"]"#);
    }
}
