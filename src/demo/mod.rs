//! A live system to try: sample services, load, a scratch directory.

pub mod load;
pub mod sample;
