//! The loop around a target: how often, from which seed, and what a failure says.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::mutator::Mutator;

/// Accepted inputs kept as seeds beside the golden ones.
const GROWN_INPUTS_MAX: usize = 4096;

/// The largest input tried.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// How long to fuzz, and from where. Without the environment's word it is the same run every time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Campaign {
    /// Inputs to try.
    pub iterations: usize,
    /// Where chance begins.
    pub seed: u64,
}

/// What a target did with an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was read; changes of it are worth trying.
    Accepted,
    /// It was refused.
    Refused,
}

/// What a campaign saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Inputs that were read.
    pub accepted: usize,
    /// Inputs that were refused.
    pub refused: usize,
}

impl Campaign {
    /// `RINGLOG_FUZZ_ITERATIONS` and `RINGLOG_FUZZ_SEED`, or the given number of iterations from a fixed seed.
    ///
    /// # Panics
    /// If one of them is not a number.
    pub fn from_environment(iterations: usize) -> Campaign {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
        };
        Campaign {
            iterations: number("RINGLOG_FUZZ_ITERATIONS").map_or(iterations, |count| count as usize),
            seed: number("RINGLOG_FUZZ_SEED").unwrap_or(0x5eed),
        }
    }

    /// Tries changed seeds. A seed carries what the target needs beside the bytes, say an API and a version.
    ///
    /// # Panics
    /// With the target's panic, once the input that caused it is printed; and if there are no seeds.
    pub fn run<T: Copy + std::fmt::Debug>(
        self,
        seeds: Vec<(T, Vec<u8>)>,
        mut target: impl FnMut(T, &[u8]) -> Outcome,
    ) -> Tally {
        assert!(!seeds.is_empty(), "a campaign needs seeds");
        let (golden, mut corpus) = (seeds.len(), seeds);
        let mut mutator = Mutator::new(self.seed);
        let mut tally = Tally::default();
        for iteration in 0..self.iterations {
            let (context, mut input) = corpus[mutator.below(corpus.len())].clone();
            let lender = mutator.below(corpus.len());
            mutator.mutate(&mut input, &corpus[lender].1, INPUT_BYTES_MAX);
            match catch_unwind(AssertUnwindSafe(|| target(context, &input))) {
                Ok(Outcome::Refused) => tally.refused += 1,
                Ok(Outcome::Accepted) => {
                    tally.accepted += 1;
                    if corpus.len() < golden + GROWN_INPUTS_MAX {
                        corpus.push((context, input));
                    } else {
                        let replaced = golden + mutator.below(GROWN_INPUTS_MAX);
                        corpus[replaced] = (context, input);
                    }
                }
                Err(panic) => {
                    eprintln!("seed {} iteration {iteration}, {context:?}: {input:02x?}", self.seed);
                    resume_unwind(panic)
                }
            }
        }
        tally
    }
}
