//! Every source file belongs to a crate and says what it is.

use std::collections::BTreeSet;

use crate::tree::{Finding, SourceFile, Tree};

fn every_file_is_reached(tree: &Tree) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&SourceFile> =
        tree.rust_below("").filter(|file| is_crate_root(tree, &file.path)).collect();
    while let Some(file) = waiting.pop() {
        if reached.insert(file.path.as_str()) {
            waiting.extend(modules_of(tree, file));
        }
    }
    let lost = tree.rust_below("").filter(|file| !reached.contains(file.path.as_str()));
    lost.map(|file| format!("{}: no `mod` leads here: it is never compiled", file.path)).collect()
}

fn every_file_says_what_it_is(tree: &Tree) -> Vec<Finding> {
    let silent = tree.rust_below("").filter(|file| !file.text.starts_with("//!"));
    silent.map(|file| format!("{}: does not open with a module comment", file.path)).collect()
}

/// Cargo's own places for crate roots, and what a manifest names with `path = "..."`.
fn is_crate_root(tree: &Tree, path: &str) -> bool {
    let Some((package, inside)) = package_of(tree, path) else { return false };
    let parts: Vec<&str> = inside.split('/').collect();
    let usual = matches!(
        parts.as_slice(),
        ["build.rs"]
            | ["src", "lib.rs" | "main.rs"]
            | ["src", "bin", _]
            | ["tests" | "benches" | "examples", _]
            | ["tests" | "benches" | "examples" | "src", _, "main.rs"]
    );
    let manifest = tree.get(&format!("{package}Cargo.toml")).map_or("", |file| &file.text);
    usual || manifest.contains(&format!("path = \"{inside}\""))
}

/// The folder (with its `/`) of the nearest manifest above `path`, and the rest of the path.
fn package_of<'a>(tree: &Tree, path: &'a str) -> Option<(&'a str, &'a str)> {
    let ends = path.rmatch_indices('/').map(|(at, _)| at + 1).chain([0]);
    ends.map(|end| path.split_at(end)).find(|(folder, _)| tree.get(&format!("{folder}Cargo.toml")).is_some())
}

/// The files that `mod name;` lines of `file` lead to.
fn modules_of<'a>(tree: &'a Tree, file: &'a SourceFile) -> Vec<&'a SourceFile> {
    let mut modules = Vec::new();
    for at in file.code_words("mod") {
        let Some((name, _)) = file.code[at + 3..].split_once(['{', ';']) else { continue };
        let ends_line = file.code[at + 3 + name.len()..].starts_with(';');
        let (name, folder) = (name.trim(), module_folder(tree, &file.path));
        let explicit = explicit_path(&file.text[..at]).map(|path| format!("{}{path}", parent(&file.path)));
        let usual = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
        let candidates = explicit.into_iter().chain(usual);
        modules.extend(candidates.filter(|_| ends_line).find_map(|path| tree.get(&path)));
    }
    modules
}

/// The `#[path = "..."]` on the line before a `mod`.
fn explicit_path(before: &str) -> Option<&str> {
    let attribute = before.trim_end_matches("pub ").trim_end().rsplit('\n').next()?;
    attribute.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]")
}

/// Where the modules of a file lie: beside a root or a `mod.rs`, in a folder of its own name otherwise.
fn module_folder(tree: &Tree, path: &str) -> String {
    if path.ends_with("/mod.rs") || is_crate_root(tree, path) {
        return parent(path).to_owned();
    }
    format!("{}/", path.trim_end_matches(".rs"))
}

fn parent(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..=at])
}

mod tests {
    use super::*;
    use crate::{assert_accepts, assert_clean, assert_finds};

    #[test]
    fn every_source_file_is_reached_from_its_crate_root() {
        assert_clean(every_file_is_reached);
    }

    #[test]
    fn a_file_that_nobody_declares_is_found_and_a_declared_one_is_not() {
        let manifest = ("core/Cargo.toml", "[package]");
        let root = ("core/src/lib.rs", "pub mod log;\n// mod lost;\nmod tests { }");
        let log = ("core/src/log/mod.rs", "mod index;");
        let index = ("core/src/log/index.rs", "#[path = \"odd/name.rs\"]\nmod rest;\nmod below;");
        let (odd, below) = (("core/src/log/odd/name.rs", ""), ("core/src/log/index/below.rs", ""));
        let (lost, bench) = (("core/src/lost.rs", ""), ("core/benches/speed.rs", ""));
        assert_accepts(every_file_is_reached, &[manifest, root, log, index, odd, below, bench]);
        assert_finds(every_file_is_reached, &[manifest, root, log, index, lost], "core/src/lost.rs");
        assert_finds(every_file_is_reached, &[("loose/src/lib.rs", "")], "loose/src/lib.rs");
    }

    #[test]
    fn every_source_file_opens_with_what_it_is() {
        assert_clean(every_file_says_what_it_is);
    }

    #[test]
    fn a_file_without_a_module_comment_is_found() {
        assert_finds(
            every_file_says_what_it_is,
            &[("core/src/a.rs", "use std::fmt;\n//! late")],
            "core/src/a.rs",
        );
    }
}
