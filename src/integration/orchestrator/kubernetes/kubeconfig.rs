//! The kubeconfig, read as kubectl reads it: of the files that `KUBECONFIG` lists those that are there,
//! and of what several say the first. Unlike kubectl, a list of which nothing is there is an error.

use flightdeck_model::sanitize_line;
use kube::config::{Kubeconfig, KubeconfigError as Fault};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why there is no kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// `KUBECONFIG` lists files of which none is there.
    #[error("KUBECONFIG names {}, which is not there", listed(.0))]
    Gone(Vec<PathBuf>),
    /// A file can't be read, or does not say what a kubeconfig says.
    #[error("{}: {why}", listed(std::slice::from_ref(.path)))]
    Unreadable { path: PathBuf, why: String },
    /// Nobody says where it is.
    #[error("neither KUBECONFIG nor a home folder names one")]
    Nowhere,
}

/// Where a kubeconfig is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places {
    /// What `KUBECONFIG` lists, empty parts left out.
    Told(Vec<PathBuf>),
    /// The file in the home folder.
    Usual(PathBuf),
    /// There is no home folder.
    Nowhere,
}

impl Places {
    /// Those of this process.
    #[must_use]
    pub fn of_environment() -> Places {
        match std::env::var_os("KUBECONFIG").filter(|told| !told.is_empty()) {
            Some(told) => {
                Places::Told(std::env::split_paths(&told).filter(|path| !path.as_os_str().is_empty()).collect())
            }
            None => match directories::BaseDirs::new() {
                Some(home) => Places::Usual(home.home_dir().join(".kube").join("config")),
                None => Places::Nowhere,
            },
        }
    }

    /// The files, there or not.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Places::Told(files) => files,
            Places::Usual(file) => std::slice::from_ref(file),
            Places::Nowhere => &[],
        }
    }

    /// All that the files say.
    pub fn read(&self) -> Result<Kubeconfig, KubeconfigError> {
        match self {
            Places::Told(files) => merged(files),
            Places::Usual(file) => one(file),
            Places::Nowhere => Err(KubeconfigError::Nowhere),
        }
    }
}

impl std::fmt::Display for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.files() {
            [] => f.write_str("~/.kube/config"),
            files => f.write_str(&listed(files)),
        }
    }
}

/// One file, or what the environment names.
pub fn read(path: Option<&Path>) -> Result<Kubeconfig, KubeconfigError> {
    path.map_or_else(|| Places::of_environment().read(), one)
}

fn one(path: &Path) -> Result<Kubeconfig, KubeconfigError> {
    Kubeconfig::read_from(path).map_err(|fault| unreadable(path, &fault))
}

fn merged(files: &[PathBuf]) -> Result<Kubeconfig, KubeconfigError> {
    let mut all: Option<Kubeconfig> = None;
    for path in files {
        let mut next = match Kubeconfig::read_from(path) {
            Err(Fault::ReadConfig(error, _)) if error.kind() == ErrorKind::NotFound => continue,
            read => read.map_err(|fault| unreadable(path, &fault))?,
        };
        // kubectl takes the first that is said, and an empty word says nothing.
        next.current_context = next.current_context.filter(|name| !name.is_empty());
        all = Some(match all {
            Some(before) => before.merge(next).map_err(|fault| unreadable(path, &fault))?,
            None => next,
        });
    }
    all.ok_or_else(|| KubeconfigError::Gone(files.to_vec()))
}

fn unreadable(path: &Path, fault: &Fault) -> KubeconfigError {
    let why = match fault {
        Fault::ReadConfig(error, _) => error.to_string(),
        other => other.to_string(),
    };
    KubeconfigError::Unreadable { path: path.to_owned(), why: sanitize_line(&why) }
}

fn listed(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return "no file".to_owned();
    }
    files.iter().map(|path| sanitize_line(&path.display().to_string())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::config::KubeConfigOptions;

    fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn file(current: &str, token: &str) -> String {
        format!(
            "current-context: \"{current}\"\nclusters: [{{name: {token}, cluster: {{server: 'https://{token}.test', \
             certificate-authority: ca.crt}}}}]\nusers: [{{name: me, user: {{token: {token}}}}}]\n\
             contexts: [{{name: {token}, context: {{cluster: {token}, user: me}}}}]\n"
        )
    }

    #[test]
    fn what_is_not_there_is_skipped_and_the_first_to_say_something_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) =
            (written(dir.path(), "one", &file("", "first")), written(dir.path(), "two", &file("second", "second")));
        let read = merged(&[dir.path().join("gone"), one, two]).unwrap();
        let names: Vec<_> = read.contexts.iter().map(|context| context.name.as_str()).collect();
        assert_eq!(names, ["first", "second"]);
        assert_eq!(read.current_context.as_deref(), Some("second"), "an empty word says nothing");
        assert_eq!(read.auth_infos.len(), 1);
        let user = serde_json::to_value(&read.auth_infos[0]).unwrap();
        assert_eq!(user["user"]["token"], "first");
    }

    #[tokio::test]
    async fn a_relative_certificate_lies_beside_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), "far/config", &file("far", "far"));
        written(dir.path(), "far/ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let read = merged(&[path]).unwrap();
        let options = KubeConfigOptions { context: Some("far".into()), ..KubeConfigOptions::default() };
        let config = kube::Config::from_custom_kubeconfig(read, &options).await.unwrap();
        assert_eq!(config.root_cert.unwrap().len(), 1);
    }

    #[test]
    fn a_list_of_which_nothing_is_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let said = merged(std::slice::from_ref(&gone)).unwrap_err();
        assert_eq!(said, KubeconfigError::Gone(vec![gone.clone()]));
        assert_eq!(said.to_string(), format!("KUBECONFIG names {}, which is not there", gone.display()));
        assert_eq!(merged(&[]).unwrap_err().to_string(), "KUBECONFIG names no file, which is not there");
        let broken = written(dir.path(), "broken", "{");
        let said = merged(&[gone, broken.clone()]).unwrap_err().to_string();
        assert!(said.starts_with(&broken.display().to_string()), "{said}");
    }
}
