//! What people are told of, from rows as they come. Pure.

use flightdeck_model::{
    Action, Approval, ApprovalState, Arm, Breach, BreachResponse, Command, DeploymentKind, DeploymentOutcome, Entity,
    EnvironmentName, Receipt, Rollout, RolloutRecord, Run, Selector, ServiceName, Step, Subject, Target, Wait,
    WatchdogStatus,
};
use flightdeck_port::{BreachNews, CommandNews, Notification, NotifyEvent};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Which of them a destination gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Which events; none: all.
    pub events: Vec<NotifyEvent>,
    /// In which environments; none: all.
    pub environments: Vec<String>,
    /// Of which services; none: all.
    pub services: Vec<String>,
}

impl Wanted {
    /// Is it one of them?
    #[must_use]
    pub fn takes(&self, notification: &Notification) -> bool {
        (self.events.is_empty() || self.events.contains(&notification.event))
            && (self.environments.is_empty() || self.environments.contains(&notification.environment))
            && (self.services.is_empty() || self.services.contains(&notification.service))
    }
}

/// Which service in which environment a target is: commands name the target alone.
pub(super) type Places = BTreeMap<Target, (ServiceName, EnvironmentName)>;

/// What a row that came means to people outside, if anything. The same fact has the same id, however often it is
/// told and by whichever process.
#[must_use]
pub(super) fn of(entity: &Entity, places: &Places) -> Vec<Notification> {
    match entity {
        Entity::RolloutRecord(deployment) => ended(deployment).into_iter().collect(),
        Entity::Approval(approval) => asked(approval).into_iter().collect(),
        Entity::Rollout(rollout) => waits(rollout).into_iter().chain(broke(rollout)).collect(),
        Entity::Receipt(receipt) => commanded(receipt, places).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// A notification of nothing yet; what it is of is the event's own.
fn blank(trace_id: String, (service, environment): (&str, &str)) -> Notification {
    Notification {
        id: String::new(),
        event: NotifyEvent::Test,
        at: Timestamp::UNIX_EPOCH,
        source: String::new(),
        service: service.to_owned(),
        environment: environment.to_owned(),
        run: String::new(),
        trace_id,
        from: None,
        to: String::new(),
        author: None,
        why: String::new(),
        breach: None,
        rollout: None,
        command: None,
    }
}

/// The same of a run.
fn about(run: &Run, service: &ServiceName, environment: &EnvironmentName) -> Notification {
    let Target { source, kind, uid, .. } = &run.target;
    let trace_id = hash(&["run", &named_first(run), source.as_str(), kind, uid]);
    Notification {
        source: source.0.clone(),
        run: run.to_string(),
        ..blank(trace_id, (service.as_str(), environment.as_str()))
    }
}

fn ended(of: &RolloutRecord) -> Option<Notification> {
    // A rehearsal says nothing of users.
    if of.kind == DeploymentKind::Drill {
        return None;
    }
    let event = match (of.outcome, of.kind) {
        (DeploymentOutcome::Failed, _) => NotifyEvent::Failed,
        (DeploymentOutcome::Aborted, _) => NotifyEvent::Aborted,
        (DeploymentOutcome::RolledBack, _) | (DeploymentOutcome::Succeeded, DeploymentKind::Rollback) => {
            NotifyEvent::RolledBack
        }
        (DeploymentOutcome::Succeeded, _) => NotifyEvent::Succeeded,
        (DeploymentOutcome::Superseded, _) => NotifyEvent::Superseded,
    };
    Some(Notification {
        id: id(&["ended", &named_first(&of.run), of.outcome.word()]),
        event,
        at: of.ended,
        from: of.from.as_ref().map(ToString::to_string),
        to: of.to.to_string(),
        author: of.author.clone(),
        why: of.cause.clone(),
        // What its output said is for those who may read it here.
        rollout: Some(Box::new(RolloutRecord { diagnosis: None, ..of.clone() })),
        ..about(&of.run, &of.service, &of.environment)
    })
}

fn asked(of: &Approval) -> Option<Notification> {
    if of.state != ApprovalState::Pending {
        return None;
    }
    let who = if of.requirement.from.is_empty() { "anybody".to_owned() } else { of.requirement.from.join(" or ") };
    Some(Notification {
        id: id(&["approval", of.run.target.source.as_str(), of.id.as_str()]),
        event: NotifyEvent::WaitsForPerson,
        at: of.requested,
        from: of.from.as_ref().map(|from| from.version.to_string()),
        to: of.to.version.to_string(),
        author: Some(of.author.clone()),
        why: format!("{} needs {} yes of {who}", of.what, of.requirement.count),
        ..about(&of.run, &of.service, &of.environment)
    })
}

fn waits(of: &Rollout) -> Option<Notification> {
    // That is asked of people by itself.
    if of.step.and_then(|at| of.steps.get(at as usize)).is_some_and(|step| matches!(step, Step::Approval { .. })) {
        return None;
    }
    // What a person stopped they know of.
    let (what, since) = of.waits.iter().find_map(|wait| match wait {
        Wait::Human { what, who: None, since } => Some((what, since)),
        _ => None,
    })?;
    let step = of.step.map(|step| step.to_string()).unwrap_or_default();
    Some(Notification {
        id: id(&["waits", &named_first(&of.run), &step, &since.to_string()]),
        event: NotifyEvent::WaitsForPerson,
        at: *since,
        why: what.clone(),
        ..in_flight(of)
    })
}

/// Told once a try of a run, whatever is done about it later: without its moment, which is another one after a restart.
fn broke(of: &Rollout) -> Option<Notification> {
    let WatchdogStatus { on_breach, report, breach, retried, .. } = of.watchdog.as_deref()?;
    let Breach { at, sentence, response } = breach.as_ref()?;
    let try_of_it = retried.as_ref().map_or("", |command| command.as_str());
    let news = BreachNews { on_breach: *on_breach, response: response.clone(), report: report.clone() };
    Some(Notification {
        id: id(&["breach", &named_first(&of.run), try_of_it]),
        event: NotifyEvent::Breach,
        at: *at,
        why: format!("{sentence}; {}", done_about(response)),
        breach: Some(Box::new(news)),
        ..in_flight(of)
    })
}

fn done_about(response: &BreachResponse) -> String {
    match response {
        BreachResponse::Notified => "nothing was done, as its settings want".to_owned(),
        BreachResponse::Sent { action, .. } => format!("the watchdog sent {}", action.name()),
        BreachResponse::Refused { action, why } => format!("the watchdog's {} was refused: {why}", action.name()),
        BreachResponse::NotOffered { action, why } => {
            format!("{} is not possible, nothing was done: {why}", action.name())
        }
    }
}

fn in_flight(of: &Rollout) -> Notification {
    let version = |arm: Option<&Arm>| arm.map(|arm| arm.version.to_string());
    Notification {
        from: version(of.stable()),
        to: version(of.candidate()).or_else(|| version(of.stable())).unwrap_or_default(),
        author: of.author.clone(),
        ..about(&of.run, &of.service, &of.environment)
    }
}

fn commanded(of: &Receipt, places: &Places) -> Option<Notification> {
    let last = of.stages.iter().find(|record| record.stage.is_final())?;
    // What was added to another command's record is no command to anybody.
    if of.command.action == Action::Annotate {
        return None;
    }
    let mut stages = of.stages.clone();
    // What comes after its end, as when somebody undoes it later, is not told again.
    stages.truncate(stages.iter().position(|record| record.stage.is_final()).map_or(0, |at| at + 1));
    let Command { id: command, action, subject, reason, .. } = &of.command;
    let place = place(of, places);
    let (service, environment) = place.unwrap_or_else(|| ("".into(), "".into()));
    let whose = match of.run() {
        Some(run) => about(run, &service, &environment),
        None => Notification {
            source: subject.source().map(|source| source.0.clone()).unwrap_or_default(),
            ..blank(hash(&["command", command.as_str()]), (service.as_str(), environment.as_str()))
        },
    };
    let news = CommandNews { id: command.clone(), action: *action, reason: reason.clone(), stages };
    Some(Notification {
        id: id(&["command", command.as_str()]),
        event: NotifyEvent::Command,
        at: last.at,
        author: Some(of.actor.name.clone()),
        why: last.stage.detail().or(reason.as_deref()).unwrap_or_default().to_owned(),
        command: Some(Box::new(news)),
        ..whose
    })
}

/// Where a command is about one place.
fn place(of: &Receipt, places: &Places) -> Option<(ServiceName, EnvironmentName)> {
    let nowhere = EnvironmentName::from("");
    match &of.command.subject {
        Subject::NewRollout { service, environment, .. }
        | Subject::Migrations { service, environment, .. }
        | Subject::Command { service, environment, .. }
        | Subject::OneOff { service, environment, .. } => Some((service.clone(), environment.clone())),
        Subject::Release { service, .. } => Some((service.clone(), nowhere)),
        Subject::Scope { selector: Selector { service, environment, .. }, .. } => {
            Some((service.clone().unwrap_or_else(|| "".into()), environment.clone().unwrap_or(nowhere)))
        }
        _ => places.get(&of.run()?.target).cloned(),
    }
}

/// A run in words, by the name that its target was called first: a service that is renamed is the same.
fn named_first(run: &Run) -> String {
    let mut run = run.clone();
    if let Some(first) = run.target.first_name.take() {
        run.target.name = first;
    }
    run.to_string()
}

/// `msg_` and a hash of what makes a fact the same one.
fn id(parts: &[&str]) -> String {
    format!("msg_{}", hash(parts))
}

/// 128 bits of a hash, in hexadecimal.
fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(16).fold(String::new(), |mut hash, byte| {
        let _ = write!(hash, "{byte:02x}"); // writing to a String can't fail
        hash
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_model::{Actor, Forecast, HoldId, ReceiptId, Stage, StageRecord};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn run(name: &str, first_name: Option<&str>) -> Run {
        let (source, namespace) = ("local".into(), Some("production".to_owned()));
        let first_name = first_name.map(str::to_owned);
        let target =
            Target { source, kind: "service".into(), namespace, name: name.into(), uid: "u".into(), first_name };
        Run { target, revision: "r-7".into() }
    }

    fn row() -> Rollout {
        let waits = vec![Wait::Human { what: "promote to 50 %".into(), who: None, since: at(10) }];
        Rollout { waits, ..Rollout::bare(run("shop", None), "shop".into(), "production".into(), at(0)) }
    }

    fn receipt(subject: Subject, stages: Vec<Stage>) -> Receipt {
        let id = "c-1".to_owned();
        let command =
            Command { id: id.clone().into(), action: Action::Abort, subject, pin: None, reason: Some("enough".into()) };
        let stages = stages.into_iter().zip(1..).map(|(stage, second)| StageRecord { stage, at: at(second) });
        Receipt {
            id: ReceiptId(id),
            command,
            actor: Actor { name: "ann".into(), uid: Some(1000), roles: vec!["dev".into()] },
            stages: stages.collect(),
            forecast: None::<Forecast>,
            grade: None,
            targets: Vec::new(),
            sources: Vec::new(),
            created: None,
            left: None,
            outcome: None,
        }
    }

    #[test]
    fn what_is_told_of_a_service_is_the_same_after_it_was_renamed() {
        let told = |run: Run| {
            let row = Rollout { run, ..row() };
            of(&Entity::Rollout(row.into()), &Places::new()).remove(0)
        };
        let (before, after) = (told(run("shop", None)), told(run("store", Some("shop"))));
        assert_eq!((&before.id, &before.trace_id), (&after.id, &after.trace_id));
        assert_ne!(before.run, after.run);
        assert!(before.trace_id.len() == 32 && before.trace_id.chars().all(|c| c.is_ascii_hexdigit()), "{before:?}");
        let another = Run { revision: "r-8".into(), ..run("shop", None) };
        assert_ne!(told(another).trace_id, before.trace_id);
    }

    #[test]
    fn an_approval_is_asked_for_once() {
        let at_step = |step: Step| Rollout { steps: [step].into(), step: Some(0), ..row() };
        let told = |row: Rollout| of(&Entity::Rollout(row.into()), &Places::new()).len();
        assert_eq!(told(at_step(Step::Pause { duration: None })), 1);
        assert_eq!(told(at_step(Step::Approval { count: 1, from: Vec::new(), expires: None })), 0);
    }

    #[test]
    fn a_command_is_told_once_it_has_come_to_its_end_and_as_it_was_then() {
        let of_run = || Subject::Run(run("shop", None));
        let places = Places::from([(run("shop", None).target, ("shop".into(), "production".into()))]);
        let told = |receipt: Receipt| of(&Entity::Receipt(receipt.into()), &places);
        assert!(told(receipt(of_run(), vec![Stage::Requested, Stage::Accepted])).is_empty(), "accepted is not done");
        let ended = vec![Stage::Requested, Stage::Accepted, Stage::effective("stable 100 %")];
        let [it] = &told(receipt(of_run(), ended.clone()))[..] else { panic!("one") };
        assert_eq!((it.event, it.at, it.author.as_deref()), (NotifyEvent::Command, at(3), Some("ann")));
        assert_eq!(
            (it.service.as_str(), it.environment.as_str(), it.why.as_str()),
            ("shop", "production", "stable 100 %")
        );
        assert_eq!(
            it.trace_id,
            of(&Entity::Rollout(row().into()), &places)[0].trace_id,
            "it is in the rollout's trace"
        );
        let later = receipt(of_run(), [ended, vec![Stage::Reverted { by: "bob".into() }]].concat());
        assert_eq!(told(later), std::slice::from_ref(it));
        let hold = Subject::Hold { source: None, id: HoldId("H-1".into()) };
        let [it] = &told(receipt(hold, vec![Stage::Requested, Stage::effective("it is over")]))[..] else {
            panic!("one")
        };
        assert_eq!((it.run.as_str(), it.service.as_str(), it.trace_id.len()), ("", "", 32));
        let annotate = Receipt {
            command: Command { action: Action::Annotate, ..receipt(of_run(), Vec::new()).command },
            ..receipt(of_run(), vec![Stage::Requested, Stage::effective("added")])
        };
        assert!(told(annotate).is_empty());
    }
}
