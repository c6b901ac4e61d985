//! A Prometheus behind TLS, whose certificate an authority of its own signed, and that wants to see one.

use super::prometheus::{opened, raw, write};
use super::{WITHIN, at};
use flightdeck::integration::metrics::prometheus::{PrometheusProbe, Settings};
use flightdeck::port::{Measured, Probe as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// An authority, and a certificate that it signed for this machine, with its key.
struct Signed {
    authority: String,
    certificate: String,
    key: String,
}

fn signed() -> Signed {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    Signed { authority: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
}

/// Answers whoever shows a certificate that the authority signed.
async fn serve(own: &Signed, trusted: &Signed) -> String {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.authority.as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let body = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                drop(stream.write_all(answer.as_bytes()).await); // whoever left hears nothing
                drop(stream.shutdown().await);
            }
        }
    });
    format!("https://localhost:{port}")
}

fn settings(dir: &Path, url: &str, ca: &Signed, shown: Option<&Signed>) -> Value {
    let put = |name: &str, text: &str| {
        let path = dir.join(name);
        write(&path, text);
        path.display().to_string()
    };
    let mut settings = json!({"url": url, "ca": put("ca.pem", &ca.authority)});
    if let Some(shown) = shown {
        settings["client_certificate"] = json!(put("own.pem", &shown.certificate));
        settings["client_key"] = json!(format!("file:{}", put("own.key", &shown.key)));
    }
    settings
}

#[tokio::test]
async fn a_certificate_is_shown_and_theirs_is_held_against_an_authority_of_ones_own() {
    let (theirs, ours, others) = (signed(), signed(), signed());
    let url = serve(&theirs, &ours).await;
    let dir = tempfile::tempdir().unwrap();
    let ask = async |ca: &Signed, shown: Option<&Signed>| {
        opened(settings(dir.path(), &url, ca, shown), WITHIN * 10).await.measure(&[], at()).await
    };
    assert_eq!(ask(&theirs, Some(&ours)).await, Ok(Measured::default()));
    let unknown = ask(&others, Some(&ours)).await.unwrap_err().to_string();
    assert!(unknown.contains("invalid peer certificate"), "{unknown}");
    for shown in [None, Some(&others)] {
        let refused = ask(&theirs, shown).await.unwrap_err().to_string();
        assert!(refused.starts_with("no answer: localhost:"), "{refused}");
    }
    // A key that is another's is known before anything is asked.
    let mixed = Signed { key: others.key.clone(), ..signed() };
    let settings = Settings::of(&raw(settings(dir.path(), &url, &theirs, Some(&mixed)))).unwrap();
    let wrong = PrometheusProbe::open("prometheus".into(), settings).await.unwrap_err();
    assert_eq!(wrong.key, Some("client_key"), "{wrong:?}");
}
