//! What depends on the kernel, behind one interface: each system has a file with the same functions, and nothing
//! outside of this crate asks on which one it runs. And a crash on demand.

pub mod failpoint;
pub mod files;
pub mod identity;
pub mod sockets;
mod unsupported;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("flightdeck runs on Linux and macOS; another system needs a file here with the functions of linux.rs");

pub use identity::Identity;
pub use system::{
    BINARIES, KEEPS_MEMORY_LIMITS, abstract_address, become_user, can_become_user, cgroup_mount, command_line,
    end_with_parent, exit_fd, groups_of, listening, lower_priority, machine_kills, own_program, processes, program_of,
    raise_open_files, runs_other_formats, set_user_timeout, take_listeners, working_folder,
};
pub use unsupported::{BinaryFormat, NotSupported};
