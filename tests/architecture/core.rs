//! The files of the engine's core can be read from the top of its `lib.rs`: none uses one of a later group there, and no
//! files use each other in a circle.

use super::{imports, read_sources};
use std::collections::{BTreeMap, BTreeSet};

const CORE: &str = "engine/core";

/// By file, which others it uses: `state/slot` of `engine/core/state/slot.rs`.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let files: Vec<_> = read_sources().filter(|(_, module, _)| within(module).is_some()).collect();
    let names: BTreeSet<&str> = files.iter().filter_map(|(_, module, _)| within(module)).collect();
    let file = |path: &str| {
        let mut path = within(path)?;
        while !names.contains(path) {
            path = path.rsplit_once('/')?.0;
        }
        Some(path.to_owned())
    };
    let of = |(_, module, text): &(String, String, String)| {
        let name = within(module).unwrap_or_default().to_owned();
        let used: BTreeSet<_> = imports(text, module).iter().filter_map(|(_, path)| file(path)).collect();
        (name.clone(), used.into_iter().filter(|used| *used != name).collect())
    };
    files.iter().map(of).collect()
}

fn within(module: &str) -> Option<&str> {
    module.strip_prefix(CORE)?.strip_prefix('/')
}

/// The number of the group in which each file stands.
fn groups(lib: &str) -> BTreeMap<&str, usize> {
    lib.split("\n\n")
        .enumerate()
        .flat_map(|(number, group)| {
            group.lines().filter_map(move |line| Some((line.strip_prefix("mod ")?.strip_suffix(';')?, number)))
        })
        .collect()
}

/// What uses one of a later group.
fn upward(uses: &BTreeMap<String, BTreeSet<String>>, groups: &BTreeMap<&str, usize>) -> Vec<String> {
    let group = |file: &str| groups.get(file.split('/').next().unwrap_or_default()).copied().unwrap_or_default();
    let all = uses.iter().flat_map(|(file, used)| used.iter().map(move |used| (file, used)));
    all.filter(|(file, used)| group(used) > group(file)).map(|(file, used)| format!("{file} uses {used}")).collect()
}

/// What is left once all is taken away that uses nothing that is left.
fn circle(mut uses: BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    loop {
        let left: BTreeSet<String> = uses.keys().cloned().collect();
        uses.retain(|_, used| used.iter().any(|used| left.contains(used)));
        if uses.len() == left.len() {
            return left.into_iter().collect();
        }
    }
}

#[test]
fn a_file_uses_none_of_a_later_group() {
    let lib = read_sources().find(|(_, module, _)| module == CORE).map(|(_, _, text)| text).unwrap();
    let found = upward(&uses(), &groups(&lib));
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let found = circle(uses());
    assert!(found.is_empty(), "these do, or use some that do: {}", found.join(", "));
}

#[test]
fn what_is_out_of_order_is_found() {
    let uses = |of: &[(&str, &str)]| -> BTreeMap<String, BTreeSet<String>> {
        of.iter()
            .map(|(file, used)| ((*file).to_owned(), used.split_whitespace().map(str::to_owned).collect()))
            .collect()
    };
    let groups = groups("//! Rules.\n\n// First.\nmod state;\nmod types;\n\nmod step;\n");
    assert_eq!(upward(&uses(&[("state/slot", "types step"), ("step", "state")]), &groups), ["state/slot uses step"]);
    assert_eq!(circle(uses(&[("a", "b"), ("b", "c"), ("c", "b"), ("d", "")])), ["a", "b", "c"]);
    assert!(circle(uses(&[("a", "b c"), ("b", "c"), ("c", "")])).is_empty());
}
