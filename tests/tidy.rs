//! Does the source keep its own rules? What a machine checks well is checked here; taste stays with people.
//!
//!   tree      the files of the repository, and code without comments and strings
//!   arrows    which crate may import which; who may name the rings; what pure crates must not touch
//!   files     every source file is reached from a crate root and opens with what it is
//!   words     things no committed file says: unfinished code, `unsafe` out of its place, places of one machine
//!   links     every page in docs/ is in its index, every relative link leads somewhere
//!
//! A check is a function from a tree to its findings, so that each is also run here on a bad example: a check that
//! cannot fail checks nothing.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/words.rs"]
mod words;

use tree::{Finding, Tree};

fn assert_clean(check: fn(&Tree) -> Vec<Finding>) {
    let findings = check(&Tree::of_workspace());
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// A check that finds nothing in a bad example would pass whatever happens to the repository.
fn assert_finds(check: fn(&Tree) -> Vec<Finding>, bad: &[(&str, &str)], expected: &str) {
    let findings = check(&Tree::of_files(bad));
    let found = findings.iter().any(|finding| finding.contains(expected));
    assert!(found, "no finding says {expected:?}; found: {findings:?}");
}

fn assert_accepts(check: fn(&Tree) -> Vec<Finding>, good: &[(&str, &str)]) {
    let findings = check(&Tree::of_files(good));
    assert!(findings.is_empty(), "a good example was refused: {findings:?}");
}
