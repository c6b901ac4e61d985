//! Commands without a screen, one file each.
