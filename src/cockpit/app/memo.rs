//! What is computed from the state when it is asked for.

use std::sync::OnceLock;

/// Something computed from the rest of the state when it is asked for, and dropped when that changes.
/// It says nothing new, so two states are equal whether it was computed or not.
#[derive(Debug, Clone)]
pub struct Memo<T>(OnceLock<T>);

impl<T> Memo<T> {
    pub fn get(&self, compute: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(compute)
    }

    /// What was computed, to be kept in step with a change.
    pub fn known(&mut self) -> Option<&mut T> {
        self.0.get_mut()
    }

    pub fn clear(&mut self) {
        self.0 = OnceLock::new();
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Memo(OnceLock::new())
    }
}

impl<T> PartialEq for Memo<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
