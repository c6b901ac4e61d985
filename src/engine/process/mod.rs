//! Instances: start, watch, stop, adopt.
