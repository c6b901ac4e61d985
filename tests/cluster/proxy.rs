//! A proxy between client and API server that fails as it is told to. It speaks plain HTTP to the
//! client and passes everything on as one user.

use super::client;
use bytes::Bytes;
use flightdeck::integration::orchestrator::kubernetes::KubernetesSettings;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What happens to requests from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Everything passes.
    None,
    /// New connections are closed, and those that are open as well.
    Drop,
    /// Each request waits that long.
    Delay(Duration),
    /// Nothing is answered any more and nothing closed: a cable that was pulled. Streams fall silent.
    HalfOpen,
    /// This status with a Kubernetes `Status`, for everything.
    Answer(u16),
    /// A page of HTML, for everything.
    Html,
    /// Watches ask for the first version there ever was: the server answers an ERROR event, 410.
    Ancient,
    /// Argo Rollouts is asked for under a name that does not exist: its CRDs are not installed.
    NoRollouts,
    /// Changes reach the server, their answers don't come back.
    CutAnswer,
    /// Changes never reach the server and have no answer.
    CutRequest,
    /// Changes reach the server twice; the second answer comes back.
    Twice,
}

type Body = UnsyncBoxBody<Bytes, kube::Error>;

/// A running proxy; ends when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    fault: watch::Sender<Fault>,
    _tasks: JoinSet<()>,
    dir: tempfile::TempDir,
}

impl Proxy {
    /// Starts one that passes requests on as `user`.
    pub async fn start(user: &str) -> Proxy {
        let upstream = client(user).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (fault, told) = watch::channel(Fault::None);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, told));
        Proxy { address, fault, _tasks: tasks, dir: tempfile::tempdir().expect("a folder") }
    }

    /// Fails so from now on.
    pub fn fails(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// A kubeconfig that goes through it.
    pub fn kubeconfig(&self) -> PathBuf {
        let path = self.dir.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxied",
            "clusters": [{"name": "proxied", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "somebody", "user": {"token": "unused"}}],
            "contexts": [{"name": "proxied", "context": {"cluster": "proxied", "user": "somebody"}}],
        });
        std::fs::write(&path, config.to_string()).expect("written");
        path
    }

    /// The same source, but through this proxy.
    pub fn before(&self, settings: KubernetesSettings) -> KubernetesSettings {
        KubernetesSettings { kubeconfig: Some(self.kubeconfig()), ..settings }
    }
}

async fn accept(listener: TcpListener, upstream: kube::Client, fault: watch::Receiver<Fault>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        if *fault.borrow() == Fault::Drop {
            continue;
        }
        let (upstream, fault) = (upstream.clone(), fault.clone());
        connections.spawn(async move {
            let mut dropped = fault.clone();
            let service = service_fn(|request| pass(upstream.clone(), fault.clone(), request));
            let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            tokio::select! {
                // A broken connection is what this proxy is for.
                _ = serving => {}
                _ = dropped.wait_for(|fault| *fault == Fault::Drop) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// An error ends the connection without an answer.
async fn pass(
    upstream: kube::Client,
    mut fault: watch::Receiver<Fault>,
    request: Request<Incoming>,
) -> Result<Response<Body>, kube::Error> {
    let now = *fault.borrow();
    let changes = request.method() != "GET";
    match now {
        Fault::Delay(time) => tokio::time::sleep(time).await,
        Fault::HalfOpen => {
            drop(fault.wait_for(|fault| *fault != Fault::HalfOpen).await);
            return Err(kube::Error::LinesCodecMaxLineLengthExceeded);
        }
        Fault::Answer(status) => return Ok(status_of(status)),
        Fault::Html => {
            let page = Bytes::from_static(b"<html><body><h1>503 captive portal</h1></body></html>");
            let response = Response::builder().header("content-type", "text/html").body(whole(page));
            return Ok(response.expect("a response"));
        }
        Fault::CutRequest if changes => return Err(kube::Error::LinesCodecMaxLineLengthExceeded),
        _ => {}
    }
    let (mut parts, body) = request.into_parts();
    parts.uri = asked_instead(&parts.uri, now);
    parts.headers.remove("authorization");
    parts.headers.remove("host");
    let bytes = body.collect().await.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    let again = || Request::from_parts(parts.clone(), kube::client::Body::from(bytes.to_vec()));
    if now == Fault::Twice && changes {
        upstream.send(again()).await?;
    }
    let response = upstream.send(again()).await?;
    if now == Fault::CutAnswer && changes {
        return Err(kube::Error::LinesCodecMaxLineLengthExceeded);
    }
    let (mut parts, body) = response.into_parts();
    // The client of this proxy has decoded and joined it.
    for header in ["content-encoding", "transfer-encoding", "content-length", "connection"] {
        parts.headers.remove(header);
    }
    Ok(Response::from_parts(parts, watched(body, fault)))
}

fn asked_instead(uri: &Uri, fault: Fault) -> Uri {
    let text = uri.to_string();
    let text = match fault {
        Fault::Ancient if text.contains("watch=true") => {
            let (before, version) = text.rsplit_once("resourceVersion=").expect("a version");
            let rest = version.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}resourceVersion=1{rest}")
        }
        Fault::NoRollouts => text.replace("/apis/argoproj.io/", "/apis/absent.test/"),
        _ => text,
    };
    text.parse().expect("an address")
}

/// A stream falls silent while the cable is pulled.
fn watched(body: kube::client::Body, fault: watch::Receiver<Fault>) -> Body {
    let frames = futures::stream::unfold((body, fault), |(mut body, mut fault)| async move {
        let frame = body.frame().await?;
        drop(fault.wait_for(|fault| *fault != Fault::HalfOpen).await);
        let frame = frame.map(|frame| Frame::data(frame.into_data().unwrap_or_default()));
        Some((frame, (body, fault)))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn status_of(code: u16) -> Response<Body> {
    let reason = match code {
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("told to fail with {code}"), "reason": reason, "code": code});
    let mut response = Response::new(whole(Bytes::from(status.to_string())));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response.headers_mut().insert("content-type", "application/json".parse().expect("a header"));
    response
}

mod itself {
    use super::super::{Namespace, canary};
    use super::{Fault, Proxy};
    use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
    use kube::config::{Config, KubeConfigOptions, Kubeconfig};
    use serde_json::json;

    #[tokio::test]
    #[ignore = "needs the test cluster: tests/cluster/cluster"]
    async fn it_fails_as_told() {
        let namespace = Namespace::new("faults");
        namespace.apply(&canary("shop", "1.0", &json!([{"setWeight": 20}, {"pause": {}}])));
        let proxy = Proxy::start("operator").await;
        let kubeconfig = Kubeconfig::read_from(proxy.kubeconfig()).unwrap();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        let client = kube::Client::try_from(config).unwrap();
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Rollout"));
        let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace.name, &kind);
        let pause = async |paused: bool| {
            let patch = Patch::Merge(json!({"spec": {"paused": paused}}));
            api.patch("shop", &PatchParams::default(), &patch).await
        };
        let paused = || namespace.get("rollout/shop")["spec"]["paused"].clone();

        pause(true).await.unwrap();
        assert_eq!(paused(), json!(true));
        proxy.fails(Fault::Answer(429));
        assert!(matches!(pause(false).await, Err(kube::Error::Api(status)) if status.code == 429));
        proxy.fails(Fault::Html);
        assert!(pause(false).await.is_err());
        proxy.fails(Fault::CutRequest);
        assert!(pause(false).await.is_err());
        assert_eq!(paused(), json!(true), "none of these reached the server");
        proxy.fails(Fault::CutAnswer);
        assert!(pause(false).await.is_err());
        assert_eq!(paused(), json!(false), "it reached the server; only its answer was lost");
        proxy.fails(Fault::Twice);
        pause(true).await.unwrap();
        let asked = namespace.changes_by("operator");
        assert_eq!(asked.len(), 4, "one, one whose answer was lost, and one twice: {asked:?}");
        proxy.fails(Fault::Drop);
        assert!(api.get("shop").await.is_err());
    }
}
