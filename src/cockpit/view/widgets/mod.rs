//! Pieces that several pages use.

pub(super) mod bar;
pub(super) mod chart;
pub(super) mod input;
pub(super) mod panel;
pub(super) mod pen;
pub(super) mod spark;
pub(super) mod track;
