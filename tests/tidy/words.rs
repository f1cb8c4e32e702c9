//! What no committed file says.

use crate::tree::{Finding, Tree, words_in};

/// Where `unsafe` may stand: the rings and their memory, and allocators that count what a test allocates. Every line must
/// still be needed: a stale permission is a finding too.
const UNSAFE_ALLOWED: [&str; 3] = ["runtime/", "fuzz/src/allocation.rs", "net/tests/hostile_frames.rs"];

fn unsafe_has_an_address(tree: &Tree) -> Vec<Finding> {
    let allowed = |path: &str| UNSAFE_ALLOWED.iter().any(|place| path.starts_with(place));
    let mut findings = Vec::new();
    for file in tree.rust_below("").filter(|file| !allowed(&file.path)) {
        let message = "unsafe is not allowed here (tests/tidy/words.rs lists where)";
        findings.extend(file.code_words("unsafe").map(|at| file.finding(at, message)));
    }
    findings
}

fn unsafe_permissions_are_used(tree: &Tree) -> Vec<Finding> {
    let unused =
        |place: &&&str| !tree.rust_below(place).any(|file| file.code_words("unsafe").next().is_some());
    let stale = UNSAFE_ALLOWED.iter().filter(unused);
    stale
        .map(|place| format!("tests/tidy/words.rs: {place} may use unsafe and does not: remove it"))
        .collect()
}

fn nothing_is_left_unfinished(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_below("") {
        // A module that several tests share is compiled into each of them, and none uses all of it.
        let shared_by_tests = file.path.contains("tests/") && file.path.ends_with("/mod.rs");
        for word in
            ["todo!", "unimplemented!", "#[ignore", "allow(dead_code", "unused_variables", "unused_imports"]
        {
            let found =
                file.code.match_indices(word).filter(|_| word != "allow(dead_code" || !shared_by_tests);
            findings.extend(found.map(|(at, _)| file.finding(at, &format!("says {word}"))));
        }
    }
    findings
}

/// Says nothing of one machine or one registry: what builds here must build anywhere. Lock files name the registry
/// they were made from by its public index, which every cargo understands.
fn no_place_of_one_machine_is_named(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.ends_with("Cargo.lock")) {
        for folder in ["root", "work", "home"] {
            let path = format!("/{folder}/");
            let absolute = |at: &usize| {
                !file.text[..*at].ends_with(|c: char| c.is_alphanumeric() || "._-/})*".contains(c))
            };
            let places = file.text.match_indices(&path).map(|(at, _)| at).filter(absolute);
            findings
                .extend(places.map(|at| file.finding(at, &format!("names {path}, a place of one machine"))));
        }
        for (name, domain) in [
            ("deb.debian", "org"),
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("repo.maven.apache", "org"),
            ("repo1.maven", "org"),
            ("static.crates", "io"),
            ("index.crates", "io"),
            ("registry.npmjs", "org"),
            ("proxy.golang", "org"),
        ] {
            let host = format!("{name}.{domain}");
            findings
                .extend(words_in(&file.text, &host).map(|at| file.finding(at, "names a registry's host")));
        }
    }
    findings
}

mod tests {
    use super::*;
    use crate::{assert_accepts, assert_clean, assert_finds};

    #[test]
    fn unsafe_code_stands_only_where_it_may() {
        assert_clean(unsafe_has_an_address);
        assert_clean(unsafe_permissions_are_used);
    }

    #[test]
    fn unsafe_code_out_of_its_place_and_an_unused_permission_are_found() {
        assert_finds(
            unsafe_has_an_address,
            &[("net/src/a.rs", "fn f() {\n    unsafe { g() }\n}")],
            "net/src/a.rs:2",
        );
        assert_accepts(unsafe_has_an_address, &[("net/src/a.rs", "#![forbid(unsafe_code)] // no unsafe")]);
        assert_finds(unsafe_permissions_are_used, &[("runtime/src/a.rs", "fn safe() {}")], "remove it");
    }

    #[test]
    fn nothing_is_left_for_later() {
        assert_clean(nothing_is_left_unfinished);
    }

    #[test]
    fn unfinished_code_is_found() {
        for bad in ["fn f() { todo!() }", "fn f() { unimplemented!() }", "#[ignore]", "#[allow(dead_code)]"] {
            assert_finds(nothing_is_left_unfinished, &[("src/a.rs", bad)], "src/a.rs:1: says");
        }
        assert_accepts(nothing_is_left_unfinished, &[("src/a.rs", "/// not `todo!`")]);
        assert_accepts(nothing_is_left_unfinished, &[("net/tests/data/mod.rs", "#![allow(dead_code)]")]);
    }

    #[test]
    fn no_file_names_a_place_of_one_machine_or_a_registry_host() {
        assert_clean(no_place_of_one_machine_is_named);
    }

    #[test]
    fn a_place_of_one_machine_is_found() {
        let somewhere = format!("see /{}/someone/notes", "home");
        assert_finds(no_place_of_one_machine_is_named, &[("README.md", &somewhere)], "README.md:1");
        let host = format!("pip install from https://{}.{}/simple", "pypi", "org");
        assert_finds(no_place_of_one_machine_is_named, &[("README.md", &host)], "registry's host");
        assert_accepts(
            no_place_of_one_machine_is_named,
            &[("README.md", "target/home/x and {folder}/root/x")],
        );
    }
}
