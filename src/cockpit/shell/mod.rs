//! Terminal, input, the loop, effects.
