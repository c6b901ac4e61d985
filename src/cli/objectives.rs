//! What services promise: from the settings to a hub, and as `get objectives` shows it.

use super::Failure;
use super::get::{GetArgs, Row, of, value};
use super::output::{Cell, Tone};
use super::target::{Names, Rows, means};
use crate::board::objectives::{self, Standing, promise, ranked, standing, state, times};
use crate::config::settings::{Settings, Slo};
use crate::hub::ObjectiveRule;
use crate::model::{BurnLimit, Entity, EnvironmentName, Indicator, NotKnown, Objective, ObjectiveStatus, OnBurn, Ppm};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const HEADS: &[&str] = &["OBJECTIVE", "OF", "LEFT", "BURN LONG", "BURN SHORT", "STATE"];

/// What a hub is to count, and what environments ask for.
pub(super) fn rules(settings: &Settings) -> (Vec<ObjectiveRule>, BTreeMap<EnvironmentName, OnBurn>) {
    let rules = settings.slo.iter().flat_map(|(name, slo)| of_table(name, slo)).collect();
    let asked = settings.environments.iter().map(|(name, rules)| (name.as_str().into(), rules.on_burn));
    (rules, asked.collect())
}

/// One table may promise two things.
fn of_table(name: &str, slo: &Slo) -> Vec<ObjectiveRule> {
    let availability = slo.availability.map(|target| (Indicator::Availability, target));
    let latency = slo.latency.map(|latency| {
        let within_us = u64::try_from(latency.within.as_micros()).unwrap_or(u64::MAX);
        (Indicator::Latency { within_us }, latency.target)
    });
    let [long, short] = slo.burn_windows;
    let rule = |(indicator, target)| ObjectiveRule {
        objective: Objective {
            name: name.to_owned(),
            indicator,
            target: share(target),
            window: slo.window,
            burn: BurnLimit { rate: slo.burn_rate, long, short },
        },
        services: slo.services.iter().map(|name| name.as_str().into()).collect(),
        environments: slo.environments.iter().map(|name| name.as_str().into()).collect(),
    };
    availability.into_iter().chain(latency).map(rule).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1, as the settings are checked")]
fn share(ratio: f64) -> Ppm {
    Ppm((ratio.clamp(0.0, 1.0) * 1e6).round() as u32)
}

/// The objectives of each rollout, the worst of it first.
pub(super) fn rows(rows: &Rows, args: &GetArgs, now: Timestamp) -> Result<Vec<Row>, Failure> {
    let names = Names::of(rows);
    let mut list = Vec::new();
    for entity in &rows.entities {
        let Entity::Rollout(rollout) = entity else { continue };
        let name = names.name(rollout);
        let is_meant = |wanted: &String| *wanted == name || means(wanted, rollout);
        if of(args, &rollout.service.0, &rollout.environment.0) {
            for status in ranked(&rollout.objectives, now) {
                if args.name.as_ref().is_none_or(|wanted| *wanted == status.objective.name || is_meant(wanted)) {
                    list.push(row(status, &name, now)?);
                }
            }
        }
    }
    Ok(list)
}

fn row(status: &ObjectiveStatus, of: &str, now: Timestamp) -> Result<Row, Failure> {
    let tone = match standing(status, now) {
        Standing::Burning | Standing::Spent => Tone::Bad,
        Standing::NotKnown => Tone::Warn,
        Standing::Kept => Tone::Good,
    };
    let (left, long, short) = (status.budget_left(now), status.long_burn(now), status.short_burn(now));
    let words = |rate: Result<f64, NotKnown<'_>>| rate.map_or_else(|_| "?".to_owned(), times);
    let seen = objectives::left(status, now).unwrap_or_else(|_| "?".to_owned());
    let cells = vec![
        promise(&status.objective).into(),
        of.into(),
        Cell { text: seen, tone },
        words(long).into(),
        words(short).into(),
        state(status, now).into(),
    ];
    let mut json = value(status)?;
    if let Value::Object(fields) = &mut json {
        let known = json!({
            "of": of,
            "left": left.ok(),
            "long_burn": long.ok(),
            "short_burn": short.ok(),
            "burns_too_fast": status.burns_too_fast(now).ok(),
            "state": state(status, now),
        });
        fields.extend(known.as_object().cloned().unwrap_or_default());
    }
    Ok(Row { name: format!("{} {of}", status.objective.name), json, cells })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{EnvironmentRules, LatencySlo};
    use jiff::SignedDuration;

    #[test]
    fn one_table_may_promise_two_things_and_a_share_is_what_was_written() {
        let minutes = SignedDuration::from_mins;
        let slo = Slo {
            services: vec!["checkout".to_owned()],
            environments: Vec::new(),
            availability: Some(0.9995),
            latency: Some(LatencySlo { within: SignedDuration::from_millis(300), target: 0.99 }),
            window: SignedDuration::from_hours(720),
            burn_rate: 14.4,
            burn_windows: [minutes(60), minutes(5)],
        };
        let mut settings = Settings::default();
        settings.slo.insert("a".to_owned(), slo);
        settings.environments.insert("production".to_owned(), EnvironmentRules { on_burn: OnBurn::Refuse });
        let (rules, asked) = rules(&settings);
        let told: Vec<_> = rules.iter().map(|rule| (rule.objective.indicator, rule.objective.target)).collect();
        let fast = Indicator::Latency { within_us: 300_000 };
        assert_eq!(told, [(Indicator::Availability, Ppm(999_500)), (fast, Ppm(990_000))]);
        assert!(rules.iter().all(|rule| rule.objective.name == "a" && rule.services == ["checkout".into()]));
        assert!(
            rules.iter().all(|rule| (rule.objective.burn.long, rule.objective.burn.short) == (minutes(60), minutes(5)))
        );
        assert_eq!(asked.get(&"production".into()), Some(&OnBurn::Refuse));
    }
}
