//! What was done, by whom, with what effect: append-only and hash-chained.
