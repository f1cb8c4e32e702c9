//! Documents lead somewhere: relative links resolve, headings they name exist, and the index names every page.

use crate::tree::{Finding, SourceFile, Tree};

/// The page that lists all pages.
const INDEX: &str = "docs/README.md";

struct Link {
    at: usize,
    /// The path from the root, `None` if it climbs out of the repository.
    path: Option<String>,
    heading: Option<String>,
}

fn relative_links_resolve(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in pages(tree) {
        for link in links_of(page) {
            if let Some(problem) = problem_of(tree, &link) {
                findings.push(page.finding(link.at, &problem));
            }
        }
    }
    findings
}

fn the_index_names_every_page(tree: &Tree) -> Vec<Finding> {
    let listed: Vec<String> =
        tree.get(INDEX).into_iter().flat_map(links_of).filter_map(|link| link.path).collect();
    let missing = pages(tree).filter(|page| page.path.starts_with("docs/") && page.path != INDEX);
    let missing = missing.filter(|page| !listed.contains(&page.path));
    missing.map(|page| format!("{INDEX}: does not link {}", page.path)).collect()
}

fn pages(tree: &Tree) -> impl Iterator<Item = &SourceFile> {
    tree.files.iter().filter(|file| file.path.ends_with(".md"))
}

fn problem_of(tree: &Tree, link: &Link) -> Option<String> {
    let Some(path) = &link.path else { return Some("a link leaves the repository".to_owned()) };
    let folder = format!("{}/", path.trim_end_matches('/'));
    let target = tree.get(path);
    if target.is_none() && !tree.files.iter().any(|file| file.path.starts_with(&folder)) {
        return Some(format!("links to {path}, which does not exist"));
    }
    let heading = link.heading.as_deref()?;
    let known =
        target.is_some_and(|page| page.text.lines().any(|line| anchor_of(line).as_deref() == Some(heading)));
    (!known).then(|| format!("links to #{heading} in {path}, which has no such heading"))
}

/// `[text](target)` outside of code blocks, if the target is relative.
fn links_of(page: &SourceFile) -> Vec<Link> {
    let mut links = Vec::new();
    let (mut line_start, mut in_block) = (0, false);
    for line in page.text.split_inclusive('\n') {
        in_block ^= line.trim_start().starts_with("```");
        for (position, _) in line.match_indices("](").filter(|_| !in_block) {
            let target = line[position + 2..].split([')', ' ']).next().unwrap_or("");
            if !target.contains("://") && !target.starts_with("mailto:") {
                links.push(link_from(&page.path, target, line_start + position));
            }
        }
        line_start += line.len();
    }
    links
}

fn link_from(page: &str, target: &str, at: usize) -> Link {
    let (path, heading) = match target.split_once('#') {
        Some((path, heading)) => (path, Some(heading.to_owned())),
        None => (target, None),
    };
    let path = if path.is_empty() { Some(page.to_owned()) } else { resolve(page, path) };
    Link { at, path, heading }
}

fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// How a heading is named in links: lower case, blanks as hyphens, punctuation gone.
fn anchor_of(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

mod tests {
    use super::*;
    use crate::{assert_accepts, assert_clean, assert_finds};

    #[test]
    fn every_relative_link_leads_somewhere() {
        assert_clean(relative_links_resolve);
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let page = (
            "docs/a.md",
            "# First, a heading\n[b](../b.md) [here](#first-a-heading) [web](https://example.net)",
        );
        let block = ("b.md", "```\n[not](a-link.md)\n```\n[folder](docs) [part](docs/a.md#first-a-heading)");
        assert_accepts(relative_links_resolve, &[page, block]);
        assert_finds(relative_links_resolve, &[page], "docs/a.md:2: links to b.md");
        assert_finds(relative_links_resolve, &[("b.md", "[x](#gone)")], "no such heading");
        assert_finds(relative_links_resolve, &[("b.md", "[x](../x.md)")], "leaves the repository");
    }

    #[test]
    fn the_index_of_the_documents_names_each_of_them() {
        assert_clean(the_index_names_every_page);
    }

    #[test]
    fn a_page_missing_from_the_index_is_found() {
        let index = ("docs/README.md", "[a](a.md)");
        assert_accepts(the_index_names_every_page, &[index, ("docs/a.md", "")]);
        assert_finds(the_index_names_every_page, &[index, ("docs/deep/b.md", "")], "docs/deep/b.md");
    }
}
