//! Which crate may import which, and what each kind of crate must not touch.

use crate::tree::{Finding, SourceFile, Tree};

/// Every package of the workspace, its folder, and the packages of ours it may import.
const ARROWS: [(&str, &str, &[&str]); 10] = [
    ("ringlog-core", "core/", &[]),
    ("ringlog-runtime", "runtime/", &["ringlog-core"]),
    ("ringlog-storage", "storage/", &["ringlog-core", "ringlog-runtime"]),
    ("ringlog-net", "net/", &["ringlog-core", "ringlog-runtime"]),
    ("ringlog-replication", "replication/", &["ringlog-core"]),
    (
        "ringlog",
        "",
        &["ringlog-core", "ringlog-runtime", "ringlog-storage", "ringlog-net", "ringlog-replication"],
    ),
    ("ringlog-bench", "bench/", EVERYTHING),
    ("ringlog-simulator", "tests/simulator/", EVERYTHING),
    ("ringlog-power", "tests/power/", EVERYTHING),
    ("ringlog-fuzz", "fuzz/", EVERYTHING),
];

const EVERYTHING: &[&str] =
    &["ringlog", "ringlog-core", "ringlog-runtime", "ringlog-storage", "ringlog-net", "ringlog-replication"];

/// What is served in production; the other packages test and measure it.
pub const PRODUCTION: [&str; 6] =
    ["core/src/", "runtime/src/", "storage/src/", "net/src/", "replication/src/", "src/"];

/// Pure: the same input gives the same output, so nothing of the world may be reached from here.
const PURE: [&str; 2] = ["core/src/", "replication/src/"];

/// Names below `std` that reach the world: clocks, randomness, files, sockets, threads, the process.
const WORLDLY: [&str; 11] = [
    "fs",
    "net",
    "thread",
    "env",
    "process",
    "os",
    "Instant",
    "SystemTime",
    "RandomState",
    "HashMap",
    "HashSet",
];

fn arrows_hold(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = tree.get("Cargo.toml").map_or("", |file| &file.text);
    for folder in members(root) {
        if !ARROWS.iter().any(|(_, known, _)| known.trim_end_matches('/') == folder) {
            findings.push(format!("Cargo.toml: member {folder} has no line in tests/tidy/arrows.rs"));
        }
    }
    for (package, folder, allowed) in ARROWS {
        let Some(manifest) = tree.get(&format!("{folder}Cargo.toml")) else { continue };
        for dependency in dependencies(&manifest.text) {
            if dependency.starts_with("ringlog") && !allowed.contains(&dependency.as_str()) {
                findings.push(format!("{}: {package} may not import {dependency}", manifest.path));
            }
        }
    }
    findings
}

fn only_runtime_names_the_rings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_below("").filter(|file| !file.path.starts_with("runtime/")) {
        for name in ["glommio", "io_uring"] {
            let found =
                file.code_words(name).map(|at| file.finding(at, &format!("only runtime/ names {name}")));
            findings.extend(found);
        }
    }
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    for file in manifests.filter(|file| !file.path.starts_with("runtime/")) {
        for name in
            dependencies(&file.text).iter().filter(|name| ["glommio", "io-uring"].contains(&name.as_str()))
        {
            findings.push(format!("{}: only runtime/ depends on {name}", file.path));
        }
    }
    findings
}

fn pure_crates_touch_nothing(tree: &Tree) -> Vec<Finding> {
    let pure = |file: &&SourceFile| PURE.iter().any(|folder| file.path.starts_with(folder));
    let mut findings = Vec::new();
    for file in tree.rust_below("").filter(pure).filter(|file| !is_only_a_test(tree, file)) {
        for word in ["async", "await", "rand", "getrandom", "libc"] {
            findings.extend(
                file.code_words(word).map(|at| file.finding(at, &format!("a pure crate says {word}"))),
            );
        }
        for at in file.code_words("std") {
            for name in path_names(&file.code[at..]).iter().filter(|name| WORLDLY.contains(name)) {
                findings.push(file.finding(at, &format!("a pure crate reaches std's {name}")));
            }
        }
    }
    findings
}

/// Whether the file is declared below `#[cfg(test)]`: tests of a pure crate may read what they compare with.
fn is_only_a_test(tree: &Tree, file: &SourceFile) -> bool {
    let Some((folder, name)) = file.path.rsplit_once('/') else { return false };
    let declaration = format!("#[cfg(test)]\nmod {};", name.trim_end_matches(".rs"));
    ["mod.rs", "lib.rs"]
        .iter()
        .filter_map(|root| tree.get(&format!("{folder}/{root}")))
        .any(|root| root.text.contains(&declaration))
}

fn production_does_not_know_its_tests(tree: &Tree) -> Vec<Finding> {
    let production = |file: &&SourceFile| PRODUCTION.iter().any(|folder| file.path.starts_with(folder));
    let mut findings = Vec::new();
    for file in tree.rust_below("").filter(production) {
        for (at, _) in file.text.to_ascii_lowercase().match_indices("simulator") {
            findings.push(file.finding(at, "production code does not know the word simulator"));
        }
    }
    findings
}

/// The folders in `members = [...]`.
fn members(manifest: &str) -> Vec<String> {
    let list = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(list, _)| list);
    list.split(',')
        .map(|name| name.trim().trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Names in all dependency sections but the workspace's own list, which imports nothing.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.contains("dependencies") && !section.starts_with("workspace.");
            let table = section.trim_end_matches(']').rsplit_once("dependencies.");
            names.extend(table.filter(|_| inside).map(|(_, name)| name.to_owned()));
        } else if inside
            && let Some(name) = line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty())
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// The names of a path that begins at `code`: `std::time::Instant`, or all of `std::{fs, time::Instant}`.
fn path_names(code: &str) -> Vec<&str> {
    let mut depth = 0;
    let end = code.find(|c: char| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        let in_path = c.is_alphanumeric() || "_:{}".contains(c) || (depth > 0 && ", \n*".contains(c));
        !in_path || depth < 0
    });
    code[..end.unwrap_or(code.len())].split(|c: char| !c.is_alphanumeric() && c != '_').collect()
}

mod tests {
    use super::*;
    use crate::{assert_accepts, assert_clean, assert_finds};

    #[test]
    fn no_crate_imports_against_the_arrows() {
        assert_clean(arrows_hold);
    }

    #[test]
    fn an_import_against_the_arrows_is_found() {
        let bad = "[dependencies]\nringlog-core.workspace = true\nringlog-net = { path = \"../net\" }\n";
        assert_finds(
            arrows_hold,
            &[("storage/Cargo.toml", bad)],
            "ringlog-storage may not import ringlog-net",
        );
        let hidden = "[target.'cfg(unix)'.dev-dependencies.ringlog-runtime]\nworkspace = true\n";
        assert_finds(arrows_hold, &[("replication/Cargo.toml", hidden)], "may not import ringlog-runtime");
        assert_finds(
            arrows_hold,
            &[("Cargo.toml", "members = [\"core\", \"novel\"]")],
            "member novel has no line",
        );
    }

    #[test]
    fn only_the_runtime_crate_names_the_rings() {
        assert_clean(only_runtime_names_the_rings);
    }

    #[test]
    fn naming_the_rings_elsewhere_is_found_and_talking_about_them_is_not() {
        assert_finds(
            only_runtime_names_the_rings,
            &[("storage/src/a.rs", "use glommio::io::DmaFile;")],
            "glommio",
        );
        assert_finds(only_runtime_names_the_rings, &[("src/b.rs", "fn f() { io_uring::x() }")], "io_uring");
        assert_finds(
            only_runtime_names_the_rings,
            &[("net/Cargo.toml", "[dependencies]\nio-uring = \"0.7\"")],
            "depends",
        );
        assert_accepts(
            only_runtime_names_the_rings,
            &[("src/b.rs", "// glommio\nconst A: &str = \"io_uring\";")],
        );
    }

    #[test]
    fn pure_crates_reach_no_clock_random_source_file_socket_or_thread() {
        assert_clean(pure_crates_touch_nothing);
    }

    #[test]
    fn a_pure_crate_that_reaches_the_world_is_found() {
        for bad in [
            "use std::fs;",
            "use std::{fmt, net::TcpStream};",
            "use std::time::{Duration, Instant};",
            "fn f() { std::thread::yield_now() }",
            "async fn f() {}",
        ] {
            assert_finds(pure_crates_touch_nothing, &[("core/src/a.rs", bad)], "a pure crate");
        }
        let good =
            "use std::time::Duration;\nuse std::{fmt, ops::{Add, Sub}};\nstruct Instant(u64); // no std::fs";
        assert_accepts(pure_crates_touch_nothing, &[("replication/src/a.rs", good)]);
        let (page, test) =
            (("core/src/page.rs", "use std::fs;"), ("core/src/lib.rs", "#[cfg(test)]\nmod page;"));
        assert_accepts(pure_crates_touch_nothing, &[page, test]);
        assert_finds(pure_crates_touch_nothing, &[page, ("core/src/lib.rs", "mod page;")], "std's fs");
    }

    #[test]
    fn production_code_never_says_simulator() {
        assert_clean(production_does_not_know_its_tests);
    }

    #[test]
    fn production_code_that_says_simulator_is_found() {
        let bad = [("net/src/a.rs", "// only the Simulator calls this")];
        assert_finds(production_does_not_know_its_tests, &bad, "net/src/a.rs:1");
    }
}
