//! A run of the real program that ends by itself.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub output: String,
    pub problem: String,
}

impl Said {
    /// The output of a command that succeeded without a word of complaint.
    pub fn well(self) -> String {
        assert_eq!((self.code, self.problem.as_str()), (0, ""), "it printed: {}", self.output);
        self.output
    }

    /// The same as JSON.
    pub fn json(self) -> Value {
        let output = self.well();
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    /// The complaint of a command that ended with `code` and printed no result.
    pub fn refused(self, code: i32) -> String {
        assert_eq!((self.code, self.output.as_str()), (code, ""), "it complained: {}", self.problem);
        self.problem
    }

    /// The output of a command that ended with `code` and complained in these words, among others.
    pub fn complained(self, code: i32, words: &str) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.problem.contains(words), "{words}: {self:?}");
        self.output
    }
}

/// Runs `ringlog LINE`, the words of the line separated by blanks, with `input` on its standard input.
pub fn ringlog_with(line: &str, input: &[u8]) -> Said {
    ringlog(&line.split(' ').collect::<Vec<_>>(), input)
}

/// Runs `ringlog WORDS` with `input` on its standard input.
pub fn ringlog(words: &[impl AsRef<std::ffi::OsStr>], input: &[u8]) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    let mut stdin = child.stdin.take().expect("it was piped");
    // A command that does not read its input may have ended before all of it was written.
    let _ = stdin.write_all(input);
    drop(stdin);
    let done = child.wait_with_output().expect("it is our child");
    Said {
        code: done.status.code().expect("it ended by itself"),
        output: String::from_utf8(done.stdout).expect("it prints text"),
        problem: String::from_utf8(done.stderr).expect("it complains in text"),
    }
}
