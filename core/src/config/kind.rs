//! Types and ranges of configuration values, as Kafka's tools name and number them.

use std::fmt;

/// The type of a key's values. Numbers are those of DescribeConfigs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum ConfigKind {
    /// `true` or `false`.
    Boolean = 1,
    /// Text.
    String = 2,
    /// A whole number of 32 bits.
    Int = 3,
    /// A whole number of 16 bits.
    Short = 4,
    /// A whole number of 64 bits.
    Long = 5,
    /// A number with a fraction.
    Double = 6,
    /// Texts separated by commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// Text never shown.
    Password = 9,
}

impl ConfigKind {
    /// The number in DescribeConfigs.
    pub const fn number(self) -> i8 {
        self as i8
    }
}

impl fmt::Display for ConfigKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ConfigKind::Boolean => "boolean",
            ConfigKind::String => "string",
            ConfigKind::Int => "int",
            ConfigKind::Short => "short",
            ConfigKind::Long => "long",
            ConfigKind::Double => "double",
            ConfigKind::List => "list",
            ConfigKind::Class => "class",
            ConfigKind::Password => "password",
        })
    }
}

/// Which values of its type a key accepts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Check {
    /// All.
    Any,
    /// Numbers from this one on.
    From(i64),
    /// Numbers within, both ends included.
    Within(i64, i64),
    /// As [`Check::Within`], and -1 for "the codec's own default".
    WithinOrDefault(i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these words, each at most once.
    EachOf(&'static [&'static str]),
}

impl Check {
    /// What is accepted, in words.
    pub fn describe(&self, kind: ConfigKind) -> String {
        match self {
            Check::Any => match kind {
                ConfigKind::Boolean => "true or false".to_owned(),
                ConfigKind::Int | ConfigKind::Short | ConfigKind::Long => "any whole number".to_owned(),
                ConfigKind::Double => "any number".to_owned(),
                ConfigKind::List => "a list separated by commas".to_owned(),
                ConfigKind::String | ConfigKind::Class | ConfigKind::Password => "any text".to_owned(),
            },
            Check::From(least) => format!("{least} or more"),
            Check::Within(least, most) => format!("{least} to {most}"),
            Check::WithinOrDefault(least, most) => format!("{least} to {most}, or -1"),
            Check::OneOf(words) => format!("one of {}", words.join(", ")),
            Check::EachOf(words) => format!("a list of {}", words.join(", ")),
        }
    }

    fn accepts_number(&self, number: i64) -> bool {
        match self {
            Check::From(least) => number >= *least,
            Check::Within(least, most) => (*least..=*most).contains(&number),
            Check::WithinOrDefault(least, most) => number == -1 || (*least..=*most).contains(&number),
            Check::Any | Check::OneOf(_) | Check::EachOf(_) => true,
        }
    }

    fn accepts_fraction(&self, number: f64) -> bool {
        match self {
            Check::From(least) => number >= *least as f64,
            Check::Within(least, most) => number >= *least as f64 && number <= *most as f64,
            Check::Any | Check::WithinOrDefault(..) | Check::OneOf(_) | Check::EachOf(_) => !number.is_nan(),
        }
    }
}

/// Reads a value as Kafka does, and gives back its normal form: trimmed, numbers without sign or leading
/// zeros, booleans in small letters, list entries without blanks between them.
///
/// # Errors
/// A sentence that says what would be accepted.
pub fn normalize(value: &str, kind: ConfigKind, check: Check) -> Result<String, String> {
    let trimmed = value.trim();
    let normal = match kind {
        ConfigKind::Boolean => {
            let lower = trimmed.to_ascii_lowercase();
            (lower == "true" || lower == "false").then_some(lower)
        }
        ConfigKind::Int => trimmed.parse::<i32>().ok().and_then(|number| whole(i64::from(number), check)),
        ConfigKind::Short => trimmed.parse::<i16>().ok().and_then(|number| whole(i64::from(number), check)),
        ConfigKind::Long => trimmed.parse::<i64>().ok().and_then(|number| whole(number, check)),
        ConfigKind::Double => trimmed
            .parse::<f64>()
            .ok()
            .filter(|&number| check.accepts_fraction(number))
            .map(|number| format!("{number:?}")),
        ConfigKind::List => list(trimmed, check),
        ConfigKind::String | ConfigKind::Class => word(trimmed, check),
        // Blanks at the ends of a password may be part of it.
        ConfigKind::Password => Some(value.to_owned()),
    };
    normal.ok_or_else(|| format!("\"{trimmed}\" is not accepted: it takes {} ({kind})", check.describe(kind)))
}

/// The entries of a list in its normal form.
pub fn list_entries(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn whole(number: i64, check: Check) -> Option<String> {
    check.accepts_number(number).then(|| number.to_string())
}

fn word(value: &str, check: Check) -> Option<String> {
    match check {
        Check::OneOf(words) if !words.contains(&value) => None,
        _ => Some(value.to_owned()),
    }
}

fn list(value: &str, check: Check) -> Option<String> {
    let entries: Vec<&str> = list_entries(value).collect();
    if let Check::EachOf(words) = check {
        let mut seen = Vec::new();
        for entry in &entries {
            if !words.contains(entry) || seen.contains(entry) {
                return None;
            }
            seen.push(*entry);
        }
    }
    Some(entries.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_java_reads_them() {
        let read = |value, kind| normalize(value, kind, Check::Any).ok();
        assert_eq!(read(" TRUE ", ConfigKind::Boolean).as_deref(), Some("true"));
        assert_eq!(read("yes", ConfigKind::Boolean), None);
        assert_eq!(read("+07", ConfigKind::Int).as_deref(), Some("7"));
        assert_eq!(read("2147483648", ConfigKind::Int), None);
        assert_eq!(read("2147483648", ConfigKind::Long).as_deref(), Some("2147483648"));
        assert_eq!(read("32768", ConfigKind::Short), None);
        assert_eq!(read("1_000", ConfigKind::Long), None);
        assert_eq!(read("0.50", ConfigKind::Double).as_deref(), Some("0.5"));
        assert_eq!(read("1", ConfigKind::Double).as_deref(), Some("1.0"));
        assert_eq!(read(" a , b,,c ", ConfigKind::List).as_deref(), Some("a,b,c"));
        assert_eq!(read(" secret ", ConfigKind::Password).as_deref(), Some(" secret "));
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let refuse = |value, kind, check| normalize(value, kind, check).unwrap_err();
        assert!(refuse("0", ConfigKind::Int, Check::From(1)).contains("1 or more (int)"));
        assert!(refuse("1.5", ConfigKind::Double, Check::Within(0, 1)).contains("0 to 1 (double)"));
        assert!(refuse("NaN", ConfigKind::Double, Check::Within(0, 1)).contains("0 to 1"));
        assert!(refuse("0", ConfigKind::Int, Check::WithinOrDefault(1, 9)).contains("1 to 9, or -1"));
        assert!(refuse("Gzip", ConfigKind::String, Check::OneOf(&["gzip"])).contains("one of gzip"));
        let policies = Check::EachOf(&["compact", "delete"]);
        assert!(refuse("compact,keep", ConfigKind::List, policies).contains("a list of compact, delete"));
        assert!(refuse("delete,delete", ConfigKind::List, policies).contains("a list of"));
        assert_eq!(normalize("", ConfigKind::List, policies).as_deref(), Ok(""), "keep for ever (KIP-1161)");
    }
}
