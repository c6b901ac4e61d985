//! The real program on a pseudo-terminal.

pub mod term;

use rustix::process::{Pid, Signal, kill_process};
use term::Term;

/// What gives a terminal back: alternate screen, mouse, paste off and the cursor on.
const GIVEN_BACK: [&str; 4] = ["\x1b[?1000l", "\x1b[?2004l", "\x1b[?25h", "\x1b[?1049l"];

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

fn assert_given_back(term: &Term) {
    let output = String::from_utf8_lossy(&term.output);
    let entered = output.rfind("\x1b[?1049h").expect("the alternate screen was entered");
    for sequence in GIVEN_BACK {
        let at = output.rfind(sequence).unwrap_or_else(|| panic!("{sequence:?} was not written: {output:?}"));
        assert!(at > entered, "{sequence:?} came before the alternate screen");
    }
    assert_eq!(term.termios(), term.termios_before, "the terminal's settings");
}

#[test]
fn the_first_screen_says_what_was_looked_for_and_offers_a_start() {
    let mut term = Term::cockpit(120, 36, &[]);
    term.wait_for("Nothing found");
    let screen = term.screen();
    for text in ["flightdeck demo", "flightdeck serve", "flightdeck config init", "server.sock", "? help"] {
        assert!(screen.contains(text), "{text} is missing:\n{screen}");
    }
    term.send("q");
    assert_eq!(term.exit(), 0);
    assert_given_back(&term);
}

#[test]
fn the_terminal_may_be_somebody_else_s() {
    let mut term = Term::of_another_user(80, 24);
    term.wait_for("Nothing found");
    term.send("?");
    term.wait_for("Keys of this page");
    term.send("q");
    term.send("q");
    assert_eq!(term.exit(), 0);
    assert_given_back(&term);
}

#[test]
fn too_small_a_terminal_says_so_and_works_again_when_it_grows() {
    let mut term = Term::cockpit(80, 24, &[]);
    term.wait_for("Nothing found");
    term.resize(20, 5);
    term.wait_for("too small");
    assert!(term.screen().contains("20×5"), "{}", term.screen());
    term.resize(100, 30);
    term.wait_for("Nothing found");
    term.send("?");
    term.wait_for("Keys of this page");
}

#[test]
fn a_killed_cockpit_leaves_a_terminal_that_works() {
    let mut term = Term::cockpit(80, 24, &[]);
    term.wait_for("Nothing found");
    let cockpit = term.child();
    kill(cockpit, Signal::KILL);
    let code = term.exit();
    assert_ne!(code, 0);
    assert_given_back(&term);
    let screen = term.screen();
    assert!(screen.contains("killed by signal 9") && screen.contains("The terminal is restored"), "{screen}");
}

#[test]
fn a_panic_leaves_a_terminal_that_works_and_says_where() {
    let mut term = Term::cockpit(100, 24, &[("FLIGHTDECK_PANIC_AFTER_FIRST_FRAME", "1")]);
    assert_ne!(term.exit(), 0);
    assert_given_back(&term);
    let screen = term.screen();
    assert!(screen.contains("the cockpit panicked: at src/cockpit/shell/run.rs:"), "{screen}");
    assert!(screen.contains("asked to panic after a frame"), "{screen}");
}

#[test]
fn a_killed_guardian_takes_its_cockpit_along() {
    // Under a shell: without one the kernel hangs up the terminal, which ends the cockpit anyway.
    let mut term = Term::shell(80, 24);
    term.wait_for("ready>");
    let before = term.termios();
    term.send(&format!("{}\n", env!("CARGO_BIN_EXE_flightdeck")));
    term.wait_for("Nothing found");
    let guardian = term.child();
    kill(guardian, Signal::KILL);
    term.wait(|term| !term.parser.screen().alternate_screen(), "the cockpit to leave the alternate screen");
    term.send("\necho back-$((40+2))\n");
    term.wait_for("back-42");
    assert_eq!(term.termios(), before);
}

#[test]
fn a_termination_signal_ends_both_in_order() {
    let mut term = Term::cockpit(80, 24, &[]);
    term.wait_for("Nothing found");
    kill(term.pid(), Signal::TERM);
    assert_eq!(term.exit(), 0);
    assert_given_back(&term);
    assert!(!term.screen().contains("flightdeck:"), "nothing went wrong, nothing is said");
}

#[test]
fn a_shell_can_suspend_and_continue_it() {
    let mut term = Term::shell(100, 30);
    term.wait_for("ready>");
    let before = term.termios();
    term.send(&format!("{}\n", env!("CARGO_BIN_EXE_flightdeck")));
    term.wait_for("Nothing found");
    term.send("\u{1a}");
    term.wait_for("Stopped");
    assert!(!term.parser.screen().alternate_screen(), "the shell has its own screen back");
    term.send("fg\n");
    term.wait_for("Nothing found");
    assert!(term.parser.screen().alternate_screen());
    term.send("?");
    term.wait_for("Keys of this page");
    term.send("q");
    term.wait(|term| !term.screen().contains("Keys of this page"), "the help to be left");
    term.send("q");
    term.wait(|term| !term.parser.screen().alternate_screen(), "the cockpit to leave the alternate screen");
    term.send("stty -a | head -0; echo back-$((40+2))\n");
    term.wait_for("back-42");
    assert_eq!(term.termios(), before);
}

#[test]
fn garbage_on_the_keyboard_does_no_harm() {
    let mut term = Term::cockpit(80, 24, &[]);
    term.wait_for("Nothing found");
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..40 {
        let mut bytes: Vec<u8> = (0..200).map(|_| random.u8(..)).collect();
        // Keys that end or stop the program do what they say: they are no garbage.
        bytes.retain(|byte| !matches!(byte, b'q' | 0x03 | 0x1a));
        term.send_bytes(&bytes);
    }
    // Terminal replies, broken sequences, a paste that was never ended.
    term.send("\x1b[?62;22c\x1b]11;rgb:0/0/0\x1b\\\x1b[999;999R\x1b[<0;1\x1b[200~paste\x1b[201~\x1bO\x1b[~~~~");
    // Only a paste takes everything up to its end.
    term.send("\x1b[201~");
    // Whatever that opened or typed: it still answers, and ends when told to.
    term.resize(20, 5);
    term.wait_for("too small");
    term.send("\u{3}\u{3}\u{3}");
    assert_eq!(term.exit(), 0);
    assert_given_back(&term);
}

#[test]
fn no_color_means_none() {
    let mut term = Term::cockpit(80, 24, &[("NO_COLOR", "1")]);
    term.wait_for("Nothing found");
    term.send("?");
    term.wait_for("Keys of this page");
    let colors = term.colors();
    assert!(colors.is_empty(), "{colors:?}");
    let mut term = Term::cockpit(80, 24, &[]);
    term.wait_for("Nothing found");
    assert!(!term.colors().is_empty(), "without it there are colours, so that this can fail");
}
