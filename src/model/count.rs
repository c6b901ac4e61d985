//! Numbers in sentences.

use std::fmt::Display;

/// `1 instance`, `3 instances`.
pub fn counted<N: Display + Copy + PartialEq + From<u8>>(count: N, one: &str) -> String {
    let s = if count == N::from(1) { "" } else { "s" };
    format!("{count} {one}{s}")
}

/// The verb of so many: `is` of one, `are` of others.
pub fn are<N: Copy + PartialEq + From<u8>>(count: N) -> &'static str {
    if count == N::from(1) { "is" } else { "are" }
}

/// What so many do, where one does it with an `s`: `1 instance runs`, `3 instances run`.
pub fn counted_do<N: Display + Copy + PartialEq + From<u8>>(count: N, one: &str, verb: &str) -> String {
    let s = if count == N::from(1) { "s" } else { "" };
    format!("{} {verb}{s}", counted(count, one))
}

/// `once`, `3 times`.
#[must_use]
pub fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        for (count, expected) in [(0, "0 rows are"), (1, "1 row is"), (2, "2 rows are")] {
            assert_eq!(format!("{} {}", counted(count, "row"), are(count)), expected);
        }
        assert_eq!(counted_do(1, "instance", "run"), "1 instance runs");
        assert_eq!(counted_do(2, "instance", "run"), "2 instances run");
        assert_eq!((times(1), times(2)), ("once".to_owned(), "2 times".to_owned()));
    }
}
