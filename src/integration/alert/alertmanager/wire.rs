//! What Alertmanager's API v2 says and is told. Pure.

use super::super::labels::{self, Naming, Told, short};
use flightdeck_model::{
    Alert, AlertState, Command, LONGEST_NAME, MadeSilence, Silence, SourceId, Subject, sanitize_json, sanitize_line,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Characters of a silence's matchers, and of its reason.
const LONGEST_WORDS: usize = 300;
/// What stands before the part of a comment that is ours.
const OURS: &str = "flightdeck: ";

#[derive(Debug, Deserialize)]
pub(super) struct WireAlert {
    pub fingerprint: String,
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(rename = "startsAt")]
    pub starts_at: Timestamp,
    #[serde(default, rename = "generatorURL")]
    pub generator_url: Option<String>,
    pub status: AlertStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlertStatus {
    /// `unprocessed` is one that came a moment ago: it fires.
    #[serde(rename = "state")]
    _state: String,
    #[serde(default)]
    silenced_by: Vec<String>,
    #[serde(default)]
    inhibited_by: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireSilence {
    pub id: String,
    matchers: Vec<Matcher>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    created_by: String,
    comment: String,
    pub status: SilenceStatus,
}

#[derive(Debug, Deserialize)]
pub(super) struct SilenceStatus {
    pub state: String,
}

/// A label and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Matcher {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default = "yes")]
    is_equal: bool,
}

const fn yes() -> bool {
    true
}

impl Matcher {
    fn words(&self) -> String {
        let sign = match (self.is_regex, self.is_equal) {
            (false, true) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (true, false) => "!~",
        };
        format!("{}{sign}{:?}", self.name, self.value)
    }
}

/// A new silence.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSilence {
    matchers: Vec<Matcher>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    created_by: String,
    comment: String,
}

/// What a new silence is answered with.
#[derive(Debug, Deserialize)]
pub(super) struct Made {
    #[serde(rename = "silenceID")]
    pub silence_id: String,
}

impl WireAlert {
    pub fn row(&self, source: &SourceId, naming: &Naming) -> Alert {
        let ids = |ids: &[String]| ids.iter().map(|id| short(id, LONGEST_NAME)).collect::<Vec<_>>();
        let AlertStatus { silenced_by, inhibited_by, .. } = &self.status;
        let state = if !silenced_by.is_empty() {
            AlertState::Silenced { by: ids(silenced_by).into_iter().map(Into::into).collect() }
        } else if !inhibited_by.is_empty() {
            AlertState::Inhibited { by: ids(inhibited_by) }
        } else {
            AlertState::Firing
        };
        let told = Told {
            fingerprint: &self.fingerprint,
            labels: &self.labels,
            annotations: &self.annotations,
            since: self.starts_at,
            url: self.generator_url.as_deref(),
            state,
        };
        labels::alert(source, told, naming)
    }
}

impl WireSilence {
    pub fn is_over(&self) -> bool {
        self.status.state == "expired"
    }

    /// What it says of itself, where a command of ours made it.
    pub fn made(&self) -> Option<MadeSilence> {
        let (_, ours) = self.comment.rsplit_once(OURS)?;
        serde_json::from_str(&sanitize_json(ours, sanitize_line)).ok()
    }

    pub fn row(&self, source: &SourceId) -> Silence {
        let made = self.made();
        let reason = match (&made, self.comment.rsplit_once(OURS)) {
            (Some(_), Some((reason, _))) => reason,
            _ => &self.comment,
        };
        let matches: Vec<String> = self.matchers.iter().map(Matcher::words).collect();
        Silence {
            source: source.clone(),
            id: short(&self.id, LONGEST_NAME).into(),
            matches: short(&matches.join(", "), LONGEST_WORDS),
            owner: short(&self.created_by, LONGEST_WORDS),
            reason: short(reason, LONGEST_WORDS),
            since: self.starts_at,
            until: self.ends_at,
            made,
        }
    }
}

/// The silence that a command asks for: of exactly the labels of that alert. Its comment says which command made it and
/// for which rollout, so that whoever looks later knows when it ends.
pub(super) fn silence(command: &Command, who: &str, alert: &WireAlert, now: Timestamp) -> Option<NewSilence> {
    let Subject::Alert { run, lasts, .. } = &command.subject else { return None };
    let matcher = |(name, value): (&String, &String)| Matcher {
        name: name.clone(),
        value: value.clone(),
        is_regex: false,
        is_equal: true,
    };
    let made = MadeSilence { command: command.id.clone(), run: run.clone() };
    let ours = serde_json::to_string(&made).ok()?;
    Some(NewSilence {
        matchers: alert.labels.iter().map(matcher).collect(),
        starts_at: now,
        ends_at: now.saturating_add(*lasts).unwrap_or(Timestamp::MAX),
        created_by: who.to_owned(),
        comment: format!("{}\n{OURS}{ours}", command.reason.as_deref().unwrap_or_default().trim()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::settings::Labels;
    use super::*;
    use flightdeck_model::{Action, Run, Target};
    use jiff::SignedDuration;
    use serde_json::json;

    /// As Alertmanager 0.25 answered.
    const RECORDED: &str = r#"[{"annotations":{"summary":"5 % of requests fail"},
        "endsAt":"2026-11-30T17:42:11.523Z","fingerprint":"3e7a6bf4f2f4d6a3","receivers":[{"name":"none"}],
        "startsAt":"2026-11-30T17:37:11.523+00:00","status":{"inhibitedBy":[],"silencedBy":["8c1c"],"state":"suppressed"},
        "updatedAt":"2026-11-30T17:37:11.530Z","generatorURL":"http://prom/graph",
        "labels":{"alertname":"HighErrors","namespace":"shop","deployment":"web","severity":"critical"}}]"#;

    fn recorded() -> WireAlert {
        serde_json::from_str::<Vec<WireAlert>>(RECORDED).unwrap().remove(0)
    }

    #[test]
    fn an_alert_is_read_with_who_silenced_it() {
        let row = recorded().row(&"am".into(), &Labels::default().naming().unwrap());
        assert_eq!((row.name.as_str(), row.state), ("HighErrors", AlertState::Silenced { by: vec!["8c1c".into()] }));
        assert_eq!(row.about.workload.as_deref(), Some("web"));
        let mut quiet = recorded();
        quiet.status = AlertStatus { _state: "suppressed".into(), silenced_by: vec![], inhibited_by: vec!["a".into()] };
        let row = quiet.row(&"am".into(), &Labels::default().naming().unwrap());
        assert_eq!(row.state, AlertState::Inhibited { by: vec!["a".into()] });
    }

    #[test]
    fn a_silence_says_which_command_made_it_and_for_which_rollout() {
        let target = Target {
            source: "east".into(),
            kind: "Deployment".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
            uid: "u-1".into(),
            first_name: None,
        };
        let run = Run { target, revision: "7".into() };
        let subject = Subject::Alert {
            source: "am".into(),
            fingerprint: "f".into(),
            run: Some(run.clone()),
            lasts: SignedDuration::from_hours(1),
        };
        let reason = Some("known: flightdeck: really".to_owned());
        let command = Command { id: "c-1".into(), action: Action::Silence, subject, pin: None, reason };
        let now: Timestamp = "2026-11-30T18:00:00Z".parse().unwrap();
        let wire = serde_json::to_value(silence(&command, "ann", &recorded(), now).unwrap()).unwrap();
        assert_eq!(wire["endsAt"], "2026-11-30T19:00:00Z");
        assert_eq!(wire["matchers"].as_array().unwrap().len(), 4, "exactly that alert");
        let mut told = wire.clone();
        told["id"] = json!("8c1c");
        told["status"] = json!({"state": "active"});
        let row = serde_json::from_value::<WireSilence>(told.clone()).unwrap().row(&"am".into());
        assert_eq!(row.made, Some(MadeSilence { command: "c-1".into(), run: Some(run) }));
        assert_eq!((row.owner.as_str(), row.reason.as_str()), ("ann", "known: flightdeck: really"));
        assert!(row.matches.contains(r#"alertname="HighErrors""#), "{}", row.matches);
        told["comment"] = json!("mine");
        assert_eq!(serde_json::from_value::<WireSilence>(told).unwrap().made(), None);
    }
}
