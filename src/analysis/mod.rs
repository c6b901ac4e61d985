//! Candidate against stable: limits, statistics. Pure.
