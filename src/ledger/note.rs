//! Signed notes and their keys, as c2sp.org/signed-note has them: a text, a blank line, a line for each
//! signature. Ed25519 only. Source: <https://c2sp.org/signed-note>; keys are written as Go's
//! `golang.org/x/mod/sumdb/note` writes them, so that its tools read ours.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// The signature type of Ed25519.
const ALGORITHM: u8 = 1;
/// What a signature line begins with.
const SIGNATURE: &str = "— ";
/// What a private key begins with.
const PRIVATE: &str = "PRIVATE+KEY+";

/// Why a note or a key can't be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It has another form.
    #[error("it is no signed note: {0}")]
    Malformed(&'static str),
    /// A key has another form, or its parts do not belong together.
    #[error("it is no Ed25519 key of a signed note: {0}")]
    Key(&'static str),
    /// It is signed, but not by that key.
    #[error("it is signed by {by}")]
    OtherKey {
        /// Who signed, name and key id.
        by: String,
    },
    /// It says that it is signed by that key, and is not.
    #[error("its signature does not hold")]
    Forged,
    /// The system has no randomness for a new key, or the key can't be used.
    #[error("no key could be made")]
    NoKey,
}

/// A public key: `NAME+ID+BASE64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyKey {
    name: String,
    public: [u8; 32],
}

impl VerifyKey {
    /// The first four bytes of a hash over name and key.
    fn id(&self) -> [u8; 4] {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_bytes());
        hasher.update([b'\n', ALGORITHM]);
        hasher.update(self.public);
        let [a, b, c, d, ..] = <[u8; 32]>::from(hasher.finalize());
        [a, b, c, d]
    }

    /// Its name and id, which is what a signature line says.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}+{}", self.name, id_text(self.id()))
    }

    /// The text of a note that this key signed.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, signatures) = parts(note)?;
        for signature in &signatures {
            if signature.name == self.name && signature.id == self.id() {
                let key = UnparsedPublicKey::new(&ED25519, self.public);
                return key.verify(text.as_bytes(), &signature.bytes).map(|()| text).map_err(|_| NoteError::Forged);
            }
        }
        let by = signatures.iter().map(|signature| format!("{}+{}", signature.name, id_text(signature.id)));
        Err(NoteError::OtherKey { by: by.collect::<Vec<_>>().join(", ") })
    }
}

impl fmt::Display for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.short(), encoded(&self.public))
    }
}

impl FromStr for VerifyKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<VerifyKey, NoteError> {
        let (name, id, public) = key_parts(text)?;
        let key = VerifyKey { name, public };
        if id_text(key.id()) != id {
            return Err(NoteError::Key("its id does not follow from its name and bytes"));
        }
        Ok(key)
    }
}

/// A private key: `PRIVATE+KEY+NAME+ID+BASE64`.
pub struct Signer {
    key: VerifyKey,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl Signer {
    /// A new key; its name is that prefix and some digits of its own.
    pub fn generate(prefix: &str) -> Result<Signer, NoteError> {
        let mut seed = [0; 32];
        let mut digits = [0; 8];
        let random = SystemRandom::new();
        random.fill(&mut seed).and_then(|()| random.fill(&mut digits)).map_err(|_| NoteError::NoKey)?;
        Signer::of(format!("{prefix}/{}", super::record::hex(&digits)), seed)
    }

    fn of(name: String, seed: [u8; 32]) -> Result<Signer, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| NoteError::NoKey)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| NoteError::NoKey)?;
        Ok(Signer { key: VerifyKey { name, public }, seed, pair })
    }

    /// Its public half.
    #[must_use]
    pub fn key(&self) -> &VerifyKey {
        &self.key
    }

    /// Its name, the origin of what it signs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// The note over a text, which must end with a newline.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = self.key.id().to_vec();
        bytes.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{SIGNATURE}{} {}\n", self.key.name, BASE64.encode(bytes))
    }

    /// As it is kept in a file: the secret itself.
    #[must_use]
    pub fn secret(&self) -> String {
        format!("{PRIVATE}{}+{}", self.key.short(), encoded(&self.seed))
    }
}

impl FromStr for Signer {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Signer, NoteError> {
        let text = text.strip_prefix(PRIVATE).ok_or(NoteError::Key("it does not begin as a private key"))?;
        let (name, id, seed) = key_parts(text)?;
        let signer = Signer::of(name, seed)?;
        if id_text(signer.key.id()) != id {
            return Err(NoteError::Key("its id does not follow from its name and bytes"));
        }
        Ok(signer)
    }
}

struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// A note's text with its last newline, and its signatures.
fn parts(note: &str) -> Result<(&str, Vec<Signature>), NoteError> {
    if note.chars().any(|char| char < ' ' && char != '\n') {
        return Err(NoteError::Malformed("it has control characters"));
    }
    let blank = note.rfind("\n\n").ok_or(NoteError::Malformed("no blank line ends its text"))?;
    let (text, rest) = note.split_at(blank + 1);
    let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
    let lines = lines.filter(|lines| !lines.is_empty()).ok_or(NoteError::Malformed("it has no signature"))?;
    let signature = |line: &str| {
        let (name, bytes) = line.strip_prefix(SIGNATURE)?.split_once(' ')?;
        let bytes = BASE64.decode(bytes).ok()?;
        let (id, bytes) = bytes.split_first_chunk::<4>()?;
        let named = !name.is_empty() && !name.contains(|char: char| char.is_whitespace() || char == '+');
        named.then(|| Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    };
    let signatures = lines.split('\n').map(signature).collect::<Option<Vec<_>>>();
    Ok((text, signatures.ok_or(NoteError::Malformed("a signature line can't be read"))?))
}

fn key_parts(text: &str) -> Result<(String, String, [u8; 32]), NoteError> {
    let mut parts = text.trim().splitn(3, '+');
    let (Some(name), Some(id), Some(bytes)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::Key("name, id and key are parted by +"));
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(NoteError::Key("its name is empty or has spaces"));
    }
    let bytes = BASE64.decode(bytes).map_err(|_| NoteError::Key("its last part is no base64"))?;
    let key = match bytes.split_first() {
        Some((&ALGORITHM, key)) => key.try_into().ok(),
        _ => None,
    };
    Ok((name.to_owned(), id.to_owned(), key.ok_or(NoteError::Key("it is not 32 bytes of Ed25519"))?))
}

fn encoded(key: &[u8; 32]) -> String {
    let mut bytes = vec![ALGORITHM];
    bytes.extend_from_slice(key);
    BASE64.encode(bytes)
}

fn id_text(id: [u8; 4]) -> String {
    id.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Source: golang.org/x/mod/sumdb/note, package documentation.
    const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SKEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str =
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const LINE: &str =
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_published_example_is_signed_and_opened_byte_for_byte() {
        let signer: Signer = SKEY.parse().unwrap();
        assert_eq!(signer.secret(), SKEY);
        assert_eq!(signer.key().to_string(), VKEY);
        let note = signer.sign(TEXT);
        assert_eq!(note, format!("{TEXT}\n{LINE}"));
        let key: VerifyKey = VKEY.parse().unwrap();
        assert_eq!(key.open(&note).unwrap(), TEXT);
        // Others may have signed as well: only what the key knows counts.
        let more = format!("{note}— someone.example/else AAAAAAAA\n");
        assert_eq!(key.open(&more).unwrap(), TEXT);
    }

    #[test]
    fn what_is_no_note_or_not_by_the_key_is_told_apart() {
        let signer: Signer = SKEY.parse().unwrap();
        let note = signer.sign(TEXT);
        let key = signer.key();
        assert_eq!(key.open(&note.replace("answer", "Answer")), Err(NoteError::Forged));
        let other = Signer::generate("flightdeck").unwrap();
        assert_eq!(other.key().open(&note), Err(NoteError::OtherKey { by: "PeterNeumann+c74f20a3".to_owned() }));
        for bad in ["", "text\n", "text\n\n", "text\n\n— a b\n", "text\n\n— PeterNeumann\n", "a\tb\n\n— P AAAAAAAA\n"]
        {
            assert!(matches!(key.open(bad), Err(NoteError::Malformed(_))), "{bad:?}");
        }
        for bad in [
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3",
            "PeterNeumann+c74f20a3+!!!!",
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert!(matches!(bad.parse::<VerifyKey>(), Err(NoteError::Key(_))), "{bad:?}");
        }
    }
}
