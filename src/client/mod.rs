//! The calls of a server from the other side: cockpit, command line and tests.
