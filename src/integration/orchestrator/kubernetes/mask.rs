//! Objects as people may see them: secrets masked, bookkeeping of the API server left out, text from
//! outside made harmless. It rather hides too much than too little.

use flightdeck_model::sanitize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What stands for a secret.
const MASK: &str = "•••";
/// What stands for a secret that differs from the one it is compared with.
const OTHER: &str = "••• (another value)";
/// Holds a whole copy of the object, secrets included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Parts of names that smell of a secret wherever they stand.
const SMELLS: [&str; 11] =
    ["PASSW", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY", "PRIVATE", "PWD", "CREDS", "CERTDATA", "BEARER"];
/// Whole words, or the end of one, that do.
const WORDS: [&str; 9] = ["KEY", "PASS", "AUTH", "AUTHORIZATION", "COOKIE", "DSN", "JWT", "SALT", "SIGNATURE"];

/// Does a variable, flag, header or annotation of that name hold a secret?
pub(super) fn smells(name: &str) -> bool {
    let upper = name.to_uppercase();
    let joined: String = upper.chars().filter(|c| c.is_alphanumeric()).collect();
    SMELLS.iter().any(|smell| joined.contains(smell))
        || words(name).any(|word| WORDS.contains(&word.as_str()))
        || joined.ends_with("KEY")
}

/// The words of a name, whether it is written `LIKE_THIS`, `like-this` or `likeThis`; in upper case.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut all = vec![String::new()];
    let mut lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && lower) {
            all.push(String::new());
        }
        lower = c.is_lowercase();
        if let Some(word) = all.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_uppercase());
        }
    }
    all.into_iter().filter(|word| !word.is_empty())
}

/// A text that may be a whole command line, without what smells of a secret.
pub(super) fn masked(text: &str) -> String {
    Masker::default().text(text)
}

/// Masks objects; those of one comparison by the same one.
#[derive(Debug, Default)]
pub(super) struct Masker {
    /// Secrets of the object that others are compared with.
    known: Option<BTreeSet<String>>,
    seen: BTreeSet<String>,
}

impl Masker {
    /// Makes an object fit to be seen.
    pub(super) fn object(&mut self, object: &mut Value) {
        let secret = object.get("kind").and_then(Value::as_str) == Some("Secret");
        self.value(object);
        for part in ["data", "stringData"].into_iter().filter(|_| secret) {
            for value in object.get_mut(part).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
                *value = Value::from(MASK);
            }
        }
    }

    /// From here on a secret that was not seen before is shown as another one, so that a comparison
    /// shows that it changed.
    pub(super) fn compare(&mut self) {
        self.known = Some(std::mem::take(&mut self.seen));
    }

    fn secret(&mut self, text: &str) -> String {
        match &self.known {
            Some(known) if !known.contains(text) => OTHER.to_owned(),
            Some(_) => MASK.to_owned(),
            None => {
                self.seen.insert(text.to_owned());
                MASK.to_owned()
            }
        }
    }

    fn value(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(map) => self.map(map),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn map(&mut self, map: &mut Map<String, Value>) {
        map.remove("managedFields");
        map.remove(LAST_APPLIED);
        // `{name, value}` of variables, `{key, value}` of headers.
        let named = ["name", "key"].into_iter().find_map(|key| map.get(key)?.as_str());
        let named = named.is_some_and(smells);
        let mut clean = Map::new();
        for (key, mut value) in std::mem::take(map) {
            match (&mut value, key.as_str()) {
                (Value::String(text), "value") if named => *text = self.secret(text),
                (Value::Array(words), "args" | "command") => self.command(words),
                (Value::Object(texts), "annotations" | "headers") => self.texts(texts),
                (value, _) => self.value(value),
            }
            clean.insert(sanitize(&key), value);
        }
        *map = clean;
    }

    /// Free names with free texts, such as annotations.
    fn texts(&mut self, texts: &mut Map<String, Value>) {
        for (name, value) in texts.iter_mut() {
            // What stands before the slash says whose it is, not what it is.
            if let Value::String(text) = value
                && smells(name.rsplit('/').next().unwrap_or(name))
            {
                *text = self.secret(text);
            }
        }
        self.map(texts);
    }

    /// A command line: `--password=x` and `--password x`.
    fn command(&mut self, words: &mut [Value]) {
        let mut next = false;
        for word in words {
            let Value::String(text) = word else { continue };
            let flag = text.starts_with('-') && !text.contains(['=', ' ']) && smells(text);
            *text = if next && !text.starts_with("--") { self.secret(text) } else { self.text(text) };
            next = flag;
        }
    }

    /// A text in which a secret may stand.
    pub(super) fn text(&mut self, text: &str) -> String {
        if text.contains("PRIVATE KEY-----") {
            return self.secret(text);
        }
        let text = self.assignments(text);
        sanitize(&self.urls(&text))
    }

    /// `scheme://user:password@host`.
    fn urls(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("://") {
            let (before, after) = rest.split_at(at + 3);
            out.push_str(before);
            let end = after.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).unwrap_or(after.len());
            let (authority, tail) = after.split_at(end);
            match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?, host))) {
                Some(((user, password), host)) => {
                    let mask = if password == MASK { MASK.to_owned() } else { self.secret(password) };
                    out.extend([user, ":", &mask, "@", host]);
                }
                None => out.push_str(authority),
            }
            rest = tail;
        }
        out + rest
    }

    /// `PASSWORD=x`, `--token x`, `"secret": "x"`, `Authorization: Bearer x`, as they stand in scripts,
    /// queries and embedded JSON.
    fn assignments(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_alphanumeric()) {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let end = from.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).unwrap_or(from.len());
            let (name, after) = from.split_at(end);
            out.push_str(name);
            rest = after;
            let flag = before.ends_with("--") || (before.ends_with('-') && name.len() > 1);
            let bearer = ["bearer", "basic"].contains(&name.to_lowercase().as_str());
            if let Some(sign) = sign(after, flag || bearer).filter(|_| smells(name) || bearer) {
                let (sign, value) = after.split_at(sign);
                let end = value.find(|c: char| c.is_whitespace() || "\"',;&})".contains(c)).unwrap_or(value.len());
                let (value, tail) = value.split_at(end);
                let scheme = ["bearer", "basic"].contains(&value.to_lowercase().as_str());
                out.push_str(sign);
                if scheme || value.is_empty() || value.starts_with('$') {
                    // What a variable or another word stands for is not in here.
                    out.push_str(value);
                } else {
                    out.push_str(&self.secret(value));
                }
                rest = tail;
                // The secret follows the scheme.
                if let Some(after) = tail.strip_prefix(' ').filter(|_| scheme) {
                    let end = after.find(|c: char| c.is_whitespace() || "\"',".contains(c)).unwrap_or(after.len());
                    let (value, tail) = after.split_at(end);
                    out.push(' ');
                    out.push_str(&self.secret(value));
                    rest = tail;
                }
            }
        }
        out + rest
    }
}

/// How many bytes lie between a name and its value, where it has one: `=`, `": "`, or a blank after a flag.
fn sign(after: &str, blank: bool) -> Option<usize> {
    let quote = usize::from(after.starts_with(['"', '\'']));
    let sign = after.get(quote..)?;
    let value = match sign.chars().next()? {
        '=' => sign.get(1..)?,
        // A tag of an image stands right behind its colon.
        ':' if quote == 1 || sign.get(1..)?.starts_with(' ') => sign.get(1..)?.trim_start_matches(' '),
        ' ' if blank && quote == 0 => sign.trim_start_matches(' '),
        _ => return None,
    };
    let value = value.strip_prefix(['"', '\'']).unwrap_or(value);
    (!value.is_empty() && !value.starts_with('-')).then(|| after.len() - value.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_that_smell_of_a_secret() {
        for (name, expected) in [
            ("DB_PASSWORD", true),
            ("PGPASSWORD", true),
            ("awsSecretAccessKey", true),
            ("API_KEY", true),
            ("SSHKEY", true),
            ("GITHUB_TOKEN", true),
            ("REDIS_PASS", true),
            ("Authorization", true),
            ("--client-secret", true),
            ("GOOGLE_APPLICATION_CREDENTIALS", true),
            ("LOG_LEVEL", false),
            ("KEYCLOAK_URL", false),
            ("PASSENGER_POOL", false),
            ("AUTHOR", false),
            ("DATABASE_URL", false),
            ("COMPASS", false),
        ] {
            assert_eq!(smells(name), expected, "{name}");
        }
    }

    #[test]
    fn secrets_in_texts() {
        for (text, expected) in [
            ("postgres://app:s3cret@db:5432/shop?sslmode=off", "postgres://app:•••@db:5432/shop?sslmode=off"),
            ("amqp://a:b:c@d", "amqp://a:•••@d"),
            ("https://user@host/x and http://x:y@z", "https://user@host/x and http://x:•••@z"),
            ("--password=hunter2", "--password=•••"),
            ("sh -c 'PASSWORD=hunter2 ./run --token abc -v'", "sh -c 'PASSWORD=••• ./run --token ••• -v'"),
            ("host=db password=hunter2 user=app", "host=db password=••• user=app"),
            (r#"{"token":"abc","n":1}"#, r#"{"token":"•••","n":1}"#),
            ("Authorization: Bearer abc.def", "Authorization: Bearer •••"),
            ("curl -H 'Authorization: Basic eHg='", "curl -H 'Authorization: Basic •••'"),
            ("https://a/b?api_key=abc&x=1", "https://a/b?api_key=•••&x=1"),
            ("PASSWORD=$(DB_PASSWORD)", "PASSWORD=$(DB_PASSWORD)"),
            ("-----BEGIN RSA PRIVATE KEY-----\nabc", "•••"),
            ("registry:5000/token:v1.2", "registry:5000/token:v1.2"),
            ("nginx:1.25", "nginx:1.25"),
            ("--token-ttl 5m --level=info", "--token-ttl ••• --level=info"),
            ("the secret is out", "the secret is out"),
            ("a\u{1b}[31m\u{202e}b", "a\u{fffd}[31m\u{fffd}b"),
        ] {
            assert_eq!(Masker::default().text(text), expected, "{text}");
        }
    }

    #[test]
    fn an_object_is_fit_to_be_seen() {
        let mut object = json!({
            "kind": "Deployment",
            "metadata": {
                "name": "web",
                "managedFields": [{"manager": "x"}],
                "annotations": {
                    LAST_APPLIED: "{\"env\":\"hunter2\"}",
                    "example.com/api-token": "hunter2",
                    "secrets.example.com/note": "plain",
                },
            },
            "spec": {"template": {"spec": {"containers": [{
                "env": [
                    {"name": "DB_PASSWORD", "value": "hunter2"},
                    {"name": "LEVEL", "value": "debug"},
                    {"name": "DB", "value": "mysql://a:hunter2@b"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "web", "key": "token"}}},
                ],
                "command": ["run", "--password", "hunter2", "--secret=hunter2", "--key-file", "--verbose"],
                "httpHeaders": [{"name": "Authorization", "value": "hunter2"}],
            }]}}},
        });
        Masker::default().object(&mut object);
        let text = object.to_string();
        assert!(!text.contains("hunter2") && !text.contains("managedFields"), "{text}");
        let container = &object["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["env"][1]["value"], "debug");
        assert_eq!(container["env"][3]["valueFrom"]["secretKeyRef"], json!({"name": "web", "key": "token"}));
        assert_eq!(
            container["command"],
            json!(["run", "--password", "•••", "--secret=•••", "--key-file", "--verbose"])
        );
        assert_eq!(object["metadata"]["annotations"]["secrets.example.com/note"], "plain");
        let mut secret = json!({"kind": "Secret", "data": {"a": "aHVudGVyMg=="}, "stringData": {"b": "hunter2"}});
        Masker::default().object(&mut secret);
        assert_eq!(secret, json!({"kind": "Secret", "data": {"a": "•••"}, "stringData": {"b": "•••"}}));
    }

    #[test]
    fn a_secret_that_changed_is_seen_to_have_changed() {
        let env = |value: &str| json!({"env": [{"name": "TOKEN", "value": value}]});
        let mut masker = Masker::default();
        let (mut now, mut same, mut other) = (env("a"), env("a"), env("b"));
        masker.object(&mut now);
        masker.compare();
        masker.object(&mut same);
        masker.object(&mut other);
        assert_eq!(now, same);
        assert_eq!(other, env("••• (another value)"));
    }
}
