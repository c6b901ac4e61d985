//! A small parent that gives the terminal back whatever becomes of the cockpit.
//!
//! The cockpit runs in a child on the same terminal and in the same process group, so ctrl-z and
//! `fg` reach both. When the child ends by kill -9, abort or panic it cannot clean up; the parent
//! then restores the terminal's settings, leaves the alternate screen and says what happened.
//! Started before any thread or runtime, it does nothing but wait.

use super::terminal::LEAVE;
use flightdeck_model::sanitize;
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};

/// `PID:PATH`: the guardian, and the file that takes a panic's message.
const GUARD: &str = "FLIGHTDECK_GUARD";
/// What a thread's panic ends a Rust program with.
const PANICKED: i32 = 101;

/// Why the cockpit could not be started or followed.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The child could not be started.
    #[error("cannot start the cockpit's own process")]
    Spawn(#[source] io::Error),
    /// Signals or the child could not be waited for.
    #[error("cannot wait for the cockpit's process")]
    Wait(#[source] io::Error),
    /// No file for a panic's message.
    #[error("cannot make a scratch file for the cockpit's last words")]
    Report(#[source] io::Error),
}

/// Is this process the guarded child?
pub fn guarded() -> bool {
    report_path().is_some()
}

/// Where the guarded child writes its last words.
pub(super) fn report_path() -> Option<PathBuf> {
    let value = std::env::var_os(GUARD)?;
    let (pid, path) = value.to_str()?.split_once(':')?;
    let parent = rustix::process::getppid()?.as_raw_nonzero().get().to_string();
    // The variable is inherited by whatever the child starts; only its own child is guarded.
    (pid == parent).then(|| PathBuf::from(path))
}

/// Starts `command` on this terminal, waits for it, and puts the terminal right if it did not.
/// Call it before any thread or runtime exists. Returns the child's exit status.
pub fn guard(mut command: Command) -> Result<ExitStatus, GuardError> {
    let before = tcgetattr(io::stdin()).ok();
    let mut report = tempfile::NamedTempFile::new().map_err(GuardError::Report)?;
    let mut signals = Signals::new([SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT]).map_err(GuardError::Wait)?;
    command.env(GUARD, format!("{}:{}", std::process::id(), report.path().display()));
    let mut child = command.spawn().map_err(GuardError::Spawn)?;
    let status = wait(&mut child, &mut signals)?;
    let restored = before.as_ref().is_some_and(put_right);
    let mut words = String::new();
    // A report that can't be read is no reason to hide how the child ended.
    let _ = report.rewind().and_then(|()| report.read_to_string(&mut words));
    if let Some(text) = epitaph(status, &sanitize(words.trim()), restored) {
        // Where standard error is gone there is nobody to tell.
        let _ = writeln!(io::stderr(), "{text}");
    }
    Ok(status)
}

fn wait(child: &mut Child, signals: &mut Signals) -> Result<ExitStatus, GuardError> {
    loop {
        // Asked first: the child may have ended before the signal was listened to.
        if let Some(status) = child.try_wait().map_err(GuardError::Wait)? {
            return Ok(status);
        }
        for signal in signals.wait() {
            let forward = match signal {
                SIGTERM => Signal::TERM,
                SIGHUP => Signal::HUP,
                // Ctrl-c is a key to the cockpit; typed before raw mode it reaches the child as well.
                _ => continue,
            };
            if let Ok(pid) = i32::try_from(child.id())
                && let Some(pid) = Pid::from_raw(pid)
            {
                // It may end at this very moment; the loop sees that next.
                let _ = kill_process(pid, forward);
            }
        }
    }
}

/// Were the terminal's settings left changed? Then its modes were as well: both are given back.
fn put_right(before: &Termios) -> bool {
    let Ok(now) = tcgetattr(io::stdin()) else { return false };
    if now.local_modes == before.local_modes && now.input_modes == before.input_modes {
        return false;
    }
    let mut out = io::stdout();
    // A terminal that is gone needs no repair.
    let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    tcsetattr(io::stdin(), OptionalActions::Flush, before).is_ok()
}

/// What to say about an end that was not the child's own choice.
fn epitaph(status: ExitStatus, words: &str, restored: bool) -> Option<String> {
    let how = match (status.signal(), status.code()) {
        _ if !words.is_empty() => format!("the cockpit panicked: {words}"),
        (Some(signal), _) => format!("the cockpit was killed by signal {signal}"),
        (None, Some(PANICKED)) => "the cockpit panicked".to_owned(),
        _ if restored => format!("the cockpit ended without cleaning up ({status})"),
        _ => return None,
    };
    let terminal = if restored { " The terminal is restored." } else { "" };
    Some(format!("flightdeck: {how}\n{}{terminal}", "Servers and their rollouts are not affected."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_that_nobody_chose_is_commented() {
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        assert_eq!(epitaph(exit(0), "", false), None);
        assert_eq!(epitaph(exit(3), "", false), None, "the child said why itself");
        let killed = epitaph(ExitStatus::from_raw(9), "", true).unwrap();
        assert!(killed.contains("signal 9") && killed.contains("restored"), "{killed}");
        let panicked = epitaph(exit(101), "at src/a.rs:1:2: no", true).unwrap();
        assert!(panicked.contains("panicked: at src/a.rs:1:2: no"), "{panicked}");
    }

    #[test]
    fn the_child_s_exit_status_is_passed_on() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        assert_eq!(guard(command).unwrap().code(), Some(7));
    }
}
