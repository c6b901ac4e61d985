//! What systems differ in.

/// What this system has no means for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not supported on {os}", os = std::env::consts::OS)]
pub struct NotSupported(pub &'static str);

/// How programs are laid out that a kernel runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryFormat {
    /// Linux.
    Elf,
    /// macOS.
    MachO,
}

impl From<NotSupported> for std::io::Error {
    fn from(error: NotSupported) -> Self {
        Self::new(std::io::ErrorKind::Unsupported, error)
    }
}
