//! Numbers and times as they stand on the screen: short, and of one width in a column. What ticks
//! is in [`flightdeck_model::time`].

use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns that a text takes.
pub(super) fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

/// At most so many columns of a text; `…` says that there was more.
pub(super) fn clip(text: &str, columns: u16) -> String {
    let columns = usize::from(columns);
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 0;
    let mut out = String::new();
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// A name as `namespace/name` in so many columns. What stands before it is shortened first, and a name keeps its
/// end as well as its beginning: names that belong together differ there.
pub(super) fn name(text: &str, columns: u16) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some((place, name)) = text.rsplit_once('/') else { return middle(text, columns) };
    match columns.checked_sub(width(name).saturating_add(1)) {
        Some(room) if room > 1 => format!("{}/{name}", middle(place, room)),
        _ if width(name) <= columns => name.to_owned(),
        _ => middle(name, columns),
    }
}

/// The beginning and the end of a text.
fn middle(text: &str, columns: u16) -> String {
    let end = columns.saturating_sub(1) / 2;
    let mut tail = String::new();
    for c in text.chars().rev() {
        if usize::from(end) < tail.width() + c.width().unwrap_or(0) {
            break;
        }
        tail.insert(0, c);
    }
    // The cut stands at one place in all rows.
    format!("{}{tail}", clip(text, columns - end))
}

/// What stands right of so many columns of a text. A wide character that begins left of them is left out.
pub(super) fn right_of(text: &str, columns: u16) -> &str {
    let mut left = usize::from(columns);
    let from = text.char_indices().find(|(_, c)| {
        let wide = c.width().unwrap_or(0);
        let shown = left == 0;
        left = left.saturating_sub(wide);
        shown
    });
    from.map_or("", |(at, _)| text.get(at..).unwrap_or_default())
}

/// Time of day where the person is.
pub(super) fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
}

/// Since when something settled: the time of day when it was today, else the date. It does not tick.
pub(super) fn since(now: Timestamp, at: Timestamp, zone: &TimeZone) -> String {
    let (now, at) = (now.to_zoned(zone.clone()), at.to_zoned(zone.clone()));
    let form = if now.date() == at.date() {
        "%H:%M"
    } else if now.year() == at.year() {
        "%e %b"
    } else {
        "%Y-%m"
    };
    at.strftime(form).to_string().trim().to_owned()
}

/// Requests per second: `0.4`, `12`, `310`, `1.2k`, `45k`, `1.2M`.
pub(super) fn rate(value: f64) -> String {
    match value {
        v if v < 0.05 => "0".to_owned(),
        v if v < 9.95 => format!("{v:.1}"),
        v if v < 999.5 => format!("{v:.0}"),
        v if v < 9_950.0 => format!("{:.1}k", v / 1e3),
        v if v < 999_500.0 => format!("{:.0}k", v / 1e3),
        v => format!("{:.1}M", v / 1e6),
    }
}

/// A share as percent without its sign: `0.0`, `4.1`, `37`.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    match value {
        v if v > 0.0 && v < 0.05 => "<.1".to_owned(),
        v if v < 9.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// A number with three digits behind the point at most, and none that say nothing: `4.1`, `1.004`.
pub(super) fn precise(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Milliseconds without unit, up to four characters: `3.4`, `210`, `12k`.
pub(super) fn millis(value: f64) -> String {
    match value {
        v if v < 9.95 => format!("{v:.1}"),
        v if v < 9_999.5 => format!("{v:.0}"),
        v => format!("{:.0}k", v / 1e3),
    }
}

/// The start of a digest, long enough to tell two apart: `sha256:3fa9c01b`.
pub(super) fn digest(text: &str) -> String {
    match text.split_once(':') {
        Some((algorithm, hex)) => format!("{algorithm}:{}", hex.chars().take(8).collect::<String>()),
        None => text.chars().take(12).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_columns_and_say_so() {
        for (text, columns, expected) in [
            ("checkout", 8, "checkout"),
            ("checkout", 7, "checko…"),
            ("漢字漢字", 5, "漢字…"),
            ("漢字漢字", 4, "漢…"),
            ("x", 0, ""),
        ] {
            let got = clip(text, columns);
            assert_eq!(got, expected);
            assert!(width(&got) <= columns);
        }
    }

    #[test]
    fn numbers_keep_their_width() {
        for (value, expected) in [
            (0.0, "0"),
            (0.41, "0.4"),
            (12.4, "12"),
            (310.0, "310"),
            (1234.0, "1.2k"),
            (45_000.0, "45k"),
            (1.25e6, "1.2M"),
        ] {
            assert_eq!(rate(value), expected);
        }
        for (share, expected) in [(0.0, "0.0"), (0.0001, "<.1"), (0.041, "4.1"), (0.37, "37"), (1.0, "100")] {
            assert_eq!(percent(share), expected);
        }
        for (value, expected) in [(3.42, "3.4"), (210.4, "210"), (12_000.0, "12k")] {
            assert_eq!(millis(value), expected);
        }
    }
}
