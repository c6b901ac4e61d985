//! The program: parses the command line and chooses what runs.
fn main() {}
