//! The syntax of Java properties files, as `server.properties` is written in.
//!
//! ```text
//!   # a comment                     ! another
//!   key = value      key:value      key value      key          (an empty value)
//!   key = first \
//!         second                    "first second": the line goes on after an odd number of backslashes
//!   a\ key = \u00fc                 escapes: \t \n \r \f \uXXXX, and \x for any other x
//! ```
//!
//! Always true: what Java's `Properties.load` reads from a text, this reads too, with the line each entry begins
//! at; the only texts refused are those Java refuses, and surrogates that stand alone, which are no characters.

/// One entry of a properties file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Property {
    /// Its key.
    pub key: String,
    /// Its value; empty if there is none.
    pub value: String,
    /// The line it begins at, from one.
    pub line: usize,
}

/// A text that is no properties file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyntaxError {
    /// The line, from one.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

/// Reads all entries in order; of two with the same key the later one counts.
///
/// # Errors
/// [`SyntaxError`] for a bad `\u` escape.
pub fn parse(text: &str) -> Result<Vec<Property>, SyntaxError> {
    logical_lines(text).into_iter().map(|(line, content)| parse_line(line, &content)).collect()
}

fn is_blank(symbol: char) -> bool {
    matches!(symbol, ' ' | '\t' | '\x0c')
}

/// Joins continued lines and leaves out blanks and comments. Escapes stay as they are.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, natural) in natural_lines(text).into_iter().enumerate() {
        let content = natural.trim_start_matches(is_blank);
        if open.is_none() && (content.is_empty() || content.starts_with(['#', '!'])) {
            continue;
        }
        let (first, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        let backslashes = content.len() - content.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            joined.push_str(&content[..content.len() - 1]);
            open = Some((first, joined));
        } else {
            joined.push_str(content);
            lines.push((first, joined));
        }
    }
    lines.extend(open);
    lines.retain(|(_, content)| !content.is_empty());
    lines
}

/// Lines end with `\n`, `\r` or `\r\n`.
fn natural_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        rest = rest[end..].strip_prefix("\r\n").unwrap_or(&rest[end + 1..]);
    }
    lines.push(rest);
    lines
}

fn parse_line(line: usize, content: &str) -> Result<Property, SyntaxError> {
    let key_end = end_of_key(content);
    let after_key = content[key_end..].trim_start_matches(is_blank);
    let value = after_key.strip_prefix(['=', ':']).unwrap_or(after_key).trim_start_matches(is_blank);
    let unescaped = |part| unescape(part).map_err(|reason| SyntaxError { line, reason });
    Ok(Property { key: unescaped(&content[..key_end])?, value: unescaped(value)?, line })
}

/// Where the first blank, `=` or `:` stands that no backslash escapes.
fn end_of_key(content: &str) -> usize {
    let mut escaped = false;
    for (position, symbol) in content.char_indices() {
        if !escaped && (is_blank(symbol) || matches!(symbol, '=' | ':')) {
            return position;
        }
        escaped = symbol == '\\' && !escaped;
    }
    content.len()
}

fn unescape(part: &str) -> Result<String, &'static str> {
    let mut units = Vec::with_capacity(part.len());
    let mut symbols = part.chars();
    while let Some(symbol) = symbols.next() {
        if symbol != '\\' {
            units.extend_from_slice(symbol.encode_utf16(&mut [0; 2]));
            continue;
        }
        match symbols.next() {
            Some('t') => units.push(u16::from(b'\t')),
            Some('n') => units.push(u16::from(b'\n')),
            Some('r') => units.push(u16::from(b'\r')),
            Some('f') => units.push(0x0c),
            Some('u') => units.push(hexadecimal(&mut symbols)?),
            Some(other) => units.extend_from_slice(other.encode_utf16(&mut [0; 2])),
            None => {}
        }
    }
    String::from_utf16(&units)
        .map_err(|_| "a \\u escape stands for half a character; its other half is missing")
}

fn hexadecimal(symbols: &mut std::str::Chars<'_>) -> Result<u16, &'static str> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = symbols.next().and_then(|symbol| symbol.to_digit(16));
        unit = unit * 16 + digit.ok_or("\\u must be followed by four hexadecimal digits")?;
    }
    Ok(u16::try_from(unit).expect("four hexadecimal digits are sixteen bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String, String)> {
        let entries = parse(text).unwrap().into_iter();
        entries.map(|property| (property.line, property.key, property.value)).collect()
    }

    fn entry(line: usize, key: &str, value: &str) -> (usize, String, String) {
        (line, key.to_owned(), value.to_owned())
    }

    #[test]
    fn equals_colon_and_blank_separate_key_and_value() {
        let text = "a=1\nb:2\nc 3\n d\t=\t4 \ne : = 5\nf\n=nokey\n";
        let expected =
            [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4 "), ("e", "= 5"), ("f", ""), ("", "nokey")];
        let expected: Vec<_> =
            expected.iter().zip(1..).map(|((key, value), line)| entry(line, key, value)).collect();
        assert_eq!(read(text), expected);
    }

    #[test]
    fn comments_and_blank_lines_are_left_out_but_counted() {
        assert_eq!(read("# a=1 \\\n\n  ! b=2\r\n\t\x0c\rc=#3\n"), [entry(5, "c", "#3")]);
    }

    #[test]
    fn an_odd_number_of_backslashes_continues_the_line_and_an_even_number_does_not() {
        let text = "a = 1, \\\n    2, \\\r\n\t# 3\nb = x\\\\\nc\\\n=\\\ny\nd=1\\";
        let expected =
            [entry(1, "a", "1, 2, # 3"), entry(4, "b", "x\\"), entry(5, "c", "y"), entry(8, "d", "1")];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn a_continued_line_may_be_followed_by_a_blank_one() {
        assert_eq!(read("a=1\\\n\nb=2\n\\\n"), [entry(1, "a", "1"), entry(3, "b", "2")]);
    }

    #[test]
    fn escapes_are_undone_in_keys_and_values() {
        let text = "a\\ b\\=c\\:d = \\u00fc\\t\\q\\\\ \\ud83d\\ude00 gr\u{fc}n";
        assert_eq!(read(text), [entry(1, "a b=c:d", "\u{fc}\tq\\ \u{1f600} gr\u{fc}n")]);
    }

    #[test]
    fn a_bad_unicode_escape_is_refused_with_its_line() {
        for text in ["\na=\\u12", "\na=\\u12g4", "\n\\ud83d=1"] {
            assert_eq!(parse(text).unwrap_err().line, 2, "{text}");
        }
    }
}
