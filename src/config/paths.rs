//! Where files lie.

use super::ConfigError;
use directories::ProjectDirs;
use std::ffi::OsString;
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
        Paths::find(ProjectDirs::from("", "", "flightdeck").as_ref(), |name| std::env::var_os(name))
    }

    fn find(user: Option<&ProjectDirs>, told: impl Fn(&str) -> Option<OsString>) -> Result<Paths, ConfigError> {
        // A relative folder would be another one after the next `cd`.
        let told = |name: &str| {
            let path = told(name).filter(|value| !value.is_empty()).map(PathBuf::from)?;
            Some(std::path::absolute(&path).unwrap_or(path))
        };
        let find = |name: &str, usual: Option<PathBuf>| {
            told(name).or(usual).ok_or_else(|| {
                ConfigError::of_file(Path::new(name), "expected a folder, since there is no home directory")
            })
        };
        let data = find("FLIGHTDECK_DATA_DIR", user.map(|dirs| dirs.data_dir().to_owned()))?;
        // Who moves the data means another server, which has its own socket.
        let moved = told("FLIGHTDECK_DATA_DIR").is_some();
        let usual = user.and_then(ProjectDirs::runtime_dir).filter(|_| !moved).map(Path::to_owned);
        let state = user.map(|dirs| dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).to_owned());
        Ok(Paths {
            config: find("FLIGHTDECK_CONFIG_DIR", user.map(|dirs| dirs.config_dir().to_owned()))?,
            state: find("FLIGHTDECK_STATE_DIR", state)?,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn find(told: &[(&str, &str)]) -> Result<Paths, ConfigError> {
        Paths::find(None, |name| told.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn folders_can_be_told_and_a_missing_home_is_said() {
        let all = [("FLIGHTDECK_CONFIG_DIR", "/c"), ("FLIGHTDECK_DATA_DIR", "/d"), ("FLIGHTDECK_STATE_DIR", "/s")];
        let paths = find(&all).unwrap();
        assert_eq!(paths.socket(), Path::new("/d/run/server.sock"));
        assert_eq!(paths.settings(), Path::new("/c/config.toml"));
        let error = find(&[("FLIGHTDECK_DATA_DIR", "/d")]).unwrap_err().to_string();
        assert_eq!(error, "FLIGHTDECK_CONFIG_DIR: expected a folder, since there is no home directory");
        let relative = find(&[all[0], all[1], all[2], ("FLIGHTDECK_RUNTIME_DIR", "sockets")]).unwrap();
        assert!(relative.runtime.is_absolute() && relative.runtime.ends_with("sockets"), "{relative:?}");
    }
}
