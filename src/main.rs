//! The program: parses the command line and chooses what runs.

use flightdeck::cockpit::shell::{self, ShellArgs};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    if !shell::guarded() {
        let Ok(exe) = std::env::current_exe() else { return ExitCode::FAILURE };
        let mut command = Command::new(exe);
        command.args(std::env::args_os().skip(1));
        return match shell::guard(command) {
            Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
            Err(_) => ExitCode::FAILURE,
        };
    }
    let runtime =
        std::env::var_os("FLIGHTDECK_RUNTIME_DIR").map_or_else(|| PathBuf::from("/nonexistent"), PathBuf::from);
    let args = ShellArgs {
        servers: vec![("local".to_owned(), runtime.join("server.sock"))],
        theme: "dark".to_owned(),
        theme_dir: None,
        keymap: None,
        log_level: tracing::level_filters::LevelFilter::INFO,
        record: None,
        mouse: true,
        color: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        read_only: false,
    };
    match shell::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
