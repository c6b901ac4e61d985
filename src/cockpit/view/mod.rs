//! Draws the state; cannot change it.
