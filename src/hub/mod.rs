//! The loop that owns its sources: decides, carries out, follows each command to its effect.
