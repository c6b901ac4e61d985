//! The process itself: started in a group of its own, ended with all of its group.

use flightdeck_platform::exit_fd;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// A running program. Dropping it kills its process group.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    pid: Pid,
    exit: AsyncFd<OwnedFd>,
    reaped: bool,
}

/// Its three pipes.
pub(super) type Pipes = (ChildStdin, ChildStdout, ChildStderr);

impl Program {
    /// Starts it with pipes.
    pub fn start(command: &[String]) -> io::Result<(Program, Pipes)> {
        let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let gone = || io::Error::other("it was gone at once");
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).ok_or_else(gone)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { return Err(io::Error::other("it has no pipes")) };
        #[expect(
            deprecated,
            reason = "the other one is unsafe; an OwnedFd is never closed or changed while it is owned"
        )]
        let exit = AsyncFd::with_interest(exit_fd(pid)?, Interest::READABLE)?;
        Ok((Program { child, pid, exit, reaped: false }, (stdin, stdout, stderr)))
    }

    /// Resolves when it has exited, by itself or not. It is not reaped yet, so that its group keeps
    /// its number.
    pub async fn exited(&self) -> io::Result<()> {
        self.exit.readable().await.map(drop)
    }

    /// Kills the whole group and gives the program's own status.
    pub async fn end(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        let status = self.child.wait().await;
        self.reaped = true;
        status
    }

    fn kill(&self) {
        let _ = kill_process_group(self.pid, Signal::KILL); // nobody left is an error, and fine
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Once it is reaped, the number may be somebody else's.
        if !self.reaped {
            self.kill();
        }
    }
}

/// How it ended, such as `exited with status 3`.
pub(super) fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
