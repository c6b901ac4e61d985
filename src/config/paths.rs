//! Where files lie.

use super::ConfigError;
use directories::ProjectDirs;
use std::path::{Path, PathBuf};

/// The folders of one user. None of them needs to exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `config.toml`, `keymap.toml`, `themes/`.
    pub config: PathBuf,
    /// Releases, journal and ledger.
    pub data: PathBuf,
    /// Logs and recordings.
    pub state: PathBuf,
    /// Sockets.
    pub runtime: PathBuf,
}

impl Paths {
    /// The user's folders: `FLIGHTDECK_CONFIG_DIR`, `…_DATA_DIR`, `…_STATE_DIR`, `…_RUNTIME_DIR`
    /// where set, else those of the XDG base directories. Without a runtime directory (no login
    /// session) sockets lie in `run` below the data.
    ///
    /// # Errors
    /// If there is no home directory and not all four variables are set.
    pub fn from_env() -> Result<Paths, ConfigError> {
        let user = ProjectDirs::from("", "", "flightdeck");
        let find = |variable: &str, usual: Option<PathBuf>| {
            let told = std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
            // A relative folder would be another one after the next `cd`.
            let told = told.map(|path| std::path::absolute(&path).unwrap_or(path));
            told.or(usual).ok_or_else(|| {
                ConfigError::of_file(Path::new(variable), "expected a folder, since there is no home directory")
            })
        };
        let user = user.as_ref();
        let data = find("FLIGHTDECK_DATA_DIR", user.map(|dirs| dirs.data_dir().to_owned()))?;
        let told = std::env::var_os("FLIGHTDECK_DATA_DIR").is_some_and(|value| !value.is_empty());
        // Someone who moves the data means another server, which has its own socket.
        let usual = user.and_then(ProjectDirs::runtime_dir).filter(|_| !told).map(Path::to_owned);
        Ok(Paths {
            config: find("FLIGHTDECK_CONFIG_DIR", user.map(|dirs| dirs.config_dir().to_owned()))?,
            state: find(
                "FLIGHTDECK_STATE_DIR",
                user.map(|dirs| dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).to_owned()),
            )?,
            runtime: find("FLIGHTDECK_RUNTIME_DIR", usual.or_else(|| Some(data.join("run"))))?,
            data,
        })
    }

    /// Everything below one folder, such as a scratch directory.
    pub fn under(dir: &Path) -> Paths {
        Paths { config: dir.join("config"), data: dir.join("data"), state: dir.join("state"), runtime: dir.join("run") }
    }

    /// The local server's socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("server.sock")
    }

    /// The user's settings.
    pub fn settings(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// The user's keys.
    pub fn keymap(&self) -> PathBuf {
        self.config.join("keymap.toml")
    }

    /// The user's themes.
    pub fn themes(&self) -> PathBuf {
        self.config.join("themes")
    }
}
