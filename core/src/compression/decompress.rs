//! Opening compressed records, within bounds.
//!
//! ```text
//!   input of n bytes -> output up to min(max(1 MiB, 100 n), 64 MiB, what the request's budget has left)
//! ```
//!
//! Always true: the output grows as it is produced, so a bomb costs its bound and no more; a context that saw
//! damaged input serves the next input as a new one would.

use std::fmt;
use std::io::Read;

use flate2::bufread::GzDecoder;
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};

use super::{Codec, lz4_frame, snappy};

/// How much opening a batch may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecompressionLimits {
    /// Output that is allowed however small the input.
    pub output_bytes_floor: usize,
    /// How many times its own size an input may become, above the floor.
    pub output_ratio_max: usize,
    /// The largest output of all.
    pub output_bytes_max: usize,
    /// The largest zstd window, as a power of two.
    pub zstd_window_log_max: u32,
    /// How many records one batch may hold.
    pub record_count_max: usize,
    /// How many headers the records of one batch may have together.
    pub header_count_max: usize,
}

impl DecompressionLimits {
    /// The production bounds. Records and headers: 64 MiB of the smallest ones would be 9.6 and 32 million; a
    /// client that means well stays a hundred times below four million.
    pub const PRODUCTION: DecompressionLimits = DecompressionLimits {
        output_bytes_floor: 1024 * 1024,
        output_ratio_max: 100,
        output_bytes_max: 64 * 1024 * 1024,
        // What zstd's levels 20 to 22 ask for where a stream does not say how large it is, and what its own tools open.
        zstd_window_log_max: 27,
        record_count_max: 4 * 1024 * 1024,
        header_count_max: 4 * 1024 * 1024,
    };

    /// How much `input_bytes` of compressed records may become.
    pub fn output_bytes_for(&self, input_bytes: usize) -> usize {
        let by_ratio = input_bytes.saturating_mul(self.output_ratio_max);
        by_ratio.max(self.output_bytes_floor).min(self.output_bytes_max)
    }
}

impl Default for DecompressionLimits {
    fn default() -> DecompressionLimits {
        DecompressionLimits::PRODUCTION
    }
}

/// What is left to spend on opening batches, for instance while one request is answered.
#[derive(Clone, Debug)]
pub struct DecompressionBudget {
    limits: DecompressionLimits,
    output_bytes_left: usize,
}

impl DecompressionBudget {
    /// `output_bytes_max` of output altogether, and per batch what the limits say.
    pub fn new(limits: DecompressionLimits) -> DecompressionBudget {
        DecompressionBudget { limits, output_bytes_left: limits.output_bytes_max }
    }

    /// The bounds for each batch.
    pub fn limits(&self) -> &DecompressionLimits {
        &self.limits
    }

    /// How much output is still allowed.
    pub fn output_bytes_left(&self) -> usize {
        self.output_bytes_left
    }
}

impl Default for DecompressionBudget {
    fn default() -> DecompressionBudget {
        DecompressionBudget::new(DecompressionLimits::PRODUCTION)
    }
}

/// Why compressed records cannot be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompressionFault {
    /// They would become larger than allowed.
    OutputTooLarge {
        /// How they are compressed.
        codec: Codec,
        /// How large they may become.
        output_bytes_max: usize,
    },
    /// They are damaged, or of a kind Kafka's clients do not read.
    Unreadable {
        /// How they are compressed.
        codec: Codec,
        /// What is wrong.
        reason: &'static str,
    },
}

impl fmt::Display for CompressionFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompressionFault::OutputTooLarge { codec, output_bytes_max } => {
                write!(formatter, "the {codec} data would become larger than {output_bytes_max} bytes")
            }
            CompressionFault::Unreadable { codec, reason } => write!(formatter, "{codec} data: {reason}"),
        }
    }
}

impl std::error::Error for CompressionFault {}

/// Opens `bytes` and takes what comes out from the budget.
pub fn decompress(
    codec: Codec,
    bytes: &[u8],
    budget: &mut DecompressionBudget,
) -> Result<Vec<u8>, CompressionFault> {
    let mut limits = budget.limits;
    limits.output_bytes_max = limits.output_bytes_max.min(budget.output_bytes_left);
    let mut decompressor = Decompressor::new();
    decompressor.decompress(codec, bytes, &limits)?;
    budget.output_bytes_left -= decompressor.output.len();
    Ok(decompressor.output)
}

/// A context to open batches with: one per shard, so that no batch pays for setting it up.
#[derive(Default)]
pub struct Decompressor {
    output: Vec<u8>,
    zstd: Option<DCtx<'static>>,
}

/// What [`Decompressor::trim`] lets the output buffer keep.
const OUTPUT_BYTES_KEPT: usize = 1024 * 1024;
/// And the context: that of a window of 8 MiB, the largest that zstd's usual levels make.
const CONTEXT_BYTES_KEPT: usize = 16 * 1024 * 1024;

impl Decompressor {
    /// Holds nothing until it is used.
    pub fn new() -> Decompressor {
        Decompressor::default()
    }

    /// Opens `bytes`. The output stays in the decompressor until the next call.
    pub fn decompress(
        &mut self,
        codec: Codec,
        bytes: &[u8],
        limits: &DecompressionLimits,
    ) -> Result<&[u8], CompressionFault> {
        self.output.clear();
        let mut output = Output {
            bytes: &mut self.output,
            codec,
            bytes_max: limits.output_bytes_for(bytes.len()).min(limits.output_bytes_max),
        };
        match codec {
            Codec::None => output.extend(bytes)?,
            Codec::Gzip => gunzip(bytes, &mut output)?,
            Codec::Snappy => snappy::decompress(bytes, &mut output)?,
            Codec::Lz4 => lz4_frame::decompress(bytes, &mut output)?,
            Codec::Zstd => {
                let context = self.zstd.get_or_insert_with(DCtx::create);
                unzstd(context, bytes, limits.zstd_window_log_max, &mut output)?;
            }
        }
        Ok(&self.output)
    }

    /// Gives memory back that an unusually large batch needed.
    pub fn trim(&mut self) {
        if self.output.capacity() > OUTPUT_BYTES_KEPT {
            self.output = Vec::new();
        }
        self.zstd.take_if(|context| context.sizeof() > CONTEXT_BYTES_KEPT);
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Decompressor")
            .field("output_bytes", &self.output.len())
            .finish_non_exhaustive()
    }
}

/// A buffer that knows how far it may grow.
pub(super) struct Output<'a> {
    pub bytes: &'a mut Vec<u8>,
    codec: Codec,
    bytes_max: usize,
}

impl Output<'_> {
    /// How much more may come.
    pub fn room(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes.len())
    }

    pub fn extend(&mut self, more: &[u8]) -> Result<(), CompressionFault> {
        if more.len() > self.room() {
            return Err(self.too_large());
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    pub fn too_large(&self) -> CompressionFault {
        CompressionFault::OutputTooLarge { codec: self.codec, output_bytes_max: self.bytes_max }
    }

    pub fn unreadable(&self, reason: &'static str) -> CompressionFault {
        CompressionFault::Unreadable { codec: self.codec, reason }
    }

    fn check(&self) -> Result<(), CompressionFault> {
        if self.bytes.len() > self.bytes_max { Err(self.too_large()) } else { Ok(()) }
    }
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Each member costs a window of 32 KiB to set up, and may be of 20 bytes: a MiB of them would take a second.
const GZIP_MEMBERS_MAX: usize = 256;

/// Members follow each other; what follows them and is no member is passed over, as Java passes over it.
fn gunzip(bytes: &[u8], output: &mut Output<'_>) -> Result<(), CompressionFault> {
    let mut rest = bytes;
    for _ in 0..GZIP_MEMBERS_MAX {
        let mut member = GzDecoder::new(rest);
        let one_too_many = output.room() as u64 + 1;
        let read = (&mut member).take(one_too_many).read_to_end(output.bytes);
        output.check()?;
        read.map_err(|_| output.unreadable("it is damaged"))?;
        rest = member.into_inner();
        if !rest.starts_with(&GZIP_MAGIC) {
            return Ok(());
        }
    }
    Err(output.unreadable("it has too many members"))
}

/// The least room zstd is given to write to.
const ZSTD_STEP_BYTES: usize = 64 * 1024;

fn unzstd(
    context: &mut DCtx<'static>,
    bytes: &[u8],
    window_log_max: u32,
    output: &mut Output<'_>,
) -> Result<(), CompressionFault> {
    let setup = context
        .reset(ResetDirective::SessionOnly)
        .and_then(|_| context.set_parameter(DParameter::WindowLogMax(window_log_max)));
    setup.map_err(|code| output.unreadable(zstd_safe::get_error_name(code)))?;
    reserve_announced_size(bytes, output);
    let mut input = InBuffer::around(bytes);
    loop {
        if output.bytes.len() == output.bytes.capacity() {
            let more = output.bytes.len().max(ZSTD_STEP_BYTES).min(output.room() + 1);
            output.bytes.reserve_exact(more);
        }
        let (input_before, output_before) = (input.pos(), output.bytes.len());
        let mut target = OutBuffer::around_pos(&mut *output.bytes, output_before);
        let step = context.decompress_stream(&mut target, &mut input);
        output.check()?;
        let wanted = step.map_err(|code| output.unreadable(zstd_safe::get_error_name(code)))?;
        let input_ended = input.pos() == bytes.len();
        if wanted == 0 && input_ended {
            return Ok(());
        }
        let moved = input.pos() > input_before || output.bytes.len() > output_before;
        let waits_for_input = input_ended && output.bytes.len() < output.bytes.capacity();
        if waits_for_input || !moved {
            return Err(output.unreadable("it ends early"));
        }
    }
}

/// A frame that says how large it becomes is written in one go, without a window of its own, if there is room
/// for all of it. Address space only: pages are touched as bytes arrive.
fn reserve_announced_size(bytes: &[u8], output: &mut Output<'_>) {
    if let Ok(Some(announced)) = zstd_safe::get_frame_content_size(bytes) {
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        if announced <= output.room() {
            output.bytes.reserve_exact(announced);
        }
    }
}
