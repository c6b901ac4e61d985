//! TLS towards users, HTTP/2 inside, and certificates that change.

use super::rig::*;
use flightdeck::engine::proxy::wire::{Endpoint, Request, Route};
use flightdeck::model::CertificateFiles;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// Writes a certificate for these names that signs itself, and its key.
pub fn issue(dir: &Path, file: &str, names: &[&str]) -> CertificateFiles {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let files = CertificateFiles { cert: dir.join(format!("{file}.pem")), key: dir.join(format!("{file}.key")) };
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    std::fs::write(&files.cert, certificate.pem()).unwrap();
    files
}

pub fn trusting(files: &[&CertificateFiles], protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for files in files {
        roots.add(CertificateDer::from_pem_file(&files.cert).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

type Secure = StreamOwned<ClientConnection, TcpStream>;

pub fn connect(listen: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> std::io::Result<Secure> {
    let mut stream = TcpStream::connect(listen)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(session, stream))
}

/// The certificate that is shown for a name.
fn shown(listen: SocketAddr, name: &str, trusted: &[&CertificateFiles]) -> std::io::Result<Vec<u8>> {
    let secure = connect(listen, name, &trusting(trusted, &["http/1.1"]))?;
    Ok(secure.conn.peer_certificates().unwrap()[0].to_vec())
}

fn der(files: &CertificateFiles) -> Vec<u8> {
    CertificateDer::from_pem_file(&files.cert).unwrap().to_vec()
}

/// One request; its answer's head and body.
pub fn ask(secure: &mut Secure, request: &str) -> String {
    secure.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut read = |length: usize| {
        let mut bytes = vec![0; length];
        secure.read_exact(&mut bytes).unwrap();
        bytes
    };
    while !answer.ends_with(b"\r\n\r\n") {
        answer.extend(read(1));
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    head + &String::from_utf8(read(length)).unwrap()
}

pub fn secured(version: u64, listen: SocketAddr, endpoint: Endpoint, certificates: &[&CertificateFiles]) -> Route {
    let plain = route(version, listen, vec![pool("stable", 100, vec![endpoint])]);
    asking(plain, |options| options.ingress.certificates.extend(certificates.iter().map(|files| (*files).clone())))
}

/// An instance that answers `ok` to each request and keeps what it was sent.
fn instance() -> (Endpoint, std::sync::mpsc::Receiver<String>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint { instance: "i".to_owned(), address: socket.local_addr().unwrap() };
    let (heads, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = socket.accept() {
            let heads = heads.clone();
            std::thread::spawn(move || {
                let mut client = Client(BufReader::new(stream));
                while let Ok(first) = client.line() {
                    let mut head = first.to_ascii_lowercase() + "\n";
                    while let Some(line) = client.line().ok().filter(|line| !line.is_empty()) {
                        head += &(line.to_ascii_lowercase() + "\n");
                    }
                    let mut body = Vec::new();
                    if head.contains("transfer-encoding: chunked") {
                        while let Ok(Some(chunk)) = client.chunk() {
                            body.extend(chunk);
                        }
                    }
                    let _ended = heads.send(head + &String::from_utf8(body).unwrap());
                    client.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-own: 1\r\nkeep-alive: 5\r\n\r\nok");
                }
            });
        }
    });
    (endpoint, seen)
}

#[test]
fn users_speak_http_1_over_tls_and_the_instance_learns_that_they_did() {
    let dir = tempfile::tempdir().unwrap();
    let files = issue(dir.path(), "shop", &["shop.example"]);
    let (endpoint, seen) = instance();
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&secured(1, listen, endpoint, &[&files]));
    for protocols in [&["http/1.1"][..], &[]] {
        let mut user = connect(listen, "shop.example", &trusting(&[&files], protocols)).unwrap();
        assert_eq!(user.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        for _ in 0..2 {
            let answer = ask(&mut user, "GET /p HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-proto: http\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
            let head = seen.recv_timeout(DEADLINE).unwrap();
            assert!(head.starts_with("get /p http/1.1\n") && head.contains("\nx-forwarded-proto: https\n"), "{head}");
        }
        // What is read strictly in the open is read strictly here.
        let refused = ask(&mut user, "GET / HTTP/1.1\r\nhost: t\r\ncontent-length : 0\r\n\r\n");
        assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    }
    let mut open = Client::connect(listen);
    open.write("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(open.line().map_or(true, |line| !line.starts_with("HTTP/1.1 2")), "nothing is served in the open");
    let state = &proxy.stats().certificates[0];
    assert_eq!((state.0.as_str(), &state.1.cert, &state.1.trouble), ("shop@production", &files.cert, &None));
}

#[test]
fn users_speak_http_2_and_the_instance_gets_http_1() {
    let dir = tempfile::tempdir().unwrap();
    let files = issue(dir.path(), "shop", &["shop.example"]);
    let (endpoint, seen) = instance();
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&secured(1, listen, endpoint, &[&files]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(listen).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(trusting(&[&files], &["h2", "http/1.1"]));
        let stream = connector.connect(ServerName::try_from("shop.example").unwrap(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        let request = || hyper::Request::builder().uri("https://shop.example/p?q=1");
        let mut parallel = Vec::new();
        for number in 0..20 {
            let mut sender = sender.clone();
            let asked = request().header("cookie", "a=1").header("cookie", "b=2").header("x-number", number);
            let asked = asked.body(Full::new(Bytes::new()).boxed()).unwrap();
            parallel.push(async move { sender.send_request(asked).await.unwrap() });
        }
        for answer in futures::future::join_all(parallel).await {
            assert_eq!((answer.status().as_u16(), &answer.headers()["x-own"]), (200, &"1".parse().unwrap()));
            assert!(!answer.headers().contains_key("keep-alive"));
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
        }
        let heads: Vec<_> = (0..20).map(|_| seen.recv_timeout(DEADLINE).unwrap()).collect();
        for head in heads {
            assert!(head.starts_with("get /p?q=1 http/1.1\n"), "{head}");
            for line in ["host: shop.example", "cookie: a=1; b=2", "x-forwarded-proto: https"] {
                assert_eq!(head.lines().filter(|got| *got == line).count(), 1, "{line} in {head}");
            }
        }
        let parts = ["one", "two"].map(|part| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(part))));
        let body = StreamBody::new(futures::stream::iter(parts)).boxed();
        let answer = sender.clone().send_request(request().method("POST").body(body).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(seen.recv_timeout(DEADLINE).unwrap().ends_with("onetwo"));
        // Two names for one request are no name.
        let two = request().header("host", "other.example").body(Full::new(Bytes::new()).boxed()).unwrap();
        let answer = sender.clone().send_request(two).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("connection")), (400, false));
        // One that leaves says so, and answers what it was asked before.
        assert!(!sender.is_closed());
        proxy.process.signal(rustix::process::Signal::TERM);
        let closed = async {
            while !sender.is_closed() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, closed).await.expect("it says that it goes away");
    });
    let stats = Proxy::start().stats();
    assert!(stats.certificates.is_empty());
}

#[test]
fn a_name_has_its_certificate_and_any_other_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let shop = issue(dir.path(), "shop", &["shop.example"]);
    let blog = issue(dir.path(), "blog", &["*.blog.example", "blog.example"]);
    let sample = Sample::quick("a", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&secured(1, listen, sample.endpoint(), &[&shop, &blog]));
    let both = [&shop, &blog];
    assert_eq!(shown(listen, "shop.example", &both).unwrap(), der(&shop));
    assert_eq!(shown(listen, "blog.example", &both).unwrap(), der(&blog));
    assert_eq!(shown(listen, "eu.blog.example", &both).unwrap(), der(&blog));
    let other = shown(listen, "other.example", &both).unwrap_err().to_string();
    assert!(other.contains("not valid for name"), "{other}");
}

#[test]
fn new_files_are_taken_over_and_bad_ones_keep_the_certificate_before() {
    let dir = tempfile::tempdir().unwrap();
    let files = issue(dir.path(), "shop", &["shop.example"]);
    let first = der(&files);
    let sample = Sample::quick("a", "1");
    let (mut proxy, listen) = (Proxy::start(), free_address());
    proxy.route(&secured(1, listen, sample.endpoint(), &[&files]));
    let mut user = connect(listen, "shop.example", &trusting(&[&files], &[])).unwrap();
    assert_eq!(shown(listen, "shop.example", &[&files]).unwrap(), first);
    let keep = CertificateFiles { cert: dir.path().join("kept.pem"), key: files.key.clone() };
    std::fs::copy(&files.cert, &keep.cert).unwrap();
    // Another certificate beside the same key.
    let other = issue(dir.path(), "other", &["shop.example"]);
    std::fs::copy(&other.cert, &files.cert).unwrap();
    let trouble = wait_for("the bad pair to be found", || proxy.stats().certificates.remove(0).1.trouble);
    assert!(trouble.contains("shop.key is not that of the certificate"), "{trouble}");
    assert_eq!(shown(listen, "shop.example", &[&keep]).unwrap(), first, "the one before stays");
    std::fs::copy(&other.key, &files.key).unwrap();
    wait_for("the new pair", || proxy.stats().certificates.remove(0).1.trouble.is_none().then_some(()));
    assert_eq!(shown(listen, "shop.example", &[&other]).unwrap(), der(&other));
    let answer = ask(&mut user, "GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "who was connected stays so: {answer}");
    // A route that changes other things does not need the files.
    std::fs::remove_file(&files.key).unwrap();
    proxy.route(&secured(2, listen, sample.endpoint(), &[&files]));
    assert_eq!(shown(listen, "shop.example", &[&other]).unwrap(), der(&other));
    let refused = proxy.refused(Request::SetRoute(secured(3, listen, sample.endpoint(), &[&files, &other])));
    assert!(refused.contains("shop.key can't be read"), "{refused}");
}
