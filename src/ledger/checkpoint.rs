//! A checkpoint: how many records there were and the root over them, signed. Source:
//! <https://c2sp.org/tlog-checkpoint>.

use super::merkle::Hash;
use super::note::{NoteError, VerifyKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

/// What a checkpoint's text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }

    /// Reads such a text; lines after the third are others' business.
    pub fn parse(text: &str) -> Result<Checkpoint, NoteError> {
        let bad = NoteError::Malformed("it has no origin, tree size and root");
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(bad);
        };
        let number = size.parse::<u64>().ok().filter(|number| number.to_string() == size);
        let root = BASE64.decode(root).ok().and_then(|root| Hash::try_from(root).ok());
        match (number, root) {
            (Some(size), Some(root)) if !origin.is_empty() && lines.all(|line| !line.is_empty()) => {
                Ok(Checkpoint { origin: origin.to_owned(), size, root })
            }
            _ => Err(bad),
        }
    }

    /// Opens a note that the key signed.
    pub fn open(note: &str, key: &VerifyKey) -> Result<Checkpoint, NoteError> {
        Checkpoint::parse(key.open(note)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::Signer;
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_read_and_written_the_same() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let read = Checkpoint::parse(text).unwrap();
        assert_eq!((read.origin.as_str(), read.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(read.text(), text);
        let signer = Signer::generate("flightdeck").unwrap();
        assert_eq!(Checkpoint::open(&signer.sign(text), signer.key()).unwrap(), read);
        for bad in [
            text.replace("20852163", "020852163"),
            text.replace("20852163", "+20852163"),
            text.replace("q2I=", "q2I"),
            text.replace("CsUY", ""),
            format!("{text}\nafter an empty line\n"),
            "origin\n5\n".to_owned(),
        ] {
            assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
        }
    }
}
