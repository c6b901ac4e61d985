//! What is hostile: strings and bytes.

mod output;
mod strings;
mod watchers;
