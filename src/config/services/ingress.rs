//! What of an address is for a service: hosts, paths, certificates.

use super::known::{Known, or};
use super::listener;
use super::listener::Listener;

use crate::reader::{Table, Value, quoted};
use flightdeck_model::{CertificateFiles, CertificatePart, Ingress, ServiceKind};
use std::path::{Path, PathBuf};

/// What each environment of a service may say.
pub(super) const KEYS: [&str; 4] = ["hosts", "paths", "tls", "redirect_from"];

const HOSTS: &str = "a list of hosts such as [\"shop.example\", \"*.shop.example\"]";
const PATHS: &str = "a list of beginnings of paths such as [\"/api\"]";
const TLS: &str = "a table such as { cert = \"shop.pem\", key = \"shop.key\" }, or a list of such tables";

/// Reads what a table says of it.
pub(super) fn ingress<'d>(table: &Table<'d>, known: &Known<'d>, listeners: &mut Vec<Listener<'d>>) -> Option<Ingress> {
    let hosts = or(table, "hosts", Vec::new(), |value| several(&value, HOSTS, host));
    let paths = or(table, "paths", Vec::new(), |value| several(&value, PATHS, path));
    let certificates = or(table, "tls", Vec::new(), |value| tls(&value, known, table.get("hosts").as_ref()));
    let ingress = Ingress { hosts: hosts?, paths: paths?, certificates: certificates?, redirect_from: None };
    let redirect_from = or(table, "redirect_from", None, |value| {
        if ingress.certificates.is_empty() {
            value.wrong_key("expected tls beside it: users are sent from there to where it is spoken", None);
            return None;
        }
        let plain = Ingress { certificates: Vec::new(), ..ingress.clone() };
        listener::listen(value, ServiceKind::Http, plain, listeners).map(Some)
    });
    Some(Ingress { redirect_from: redirect_from?, ..ingress })
}

/// At least one of something, each once.
fn several(value: &Value<'_>, expected: &str, read: impl Fn(&Value<'_>) -> Option<String>) -> Option<Vec<String>> {
    let elements = value.list(expected)?;
    if elements.is_empty() {
        value.expected(expected, None);
        return None;
    }
    let mut all = Vec::new();
    let mut fine = true;
    for element in &elements {
        match read(element) {
            Some(text) if all.contains(&text) => {
                element.wrong(&format!("{text:?} stands here twice"), None);
                fine = false;
            }
            Some(text) => all.push(text),
            None => fine = false,
        }
    }
    fine.then_some(all)
}

fn host(value: &Value<'_>) -> Option<String> {
    let expected = "a host in lower case without port, such as \"shop.example\" or \"*.shop.example\"";
    let text = value.text(expected)?;
    if is_host(text) {
        return Some(text.to_owned());
    }
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split(['/', ':']).next().unwrap_or_default().trim_end_matches('.').to_lowercase();
    value.expected(expected, is_host(&bare).then(|| quoted(&bare)));
    None
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        !label.is_empty() && label.len() <= 63 && label.chars().all(plain)
    };
    let name = text.strip_prefix("*.").unwrap_or(text);
    text.len() <= 253 && name.split('.').all(label)
}

fn path(value: &Value<'_>) -> Option<String> {
    let expected = "the beginning of a path such as \"/api\", without spaces, \"?\" and \"#\"";
    let text = value.text(expected)?;
    let fine = |text: &str| text.starts_with('/') && text.is_ascii() && !text.contains([' ', '?', '#', '*']);
    if fine(text) {
        return Some(text.to_owned());
    }
    let meant = format!("/{}", text.trim_start_matches('/').trim_end_matches(['*', '/']));
    value.expected(expected, (fine(&meant) && !text.contains("://")).then(|| quoted(&meant)));
    None
}

/// A place for a file of a certificate, with the value that names it.
struct Named<'d> {
    cert: Value<'d>,
    key: Value<'d>,
    files: CertificateFiles,
}

fn tls(value: &Value<'_>, known: &Known<'_>, hosts: Option<&Value<'_>>) -> Option<Vec<CertificateFiles>> {
    let each = if value.is_table() { vec![value.clone()] } else { value.list(TLS)? };
    if each.is_empty() {
        value.expected(TLS, None);
        return None;
    }
    let named: Vec<_> = each.iter().map(|value| pair(value, known)).collect();
    let named: Vec<Named<'_>> = named.into_iter().collect::<Option<_>>()?;
    fit(&named, known, hosts)?;
    Some(named.into_iter().map(|named| named.files).collect())
}

fn pair<'d>(value: &Value<'d>, known: &Known<'_>) -> Option<Named<'d>> {
    let table = value.table(&["cert", "key"])?;
    let cert = table.need("cert", "the path of a PEM file with the certificate and its chain");
    let key = table.need("key", "the path of a PEM file with the certificate's key");
    let (cert, key) = (cert?, key?);
    let paths = (file(&cert, known.folder), file(&key, known.folder));
    Some(Named { files: CertificateFiles { cert: paths.0?, key: paths.1? }, cert, key })
}

fn file(value: &Value<'_>, folder: Option<&Path>) -> Option<PathBuf> {
    let path = Path::new(value.text("the path of a PEM file")?);
    let absolute = if path.is_absolute() { Some(path.to_owned()) } else { folder.map(|folder| folder.join(path)) };
    if absolute.is_none() {
        value.wrong("expected an absolute path, since it is not known where this file lies", None);
    }
    absolute
}

/// Asks the machine that is to use them; what is wrong is noted.
fn fit(all: &[Named<'_>], known: &Known<'_>, hosts: Option<&Value<'_>>) -> Option<()> {
    let Some(machine) = known.machine else { return Some(()) };
    let mut names = Vec::new();
    let mut fine = true;
    for Named { cert, key, files } in all {
        match machine.certificate(files) {
            Ok(of) => names.extend(of),
            Err(unfit) => {
                let value = if unfit.part == CertificatePart::Cert { cert } else { key };
                value.wrong(&unfit.why, None);
                fine = false;
            }
        }
    }
    let hosts = hosts.filter(|_| fine).map(Value::elements).unwrap_or_default();
    for host in hosts {
        let Some(text) = host.text("a host") else { continue };
        if !names.iter().any(|name| covers(name, text)) {
            let all: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            let meant = host.nearest(text, names.iter().map(String::as_str)).map(quoted);
            host.wrong(
                &format!("expected a host that a certificate of tls is for, which are {}", all.join(", ")),
                meant,
            );
            fine = false;
        }
    }
    fine.then_some(())
}

/// Is a certificate with that name one for a host? A wildcard stands for one label.
fn covers(name: &str, host: &str) -> bool {
    let rest = |text: &str| text.split_once('.').map(|(_, rest)| rest.to_lowercase());
    name.eq_ignore_ascii_case(host) || (name.starts_with("*.") && rest(name) == rest(host))
}
