//! Asking a person at a terminal; a script gets a refusal, not a hang.

use super::act::{self, ActArgs};
use super::output::say;
use super::{Code, Failure};
use crate::model::{Decision, Friction, Pin, Prepared, has_hidden, sanitize_line};
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// What the person agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// What they saw.
    pub pin: Option<Pin>,
    pub reason: Option<String>,
}

/// Shows what a yes would do and asks for as much as was prepared.
pub fn confirm(prepared: &Prepared, args: &ActArgs) -> Result<Confirmed, Failure> {
    let Decision::Allow { friction } = &prepared.decision else {
        return Err(Failure::new(Code::Refused, "refused"));
    };
    let object = act::object(&prepared.subject);
    if has_hidden(&object) {
        return Err(Failure::new(
            Code::Refused,
            format!("refused: the name {:?} holds characters that can't be seen", sanitize_line(&object)),
        ));
    }
    let mut reason = args.reason.clone();
    let asked = *friction != Friction::None && !args.yes;
    if asked {
        if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            let verb = act::verb(prepared.action, &prepared.subject);
            let what = format!("{verb} {object} must be confirmed, and there is no terminal to ask at");
            return Err(Failure::usage(what).todo("add --yes if it is meant; nothing was done"));
        }
        show(prepared, &object);
        if !agrees(friction)? {
            return Err(Failure::failed("not confirmed; nothing was done"));
        }
    }
    if matches!(friction, Friction::ChallengeAndReason(_)) && reason.is_none() {
        if asked {
            reason = Some(ask("Reason: ")?).filter(|text| !text.is_empty());
        }
        if reason.is_none() {
            return Err(Failure::usage("this needs a reason; nothing was done").todo("add --reason TEXT"));
        }
    }
    Ok(Confirmed { pin: prepared.pin.clone(), reason })
}

/// Asks for as much as the friction says.
fn agrees(friction: &Friction) -> Result<bool, Failure> {
    Ok(match friction {
        Friction::None => true,
        Friction::Yes => matches!(ask("Go on? [y/N] ")?.as_str(), "y" | "Y" | "yes"),
        Friction::Challenge(text) | Friction::ChallengeAndReason(text) => {
            friction.accepts(&ask(&format!("Type `{}` (-> will do for →) to go on: ", sanitize_line(text)))?)
        }
    })
}

fn show(prepared: &Prepared, object: &str) {
    say(&format!("{} {object}", act::verb(prepared.action, &prepared.subject)));
    for line in &prepared.forecast.lines {
        say(&format!("  {}", sanitize_line(line)));
    }
    for warning in prepared.forecast.all_warnings() {
        say(&format!("  ! {}", sanitize_line(&warning)));
    }
    if let Some(pin) = &prepared.pin {
        let facts: Vec<_> =
            pin.facts.iter().map(|(fact, value)| format!("{} {}", fact.word(), sanitize_line(value))).collect();
        say(&format!("  pinned: {}", facts.join(", ")));
    }
}

fn ask(question: &str) -> Result<String, Failure> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{question}")?;
    stderr.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
