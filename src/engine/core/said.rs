//! What a step answers.

/// What a step says when it is asked how far it is.
pub(super) enum Said {
    /// Not yet.
    Wait,
    /// The next one.
    Done,
    /// The state has changed: somebody else decides.
    Moved,
}
