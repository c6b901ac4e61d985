use crate::support::live::{EXE, Server};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use std::io::{Read, Write};

/// Runs a command at a terminal; answers each question with what `reply` makes of what was shown.
fn at_a_terminal(server: &Server, args: &[&str], reply: impl Fn(&str) -> Option<String>) -> (u32, String) {
    let pty = native_pty_system().openpty(PtySize { rows: 24, cols: 200, pixel_width: 0, pixel_height: 0 }).unwrap();
    let mut command = CommandBuilder::new(EXE);
    command.args(args);
    command.cwd(server.path());
    for (name, folder) in [("CONFIG", "config"), ("DATA", "data"), ("STATE", "state"), ("RUNTIME", "run")] {
        command.env(format!("FLIGHTDECK_{name}_DIR"), server.path().join(folder));
    }
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let (mut reader, mut writer) = (pty.master.try_clone_reader().unwrap(), pty.master.take_writer().unwrap());
    let (mut shown, mut from) = (String::new(), 0);
    let mut bytes = [0; 1024];
    // A pseudo-terminal whose program has ended gives an error or nothing.
    while let Ok(count @ 1..) = reader.read(&mut bytes) {
        shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if let Some(answer) = reply(&shown[from..]) {
            from = shown.len();
            writeln!(writer, "{answer}").unwrap();
        }
    }
    (child.wait().unwrap().exit_code(), shown)
}

fn challenge(shown: &str) -> Option<String> {
    let (_, rest) = shown.split_once("Type `")?;
    let (text, rest) = rest.split_once('`')?;
    rest.contains("go on: ").then(|| text.to_owned())
}

#[test]
fn at_a_terminal_it_shows_what_a_yes_does_and_asks() {
    let server = Server::start();
    server.with_canary();
    // Raising exposure in a critical environment: the text names the target and must be typed.
    let (code, shown) = at_a_terminal(&server, &["promote", "shop"], |shown| challenge(shown).map(|_| "y".to_owned()));
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("pinned: ") && shown.contains("not confirmed; nothing was done"), "{shown}");
    assert!(challenge(&shown).unwrap().starts_with("shop "), "{shown}");
    assert_eq!(server.rollout().unwrap().step, Some(1));
    let (code, shown) = at_a_terminal(&server, &["promote", "shop", "--wait"], challenge);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(server.rollout().unwrap().step, Some(3));
    // Reducing it asks for no more than a y.
    let yes = |shown: &str| shown.contains("[y/N]").then(|| "y".to_owned());
    let (code, shown) = at_a_terminal(&server, &["abort", "shop", "--wait"], yes);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(server.rollout().unwrap().phase, flightdeck::model::Phase::Aborted);
}
