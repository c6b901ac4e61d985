//! A program of one's own: the notification as JSON on its standard input; status 0 says that it was told.

use async_trait::async_trait;
use flightdeck_port::{NotTold, Notification, Sink};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

/// So long it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a program, which is ended with all that it started when it takes too long.
#[derive(Debug, Clone)]
pub struct CommandNotifier {
    /// The program, by its absolute path, and its arguments.
    pub words: Vec<String>,
}

/// Ends a whole process group when it is dropped, however its owner ends.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::warn!(%error, "cannot end the program of a notification");
        }
    }
}

#[async_trait]
impl Sink for CommandNotifier {
    async fn tell(&self, notification: &Notification, _now: Timestamp) -> Result<(), NotTold> {
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(NotTold::for_good("no program is named"));
        };
        let body = serde_json::to_vec(notification).map_err(|error| NotTold::for_good(error.to_string()))?;
        let failed = |error: std::io::Error| NotTold::passing(format!("{program}: {error}"));
        let mut child = Command::new(program)
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let stdin = child.stdin.take();
        let told = async {
            if let Some(mut stdin) = stdin {
                // Whoever does not read what happened may still say that it was told.
                match stdin.write_all(&body).await {
                    Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error),
                    _ => {}
                }
            }
            child.wait().await
        };
        match timeout(PATIENCE, told).await {
            Err(_) => {
                Err(NotTold::passing(format!("{program} took longer than {} s and was ended", PATIENCE.as_secs())))
            }
            Ok(Err(error)) => Err(failed(error)),
            Ok(Ok(status)) => {
                // Its leader is reaped: the number may belong to others from here on.
                group.0 = None;
                if status.success() { Ok(()) } else { Err(NotTold::passing(format!("{program} failed ({status})"))) }
            }
        }
    }
}
