//! Themes: styles by meaning. A view never names a colour; it asks for a [`Scope`].

use flightdeck_model::{Phase, Stage};
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

macro_rules! scopes {
    ($($variant:ident $name:literal $doc:literal;)*) => {
        /// What a piece of the screen means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $(#[doc = $doc] $variant,)*
        }

        impl Scope {
            /// Every scope with its name in a theme file and what it is for.
            pub const TABLE: &'static [(Scope, &'static str, &'static str)] = &[$((Scope::$variant, $name, $doc),)*];
        }
    };
}

scopes! {
    Text "text" "Ordinary text.";
    Dim "text.dim" "Secondary text.";
    Faint "text.faint" "What only fills.";
    Strong "text.strong" "What the eye should find first.";
    Link "text.link" "A command or address that can be used as it stands.";
    Border "border" "Lines around panels.";
    BorderFocus "border.focus" "Lines around the panel that takes the keys.";
    Title "title" "A panel's name.";
    TitleFocus "title.focus" "The name of the panel that takes the keys.";
    Brand "brand" "The program's name.";
    Column "column" "Heads of columns.";
    Key "key" "A key that does something now.";
    KeyOff "key.off" "A key that does nothing now.";
    Selection "selection" "The selected row.";
    SelectionBar "selection.bar" "The bar before the selected row.";
    Mark "mark" "The sign of a marked row.";
    PhaseAny "phase" "A phase without a style of its own.";
    PhaseUnknown "phase.unknown" "The backend said something that is not known.";
    PhaseInitializing "phase.initializing" "A first version comes up.";
    PhaseQueued "phase.queued" "Waits in line.";
    PhaseProgressing "phase.progressing" "Moves.";
    PhasePaused "phase.paused" "Stands still.";
    PhaseDegraded "phase.degraded" "Up, but not well.";
    PhaseFailed "phase.failed" "Ended without success.";
    PhaseAborted "phase.aborted" "Stable has the traffic.";
    PhaseRollingBack "phase.rolling-back" "On its way back.";
    PhaseSuperseded "phase.superseded" "Replaced by a newer one.";
    PhaseHealthy "phase.healthy" "Done and serving.";
    SeverityFailing "severity.failing" "Users are hurt.";
    SeverityApproval "severity.approval" "A yes is missing.";
    SeverityPaused "severity.paused" "Waits for a person.";
    SeverityDegraded "severity.degraded" "Not well.";
    SeverityStale "severity.stale" "May be old.";
    ArmStable "arm.stable" "Whatever stable does.";
    ArmCandidate "arm.candidate" "Whatever the candidate does.";
    ArmOther "arm.other" "Any other arm.";
    BarRest "bar.rest" "The empty part of a bar.";
    BarDesired "bar.desired" "Where a bar should end.";
    ChartAxis "chart.axis" "Numbers and lines of a chart.";
    ChartLimit "chart.limit" "A limit that must not be crossed.";
    ChartMark "chart.mark" "A moment in a chart.";
    StepDone "step.done" "A step that is behind.";
    StepCurrent "step.current" "The step that a rollout is at.";
    StepAhead "step.ahead" "A step that is to come.";
    LinkAny "link" "A connection without a style of its own.";
    LinkLive "link.live" "Complete and followed.";
    LinkConnecting "link.connecting" "Being made.";
    LinkStale "link.stale" "May be old.";
    LinkDenied "link.denied" "Not allowed.";
    TonePlain "tone.plain" "A notice.";
    ToneGood "tone.good" "Something was seen to have worked.";
    ToneWarn "tone.warn" "Something to look at.";
    ToneBad "tone.bad" "Something did not work.";
    StageOpen "stage" "A command on its way.";
    StageGood "stage.good" "A command that was seen to work.";
    StageBad "stage.bad" "A command that did not work.";
    Hold "hold" "A hold in force.";
    DialogRaises "dialog.raises" "The frame of a confirmation that raises exposure.";
    DialogReduces "dialog.reduces" "The frame of a confirmation that reduces exposure.";
    DialogWarning "dialog.warning" "A warning before a yes.";
    DialogChallenge "dialog.challenge" "The text to type.";
    Input "input" "What is being typed.";
    InputHint "input.hint" "What could be typed.";
    LogError "log.error" "An error in the log.";
    LogWarn "log.warn" "A warning in the log.";
    LogInfo "log.info" "Information in the log.";
    LogDebug "log.debug" "Details in the log.";
    LogTrace "log.trace" "Everything in the log.";
}

impl Scope {
    /// Of a phase.
    pub const fn phase(phase: Phase) -> Scope {
        match phase {
            Phase::Unknown => Scope::PhaseUnknown,
            Phase::Initializing => Scope::PhaseInitializing,
            Phase::Queued => Scope::PhaseQueued,
            Phase::Progressing => Scope::PhaseProgressing,
            Phase::Paused => Scope::PhasePaused,
            Phase::Degraded => Scope::PhaseDegraded,
            Phase::Failed => Scope::PhaseFailed,
            Phase::Aborted => Scope::PhaseAborted,
            Phase::RollingBack => Scope::PhaseRollingBack,
            Phase::Superseded => Scope::PhaseSuperseded,
            Phase::Healthy => Scope::PhaseHealthy,
        }
    }

    /// Of a receipt's stage.
    pub const fn stage(stage: &Stage) -> Scope {
        match stage {
            Stage::Effective { .. } => Scope::StageGood,
            Stage::Refused { .. } | Stage::Failed { .. } | Stage::Reverted { .. } | Stage::TimedOut { .. } => {
                Scope::StageBad
            }
            _ => Scope::StageOpen,
        }
    }
}

/// A checked theme: a style for every scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Theme {
    /// Its name: the file's, without `.toml`.
    pub name: String,
    styles: Vec<Style>,
}

impl Theme {
    /// The style of a scope.
    #[must_use]
    pub fn style(&self, scope: Scope) -> Style {
        self.styles.get(scope as usize).copied().unwrap_or_default()
    }

    /// Reads a theme file. `color`: false keeps only what is no colour, as `NO_COLOR` asks.
    pub fn parse(name: &str, text: &str, color: bool) -> Result<Theme, ThemeError> {
        let wrong = |line: usize, what: String| ThemeError::Wrong { theme: name.to_owned(), line, what };
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            wrong(line, error.message().to_owned())
        })?;
        let mut given: BTreeMap<&str, Style> = BTreeMap::new();
        for (scope, paint) in &file.scopes {
            let line = line_of(text, paint.span().start);
            if !Scope::TABLE.iter().any(|(_, known, _)| *known == scope.as_str()) {
                return Err(wrong(line, format!("there is no scope {scope:?}{}", suggestion(scope))));
            }
            let style = paint.get_ref().style(&file.palette).map_err(|what| wrong(line, what))?;
            given.insert(scope, if color { style } else { colorless(style) });
        }
        let styles = Scope::TABLE.iter().map(|(scope, name, _)| {
            let style = inherited(name, &given);
            // Without colour the selected row still has to stand out.
            if !color && *scope == Scope::Selection { style.add_modifier(Modifier::REVERSED) } else { style }
        });
        Ok(Theme { name: name.to_owned(), styles: styles.collect() })
    }
}

/// The style of the longest prefix that the theme has.
fn inherited(name: &str, given: &BTreeMap<&str, Style>) -> Style {
    let mut name = name;
    loop {
        if let Some(style) = given.get(name) {
            return *style;
        }
        match name.rsplit_once('.') {
            Some((shorter, _)) => name = shorter,
            None => return Style::new(),
        }
    }
}

fn colorless(style: Style) -> Style {
    Style { fg: None, bg: None, underline_color: None, ..style }
}

fn suggestion(scope: &str) -> String {
    Scope::TABLE
        .iter()
        .map(|(_, known, _)| (strsim::jaro_winkler(scope, known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, known)| format!("; did you mean {known:?}?"))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    palette: BTreeMap<String, Paint>,
    #[serde(default)]
    scopes: BTreeMap<String, toml::Spanned<Look>>,
}

/// A colour as written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Paint {
    Index(u8),
    Name(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    fg: Option<Paint>,
    bg: Option<Paint>,
    #[serde(default)]
    bold: bool,
    #[serde(default)]
    dim: bool,
    #[serde(default)]
    italic: bool,
    #[serde(default)]
    underlined: bool,
    #[serde(default)]
    reversed: bool,
}

impl Look {
    fn style(&self, palette: &BTreeMap<String, Paint>) -> Result<Style, String> {
        let mut style = Style::new();
        if let Some(paint) = &self.fg {
            style = style.fg(paint.color(palette)?);
        }
        if let Some(paint) = &self.bg {
            style = style.bg(paint.color(palette)?);
        }
        for (on, modifier) in [
            (self.bold, Modifier::BOLD),
            (self.dim, Modifier::DIM),
            (self.italic, Modifier::ITALIC),
            (self.underlined, Modifier::UNDERLINED),
            (self.reversed, Modifier::REVERSED),
        ] {
            if on {
                style = style.add_modifier(modifier);
            }
        }
        Ok(style)
    }
}

impl Paint {
    fn color(&self, palette: &BTreeMap<String, Paint>) -> Result<Color, String> {
        match self {
            Paint::Index(index) => Ok(Color::Indexed(*index)),
            Paint::Name(name) => match palette.get(name) {
                // One level: a palette entry names a colour, not another entry.
                Some(Paint::Index(index)) => Ok(Color::Indexed(*index)),
                Some(Paint::Name(color)) => named(color),
                None => named(name),
            },
        }
    }
}

fn named(name: &str) -> Result<Color, String> {
    Color::from_str(name)
        .map_err(|_| format!("{name:?} is no colour: expected a palette entry, a name, 0 to 255 or \"#rrggbb\""))
}

/// Why a theme can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ThemeError {
    /// Something in it is wrong.
    #[error("theme {theme}, line {line}: {what}")]
    Wrong {
        theme: String,
        /// Counted from 1.
        line: usize,
        /// What was expected and found.
        what: String,
    },
    /// A file can't be read.
    #[error("cannot read the theme {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// There is none of that name.
    #[error("there is no theme {name:?}; there are: {}", known.join(", "))]
    Unknown {
        /// As asked for.
        name: String,
        /// Those that exist.
        known: Vec<String>,
    },
}

/// All themes: the built-in ones and a user's own, which may replace them.
#[derive(Debug, Clone)]
pub struct Themes(BTreeMap<String, Theme>);

impl Themes {
    /// The built-in themes and each `*.toml` file as (name, text). Reads nothing itself.
    pub fn new(own: &[(String, String)], color: bool) -> Result<Themes, ThemeError> {
        let built_in = [
            ("dark", include_str!("../../../themes/dark.toml")),
            ("light", include_str!("../../../themes/light.toml")),
        ];
        let own = own.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let themes = built_in.into_iter().chain(own);
        Ok(Themes(
            themes
                .map(|(name, text)| Ok((name.to_owned(), Theme::parse(name, text, color)?)))
                .collect::<Result<_, ThemeError>>()?,
        ))
    }

    /// The theme of that name.
    pub fn get(&self, name: &str) -> Result<&Theme, ThemeError> {
        self.0.get(name).ok_or_else(|| ThemeError::Unknown { name: name.to_owned(), known: self.names() })
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// The path of a theme's file in a directory, with its name. Shells list and read it.
#[must_use]
pub fn theme_name(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    (path.extension()? == "toml").then(|| stem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_built_in_themes_give_every_state_a_style() {
        let themes = Themes::new(&[], true).unwrap();
        assert_eq!(themes.names(), ["dark", "light"]);
        for name in themes.names() {
            let theme = themes.get(&name).unwrap();
            for (scope, name, _) in Scope::TABLE {
                let plain = matches!(scope, Scope::Text | Scope::TonePlain | Scope::LogInfo);
                assert_eq!(theme.style(*scope) == Style::new(), plain, "{} {name}", theme.name);
            }
        }
    }

    #[test]
    fn a_missing_scope_falls_back_to_its_shorter_name() {
        let theme = Theme::parse("t", "[scopes]\nphase = { fg = 7 }\n\"phase.paused\" = { fg = 3 }", true).unwrap();
        assert_eq!(theme.style(Scope::PhasePaused).fg, Some(Color::Indexed(3)));
        assert_eq!(theme.style(Scope::PhaseFailed).fg, Some(Color::Indexed(7)));
        assert_eq!(theme.style(Scope::Border), Style::new());
    }

    #[test]
    fn mistakes_are_named_with_line_and_suggestion() {
        for (text, expected) in [
            (
                "[scopes]\n\"phase.pasued\" = { fg = 3 }",
                "theme t, line 2: there is no scope \"phase.pasued\"; did you mean \"phase.paused\"?",
            ),
            ("[scopes]\ntext = { fg = \"redish\" }", "theme t, line 2: \"redish\" is no colour"),
            ("[scopes]\ntext = { fgg = 1 }", "theme t, line 2: unknown field `fgg`"),
            ("[scope]\n", "unknown field `scope`"),
        ] {
            let error = Theme::parse("t", text, true).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let error = Themes::new(&[], true).unwrap().get("drak").unwrap_err().to_string();
        assert_eq!(error, "there is no theme \"drak\"; there are: dark, light");
    }

    #[test]
    fn without_colour_only_attributes_are_left() {
        let themes = Themes::new(&[], false).unwrap();
        let theme = themes.get("dark").unwrap();
        for (scope, name, _) in Scope::TABLE {
            let style = theme.style(*scope);
            assert_eq!((style.fg, style.bg), (None, None), "{name}");
        }
        assert!(theme.style(Scope::Selection).add_modifier.contains(Modifier::REVERSED));
    }
}
