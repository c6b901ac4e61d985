//! How often a system is asked, and over which span it takes its numbers: two keys that all of them have.

use flightdeck_port::WrongSetting;
use jiff::SignedDuration;

/// Asked more often than that, a system that has new numbers each 15 s has nothing new to tell.
const SHORTEST: SignedDuration = SignedDuration::from_secs(5);
/// Asked less often than that, what is shown is no help to whoever watches a rollout.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
const EVERY: SignedDuration = SignedDuration::from_secs(15);
const RANGE: SignedDuration = SignedDuration::from_secs(60);

/// `every` and `range`, as they are written and as they are meant.
pub(super) fn cadence(
    every: Option<&str>,
    range: Option<&str>,
) -> Result<(SignedDuration, SignedDuration), WrongSetting> {
    let every = span("every", every, EVERY)?;
    if !(SHORTEST..=LONGEST).contains(&every) {
        return Err(WrongSetting::at("every", format!("expected \"5s\" to \"5m\", found {every:#}")));
    }
    let range = span("range", range, RANGE.max(every))?;
    if range < every {
        let what = format!("expected no less than `every` ({every:#}), found {range:#}");
        return Err(WrongSetting::at("range", what));
    }
    Ok((every, range))
}

/// `15s`, `2m`.
pub(super) fn span(
    key: &'static str,
    written: Option<&str>,
    usual: SignedDuration,
) -> Result<SignedDuration, WrongSetting> {
    let Some(text) = written else { return Ok(usual) };
    text.parse().map_err(|_| WrongSetting::at(key, format!("expected a span such as \"15s\", found {text:?}")))
}
