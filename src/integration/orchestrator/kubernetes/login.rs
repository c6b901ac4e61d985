//! The login command of a kubeconfig (`exec`): run once, without questions, bounded in time and output,
//! and ended with all that it started when nobody waits for it any more.
//! Source: <https://kubernetes.io/docs/reference/config-api/client-authentication.v1/>

use super::client::Doing;
use super::explain::some;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flightdeck_model::sanitize_line;
use jiff::Timestamp;
use kube::config::{AuthInfo, ExecConfig};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::json;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

/// How long it may take: it may ask a server of its own, or open a browser.
const LOGIN: Duration = Duration::from_mins(1);
/// How long what it wrote is read after its end: a child of its own may hold its pipes.
const REST: Duration = Duration::from_secs(1);
/// Bytes of standard output that are taken, and of standard error.
const LARGEST: (u64, u64) = (1 << 20, 64 << 10);

/// What it answers, as far as it is used.
#[derive(Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// How it ended and what it said.
struct Said {
    status: ExitStatus,
    out: Vec<u8>,
    err: Vec<u8>,
}

/// Puts what the login command answers in its place, where there is one and nothing goes before it; gives
/// the moment when those credentials end. The error is a sentence without secrets.
pub(super) async fn login(auth: &mut AuthInfo, doing: &Doing) -> Result<Option<Timestamp>, String> {
    let before = auth.token.is_some()
        || auth.token_file.is_some()
        || auth.auth_provider.is_some()
        || (auth.username.is_some() && auth.password.is_some());
    let Some(exec) = auth.exec.take().filter(|_| !before) else { return Ok(None) };
    let command = exec.command.clone().ok_or("its login command has no name")?;
    let name = sanitize_line(&command);
    doing.send_replace(format!("its login command {name} has not ended yet"));
    let late = |_| format!("its login command {name} did not end within {} s", LOGIN.as_secs());
    let said = timeout(LOGIN, run(&exec, &command)).await.map_err(late)?.map_err(|error| {
        let hint = exec.install_hint.as_deref().map_or_else(String::new, |hint| format!("; {}", some(hint)));
        format!("its login command {name} can't be started: {error}{hint}")
    })?;
    if !said.status.success() {
        return Err(format!("its login command {name} failed {}", how(&said)));
    }
    // It may answer in YAML, of which JSON is a part.
    let answer: Option<Answer> = serde_saphyr::from_slice(&said.out).ok();
    let none = || format!("its login command {name} answers what no credentials are");
    let status = answer.and_then(|answer| answer.status).ok_or_else(none)?;
    let until = status.expiration_timestamp.map(|at| at.parse::<Timestamp>());
    let until = until.transpose().map_err(|_| format!("its login command {name} says no time at which they end"))?;
    match (status.token, status.client_certificate_data, status.client_key_data) {
        (_, Some(certificate), Some(key)) => {
            auth.client_certificate_data = Some(STANDARD.encode(certificate));
            auth.client_key_data = Some(STANDARD.encode(key).into());
        }
        (Some(token), ..) => auth.token = Some(token.into()),
        _ => return Err(none()),
    }
    Ok(until)
}

fn how(said: &Said) -> String {
    let how = said.status.code().map_or("by a signal".to_owned(), |code| format!("with {code}"));
    let errors = String::from_utf8_lossy(&said.err);
    let last = errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if last.is_empty() { how } else { format!("{how}: {}", sanitize_line(&some(last))) }
}

/// A process group that is killed when it is dropped, unless its first process has been reaped: its
/// number may be somebody else's then.
struct Group {
    pid: Option<Pid>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            let _ = kill_process_group(pid, Signal::KILL); // nobody left is an error, and fine
        }
    }
}

async fn run(exec: &ExecConfig, command: &str) -> std::io::Result<Said> {
    let env = exec.env.iter().flatten().filter_map(|one| Some((one.get("name")?, one.get("value")?)));
    let mut spec = json!({ "interactive": false });
    if let (Some(cluster), Some(fields)) = (&exec.cluster, spec.as_object_mut()) {
        fields.insert("cluster".to_owned(), serde_json::to_value(cluster)?);
    }
    let info = json!({ "apiVersion": exec.api_version, "kind": "ExecCredential", "spec": spec });
    // Not the terminal's: it would read the screen's keys and write over it.
    let mut child = Command::new(command)
        .args(exec.args.iter().flatten())
        .envs(env)
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let mut group = Group { pid: child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = {
        let mut reading =
            pin!(async { tokio::join!(read(stdout, LARGEST.0, &mut out), read(stderr, LARGEST.1, &mut err)) });
        let mut all = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                _ = &mut reading, if !all => all = true,
            }
        };
        group.pid = None;
        if !all && timeout(REST, &mut reading).await.is_err() {
            tracing::debug!("the pipes of a login command are still held by somebody");
        }
        status
    };
    Ok(Said { status, out, err })
}

/// What can be read of a pipe is enough.
async fn read(pipe: Option<impl AsyncRead + Unpin>, largest: u64, into: &mut Vec<u8>) {
    if let Some(pipe) = pipe
        && let Err(error) = pipe.take(largest).read_to_end(into).await
    {
        tracing::debug!(%error, "a login command's output can't be read");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::kubernetes::client::doing;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn auth(dir: &Path, script: &str) -> AuthInfo {
        let path = dir.join("login");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let exec = ExecConfig { command: Some(path.display().to_string()), ..ExecConfig::default() };
        AuthInfo { exec: Some(exec), ..AuthInfo::default() }
    }

    const GOOD: &str =
        r#"echo "warning" >&2; echo '{"status":{"token":"t-1","expirationTimestamp":"2099-01-01T00:00:00Z"}}'"#;

    #[tokio::test]
    async fn its_answer_takes_its_place_and_its_failure_says_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let (doing, _told) = doing();
        let mut good = auth(dir.path(), GOOD);
        let until = login(&mut good, &doing).await.unwrap();
        assert_eq!(until, Some("2099-01-01T00:00:00Z".parse().unwrap()));
        assert!(good.exec.is_none() && good.token.is_some());
        for (script, words) in [
            (
                "echo warning >&2; echo 'session expired, run sso login' >&2; exit 1",
                "failed with 1: session expired, run sso login",
            ),
            ("kill -9 $$", "failed by a signal"),
            ("echo hello", "answers what no credentials are"),
            (r#"echo '{"status":{}}'"#, "answers what no credentials are"),
            (r#"echo '{"status":{"token":"secret","expirationTimestamp":"soon"}}'"#, "says no time at which they end"),
        ] {
            let said = login(&mut auth(dir.path(), script), &doing).await.unwrap_err();
            assert!(said.ends_with(words) && !said.contains("secret"), "{script}: {said}");
        }
        let mut missing = auth(dir.path(), GOOD);
        missing.exec.as_mut().unwrap().command = Some("/no/such/corp-login".into());
        let said = login(&mut missing, &doing).await.unwrap_err();
        assert!(said.contains("/no/such/corp-login can't be started: No such file"), "{said}");
    }

    #[tokio::test]
    async fn a_child_that_keeps_its_pipes_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut auth = auth(dir.path(), &format!("sleep 600 & echo $! > {}/child; {GOOD}", dir.path().display()));
        login(&mut auth, &doing().0).await.unwrap();
        assert!(auth.token.is_some());
        // It was left alone: it may be what keeps the login. This test ends it.
        let child = std::fs::read_to_string(dir.path().join("child")).unwrap();
        let child = Pid::from_raw(child.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(child, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn one_that_hangs_ends_with_its_children_once_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let mut auth =
            auth(dir.path(), &format!("sleep 600 & echo $$ $! > {0}.new; mv {0}.new {0}; wait", pids.display()));
        let (doing, told) = doing();
        let mut waiting = Box::pin(login(&mut auth, &doing));
        let started = async {
            while !pids.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let started = timeout(Duration::from_secs(20), started);
        tokio::select! {
            said = &mut waiting => panic!("it ended: {:?}", said.err()),
            outcome = started => outcome.expect("it starts"),
        }
        assert!(told.borrow().ends_with("/login has not ended yet"), "{}", *told.borrow());
        drop(waiting);
        let text = std::fs::read_to_string(&pids).unwrap();
        let gone = |pid: &str| {
            // A zombie that waits for its parent has ended.
            !flightdeck_platform::Identity::of(pid.parse().unwrap()).is_ok_and(|process| process.lives())
        };
        let ended = async {
            while !text.split_whitespace().all(gone) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), ended).await.expect("both have ended");
    }
}
