//! Secrets, read at each start where their references say. What goes wrong is told without the secret: neither a
//! file's content nor a program's output is ever part of a message.

use flightdeck_model::SecretRef;
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

/// So long a program may take to say a secret.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a secret at most.
const MOST_BYTES: u64 = 64 * 1024;
/// Permissions of all others than a file's owner and group: read and write.
const OTHERS: u32 = 0o006;

/// Why a secret can't be read; never with the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SecretError {
    pub why: String,
    /// Trying again can't help.
    pub permanent: bool,
}

impl SecretError {
    fn permanent(why: impl Into<String>) -> SecretError {
        SecretError { why: why.into(), permanent: true }
    }

    fn passing(why: impl Into<String>) -> SecretError {
        SecretError { why: why.into(), permanent: false }
    }
}

/// Reads all secrets of a start: variable → secret.
///
/// # Errors
/// The first that can't be read, with its variable. What only a change of files or of the server's environment
/// can mend is permanent; what a program did may pass.
pub async fn read(references: &BTreeMap<String, SecretRef>) -> Result<BTreeMap<String, String>, SecretError> {
    let mut secrets = BTreeMap::new();
    for (variable, reference) in references {
        let secret = read_one(reference).await.map_err(|error| SecretError {
            why: format!("cannot read the secret {variable}: {}", error.why),
            ..error
        })?;
        secrets.insert(variable.clone(), secret);
    }
    Ok(secrets)
}

/// Reads one.
///
/// # Errors
/// Why not, without the secret.
pub async fn read_one(reference: &SecretRef) -> Result<String, SecretError> {
    let bytes = match reference {
        SecretRef::File(path) => {
            let path = PathBuf::from(path);
            let content = tokio::task::spawn_blocking(move || open(&path).and_then(|file| content(file, &path)));
            content.await.map_err(|error| error.to_string()).and_then(|content| content).map_err(SecretError::permanent)
        }
        SecretRef::Env(name) => variable_of(name).map_err(SecretError::permanent),
        SecretRef::Command(words) => output(words, PATIENCE).await.map_err(SecretError::passing),
    };
    bytes.and_then(|bytes| text(bytes).map_err(SecretError::permanent))
}

/// Can it be read here and now? A program is looked for and not run. Blocks.
///
/// # Errors
/// Why not, as a sentence.
pub fn check(reference: &SecretRef) -> Result<(), String> {
    match reference {
        SecretRef::File(path) => open(Path::new(path)).map(drop),
        SecretRef::Env(name) => variable_of(name).map(drop),
        SecretRef::Command(words) => find(words).map(drop),
    }
}

/// Opens a file that a secret may be in. What is no plain file is not waited for.
fn open(path: &Path) -> Result<File, String> {
    let shown = path.display();
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file =
        File::options().read(true).custom_flags(flags).open(path).map_err(|error| format!("{shown}: {error}"))?;
    let metadata = file.metadata().map_err(|error| format!("{shown}: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("{shown} is no file"));
    }
    if metadata.mode() & OTHERS != 0 {
        return Err(format!("others than its owner and group may read or write {shown}; run: chmod o-rwx {shown}"));
    }
    Ok(file)
}

fn content(file: File, path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes)
}

fn variable_of(name: &str) -> Result<Vec<u8>, String> {
    let value = std::env::var_os(name).ok_or_else(|| format!("the server's environment has no variable {name}"))?;
    Ok(value.into_encoded_bytes())
}

/// What can be a variable of an environment.
fn text(mut bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("it is longer than {} KiB", MOST_BYTES / 1024));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.contains(&0) {
        return Err("it holds a zero byte".to_owned());
    }
    // The error holds the bytes: it goes nowhere.
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// The program of a command: a path, else the first of its name in the server's `PATH`.
fn find(words: &[String]) -> Result<PathBuf, String> {
    let program = words.first().map(String::as_str).unwrap_or_default();
    let runs = |path: &Path| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    let found = if program.contains('/') {
        Some(PathBuf::from(program)).filter(|path| runs(path))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_absolute() && runs(path))
    };
    found.ok_or_else(|| format!("there is no program {program} that the server could run"))
}

/// Ends a whole process group when it is dropped, however its owner ends.
struct Group(Option<Pid>);

impl Group {
    /// Its leader is reaped: the number may belong to others from here on.
    fn reaped(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::warn!(%error, "cannot end the program of a secret");
        }
    }
}

/// What a program writes before it ends with status 0. Its arguments are not told: only its name.
async fn output(words: &[String], patience: Duration) -> Result<Vec<u8>, String> {
    let program = find(words)?;
    let shown = program.display().to_string();
    let mut child = Command::new(&program)
        .args(words.get(1..).unwrap_or_default())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // It may quote the secret.
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{shown}: {error}"))?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let stdout = child.stdout.take().ok_or_else(|| format!("{shown} has no standard output"))?;
    let told = async {
        let mut bytes = Vec::new();
        stdout.take(MOST_BYTES + 1).read_to_end(&mut bytes).await?;
        // What writes on and on is not waited for.
        let status = if bytes.len() as u64 > MOST_BYTES { None } else { Some(child.wait().await?) };
        Ok::<_, io::Error>((bytes, status))
    };
    match timeout(patience, told).await {
        Err(_) => Err(format!("{shown} took longer than {} s and was ended", patience.as_secs_f32())),
        Ok(Err(error)) => Err(format!("{shown}: {error}")),
        Ok(Ok((_, None))) => Err(format!("{shown} wrote more than {} KiB and was ended", MOST_BYTES / 1024)),
        Ok(Ok((bytes, Some(status)))) => {
            group.reaped();
            if status.success() {
                Ok(bytes)
            } else {
                Err(format!("{shown} failed ({status}); what it wrote is not shown"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    /// By the program: not every system makes one by `mknod`.
    fn make_pipe(path: &Path) {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    fn shell(script: &str) -> SecretRef {
        SecretRef::Command(words(&["sh", "-c", script]))
    }

    async fn one(reference: SecretRef) -> Result<String, SecretError> {
        let secrets = read(&BTreeMap::from([("KEY".to_owned(), reference)])).await?;
        Ok(secrets["KEY"].clone())
    }

    #[tokio::test]
    async fn a_secret_is_read_where_its_reference_says() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        std::fs::write(&file, "opensesame\n\n").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let file = SecretRef::File(file.display().to_string());
        let home = std::env::var("PATH").unwrap();
        for (reference, expected) in [
            (file, "opensesame\n"),
            (SecretRef::Env("PATH".into()), home.as_str()),
            (shell("echo opensesame; echo noise >&2"), "opensesame"),
            (SecretRef::Command(words(&["printf", "%s", "$HOME *"])), "$HOME *"),
        ] {
            check(&reference).unwrap();
            assert_eq!(one(reference.clone()).await.unwrap(), expected, "{reference}");
        }
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_without_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let file = |name: &str, content: &[u8], mode: u32| {
            std::fs::write(path(name), content).unwrap();
            std::fs::set_permissions(path(name), Permissions::from_mode(mode)).unwrap();
            SecretRef::File(path(name))
        };
        let open = path("open");
        make_pipe(Path::new(&path("pipe")));
        // Each: what of it is told, can it pass, and is it seen before a start?
        for (reference, told, passes, seen) in [
            (file("open", b"opensesame", 0o604), format!("run: chmod o-rwx {open}"), false, true),
            (file("writable", b"opensesame", 0o602), "may read or write".to_owned(), false, true),
            (file("long", &b"x".repeat(65 * 1024), 0o600), "longer than 64 KiB".to_owned(), false, false),
            (file("zero", b"opensesame\0", 0o600), "zero byte".to_owned(), false, false),
            (file("latin", b"opensesame\xff", 0o600), "not UTF-8".to_owned(), false, false),
            (SecretRef::File(path("missing")), format!("{}: No such file", path("missing")), false, true),
            (SecretRef::File(dir.path().display().to_string()), "is no file".to_owned(), false, true),
            (SecretRef::File(path("pipe")), "is no file".to_owned(), false, true),
            (SecretRef::Env("FLIGHTDECK_NO_SUCH".into()), "no variable FLIGHTDECK_NO_SUCH".to_owned(), false, true),
            (SecretRef::Command(words(&["no-such-program"])), "no program no-such-program".to_owned(), true, true),
            (shell("echo opensesame; echo opensesame >&2; exit 3"), "exit status: 3".to_owned(), true, false),
            (shell("while :; do echo opensesame; done"), "more than 64 KiB and was ended".to_owned(), true, false),
        ] {
            let error = one(reference.clone()).await.unwrap_err();
            assert!(error.why.starts_with("cannot read the secret KEY: ") && error.why.contains(&told), "{error}");
            assert!(!error.why.contains("opensesame"), "{error}");
            assert_eq!((error.permanent, check(&reference).is_err()), (!passes, seen), "{error}");
        }
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_ends_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        make_pipe(&pipe);
        let script = format!("exec 3>'{}'; echo begun >&3; sleep 1000 & wait", pipe.display());
        // Its end comes only once nobody holds the other side any more.
        let end = tokio::task::spawn_blocking(move || std::fs::read(pipe));
        let error = output(&words(&["sh", "-c", &script]), Duration::from_secs(3)).await.unwrap_err();
        assert!(error.contains("took longer than 3 s and was ended"), "{error}");
        assert_eq!(end.await.unwrap().unwrap(), b"begun\n");
    }
}
