//! Owns the reading of the sources: files as modules, and which file each path in them leads to.
//!
//! `mod x;`, re-exports and test modules are no imports. A path through a re-export leads to the file that defines
//! the item.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One file of `src`.
pub struct File {
    /// Beneath `src`, with slashes.
    pub path: String,
    pub text: String,
    /// The text without comments, strings and test modules.
    pub code: String,
    /// Its module's path within the crate.
    module: Vec<String>,
}

/// All files.
pub struct House {
    files: BTreeMap<Vec<String>, File>,
    /// Re-exported names: by module, the path that each stands for.
    exports: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

impl File {
    /// The folder of this depth in which it lies, or its own name where it lies in none.
    pub fn room(&self, depth: usize) -> &str {
        self.path.split('/').nth(depth).unwrap_or("mod.rs").trim_end_matches(".rs")
    }

    /// Whether a path in it begins with this crate.
    pub fn names_crate(&self, name: &str) -> bool {
        let prefix = format!("{name}::");
        self.code.match_indices(&prefix).any(|(at, _)| !self.code[..at].ends_with(is_part_of_a_path))
    }

    /// Every path that it names, and whether that is a re-export. `children` are the modules beneath it: a path may
    /// begin with one.
    fn paths(&self, children: &[&str]) -> Vec<(Vec<String>, bool)> {
        let mut found = Vec::new();
        let mut rest = self.code.as_str();
        let mut others = String::new();
        while let Some(at) = find_use(rest) {
            others.push_str(&rest[..at]);
            let line = &rest[..at];
            let is_export =
                line.rsplit('\n').next().is_some_and(|before| before.trim_start().starts_with("pub"));
            let end = at + rest[at..].find(';').unwrap_or(rest.len() - at);
            let tree: String = rest[at + 4..end].split_whitespace().collect::<Vec<_>>().join(" ");
            expand(&tree, &[], &mut |path| found.push((path, is_export)));
            rest = &rest[end..];
        }
        others.push_str(rest);
        for (path, _) in &mut found {
            if children.contains(&path[0].as_str()) {
                path.insert(0, "self".to_owned());
            }
        }
        let roots = ["crate", "super", "self", "taskgate"];
        for root in roots.iter().chain(children) {
            for (at, _) in others.match_indices(&format!("{root}::")) {
                if !others[..at].ends_with(is_part_of_a_path) {
                    let end = others[at..].find(|c: char| !is_part_of_a_path(c)).unwrap_or(others.len() - at);
                    let path = others[at..at + end].split("::").filter(|part| !part.is_empty());
                    let own = children.contains(root).then(|| "self".to_owned());
                    found.push((own.into_iter().chain(path.map(str::to_owned)).collect(), false));
                }
            }
        }
        found
    }
}

impl House {
    /// Reads `src`.
    pub fn read() -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = BTreeMap::new();
        walk(&src, &src, &mut files);
        let mut house = Self { files, exports: BTreeMap::new() };
        for file in house.files.values() {
            for (path, is_export) in file.paths(&house.children(&file.module)) {
                if let Some(name) = path.last().filter(|_| is_export)
                    && let Some(full) = absolute(&file.module, &path)
                {
                    house.exports.entry(file.module.clone()).or_default().insert(name.clone(), full);
                }
            }
        }
        house
    }

    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    /// Which file imports which, each pair once.
    pub fn imports(&self) -> impl Iterator<Item = (&File, &File)> {
        let mut pairs = BTreeSet::new();
        for (module, file) in &self.files {
            for (path, is_export) in file.paths(&self.children(module)) {
                let target = absolute(&file.module, &path).and_then(|path| self.defined_in(&path, 0));
                if let Some(target) = target.filter(|target| *target != module && !is_export) {
                    pairs.insert((module, target));
                }
            }
        }
        pairs.into_iter().map(|(from, to)| (&self.files[from], &self.files[to]))
    }

    fn children(&self, module: &[String]) -> Vec<&str> {
        let beneath = self.files.keys().filter_map(|path| path.split_last());
        beneath.filter(|(_, parent)| *parent == module).map(|(name, _)| name.as_str()).collect()
    }

    /// The module in which the item of this path is defined.
    fn defined_in(&self, path: &[String], depth: usize) -> Option<&Vec<String>> {
        assert!(depth < 8, "re-exports in a circle at {path:?}");
        let known = (0..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]))?;
        if let Some(name) = path.get(known)
            && let Some(target) = self.exports.get(&path[..known]).and_then(|names| names.get(name))
        {
            let through = [target.as_slice(), &path[known + 1..]].concat();
            return self.defined_in(&through, depth + 1);
        }
        self.files.get_key_value(&path[..known]).map(|(module, _)| module)
    }
}

/// A path within the crate, from its root; `None` for one of another crate.
fn absolute(module: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut base = module.to_vec();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" | "taskgate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                base.pop()?;
                rest = &rest[1..];
            }
        }
        _ => return None,
    }
    base.extend(rest.iter().filter(|part| *part != "self" && *part != "*").cloned());
    Some(base)
}

fn walk(src: &Path, dir: &Path, files: &mut BTreeMap<Vec<String>, File>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("tests") {
                walk(src, &path, files);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let relative = path.strip_prefix(src).unwrap().to_str().unwrap().to_owned();
            let mut module: Vec<String> =
                relative.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
            if module.last().is_some_and(|last| last == "mod" || last == "lib") {
                module.pop();
            }
            let code = code(&text);
            files.insert(module.clone(), File { path: relative, text, code, module });
        }
    }
}

/// The text without comments and without what stands behind `#[cfg(test)]`, which is last in a file.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    // A visibility is no import.
    let code = lines.collect::<Vec<_>>().join("\n").replace("pub(in crate::", "pub(in ");
    match code.find("#[cfg(test)]\nmod tests {") {
        Some(at) => code[..at].to_owned(),
        None => code,
    }
}

fn is_part_of_a_path(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == ':'
}

/// Where the next `use ` begins that is an item and not a word in something else.
fn find_use(code: &str) -> Option<usize> {
    code.match_indices("use ").map(|(at, _)| at).find(|at| {
        let line = code[..*at].rsplit('\n').next().unwrap_or("").trim();
        line.is_empty() || line == "pub" || (line.starts_with("pub(") && line.ends_with(')'))
    })
}

/// Takes a tree of imports apart: `a::{b, c::{self, d}}` is `a::b`, `a::c::self` and `a::c::d`.
fn expand(tree: &str, before: &[String], found: &mut impl FnMut(Vec<String>)) {
    let tree = tree.trim();
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, Some(group.trim_end().trim_end_matches('}'))),
        None => (tree.split(" as ").next().unwrap_or(tree), None),
    };
    let mut full = before.to_vec();
    full.extend(path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
    let Some(group) = group else {
        if !tree.is_empty() {
            found(full);
        }
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&group[start..at], &full, found);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&group[start..], &full, found);
}

#[test]
fn trees_and_re_exports_are_followed_to_their_files() {
    let mut found = Vec::new();
    expand("a::{b, c::{self, d as e}, f::G}", &[], &mut |path| found.push(path.join("::")));
    assert_eq!(found, ["a::b", "a::c::self", "a::c::d", "a::f::G"]);
    let house = House::read();
    let mut imports = house.imports().map(|(from, to)| (&*from.path, &*to.path));
    assert!(
        imports.any(|pair| pair == ("core/mirror.rs", "core/refresh/coordinator.rs")),
        "through refresh/mod.rs"
    );
}
