//! How a version is brought in: presets that expand to one grammar of steps.

use super::canary::{self, Steps};
use super::hooks::Named;
use super::kind;
use super::known::{Known, MILLISECOND, or};
use super::listener::{Listener, listen};
use crate::reader::{Table, Value};
use flightdeck_model::{HookOn, HookSpec, Ingress, Ppm, ServiceKind, Step, StickyKey, Strategy};
use jiff::SignedDuration;
use std::net::SocketAddr;

/// Each strategy with its table's name.
const STRATEGIES: [&str; 4] = ["canary", "blue_green", "rolling", "recreate"];

/// What a strategy's table says.
pub(super) struct Plan<'d> {
    pub(super) preset: Preset,
    /// Those among the steps.
    pub(super) hooks: Vec<Named<'d>>,
    pub(super) background: Option<String>,
    pub(super) preview: Option<SocketAddr>,
    pub(super) sticky: Option<StickyKey>,
}

/// A strategy with its own parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Preset {
    /// The steps as they are written.
    Canary { steps: Vec<Step> },
    /// Two full sides and one switch after the checks.
    BlueGreen { preview: bool, checks: Vec<Step> },
    /// Batch by batch.
    Rolling {
        replicas: u32,
        /// So many instances above them.
        surge: u32,
        /// So many below them.
        unavailable: u32,
        /// Between two batches.
        pause: Option<SignedDuration>,
    },
    /// Stop all, start all.
    Recreate,
}

impl Preset {
    pub(super) const fn strategy(&self) -> Strategy {
        match self {
            Preset::Canary { .. } => Strategy::Canary,
            Preset::BlueGreen { .. } => Strategy::BlueGreen,
            Preset::Rolling { .. } => Strategy::Rolling,
            Preset::Recreate => Strategy::Recreate,
        }
    }
}

/// The steps of a preset, with the hooks before and after it. A worker has no traffic: it works as soon as it runs.
pub(super) fn expand(preset: &Preset, of: ServiceKind, hooks: &[HookSpec]) -> Vec<Step> {
    let switch = (of != ServiceKind::Worker).then_some(Step::SetWeight(Ppm::ALL));
    let on = |on: HookOn| {
        let hooks = hooks.iter().filter(move |hook| hook.on == on);
        hooks.map(|hook| Step::Hook { name: hook.name.clone() }).collect::<Vec<_>>()
    };
    let (mut steps, after) = (on(HookOn::Before), on(HookOn::After));
    match preset {
        Preset::Canary { steps: own } => {
            steps.extend(own.iter().cloned());
            let last = own.iter().rev().find(|step| matches!(step, Step::SetWeight(_)));
            if !after.is_empty() && last != Some(&Step::SetWeight(Ppm::ALL)) {
                steps.push(Step::SetWeight(Ppm::ALL));
            }
        }
        Preset::BlueGreen { preview, checks } => {
            steps.push(Step::SetScale(Ppm::ALL));
            steps.extend(preview.then_some(Step::Preview));
            steps.extend(checks.iter().cloned());
            steps.extend(switch);
        }
        Preset::Rolling { replicas, surge, unavailable, pause } => {
            steps.extend(batches(*replicas, *surge, *unavailable, *pause));
        }
        Preset::Recreate => {
            steps.extend([Step::TakeDown, Step::SetScale(Ppm::ALL)].into_iter().chain(switch));
        }
    }
    steps.extend(after);
    steps
}

/// Up to `surge + unavailable` instances at a time, until all are replaced.
fn batches(replicas: u32, surge: u32, unavailable: u32, pause: Option<SignedDuration>) -> Vec<Step> {
    let size = surge.saturating_add(unavailable).max(1);
    let mut steps = Vec::new();
    let mut replaced = 0;
    while replaced < replicas {
        if replaced > 0 {
            steps.extend(pause.map(|pause| Step::Pause { duration: Some(pause) }));
        }
        let batch = size.min(replicas - replaced);
        replaced += batch;
        // A last batch that fits into the surge takes nothing away first.
        steps.push(Step::Batch { instances: replaced, unavailable: batch.saturating_sub(surge) });
    }
    steps
}

/// Reads the strategy of a placement's table; where it names none, a canary without steps, and one worker after the
/// other.
pub(super) fn plan<'d>(
    table: &Table<'d>,
    of: ServiceKind,
    known: &Known<'d>,
    replicas: u32,
    listeners: &mut Vec<Listener<'d>>,
) -> Option<Plan<'d>> {
    let mut named = STRATEGIES.iter().filter_map(|name| Some((*name, table.get(name)?)));
    let Some((name, value)) = named.next() else {
        return Some(Plan::of(match of {
            ServiceKind::Worker => Preset::Rolling { replicas, surge: 1, unavailable: 0, pause: None },
            ServiceKind::Http | ServiceKind::Tcp => Preset::Canary { steps: Vec::new() },
        }));
    };
    if let Some((_, other)) = named.next() {
        other.wrong_key(&format!("expected one strategy, but {} is there too", value.path), None);
        return None;
    }
    match name {
        "canary" => canary(&value, of, known),
        "blue_green" => blue_green(&value, of, known, listeners),
        "rolling" => rolling(&value, replicas),
        _ => value.table(&[]).map(|_| Plan::of(Preset::Recreate)),
    }
}

impl<'d> Plan<'d> {
    const fn of(preset: Preset) -> Plan<'d> {
        Plan { preset, hooks: Vec::new(), background: None, preview: None, sticky: None }
    }
}

fn canary<'d>(value: &Value<'d>, of: ServiceKind, known: &Known<'d>) -> Option<Plan<'d>> {
    let table = value.table(&["steps", "background_analysis", "sticky"])?;
    let fits = kind::fits(of, &table);
    let steps = or(&table, "steps", Steps::default(), |value| canary::steps(&value, of, known, true));
    let background = or(&table, "background_analysis", None, |value| {
        kind::judged(of, &value)?;
        canary::template(&value, &known.analyses).map(Some)
    });
    let sticky = or(&table, "sticky", None, |value| sticky(&value).map(Some));
    let Steps { steps, hooks } = steps?;
    fits?;
    Some(Plan { hooks, background: background?, sticky: sticky?, ..Plan::of(Preset::Canary { steps }) })
}

/// A cookie's or a header's name is a token of RFC 9110.
fn sticky(value: &Value<'_>) -> Option<StickyKey> {
    let expected = "\"cookie:NAME\", \"header:NAME\" or \"own\"";
    let token = |name: &&str| {
        let marks = "!#$%&'*+-.^_`|~";
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
    };
    let text = value.text(expected)?;
    let found = match text.split_once(':') {
        Some(("cookie", name)) => Some(name).filter(token).map(|name| StickyKey::Cookie(name.to_owned())),
        Some(("header", name)) => Some(name).filter(token).map(|name| StickyKey::Header(name.to_owned())),
        None if text == "own" => Some(StickyKey::Own),
        _ => None,
    };
    if found.is_none() {
        let meant = Some(text).filter(token).map(|name| format!("\"cookie:{name}\""));
        value.expected(expected, meant);
    }
    found
}

fn blue_green<'d>(
    value: &Value<'d>,
    of: ServiceKind,
    known: &Known<'d>,
    listeners: &mut Vec<Listener<'d>>,
) -> Option<Plan<'d>> {
    let table = value.table(&["preview", "checks"])?;
    kind::fits(of, &table)?;
    let preview = or(&table, "preview", None, |value| listen(value, of, Ingress::default(), listeners).map(Some));
    let checks = or(&table, "checks", Steps::default(), |value| canary::steps(&value, of, known, false));
    let (preview, Steps { steps: checks, hooks }) = (preview?, checks?);
    Some(Plan { hooks, preview, ..Plan::of(Preset::BlueGreen { preview: preview.is_some(), checks }) })
}

fn rolling<'d>(value: &Value<'d>, replicas: u32) -> Option<Plan<'d>> {
    let table = value.table(&["max_surge", "max_unavailable", "pause"])?;
    let surge = or(&table, "max_surge", Amount::Count(1), |value| amount(&value));
    let unavailable = or(&table, "max_unavailable", Amount::Count(0), |value| amount(&value));
    let pause = or(&table, "pause", None, |value| value.duration(MILLISECOND).map(Some));
    let (surge, unavailable) = (surge?, unavailable?);
    if surge.is_zero() && unavailable.is_zero() {
        table.wrong("expected max_surge or max_unavailable above 0, found 0 for both: no instance could be replaced");
        return None;
    }
    let (surge, unavailable) = (surge.of(replicas, true), unavailable.of(replicas, false));
    // Shares that round to nothing: one at a time, as Kubernetes does.
    let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
    Some(Plan::of(Preset::Rolling { replicas, surge, unavailable, pause: pause? }))
}

/// Instances, or a share of them.
#[derive(Debug, Clone, Copy)]
enum Amount {
    Count(u32),
    Share(f64),
}

impl Amount {
    const fn is_zero(self) -> bool {
        match self {
            Amount::Count(count) => count == 0,
            Amount::Share(share) => share <= 0.0,
        }
    }

    /// Rounded up or down, as Kubernetes does for surge and for unavailable.
    fn of(self, replicas: u32, up: bool) -> u32 {
        let share = match self {
            Amount::Count(count) => return count.min(replicas),
            Amount::Share(share) => share * f64::from(replicas),
        };
        // 28 % of 25 is 7, not 7.000000000000001.
        let share = (share * 1e6).round() / 1e6;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the replicas")]
        let whole = if up { share.ceil() } else { share.floor() } as u32;
        whole
    }
}

fn amount(value: &Value<'_>) -> Option<Amount> {
    if value.is_text() {
        return value.percentage().map(Amount::Share);
    }
    let Some(count) = value.number().filter(|number| number.fract() == 0.0 && (0.0..=1000.0).contains(number)) else {
        value.expected("a whole number of instances, or a share such as \"25%\"", None);
        return None;
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    let count = count as u32;
    Some(Amount::Count(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(name: &str, on: HookOn) -> HookSpec {
        HookSpec {
            name: name.to_owned(),
            run: Vec::new(),
            on,
            timeout: SignedDuration::ZERO,
            retries: 0,
            backoff: SignedDuration::ZERO,
            transient: Vec::new(),
            migration: None,
            irreversible: None,
        }
    }

    /// As a person would say it.
    fn said(steps: &[Step]) -> String {
        let words = steps.iter().map(|step| match step {
            Step::SetWeight(share) => format!("weight {}", share.0 / 10_000),
            Step::SetScale(share) => format!("scale {}", share.0 / 10_000),
            Step::Batch { instances, unavailable } => format!("batch {instances}-{unavailable}"),
            Step::Pause { .. } => "pause".to_owned(),
            Step::Hook { name } => name.clone(),
            Step::Preview => "preview".to_owned(),
            Step::TakeDown => "down".to_owned(),
            other => format!("{other:?}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn each_preset_expands_to_its_steps_with_the_hooks_around_them() {
        let weight = |percent| Step::SetWeight(Ppm::percent(percent));
        let pause = Step::Pause { duration: None };
        let canary = |steps: &[Step]| Preset::Canary { steps: steps.to_vec() };
        let hooks = [
            hook("b1", HookOn::Before),
            hook("s", HookOn::Step),
            hook("a", HookOn::After),
            hook("r", HookOn::Rollback),
            hook("w", HookOn::While { every: SignedDuration::ZERO }),
            hook("b2", HookOn::Before),
        ];
        let checks = vec![Step::Hook { name: "s".to_owned() }];
        for (preset, plain, hooked) in [
            (canary(&[]), "", "b1, b2, weight 100, a"),
            (canary(&[weight(5), pause.clone()]), "weight 5, pause", "b1, b2, weight 5, pause, weight 100, a"),
            (canary(&[weight(100), pause.clone()]), "weight 100, pause", "b1, b2, weight 100, pause, a"),
            (
                Preset::BlueGreen { preview: true, checks },
                "scale 100, preview, s, weight 100",
                "b1, b2, scale 100, preview, s, weight 100, a",
            ),
            (
                Preset::BlueGreen { preview: false, checks: Vec::new() },
                "scale 100, weight 100",
                "b1, b2, scale 100, weight 100, a",
            ),
            (
                Preset::Rolling { replicas: 2, surge: 1, unavailable: 0, pause: None },
                "batch 1-0, batch 2-0",
                "b1, b2, batch 1-0, batch 2-0, a",
            ),
            (Preset::Recreate, "down, scale 100, weight 100", "b1, b2, down, scale 100, weight 100, a"),
        ] {
            assert_eq!(said(&expand(&preset, ServiceKind::Http, &[])), plain, "{preset:?}");
            assert_eq!(said(&expand(&preset, ServiceKind::Tcp, &hooks)), hooked, "{preset:?}");
        }
    }

    #[test]
    fn a_worker_gets_no_traffic_by_any_step() {
        let blue_green = Preset::BlueGreen { preview: false, checks: Vec::new() };
        let rolling = Preset::Rolling { replicas: 2, surge: 1, unavailable: 0, pause: None };
        let hooks = [hook("a", HookOn::After)];
        for (preset, expected) in [
            (blue_green, "scale 100, a"),
            (Preset::Recreate, "down, scale 100, a"),
            (rolling, "batch 1-0, batch 2-0, a"),
        ] {
            assert_eq!(said(&expand(&preset, ServiceKind::Worker, &hooks)), expected, "{preset:?}");
        }
    }

    #[test]
    fn batches_are_as_big_as_surge_and_unavailable_allow() {
        let second = Some(SignedDuration::from_secs(1));
        for (replicas, surge, unavailable, pause, expected) in [
            (3, 1, 0, None, "batch 1-0, batch 2-0, batch 3-0"),
            (3, 1, 0, second, "batch 1-0, pause, batch 2-0, pause, batch 3-0"),
            (3, 0, 1, None, "batch 1-1, batch 2-1, batch 3-1"),
            (5, 1, 2, None, "batch 3-2, batch 5-1"),
            (4, 2, 1, None, "batch 3-1, batch 4-0"),
            (2, 2, 0, None, "batch 2-0"),
            (1, 1, 0, second, "batch 1-0"),
        ] {
            assert_eq!(
                said(&batches(replicas, surge, unavailable, pause)),
                expected,
                "{replicas} {surge} {unavailable}"
            );
        }
    }

    #[test]
    fn shares_are_rounded_up_for_surge_and_down_for_unavailable() {
        for (amount, replicas, up, down) in [
            (Amount::Share(0.25), 3, 1, 0),
            (Amount::Share(0.25), 4, 1, 1),
            (Amount::Share(0.28), 25, 7, 7),
            (Amount::Share(1.0), 5, 5, 5),
            (Amount::Share(0.0), 5, 0, 0),
            (Amount::Count(2), 5, 2, 2),
            (Amount::Count(9), 5, 5, 5),
        ] {
            assert_eq!((amount.of(replicas, true), amount.of(replicas, false)), (up, down), "{amount:?} of {replicas}");
        }
    }
}
