//! Secrets in a process's output.
//!
//! Each secret's value is replaced, and each line of one that has several, wherever it stands in the
//! output; shorter ones than `SHORTEST` are not, since they would hit innocent text.

use std::collections::BTreeMap;

/// What stands for a secret.
const MASK: &[u8] = "•••".as_bytes();
/// In bytes.
const SHORTEST: usize = 4;

/// Replaces secrets in a stream that comes in pieces.
#[derive(Debug, Default)]
pub struct Mask {
    /// Longest first, so that a secret that begins another does not leave the rest of it.
    secrets: Vec<Vec<u8>>,
    /// What may be the beginning of one.
    held: Vec<u8>,
}

impl Mask {
    /// Of these variables' values.
    #[must_use]
    pub fn new(secrets: &BTreeMap<String, String>) -> Mask {
        let mut secrets: Vec<Vec<u8>> = secrets
            .values()
            .flat_map(|value| std::iter::once(value.as_str()).chain(value.lines()))
            .map(|part| part.trim().as_bytes().to_vec())
            .filter(|part| part.len() >= SHORTEST)
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Mask { secrets, held: Vec::new() }
    }

    /// The next piece: what can be shown of it and of what was held back before.
    pub fn next(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.secrets.is_empty() {
            return piece.to_vec();
        }
        let mut rest = std::mem::take(&mut self.held);
        rest.extend_from_slice(piece);
        let mut out = Vec::with_capacity(rest.len());
        let mut rest = rest.as_slice();
        while let Some(first) = rest.first() {
            // A longer one that may still come goes before a shorter one that is there.
            if self.secrets.iter().any(|secret| secret.len() > rest.len() && secret.starts_with(rest)) {
                self.held = rest.to_vec();
                break;
            }
            if let Some(after) = self.secrets.iter().find_map(|secret| rest.strip_prefix(secret.as_slice())) {
                out.extend_from_slice(MASK);
                rest = after;
            } else {
                out.push(*first);
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        out
    }

    /// The output is over: what was held back. It may still begin with a whole secret.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            if let Some(after) = self.secrets.iter().find_map(|secret| held.strip_prefix(secret.as_slice())) {
                out.extend_from_slice(MASK);
                out.extend(self.next(after));
            } else if let Some((first, after)) = held.split_first() {
                out.push(*first);
                out.extend(self.next(after));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(secrets: &[&str]) -> Mask {
        Mask::new(&secrets.iter().map(|secret| ((*secret).to_owned(), (*secret).to_owned())).collect())
    }

    #[test]
    fn secrets_are_replaced_wherever_the_pieces_are_cut() {
        for (secrets, text, expected) in [
            (&["hunter2"][..], "a hunter2 b hunter hunter2", "a ••• b hunter •••"),
            (&["abc"], "abc", "abc"),
            (&["abcd", "abcdefgh"], "abcdefgh abcd abcdefg", "••• ••• •••efg"),
            (&["first line\nsecond line\nno"], "second line, no", "•••, no"),
            (&["aaab"], "aaaab aaa", "a••• aaa"),
            (&["  padded \n"], "padded", "•••"),
            (&[], "as it is", "as it is"),
        ] {
            for cut in 0..=text.len() {
                let mut mask = mask(secrets);
                let mut out = mask.next(&text.as_bytes()[..cut]);
                out.extend(mask.next(&text.as_bytes()[cut..]));
                out.extend(mask.rest());
                assert_eq!(String::from_utf8_lossy(&out), expected, "{text} cut at {cut}");
            }
        }
    }
}
