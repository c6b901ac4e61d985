//! Whose output a directory holds: written down beside it, and kept as long as it.

use super::context::plain_name;
use flightdeck_engine_core::{JobLaunch, Launch, SlotKey};
use flightdeck_model::{EnvironmentName, Output, OutputOf, ServiceName, Version};
use jiff::Timestamp;
use std::fs;
use std::io;
use std::path::Path;

/// What is known of the output in an instance's or a hook's directory.
pub const OUTPUT_FILE: &str = "output.json";

#[expect(clippy::disallowed_methods, reason = "the process room is a shell: it notes when something was seen")]
fn clock() -> Timestamp {
    Timestamp::now()
}

/// What a launch writes. Its end is not known yet.
fn begun(id: &str, of: OutputOf, slot: &SlotKey, version: &Version, revision: Option<&String>) -> Output {
    Output {
        id: id.to_owned(),
        of,
        service: slot.service.clone(),
        environment: slot.environment.clone(),
        version: version.clone(),
        revision: revision.cloned(),
        started: clock(),
        ended: None,
        how: None,
        failed: false,
    }
}

/// Notes that an instance is about to be started. What it wrote in earlier starts stays.
///
/// # Errors
/// The file can't be written.
pub fn of_instance(dir: &Path, launch: &Launch) -> io::Result<()> {
    let Launch { instance, slot, version, revision, .. } = launch;
    let mut output = begun(instance, OutputOf::Instance, slot, version, revision.as_ref());
    // Until it does what it should, how it failed before is what people look for.
    if let Some(before) = read(dir)?.filter(|before| before.failed) {
        (output.how, output.failed) = (before.how, true);
    }
    write(dir, &output)
}

/// Notes that a hook is about to be run.
///
/// # Errors
/// The file can't be written.
pub fn of_hook(dir: &Path, launch: &JobLaunch) -> io::Result<()> {
    let JobLaunch { job, slot, version, revision, hook, one_off, .. } = launch;
    let of = if *one_off { OutputOf::OneOff } else { OutputOf::Hook { name: hook.clone() } };
    write(dir, &begun(job, of, slot, version, revision.as_ref()))
}

/// Notes what its check said while it runs on.
///
/// # Errors
/// The file can't be read or written.
pub fn unhealthy(dir: &Path, how: &str) -> io::Result<()> {
    change(dir, |output| {
        output.how = Some(how.to_owned());
        output.failed = true;
    })
}

/// Notes that it does what it should.
///
/// # Errors
/// The file can't be read or written.
pub fn ready(dir: &Path) -> io::Result<()> {
    change(dir, |output| {
        output.how = None;
        output.failed = false;
    })
}

/// Notes its end. What is cleared away or stopped afterwards keeps what was said of that.
///
/// # Errors
/// The file can't be read or written.
pub fn ended(dir: &Path, how: &str, failed: bool) -> io::Result<()> {
    change(dir, |output| {
        let first = output.ended.is_none();
        output.ended.get_or_insert_with(clock);
        if failed || (first && !output.failed) {
            output.how = Some(how.to_owned());
        }
        output.failed |= failed;
    })
}

fn change(dir: &Path, change: impl FnOnce(&mut Output)) -> io::Result<()> {
    let Some(mut output) = read(dir)? else { return Ok(()) };
    change(&mut output);
    write(dir, &output)
}

/// Whole or not at all.
fn write(dir: &Path, output: &Output) -> io::Result<()> {
    let temporary = dir.join(format!("{OUTPUT_FILE}.new"));
    fs::write(&temporary, serde_json::to_vec(output)?)?;
    fs::rename(temporary, dir.join(OUTPUT_FILE))
}

/// What is known of a directory's output; `None`: an older program wrote it.
fn read(dir: &Path) -> io::Result<Option<Output>> {
    match fs::read(dir.join(OUTPUT_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => Ok(Some(serde_json::from_slice(&text?)?)),
    }
}

/// The job whose run wrote it: `cleanup of shop@production`; `None`: something else did. A hook's run has its rollout.
/// Blocks.
///
/// # Errors
/// The file can't be read.
pub fn job(dir: &Path) -> io::Result<Option<String>> {
    Ok(read(dir)?.filter(|output| output.revision.is_none()).and_then(|output| match &output.of {
        OutputOf::Hook { name } => Some(format!("{name} of {}@{}", output.service, output.environment)),
        OutputOf::Instance | OutputOf::OneOff => None,
    }))
}

/// Is it the output of what was run once, and is that over? An instance is started again. Blocks.
///
/// # Errors
/// The file can't be read.
pub fn is_over(dir: &Path) -> io::Result<bool> {
    Ok(read(dir)?.is_some_and(|output| output.of != OutputOf::Instance && output.ended.is_some()))
}

/// All output that is kept of a slot, under each of the names that its service had, newest first. Blocks.
///
/// # Errors
/// The directory of instances can't be read.
pub fn list(instances: &Path, names: &[ServiceName], environment: &EnvironmentName) -> io::Result<Vec<Output>> {
    let mut found = Vec::new();
    for dir in fs::read_dir(instances)? {
        let dir = dir?.path();
        match read(&dir) {
            Ok(Some(of)) if names.contains(&of.service) && of.environment == *environment && plain_name(&of.id) => {
                found.push(of);
            }
            Ok(_) => {}
            // One that is broken, or goes meanwhile, hides no other.
            Err(error) => tracing::warn!(dir = %dir.display(), %error, "cannot tell whose output it is"),
        }
    }
    found.sort_by_key(|output| std::cmp::Reverse(output.started));
    Ok(found)
}
