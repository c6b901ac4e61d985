//! What the demo runs: services, versions, their faults, and the traffic on them.

use super::DemoError;
use crate::config::services;
use crate::model::{EnvironmentName, ServiceName, Spec, Version};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// How a version behaves.
struct Build {
    service: &'static str,
    version: &'static str,
    commit: &'static str,
    /// Median of an answer.
    latency_ms: u32,
    /// Share of requests answered 500.
    error_rate: f64,
}

/// A service in an environment.
struct Place {
    service: &'static str,
    environment: &'static str,
    replicas: u32,
    /// What runs there from the start.
    version: &'static str,
    /// What is rolled out once that serves.
    next: Option<&'static str>,
    /// Requests per second.
    rate: u32,
    /// Lines of `[service.X.in.Y.canary]`.
    canary: &'static str,
}

const fn build(
    service: &'static str,
    version: &'static str,
    commit: &'static str,
    latency_ms: u32,
    error_rate: f64,
) -> Build {
    Build { service, version, commit, latency_ms, error_rate }
}

const BUILDS: [Build; 10] = [
    build("accounts", "7.2.0", "b81c5de", 18, 0.0),
    build("catalog", "5.1.0", "3d10a7f", 30, 0.001),
    build("catalog", "5.2.0", "9ae2246", 28, 0.001),
    build("checkout", "1.9.0", "77c01fb", 42, 0.002),
    build("checkout", "1.10.0", "3fe1c2a", 38, 0.001),
    build("payments", "2.3.1", "e04b9d3", 55, 0.001),
    build("payments", "2.4.0", "51a6f80", 50, 0.001),
    build("search", "3.0.4", "c92d1e8", 35, 0.002),
    // The bad one: its own error rate takes it back.
    build("search", "3.1.0", "0fd83b6", 40, 0.06),
    build("search", "3.1.1", "8b27e95", 36, 0.002),
];

/// The good one: stands at 25 % after its analysis until a person promotes it.
const CHECKOUT: &str = r#"
steps = [
  { set_weight = 5 }, { pause = { duration = "20s" } },
  { set_weight = 25 }, { analysis = { use = "golden", duration = "30s" } },
  { pause = {} }, { set_weight = 50 },
]
background_analysis = "golden""#;
const SEARCH: &str = r#"
steps = [{ set_weight = 10 }, { pause = { duration = "3m" } }, { set_weight = 50 }, { pause = { duration = "1m" } }]
background_analysis = "golden""#;
const PAYMENTS: &str = r#"
steps = [
  { approval = { count = 1, expires = "4h" } }, { set_weight = 20 }, { pause = { duration = "30s" } },
  { set_weight = 50 }, { analysis = { use = "golden", duration = "30s" } },
]
background_analysis = "golden""#;
const CATALOG: &str = r#"
steps = [{ set_weight = 40 }, { analysis = { use = "golden", duration = "1m" } }, { set_weight = 70 }, { pause = { duration = "1m" } }]"#;
const QUICK: &str = "\nsteps = [{ set_weight = 50 }, { pause = { duration = \"3s\" } }]";

const fn place(
    (service, environment): (&'static str, &'static str),
    replicas: u32,
    version: &'static str,
    next: Option<&'static str>,
    rate: u32,
    canary: &'static str,
) -> Place {
    Place { service, environment, replicas, version, next, rate, canary }
}

const PLACES: [Place; 12] = [
    place(("checkout", "production"), 2, "1.9.0", Some("1.10.0"), 110, CHECKOUT),
    place(("search", "production"), 2, "3.0.4", Some("3.1.0"), 110, SEARCH),
    place(("payments", "production"), 2, "2.3.1", Some("2.4.0"), 50, PAYMENTS),
    place(("catalog", "production"), 1, "5.1.0", None, 50, CATALOG),
    place(("accounts", "production"), 1, "7.2.0", None, 50, QUICK),
    place(("checkout", "staging"), 1, "1.10.0", None, 12, QUICK),
    place(("payments", "staging"), 1, "2.4.0", None, 12, QUICK),
    place(("catalog", "staging"), 1, "5.1.0", Some("5.2.0"), 12, CATALOG),
    place(("search", "staging"), 1, "3.0.4", None, 12, QUICK),
    place(("checkout", "dev"), 1, "1.10.0", None, 4, QUICK),
    place(("search", "dev"), 1, "3.1.0", Some("3.1.1"), 4, QUICK),
    place(("catalog", "dev"), 1, "5.2.0", None, 4, QUICK),
];

const HEAD: &str = r#"# The demo's own configuration; see config/flightdeck.toml for every key.

[environment.dev]
order = 1
tier = "low"

[environment.staging]
order = 2

[environment.production]
order = 3
tier = "critical"

[analysis.golden]
error_rate = { max = "2%", over_stable = "1.5%" }
latency_p95 = { max = "500ms" }
min_requests = 220
missing = "pause"
window = "45s"
"#;

/// A release and where its artifact lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seeded {
    pub service: ServiceName,
    pub version: Version,
    /// Source commit.
    pub commit: String,
    /// `.tar.gz`.
    pub artifact: PathBuf,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    pub service: ServiceName,
    pub environment: EnvironmentName,
    pub version: Version,
}

/// Users at a steady rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// Whom they ask.
    pub targets: Vec<SocketAddr>,
    /// Requests per second on each.
    pub rate: u32,
}

/// Everything that the server does at its start in the name of `system:demo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where `flightdeck.toml` lies.
    pub config: PathBuf,
    /// Stored first.
    pub releases: Vec<Seeded>,
    /// What runs from the start.
    pub first: Vec<Deployed>,
    /// What is rolled out once that serves.
    pub next: Vec<Deployed>,
    /// Who uses it then.
    pub users: Vec<Users>,
    /// This program.
    pub exe: PathBuf,
}

/// Name of the plan in the scratch directory.
pub const PLAN: &str = "plan.json";

/// Writes artifacts, configuration and plan into a directory.
pub(super) fn write(dir: &Path, exe: &Path) -> Result<Plan, DemoError> {
    let addresses = free_addresses(PLACES.len())?;
    let config = dir.join("flightdeck.toml");
    let text = configuration(exe, &addresses)?;
    write_file(&config, text.as_bytes())?;
    let releases = BUILDS.iter().map(|build| artifact(dir, build)).collect::<Result<_, _>>()?;
    let deployed = |place: &Place, version: &str| Deployed {
        service: place.service.into(),
        environment: place.environment.into(),
        version: version.into(),
    };
    let mut users: BTreeMap<u32, Vec<SocketAddr>> = BTreeMap::new();
    for (place, address) in PLACES.iter().zip(&addresses) {
        users.entry(place.rate).or_default().push(*address);
    }
    let plan = Plan {
        config,
        releases,
        first: PLACES.iter().map(|place| deployed(place, place.version)).collect(),
        next: PLACES.iter().filter_map(|place| Some(deployed(place, place.next?))).collect(),
        users: users.into_iter().map(|(rate, targets)| Users { targets, rate }).collect(),
        exe: exe.to_owned(),
    };
    let json = serde_json::to_vec_pretty(&plan).map_err(|error| failed("write", &dir.join(PLAN))(error.into()))?;
    write_file(&dir.join(PLAN), &json)?;
    Ok(plan)
}

/// Ports that are free now, in a row where possible. Below those that outgoing connections are given
/// (32768 and up on Linux): one of these could take a port between now and the proxy's listening.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, DemoError> {
    // Each demo begins elsewhere, so that two at a time don't find the same ones.
    let start = std::process::id() % 500 * 18;
    let ports = (0..9_000).filter_map(|step| u16::try_from(10_000 + (start + step) % 9_000).ok());
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let found: Vec<_> = ports.filter(free).take(count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
    if found.len() == count { Ok(found) } else { Err(DemoError::Ports) }
}

fn configuration(exe: &Path, addresses: &[SocketAddr]) -> Result<String, DemoError> {
    let mut text = HEAD.to_owned();
    let exe = toml::Value::from(exe.to_string_lossy().into_owned());
    let mut services: Vec<_> = PLACES.iter().map(|place| place.service).collect();
    services.sort_unstable();
    services.dedup();
    // Writing to a String can't fail.
    for service in services {
        let _ = write!(
            text,
            r#"
[service.{service}]
run = [{exe}, "sample-app", "--port", "{{port}}", "--version", "{{version}}", "--settings", "app.toml"]
health = {{ path = "/healthz", interval = "200ms", healthy = 1, timeout = "2s" }}
stop = {{ grace = "2s" }}
"#
        );
    }
    for (place, address) in PLACES.iter().zip(addresses) {
        let Place { service, environment, replicas, canary, .. } = place;
        let _ = write!(
            text,
            r#"
[service.{service}.in.{environment}]
listen = "{address}"
replicas = {replicas}
progress_deadline = "1m"

[service.{service}.in.{environment}.canary]{canary}
"#
        );
    }
    services::parse(&text, Path::new("/flightdeck.toml")).map(|_: Spec| text).map_err(DemoError::Config)
}

fn artifact(dir: &Path, build: &Build) -> Result<Seeded, DemoError> {
    let Build { service, version, commit, latency_ms, error_rate } = build;
    let path = dir.join(format!("{service}-{version}.tar.gz"));
    let settings = format!("latency_ms = {latency_ms}.0\nerror_rate = {error_rate:?}\n");
    let file = std::fs::File::create(&path).map_err(failed("write", &path))?;
    // The version in it makes each artifact's digest its own.
    let files = [("app.toml", settings), ("VERSION", format!("{service} {version} {commit}\n"))];
    pack(GzEncoder::new(file, Compression::fast()), &files).map_err(failed("write", &path))?;
    let (service, version) = ((*service).into(), (*version).into());
    Ok(Seeded { service, version, commit: (*commit).to_owned(), artifact: path })
}

fn pack(out: GzEncoder<std::fs::File>, files: &[(&str, String)]) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_bytes())?;
    }
    archive.into_inner()?.finish()?.sync_all()
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), DemoError> {
    std::fs::write(path, content).map_err(failed("write", path))
}

/// Names the step that failed.
pub(super) fn failed(step: &'static str, path: &Path) -> impl Fn(io::Error) -> DemoError {
    let path = path.to_owned();
    move |source| DemoError::File { step, path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_deployment_has_its_release_and_every_release_a_use() {
        let dir = tempfile::tempdir().unwrap();
        let plan = write(dir.path(), Path::new("/usr/bin/flight \"deck\"")).unwrap();
        let stored: BTreeSet<_> = plan.releases.iter().map(|r| (r.service.clone(), r.version.clone())).collect();
        let used: BTreeSet<_> =
            plan.first.iter().chain(&plan.next).map(|d| (d.service.clone(), d.version.clone())).collect();
        assert_eq!((stored.len(), &stored), (BUILDS.len(), &used));
        assert!(plan.releases.iter().all(|release| release.artifact.metadata().unwrap().len() > 0));
        let read: Plan = serde_json::from_slice(&std::fs::read(dir.path().join(PLAN)).unwrap()).unwrap();
        assert_eq!(read, plan);
    }

    #[test]
    fn the_configuration_is_what_the_plan_deploys_to() {
        let dir = tempfile::tempdir().unwrap();
        let plan = write(dir.path(), Path::new("/usr/bin/flight \"deck\"")).unwrap();
        let text = std::fs::read_to_string(&plan.config).unwrap();
        let spec = services::parse(&text, &plan.config).unwrap();
        let listeners: BTreeSet<_> = plan.users.iter().flat_map(|users| users.targets.clone()).collect();
        assert_eq!(listeners.len(), PLACES.len());
        for deployed in plan.first.iter().chain(&plan.next) {
            let placement = &spec.services[&deployed.service].placements[&deployed.environment];
            assert!(placement.listen.is_some_and(|at| listeners.contains(&at)), "{deployed:?}");
        }
        let (checkout, production) = (&spec.services[&ServiceName::from("checkout")], "production".into());
        assert_eq!(checkout.run[0], "/usr/bin/flight \"deck\"");
        assert_eq!(checkout.placements[&production].background_analysis.as_deref(), Some("golden"));
        assert_eq!(spec.environments[&production].tier, crate::model::Tier::Critical);
        assert!(!spec.environments[&production].allow_self, "the person approves what system:demo asked for");
    }
}
