//! What is hostile: strings and bytes.
