//! No circle of more than three files within a crate: a reader can take any file in with those below it.

use super::{code, crate_of, read_sources};
use std::collections::{BTreeMap, BTreeSet};

/// So many files may use each other; a parent and its children often do.
const MOST: usize = 3;
/// Rooms whose files still take what they share from their `mod.rs`.
const NOT_YET: &[&str] = &["cli", "contract", "demo"];

/// What a file says of its names: those that it defines, and the paths that it imports, as written.
struct File {
    defines: BTreeSet<String>,
    imports: Vec<Import>,
}

struct Import {
    path: Vec<String>,
    /// What it is called here.
    name: String,
}

/// Files by module path, such as `hub/task`.
type Files = BTreeMap<String, File>;

/// A source without comments, strings and the tests at its end.
fn plain(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    lines[..tests.unwrap_or(lines.len())].iter().map(|line| code(line) + "\n").collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `a::{b, c::D as E}` → `a::b`, and `a::c::D`, which is called `E`.
fn expand(tree: &str, before: &[String], found: &mut Vec<Import>) {
    let (mut depth, mut part, mut parts) = (0, String::new(), Vec::new());
    for c in tree.chars() {
        match c {
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if !(c == ',' && depth == 0) {
            part.push(c);
        }
    }
    parts.push(part);
    for part in parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        let (path, list) = part.split_once('{').map_or((part, None), |(path, list)| (path, Some(list)));
        let (path, alias) = path.split_once(" as ").map_or((path, None), |(path, alias)| (path, Some(alias)));
        let names = path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        let path: Vec<String> = before.iter().cloned().chain(names).collect();
        if let Some(list) = list {
            expand(list.strip_suffix('}').unwrap_or(list), &path, found);
        } else {
            let name = alias.map(str::to_owned).or_else(|| path.last().cloned()).unwrap_or_default();
            found.push(Import { path, name });
        }
    }
}

fn read(text: &str) -> File {
    let text = plain(text);
    let mut defines = BTreeSet::new();
    let words: Vec<&str> = text.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).collect();
    for pair in words.windows(2) {
        if ["fn", "struct", "enum", "trait", "const", "static", "type", "mod"].contains(&pair[0]) {
            defines.insert(pair[1].to_owned());
        }
    }
    let (mut imports, mut rest) = (Vec::new(), String::new());
    for statement in text.split_inclusive(';') {
        let begins = statement.rfind("\nuse ").or_else(|| statement.starts_with("use ").then_some(0));
        let begins = begins.or_else(|| statement.rfind(" use ").filter(|_| statement.contains("pub")));
        match begins {
            Some(at) => {
                rest.push_str(&statement[..at]);
                let tree = statement[at..].trim().trim_start_matches("use ").trim_end_matches(';');
                expand(tree, &[], &mut imports);
            }
            None => rest.push_str(statement),
        }
    }
    // Paths that are written out where they are used.
    for marker in ["crate::", "super::"] {
        for (at, _) in rest.match_indices(marker) {
            if !rest[..at].ends_with(|c: char| is_word(c) || c == ':') {
                let path: String = rest[at..].chars().take_while(|c| is_word(*c) || *c == ':').collect();
                let path: Vec<String> = path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
                let name = path.last().cloned().unwrap_or_default();
                imports.push(Import { path, name });
            }
        }
    }
    File { defines, imports }
}

fn child(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}/{name}") }
}

/// The file of its own crate in which what a path names is defined, re-exports followed; `None`: in another crate.
fn resolve(files: &Files, from: &str, path: &[String], hops: usize) -> Option<String> {
    let root = crate_of(from);
    let (mut at, mut path) = (from.to_owned(), path);
    match path.first()?.as_str() {
        "crate" => (at, path) = (root.to_owned(), &path[1..]),
        "self" => path = &path[1..],
        "super" => {}
        first if files.contains_key(&child(&at, first)) => {}
        _ => return None,
    }
    while path.first().is_some_and(|name| name == "super") {
        at = at.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned());
        path = &path[1..];
    }
    while let Some(name) = path.first().filter(|name| files.contains_key(&child(&at, name))) {
        at = child(&at, name);
        path = &path[1..];
    }
    let Some(name) = path.first() else { return Some(at) };
    let file = files.get(&at)?;
    if file.defines.contains(name) || hops == 0 {
        return Some(at);
    }
    let through = file.imports.iter().filter(|import| import.name == *name || import.name == "*");
    for import in through {
        let Some(of) = resolve(files, &at, &import.path, hops - 1).filter(|of| *of != at) else { continue };
        // Of a list of everything only what the file defines.
        if import.name == *name || files.get(&of).is_some_and(|of| of.defines.contains(name)) {
            return Some(of);
        }
    }
    Some(at)
}

/// Groups of files of which each leads to each.
fn circles(files: &Files) -> Vec<Vec<String>> {
    let uses = |(module, file): (&String, &File)| {
        let of_crate = crate_of(module).to_owned();
        let all = file.imports.iter().filter_map(|import| resolve(files, module, &import.path, 4));
        (module.clone(), all.filter(|of| of != module && crate_of(of) == of_crate).collect::<BTreeSet<_>>())
    };
    let uses: BTreeMap<String, BTreeSet<String>> = files.iter().map(uses).collect();
    let reached = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(at) = open.pop() {
            let new: Vec<_> = uses.get(&at).into_iter().flatten().filter(|of| !seen.contains(*of)).cloned().collect();
            seen.extend(new.iter().cloned());
            open.extend(new);
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = files.keys().map(|module| (module, reached(module))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (module, to) in &reached {
        let circle: Vec<String> = to.iter().filter(|of| reached[of].contains(*module)).cloned().collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

#[test]
fn no_circle_has_more_than_three_files() {
    let beside = |module: &str| module.ends_with("tests") || module.ends_with("main");
    let sources = read_sources().filter(|(_, module, _)| !beside(module));
    let files: Files = sources.map(|(_, module, text)| (module, read(&text))).collect();
    let not_yet = |module: &String| NOT_YET.contains(&module.split('/').next().unwrap_or_default());
    let large = |circle: &Vec<String>| circle.len() > MOST && !circle.iter().all(not_yet);
    let found: Vec<_> = circles(&files).into_iter().filter(large).collect();
    let told = found.iter().map(|circle| format!("{} files: {}", circle.len(), circle.join(" ")));
    assert!(found.is_empty(), "each of these uses each other one:\n{}", told.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_circle_is_found_through_lists_re_exports_and_written_out_paths() {
    let files: Files = [
        ("hub", "mod a;\nmod b;\nmod c;\npub use c::Third;"),
        ("hub/a", "use super::{b::{Second, other}, d};\nstruct First;"),
        ("hub/b", "fn f(x: crate::Third) {}\nstruct Second;"),
        ("hub/c", "struct Third;\nfn f() { super::a::First; }"),
        ("hub/d", "// use super::a;\nconst S: &str = \"super::a::First\";\n#[cfg(test)]\nmod tests {\nuse super::super::a;\n}"),
    ]
    .into_iter()
    .map(|(module, text)| (module.to_owned(), read(text)))
    .collect();
    assert_eq!(circles(&files), [["hub/a", "hub/b", "hub/c"].map(str::to_owned).to_vec()]);
}
