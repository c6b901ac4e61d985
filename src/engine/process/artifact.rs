//! Can an artifact's programs be run here? Looked at before anything is started.

use super::inspect::{self, HEAD};
use crate::store::{Store, StoreError};
use flightdeck_model::Cause;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use tar::EntryType;

/// An entry of an artifact.
enum Entry {
    File { executable: bool, head: Vec<u8> },
    Link(PathBuf),
    Other,
}

/// What stands in the way of each of these programs, in their order. Those outside of the artifact are looked for on
/// this machine. `search` are the folders of `PATH`. Blocks.
///
/// # Errors
/// The artifact can't be read.
pub fn obstacles(
    store: &Store,
    digest: &str,
    programs: &[String],
    search: &str,
) -> Result<Vec<Option<Cause>>, StoreError> {
    let mut entries = BTreeMap::new();
    store.each(digest, |entry| {
        let Ok(path) = entry.path().map(|path| plain(&path)) else { return Ok(()) };
        let kept = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                let executable = entry.header().mode().unwrap_or_default() & 0o111 != 0;
                let mut head = Vec::new();
                // Of the rest nobody asks what it holds.
                if programs.iter().any(|program| ends_alike(&path, program)) {
                    entry.take(HEAD as u64).read_to_end(&mut head)?;
                }
                Entry::File { executable, head }
            }
            EntryType::Symlink | EntryType::Link => {
                let to = entry.link_name().ok().flatten().unwrap_or_default().into_owned();
                let base = if entry.header().entry_type() == EntryType::Symlink { path.parent() } else { None };
                Entry::Link(plain(&base.unwrap_or(Path::new("")).join(to)))
            }
            _ => Entry::Other,
        };
        entries.insert(path, kept);
        Ok(())
    })?;
    Ok(programs.iter().map(|program| obstacle(program, &entries, search)).collect())
}

fn obstacle(program: &str, entries: &BTreeMap<PathBuf, Entry>, search: &str) -> Option<Cause> {
    if Path::new(program).is_absolute() {
        return on_machine(program, search);
    }
    let path = plain(Path::new(program));
    let runs = |path: &Path| {
        path.is_absolute() && inspect::is_program(path)
            || matches!(found(&plain(path), entries), Some(Entry::File { executable: true, .. }))
    };
    // What lies behind a linked folder is not followed here, and nothing is claimed of it.
    if path.ancestors().skip(1).any(|above| matches!(entries.get(above), Some(Entry::Link(_)))) {
        return None;
    }
    match found(&path, entries) {
        Some(Entry::File { executable: false, .. } | Entry::Other) => {
            Some(Cause::NotExecutable { program: program.to_owned() })
        }
        // A link's own name says nothing of its target's: its head may not have been read.
        Some(Entry::File { head, .. }) if head.is_empty() && matches!(entries.get(&path), Some(Entry::Link(_))) => None,
        Some(Entry::File { head, .. }) => inspect::obstacle(program, head, runs, search),
        _ => Some(missing(program, &path, entries, search)),
    }
}

fn on_machine(program: &str, search: &str) -> Option<Cause> {
    let path = Path::new(program);
    if !path.exists() {
        return Some(Cause::MissingProgram { program: program.to_owned(), folder: None, found: None, installed: None });
    }
    if !inspect::is_program(path) {
        return Some(Cause::NotExecutable { program: program.to_owned() });
    }
    inspect::obstacle(program, &inspect::head(path).ok()?, inspect::is_program, search)
}

/// The entry at a path, through links to it.
fn found<'a>(path: &Path, entries: &'a BTreeMap<PathBuf, Entry>) -> Option<&'a Entry> {
    let mut entry = entries.get(path)?;
    // A circle of links ends somewhere, too.
    for _ in 0..8 {
        let Entry::Link(to) = entry else { return Some(entry) };
        entry = entries.get(to)?;
    }
    None
}

fn missing(program: &str, path: &Path, entries: &BTreeMap<PathBuf, Entry>, search: &str) -> Cause {
    let mut tops = entries.keys().filter_map(|path| path.components().next());
    let first = tops.next();
    let one = first.filter(|first| tops.all(|top| top == *first));
    let inside = one.map(|top| Path::new(top.as_os_str()).join(path));
    let inside = inside.filter(|inside| entries.contains_key(inside));
    let folder = one.filter(|_| inside.is_some()).map(|top| top.as_os_str().to_string_lossy().into_owned());
    let at = inside.or_else(|| entries.keys().find(|path| ends_alike(path, program)).cloned());
    let words = |text: String| flightdeck_model::sanitize_line(&text);
    Cause::MissingProgram {
        program: program.to_owned(),
        folder: folder.map(words),
        found: at.map(|at| words(at.display().to_string())),
        installed: inspect::installed(program, search).map(words),
    }
}

/// Is it a file of that program's name?
fn ends_alike(path: &Path, program: &str) -> bool {
    path.file_name().is_some() && path.file_name() == Path::new(program).file_name()
}

/// Without dots; what the store has taken leaves no root.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    type Entries<'a> = &'a [(&'a str, u32, &'a str)];

    /// What stands in the way of a program in an artifact of these: path, mode, content; a link with mode 0.
    fn told(entries: Entries<'_>, program: &str) -> Option<Cause> {
        let dir = tempfile::tempdir().unwrap();
        let upload = dir.path().join("upload");
        let mut builder = tar::Builder::new(File::create(&upload).unwrap());
        for (name, mode, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(*mode);
            if *mode == 0 {
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, name, content).unwrap();
            } else {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, content.as_bytes()).unwrap();
            }
        }
        builder.into_inner().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let digest = store.take(&upload, None).unwrap().digest;
        obstacles(&store, &digest, &[program.to_owned()], "/bin:/usr/bin").unwrap().remove(0)
    }

    #[test]
    fn what_stands_in_the_way_of_a_program_is_told_before_it_is_started() {
        const SCRIPT: &str = "#!/bin/sh\n";
        let app = || "bin/app".to_owned();
        let missing = |folder: Option<&str>, found: Option<&str>| {
            let (folder, found) = (folder.map(Into::into), found.map(Into::into));
            Some(Cause::MissingProgram { program: app(), folder, found, installed: None })
        };
        let interpreter = |name: &str| Some(Cause::MissingInterpreter { program: app(), interpreter: name.to_owned() });
        let cases: [(Entries<'_>, Option<Cause>); 11] = [
            (&[("bin/app", 0o755, SCRIPT)], None),
            (&[("./bin/app", 0o755, SCRIPT)], None),
            (&[("bin/app", 0o644, SCRIPT)], Some(Cause::NotExecutable { program: app() })),
            (&[("bin/app", 0o755, "#!/bin/sh\r\n")], Some(Cause::CarriageReturn { program: app() })),
            (&[("bin/app", 0o755, "#!/nowhere/python\n")], interpreter("/nowhere/python")),
            (&[("bin/app", 0o755, "#!own/sh\n"), ("own/sh", 0o755, SCRIPT)], None),
            (&[("bin/app", 0, "real"), ("bin/real", 0o755, SCRIPT)], None),
            (&[("readme", 0o644, "x")], missing(None, None)),
            (&[("src/app", 0o755, SCRIPT), ("readme", 0o644, "x")], missing(None, Some("src/app"))),
            (&[("a-1/bin/app", 0o755, SCRIPT), ("a-1/x", 0o644, "x")], missing(Some("a-1"), Some("a-1/bin/app"))),
            (&[("app", 0o755, SCRIPT)], missing(None, Some("app"))),
        ];
        for (entries, expected) in cases {
            assert_eq!(told(entries, "bin/app"), expected, "{entries:?}");
        }
        assert_eq!(told(&[("x", 0o644, "x")], "/bin/sh"), None);
        let missing = |program: &str, installed: Option<&str>| {
            let (program, installed) = (program.to_owned(), installed.map(Into::into));
            Some(Cause::MissingProgram { program, folder: None, found: None, installed })
        };
        assert_eq!(told(&[("x", 0o644, "x")], "/nowhere/sh"), missing("/nowhere/sh", None));
        assert_eq!(told(&[("x", 0o644, "x")], "sh"), missing("sh", Some("/bin/sh")), "PATH is not searched");
    }
}
