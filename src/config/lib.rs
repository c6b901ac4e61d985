//! Files become checked settings; errors name file, line, key and what was expected.
//!
//! Two files: `flightdeck.toml` says what to run ([`services`]), `config.toml` how the program
//! itself behaves ([`settings`]). Both are walked with the places of every value at hand, so that
//! all that is wrong is said at once and nothing is taken half.

mod error;
mod paths;
mod reader;
pub mod services;
pub mod settings;

pub use error::{ConfigError, Problem};
pub use paths::Paths;
