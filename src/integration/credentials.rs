//! How one is let in at Prometheus, Alertmanager and what speaks as they do: a token, a name and a password, a
//! certificate; and which tenant is meant.

use crate::http::{self, Http, Tls};
use crate::secret;
use flightdeck_port::WrongSetting;
use hyper::header::{HeaderMap, HeaderName};
use std::path::Path;

/// The header of Mimir, Cortex and Loki for a tenant.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// As they are written: secrets by where they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub token: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub ca: Option<String>,
    pub client_certificate: Option<String>,
    pub client_key: Option<String>,
    pub tenant: Option<String>,
}

impl Credentials {
    /// Looks at nothing but them.
    pub(crate) fn checked(self, url: &str) -> Result<Credentials, WrongSetting> {
        for (key, secret) in [("token", &self.token), ("password", &self.password), ("client_key", &self.client_key)] {
            if let Some(secret) = secret {
                secret::check(key, secret)?;
            }
        }
        let together =
            |one: (&'static str, &Option<String>), other: (&'static str, &Option<String>)| match (one.1, other.1) {
                (Some(_), None) => Err(WrongSetting::at(one.0, format!("expected `{}` beside it", other.0))),
                (None, Some(_)) => Err(WrongSetting::at(other.0, format!("expected `{}` beside it", one.0))),
                _ => Ok(()),
            };
        together(("username", &self.username), ("password", &self.password))?;
        together(("client_certificate", &self.client_certificate), ("client_key", &self.client_key))?;
        if let Some(name) = &self.username {
            if self.token.is_some() {
                return Err(WrongSetting::at("username", "expected a name and a password, or a `token`, not both"));
            }
            if name.contains(':') {
                return Err(WrongSetting::at("username", format!("expected a name without a colon, found {name:?}")));
            }
        }
        for (key, path) in [("ca", &self.ca), ("client_certificate", &self.client_certificate)] {
            let Some(path) = path else { continue };
            if !Path::new(path).is_absolute() {
                return Err(WrongSetting::at(key, format!("expected an absolute path, found {path:?}")));
            }
            if !url.starts_with("https://") {
                return Err(WrongSetting::at(key, "expected only where `url` begins with \"https://\""));
            }
        }
        if let Some(tenant) = &self.tenant {
            http::header("tenant", TENANT, tenant)
                .map_err(|_| WrongSetting::at("tenant", "expected one line of visible text"))?;
        }
        Ok(self)
    }

    /// A client with the secrets as they are now.
    pub(crate) async fn client(&self, url: &str) -> Result<Http, WrongSetting> {
        let mut headers = HeaderMap::new();
        if let Some(reference) = &self.token {
            headers.extend(http::bearer("token", &secret::read("token", reference).await?)?);
        }
        if let (Some(name), Some(reference)) = (&self.username, &self.password) {
            headers.extend(http::basic("password", name, &secret::read("password", reference).await?)?);
        }
        if let Some(tenant) = &self.tenant {
            headers.extend(http::header("tenant", TENANT, tenant)?);
        }
        Http::secured("url", url, headers, &self.tls().await?)
    }

    async fn tls(&self) -> Result<Tls, WrongSetting> {
        let ca = match &self.ca {
            Some(path) => Some(file("ca", path).await?),
            None => None,
        };
        let identity = match (&self.client_certificate, &self.client_key) {
            (Some(path), Some(reference)) => {
                let certificate = file("client_certificate", path).await?;
                Some((certificate, secret::read("client_key", reference).await?))
            }
            _ => None,
        };
        Ok(Tls { ca, identity })
    }
}

async fn file(key: &'static str, path: &str) -> Result<Vec<u8>, WrongSetting> {
    tokio::fs::read(path).await.map_err(|error| WrongSetting::at(key, format!("{path} cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::Stub;

    #[tokio::test]
    async fn a_name_a_password_and_a_tenant_go_with_each_request() {
        let stub = Stub::bind().await;
        let url = stub.url();
        let kept = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(kept.path(), "pass word \n").unwrap();
        let credentials = Credentials {
            token: None,
            username: Some("ann".to_owned()),
            password: Some(format!("file:{}", kept.path().display())),
            ca: None,
            client_certificate: None,
            client_key: None,
            tenant: Some("shop".to_owned()),
        };
        let client = credentials.checked(&url).unwrap().client(&url).await.unwrap();
        let (answer, (request, _)) = tokio::join!(client.get("api/v2/alerts", &[]), stub.answer("200 OK", "[]"));
        assert!(answer.is_ok(), "{answer:?}");
        // The blank at its end is the password's own, the line's end the file's.
        assert!(request.contains("authorization: Basic YW5uOnBhc3Mgd29yZCA=\r\n"), "{request}");
        assert!(request.contains("x-scope-orgid: shop\r\n"), "{request}");
    }
}
