//! Traces: a real server, a receiver of OTLP, a crash in between; and a real collector, where one is named.

use super::{Receiver, prepared};
use crate::support::live::{Server, eventually};
use flightdeck::model::Phase;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// A folder whose settings send traces there.
fn traced(address: &str) -> tempfile::TempDir {
    prepared(|_| format!("[notify.traces]\nendpoint = \"http://{address}\"\n"))
}

/// 3.0, with what it was built from, waits at 10 % beside 1.0.
fn with_built_canary(server: &Server) {
    server.with_stable();
    let file = server.artifact("3.0");
    let built = ["--commit", "3fe1c2a", "--pipeline-run", "https://ci.example/shop/runs/7"];
    let add = ["release", "add", "shop", "3.0", "--artifact", &file, "--wait"];
    server.ok(&[&add[..], &built[..]].concat());
    server.ok(&["deploy", "shop", "3.0", "--to", "production", "--yes"]);
    server.until("the canary waits at 10 %", |rollout| {
        rollout.phase == Phase::Paused && rollout.step == Some(1) && rollout.candidate().is_some()
    });
}

impl Receiver {
    /// All spans that came, each with the attributes of its resource at the key `resource`.
    fn spans(&self) -> Vec<Value> {
        let bodies = self.came().into_iter().map(|came| serde_json::from_slice::<Value>(&came.body).unwrap());
        let groups = bodies.flat_map(|body| body["resourceSpans"].as_array().unwrap().clone());
        let spans = groups.flat_map(|group| {
            let of_group = group["scopeSpans"][0]["spans"].as_array().unwrap().clone();
            of_group.into_iter().map(move |mut span| {
                span["resource"] = group["resource"]["attributes"].clone();
                span
            })
        });
        spans.collect()
    }
}

fn attribute(list: &Value, key: &str) -> Option<String> {
    let found = list.as_array()?.iter().find(|attribute| attribute["key"] == key)?;
    found["value"].as_object()?.values().next()?.as_str().map(str::to_owned)
}

#[test]
fn a_rollout_and_its_commands_are_one_trace_though_the_server_was_killed_meanwhile() {
    let receiver = Receiver::start("503 Service Unavailable");
    let mut server = Server::start_in(traced(&receiver.address), &[]);
    with_built_canary(&server);
    eventually("the receiver is asked", || !receiver.spans().is_empty());
    let first = receiver.spans().remove(0);
    server.crash();
    receiver.answers("200 OK");
    let before = receiver.spans().len();
    server.start_again();
    eventually("it is sent after the crash, as the same span", || {
        receiver
            .spans()
            .iter()
            .skip(before)
            .any(|span| (&span["traceId"], &span["spanId"]) == (&first["traceId"], &first["spanId"]))
    });
    server.ok(&["abort", "shop", "--yes", "--reason", "enough"]);
    let aborted = |span: &Value| attribute(&span["attributes"], "deployment.status").as_deref() == Some("aborted");
    let command = |span: &Value| span["name"] == "abort";
    eventually("the rollout and the command that ended it", || {
        receiver.spans().iter().any(aborted) && receiver.spans().iter().any(command)
    });
    let spans = receiver.spans();
    let root = spans.iter().find(|span| aborted(span)).unwrap();
    assert_eq!((root["name"].as_str(), root.get("parentSpanId")), (Some("deploy shop"), None));
    assert_eq!(root["status"]["code"], 2);
    assert!(root["status"]["message"].as_str().unwrap().contains("enough"), "{root}");
    for (key, value) in [
        ("service.name", "shop"),
        ("service.version", "3.0"),
        ("deployment.environment.name", "production"),
        ("vcs.ref.head.revision", "3fe1c2a"),
        ("cicd.pipeline.run.url.full", "https://ci.example/shop/runs/7"),
    ] {
        assert_eq!(attribute(&root["resource"], key).as_deref(), Some(value), "{root}");
    }
    let inside = |name: &str| {
        let named = |span: &&Value| span["name"] == name && span["traceId"] == root["traceId"];
        let span = spans.iter().find(named).unwrap_or_else(|| panic!("{name} in {spans:#?}"));
        assert_eq!(span["parentSpanId"], root["spanId"], "{span}");
        span
    };
    // When a step began is known though the server was killed in it.
    let (weight, pause) = (inside("weight 10 %"), inside("pause"));
    assert_eq!(weight["endTimeUnixNano"], pause["startTimeUnixNano"]);
    for name in ["deploy", "abort", "waits_for_person"] {
        inside(name);
    }
    eventually("nothing waits any more", || server.ok(&["notify", "status", "-o", "json"]).trim() == "[]");
}

/// An OpenTelemetry collector that prints what it takes; ends with the test.
struct Collector {
    child: Child,
    address: String,
    said: Arc<Mutex<String>>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Collector {
    fn start(dir: &tempfile::TempDir) -> Collector {
        let program = std::env::var_os("FLIGHTDECK_OTELCOL").expect("FLIGHTDECK_OTELCOL names a collector");
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = dir.path().join("collector.yaml");
        let settings = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"{address}\"}}}}}}}}\n\
             exporters: {{debug: {{verbosity: detailed}}}}\n\
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}\n"
        );
        std::fs::write(&config, settings).unwrap();
        let mut command = Command::new(program);
        command.arg("--config").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (keep, lines) = (Arc::clone(&said), BufReader::new(child.stderr.take().unwrap()).lines());
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| *keep.lock().unwrap() += &(line + "\n"));
        });
        let collector = Collector { child, address, said };
        eventually("the collector listens", || collector.said().contains("Everything is ready"));
        collector
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

/// Ignored unless it is asked for: `FLIGHTDECK_OTELCOL` names a collector that has the receiver `otlp` and the exporter
/// `debug`.
#[test]
#[ignore = "needs an OpenTelemetry collector: FLIGHTDECK_OTELCOL"]
fn a_real_collector_takes_a_rollout_with_its_steps_and_commands() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(&dir);
    let server = Server::start_in(traced(&collector.address), &[]);
    assert_eq!(server.run_cli(&["notify", "test", "traces"]).code, 0);
    with_built_canary(&server);
    server.ok(&["abort", "shop", "--yes", "--reason", "enough"]);
    for said in [
        "Name           : deploy shop",
        "Name           : weight 10 %",
        "Name           : abort",
        "Status code    : Error",
        "-> deployment.status: Str(aborted)",
        "-> vcs.ref.head.revision: Str(3fe1c2a)",
        "-> cicd.pipeline.run.url.full: Str(https://ci.example/shop/runs/7)",
        "-> flightdeck.step.done: Bool(false)",
        "-> flightdeck.rollout.manual_steps: Int(0)",
    ] {
        eventually(&format!("the collector prints {said:?}"), || collector.said().contains(said));
    }
    eventually("nothing waits any more", || server.ok(&["notify", "status", "-o", "json"]).trim() == "[]");
}
