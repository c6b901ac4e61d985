//! As whom a service runs, and within which limits.

use super::known::{Known, or};
use crate::reader::{Table, Value, quoted};
use flightdeck_model::{Limits, RunAs};

/// A program that may have less memory than this does not even start.
const LEAST_MEMORY: u64 = 1 << 20;
/// More processors than any machine has.
const MOST_CPU: f64 = 4096.0;

/// `user`, `group` and `groups`, where `user` is there.
pub(super) fn run_as(table: &Table<'_>, user: &Value<'_>, known: &Known<'_>) -> Option<RunAs> {
    let named = name(user, "a user of the server's machine, such as \"www-data\"");
    let group = or(table, "group", None, |value| name(&value, "a group of the server's machine").map(Some));
    let groups = or(table, "groups", Vec::new(), |value| {
        let all: Vec<_> = value.list("a list of groups")?.iter().map(|value| name(value, "a group")).collect();
        all.into_iter().collect()
    });
    let run_as = RunAs { user: named?, group: group?, groups: groups? };
    if let Some(Err(why)) = known.machine.map(|machine| machine.user(&run_as)) {
        user.wrong(&why, None);
        return None;
    }
    Some(run_as)
}

/// False (noted) if groups are named without a user.
pub(super) fn no_groups(table: &Table<'_>) -> bool {
    let alone = ["group", "groups"].into_iter().find_map(|key| table.get(key));
    if let Some(value) = &alone {
        value.wrong_key("expected user beside it: a group is that of a user", None);
    }
    alone.is_none()
}

fn name(value: &Value<'_>, expected: &str) -> Option<String> {
    let text = value.text(expected)?;
    let fine = !text.is_empty() && !text.contains(['\0', ':', '/', ' ']);
    if !fine {
        value.expected(expected, None);
    }
    fine.then(|| text.to_owned())
}

/// `limits = { … }`.
pub(super) fn limits(value: &Value<'_>) -> Option<Limits> {
    let table = value.table(&["memory", "cpu", "files", "processes"])?;
    let memory = or(&table, "memory", None, |value| size(&value, LEAST_MEMORY, "512M").map(Some));
    let cpu = or(&table, "cpu", None, |value| cpu(&value).map(Some));
    let count = |key: &str, least: u32| {
        or(&table, key, None, |value| value.count(least..=10_000_000).map(|count| Some(u64::from(count))))
    };
    // Fewer files than a few are used up by a program before it begins.
    let (files, processes) = (count("files", 16), count("processes", 1));
    Some(Limits { memory: memory?, cpu: cpu?, files: files?, processes: processes? })
}

/// `512M`: bytes, or with K, M, G by 1024. `least` is whole megabytes.
pub(super) fn size(value: &Value<'_>, least: u64, such_as: &str) -> Option<u64> {
    let expected = &format!("a size such as \"{such_as}\" or \"2G\", at least \"{}M\"", least >> 20);
    let text = value.text(expected)?;
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit {
        "" => Some(0),
        "K" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        _ => None,
    };
    let size = digits.parse::<u64>().ok().zip(shift).and_then(|(count, shift)| count.checked_mul(1 << shift));
    let size = size.filter(|size| *size >= least);
    if size.is_none() {
        let short = unit.trim_start().chars().next().map(|unit| unit.to_ascii_uppercase());
        let meant = short.filter(|unit| matches!(unit, 'K' | 'M' | 'G') && !digits.is_empty());
        value.expected(
            expected,
            meant.map(|unit| format!("{digits}{unit}")).filter(|meant| meant != text).map(|meant| quoted(&meant)),
        );
    }
    size
}

/// `1.5`, as a number or as text: thousandths of a processor.
fn cpu(value: &Value<'_>) -> Option<u32> {
    let expected = "processors such as 1.5, at least 0.01";
    let count = if value.is_text() { value.text(expected)?.parse().ok() } else { value.number() };
    let count = count.filter(|count: &f64| (0.01..=MOST_CPU).contains(count));
    if count.is_none() {
        value.expected(expected, None);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 10 and 4,096,000")]
    count.map(|count| (count * 1000.0).round() as u32)
}
