//! Real processes under real shims.

mod confine;
pub mod instances;
mod jobs;
mod shim;

use flightdeck::engine::process::client::end_leftovers;
use flightdeck::engine::process::wire::{SHIM_WIRE, ShimSpec, Status};
use flightdeck::engine::process::{Identity, LogLimits};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// This program.
pub fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_flightdeck"))
}

/// Ends whatever the test started, however it ends.
pub struct Scratch {
    pub dir: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Scratch {
        Scratch { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            end_leftovers(&dir);
            let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
            dirs.extend(entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
        }
    }
}

/// A file that its owner alone may read.
pub fn secret(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Tries until it gives something; fails with what was awaited.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn until_gone(what: &str, process: &Identity) {
    until(what, || async { (!process.lives()).then_some(()) }).await;
}

pub fn spec(instance: &str, program: &Path, args: &[&str], cwd: &Path) -> ShimSpec {
    ShimSpec {
        wire: SHIM_WIRE,
        instance: instance.into(),
        attempt: 0,
        program: program.into(),
        args: args.iter().map(ToString::to_string).collect(),
        env: BTreeMap::new(),
        cwd: cwd.into(),
        log: LogLimits::default(),
        keep: false,
        once: false,
        confinement: None,
        check: Vec::new(),
    }
}

pub fn process(status: &Status) -> Identity {
    status.process.clone().expect("a process")
}
