//! What keys mean: config/keymap.toml overlaid with a user's file.

/// What keys mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Keymap {}
