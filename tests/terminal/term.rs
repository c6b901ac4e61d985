//! A pseudo-terminal with a program on it and a screen that understands what it writes.

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::fs::Permissions;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest wait for anything; named in the failure.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two keys.
const PACE: Duration = Duration::from_millis(30);

pub struct Term {
    pub parser: vt100::Parser,
    /// Every byte that was written.
    pub output: Vec<u8>,
    pub termios_before: String,
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    bytes: Receiver<Vec<u8>>,
    /// When something was typed last.
    sent: Instant,
    _dir: tempfile::TempDir,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

impl Term {
    /// The cockpit, with directories of its own and no server.
    pub fn cockpit(columns: u16, rows: u16, env: &[(&str, &str)]) -> Term {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_flightdeck"));
        command.env_remove("NO_COLOR");
        for (name, value) in env {
            command.env(name, value);
        }
        Term::start(columns, rows, command)
    }

    /// The cockpit as under su: on a terminal whose device is somebody else's.
    pub fn of_another_user(columns: u16, rows: u16) -> Term {
        let program = env!("CARGO_BIN_EXE_flightdeck");
        if !rustix::process::getuid().is_root() {
            return Term::start_on(columns, rows, CommandBuilder::new(program), |_, device| {
                std::fs::set_permissions(device, Permissions::from_mode(0o000)).unwrap();
            });
        }
        // Root may open everything, so it becomes nobody, who may read neither the build nor the folder.
        let mut command = CommandBuilder::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "./flightdeck"]);
        Term::start_on(columns, rows, command, |dir, _| {
            std::fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
            std::fs::copy(program, dir.join("flightdeck")).unwrap();
        })
    }

    /// An interactive shell with job control.
    pub fn shell(columns: u16, rows: u16) -> Term {
        let mut command = CommandBuilder::new("bash");
        command.args(["--norc", "--noprofile", "--noediting", "-i"]);
        command.env("PS1", "ready> ");
        command.env_remove("NO_COLOR");
        Term::start(columns, rows, command)
    }

    fn start(columns: u16, rows: u16, command: CommandBuilder) -> Term {
        Term::start_on(columns, rows, command, |_, _| {})
    }

    /// `prepare` is given the folder of its own and the terminal's device.
    fn start_on(columns: u16, rows: u16, mut command: CommandBuilder, prepare: impl FnOnce(&Path, &Path)) -> Term {
        let dir = tempfile::tempdir().unwrap();
        for part in ["CONFIG", "DATA", "STATE", "RUNTIME"] {
            command.env(format!("FLIGHTDECK_{part}_DIR"), dir.path().join(part.to_lowercase()));
        }
        command.env("TERM", "xterm-256color");
        command.cwd(dir.path());
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let termios_before = termios(&*pair.master);
        prepare(dir.path(), &pair.master.tty_name().expect("its device has a name"));
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            // The kernel answers with an error once nobody holds the terminal any more.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let parser = vt100::Parser::new(NonZero::new(rows).unwrap(), NonZero::new(columns).unwrap(), 0);
        Term {
            parser,
            output: Vec::new(),
            termios_before,
            master: pair.master,
            writer,
            child,
            bytes,
            sent: Instant::now(),
            _dir: dir,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it was started")
    }

    /// The process that it started.
    pub fn child(&self) -> u32 {
        let pid = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().next().expect("it has a child").parse().unwrap()
    }

    pub fn termios(&self) -> String {
        termios(&*self.master)
    }

    pub fn screen(&self) -> String {
        self.parser.screen().contents()
    }

    /// Types, no sooner after what was typed before than a hand would: what comes faster is taken for a paste.
    pub fn send(&mut self, text: &str) {
        let until = self.sent + PACE;
        while Instant::now() < until && self.pump(until) {}
        self.send_bytes(text.as_bytes());
        self.sent = Instant::now();
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).unwrap();
        self.writer.flush().unwrap();
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.parser.screen_mut().set_size(NonZero::new(rows).unwrap(), NonZero::new(columns).unwrap());
        self.master.resize(size(columns, rows)).unwrap();
    }

    /// Waits until the screen shows a text.
    pub fn wait_for(&mut self, text: &str) {
        self.wait(|term| term.screen().contains(text), text);
    }

    /// Waits until something holds.
    pub fn wait(&mut self, holds: impl Fn(&Term) -> bool, what: &str) {
        let end = Instant::now() + DEADLINE;
        while !holds(self) {
            assert!(self.pump(end), "waited for {what:?}; the screen:\n{}", self.screen());
        }
    }

    /// Waits until nobody holds the terminal.
    pub fn wait_for_end_of_output(&mut self) {
        let end = Instant::now() + DEADLINE;
        while self.pump(end) {}
        assert!(Instant::now() < end, "waited for everybody to let go of the terminal");
    }

    /// Waits until the program ended; gives its exit code.
    pub fn exit(&mut self) -> u32 {
        self.wait_for_end_of_output();
        self.child.wait().unwrap().exit_code()
    }

    /// SGR codes that choose a colour.
    pub fn colors(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.output);
        let sequences = text.split("\x1b[").skip(1).filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            rest[end..].starts_with('m').then(|| &rest[..end])
        });
        let chooses = |code: &str| matches!(code.parse::<u16>(), Ok(30..=38 | 40..=48 | 90..=107));
        sequences.filter(|codes| codes.split(';').any(chooses)).map(str::to_owned).collect()
    }

    /// Takes in what was written; false at the end of output or of the time.
    fn pump(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        match self.bytes.recv_timeout(left) {
            Ok(bytes) => {
                self.parser.process(&bytes);
                self.output.extend(bytes);
                true
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        }
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        // A test that failed leaves a program behind.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn termios(master: &dyn MasterPty) -> String {
    let settings = master.get_termios().expect("a terminal has settings");
    format!("{:?} {:?} {:?}", settings.input_flags, settings.output_flags, settings.local_flags)
}
