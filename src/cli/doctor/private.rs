//! Files of the data folder that others may read: it holds the ledger's key and what instances wrote.

use super::{Check, ok, warn};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// So many are named.
const NAMED: usize = 3;

/// What lies there; nothing where nothing was written yet.
pub(super) fn check(data: &Path) -> Option<Check> {
    let mut readable = Vec::new();
    match walk(data, &mut readable) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(warn("files", format!("{}: {error}", data.display()), "look at it as its user")),
        Ok(()) => {}
    }
    let names: Vec<_> = readable.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    Some(match readable.len() {
        0 => ok("files", format!("others can read none in {}", data.display())),
        count => {
            let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
            warn("files", format!("others can read {}{more}", names.join(", ")), "chmod o-rwx them")
        }
    })
}

/// Follows the folders that others can enter; an instance's own files are its user's and may be public.
fn walk(folder: &Path, readable: &mut Vec<PathBuf>) -> io::Result<()> {
    if folder.symlink_metadata()?.permissions().mode() & 0o001 == 0 {
        return Ok(());
    }
    for entry in folder.read_dir()? {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.is_dir() && entry.file_name() != "instances" {
            walk(&entry.path(), readable)?;
        } else if about.is_file() && about.permissions().mode() & 0o004 != 0 {
            readable.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions, write};

    #[test]
    fn what_others_can_read_is_named_and_closed_folders_keep_what_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str, mode| set_permissions(dir.path().join(name), Permissions::from_mode(mode)).unwrap();
        let verdict = || check(dir.path()).unwrap();
        for folder in ["ledger", "instances"] {
            create_dir(dir.path().join(folder)).unwrap();
            write(dir.path().join(folder).join("file"), "x").unwrap();
            mode(&format!("{folder}/file"), 0o644);
            mode(folder, 0o755);
        }
        mode(".", 0o700);
        assert_eq!(verdict().verdict, Verdict::Ok, "nobody gets in");
        mode(".", 0o711);
        let found = verdict();
        assert_eq!(found.verdict, Verdict::Warn);
        assert!(found.what.contains("ledger/file") && !found.what.contains("instances"), "{}", found.what);
        mode("ledger", 0o700);
        assert_eq!(verdict().verdict, Verdict::Ok);
        assert!(check(&dir.path().join("nowhere")).is_none());
    }
}
