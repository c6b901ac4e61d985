//! What the program knows of the systems outside: a few shapes, whoever is behind them.
//!
//! An [`Executor`] shows rows and carries out commands, a [`Probe`] has numbers of them, a [`Sink`] is told what
//! happened. A [`Provider`] is a kind of system: the word in the settings, its keys, and how one is made. Nothing
//! here names a system.

mod executor;
mod probe;
mod provider;
mod sink;

pub use executor::{Accepted, Capabilities, Executor, Followed, Holding, InspectError, NotDone};
pub use probe::{
    ArmIncrease, Found, Measured, Probe, ProbeError, ProbeReport, QueryReport, RowReport, RowTally, TallyQuestion,
    Unmeasured,
};
pub use provider::{Checked, Configured, Provider, RawSettings, Section, System, WrongSetting, schema_of, typed};
pub use sink::{BreachNews, CommandNews, NotTold, Notification, NotifyEvent, Sink};
