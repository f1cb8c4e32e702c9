//! The repository as the checks see it: relative paths and texts, from the disk or from an example.

use std::fs;
use std::path::Path;

/// One broken rule, for people: `path:line: what is wrong`.
pub type Finding = String;

/// What `.gitignore` names, and version control itself.
const NOT_OURS: [&str; 7] =
    [".git", "target", "data", ".cache", "__pycache__", "proptest-regressions", "node_modules"];

/// A text file of the repository.
pub struct SourceFile {
    /// Relative to the root, with `/`.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// The text with comments and the insides of strings blanked, every line where it was. Rust files only.
    pub code: String,
}

/// All text files, ordered by path.
pub struct Tree {
    /// The files.
    pub files: Vec<SourceFile>,
}

impl Tree {
    /// The repository this test was built in.
    pub fn of_workspace() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        collect(root, root, &mut files);
        assert!(files.len() > 20, "the walk from {} found almost nothing", root.display());
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Tree { files }
    }

    /// An example.
    pub fn of_files(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| SourceFile::new(path, text)).collect() }
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Rust files below `folder` (with its `/`), or all of them for "".
    pub fn rust_below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a SourceFile> + 'a {
        self.files.iter().filter(move |file| file.path.starts_with(folder) && file.path.ends_with(".rs"))
    }
}

impl SourceFile {
    fn new(path: &str, text: &str) -> SourceFile {
        let code = if path.ends_with(".rs") { code_only(text) } else { String::new() };
        SourceFile { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// `path:line: message`, for a place in the text (or the code: they line up).
    pub fn finding(&self, byte_position: usize, message: &str) -> Finding {
        let line = self.text[..byte_position].matches('\n').count() + 1;
        format!("{}:{line}: {message}", self.path)
    }

    /// Where `word` stands in the code as a word of its own.
    pub fn code_words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        words_in(&self.code, word)
    }
}

/// Where `word` stands in `text` with no letter, digit or underscore beside it.
pub fn words_in<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        !text[..at].ends_with(part_of_word) && !text[at + word.len()..].starts_with(part_of_word)
    })
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry of a folder that exists").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if NOT_OURS.contains(&name.as_str()) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let relative = path.strip_prefix(root).expect("found below the root").to_string_lossy();
            files.push(SourceFile::new(&relative, &text));
        } // else: binary test data, which says nothing
    }
}

/// Blanks comments and the insides of string and character literals, so that a search finds code alone. Lengths and
/// line ends stay, so a place in the result is the same place in the text.
pub fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' if starts_raw_string(bytes, at) => raw_string_end(bytes, at),
            b'\'' => character_end(bytes, at),
            _ => at,
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).expect("whole literals and comments were blanked")
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            break;
        }
    }
    at.min(bytes.len())
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn starts_raw_string(bytes: &[u8], at: usize) -> bool {
    let inside_a_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let byte_string = at > 0 && bytes[at - 1] == b'b';
    let hashes = bytes[at + 1..].iter().take_while(|&&byte| byte == b'#').count();
    (!inside_a_word || byte_string) && bytes.get(at + 1 + hashes) == Some(&b'"')
}

fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start + 1..].iter().take_while(|&&byte| byte == b'#').count();
    let closing: Vec<u8> = [b'"'].into_iter().chain(std::iter::repeat_n(b'#', hashes)).collect();
    let inside = start + 2 + hashes;
    let length = bytes[inside..].windows(closing.len()).position(|window| window == closing);
    length.map_or(bytes.len(), |length| inside + length + closing.len())
}

/// The end of a character literal; a lifetime is not one and ends where it begins.
fn character_end(bytes: &[u8], start: usize) -> usize {
    if bytes.get(start + 1) == Some(&b'\\') {
        let from = start + 3; // the escaped character itself may be a quote
        return bytes[from.min(bytes.len())..]
            .iter()
            .position(|&byte| byte == b'\'')
            .map_or(bytes.len(), |length| from + length + 1);
    }
    let width = match bytes.get(start + 1) {
        Some(0xF0..) => 4,
        Some(0xE0..) => 3,
        Some(0xC0..) => 2,
        _ => 1,
    };
    if bytes.get(start + 1 + width) == Some(&b'\'') { start + width + 2 } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code_and_everything_else_is() {
        let text = "a /* b /* c */ d */ \"e \\\" f\" g 'h' i::<'j> r#\"k \" l\"# '\\'' m // n\no";
        let code = code_only(text);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "g", "i::<'j>", "m", "o"]);
        assert_eq!(code.len(), text.len());
    }

    #[test]
    fn a_word_is_found_only_where_it_stands_alone() {
        assert_eq!(words_in("glommio glommiox _glommio (glommio)", "glommio").collect::<Vec<_>>(), [0, 27]);
    }
}
