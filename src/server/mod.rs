//! A hub for others: HTTP, server-sent events, metrics, identity.
