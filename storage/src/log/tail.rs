//! The end of a log in memory: what was just appended, for the journal, for write-behind and for readers.
//!
//! ```text
//!   segment file   ....|====block====|====block====|====block====|==
//!   chunks              [ chunk: start 8192, 4096 bytes ][ chunk: start 12288, filling ..   ]
//!   marks                ^ batch 70        ^ batch 84      ^ batch 91      (sparse)
//! ```
//!
//! Always true: a chunk begins at a block boundary of its file and mirrors it byte for byte, so that blocks are
//! written from where they lie; bytes in a chunk never change; every chunk that a batch begins in has a mark at
//! the first of them.

use std::collections::VecDeque;

use ringlog_core::ids::Offset;
use ringlog_core::record_batch::{BatchHeader, HEADER_BYTES};
use ringlog_runtime::buffer::{AppendBuf, Arena, ArenaFull, DIRECT_ALIGNMENT, Slice};
use smallvec::SmallVec;

use crate::disk::block_floor;

/// The parts of one batch in memory: one, or two where it lies across chunks, seldom more.
pub(crate) type Parts = SmallVec<[Slice; 2]>;

/// How many bytes may lie between two marks.
const MARK_INTERVAL_BYTES: u64 = 4096;

struct Chunk {
    segment: Offset,
    start: u64,
    buffer: AppendBuf,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }
}

/// A batch that begins here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub base_offset: Offset,
    /// Where the batch before it ends: lower than `base_offset` if offsets were left out between them.
    pub previous_end_offset: Offset,
    pub segment: Offset,
    pub position: u64,
}

/// The end of a batch: the position behind its bytes, the offset behind its last.
#[derive(Clone, Copy, Debug)]
struct BatchesEnd {
    position: u64,
    end_offset: Offset,
}

/// Memory taken for a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Taken {
    pub bytes: usize,
    pub chunks: usize,
}

/// What a read of the tail found.
#[derive(Debug, Default)]
pub(crate) struct TailRead {
    pub slices: Vec<Slice>,
    pub bytes: usize,
    pub end_offset: Offset,
}

/// The end of one log in memory.
#[derive(Default)]
pub(crate) struct Tail {
    chunks: VecDeque<Chunk>,
    marks: VecDeque<Mark>,
    /// The bytes of the last, partly filled block, when no chunk holds them.
    prefix: Vec<u8>,
    last_mark_position: u64,
    /// Where the last batch appended ends.
    end_offset: Offset,
}

impl Tail {
    /// Nothing cached; the file's last block begins with `prefix`.
    pub fn with_prefix(prefix: Vec<u8>) -> Tail {
        assert!(prefix.len() < DIRECT_ALIGNMENT, "a partial block of {} bytes", prefix.len());
        Tail { prefix, ..Tail::default() }
    }

    /// Copies a batch to the end of `segment`, whose size was `position`. Returns its parts and how many bytes
    /// of memory were taken for it, in how many chunks.
    ///
    /// # Errors
    /// There is no memory; nothing was changed.
    pub fn append(
        &mut self,
        arena: &Arena,
        chunk_bytes_max: usize,
        segment: Offset,
        position: u64,
        header: &BatchHeader,
        bytes: [&[u8]; 2],
    ) -> Result<(Parts, Taken), ArenaFull> {
        let count = bytes[0].len() + bytes[1].len();
        let taken = self.make_room(arena, chunk_bytes_max, segment, position, count)?;
        self.mark(header.base_offset(), segment, position);
        self.end_offset = header.next_offset();
        bytes.into_iter().for_each(|part| self.copy_in(segment, part));
        Ok((self.slices(segment, position, position + count as u64), taken))
    }

    fn make_room(
        &mut self,
        arena: &Arena,
        chunk_bytes_max: usize,
        segment: Offset,
        position: u64,
        count: usize,
    ) -> Result<Taken, ArenaFull> {
        let last = self.chunks.back().filter(|chunk| chunk.segment == segment);
        let mut free = last.map_or(0, |chunk| chunk.buffer.remaining());
        let mut next_capacity = last.map_or(0, |chunk| chunk.buffer.capacity() * 2);
        let mut start =
            last.map_or(block_floor(position), |chunk| chunk.start + chunk.buffer.capacity() as u64);
        let mut fresh: Vec<Chunk> = Vec::new();
        let mut taken = Taken::default();
        while free < count {
            // The first chunk of a row begins with the bytes that its first block already has.
            let old = if last.is_none() && fresh.is_empty() { (position - start) as usize } else { 0 };
            let wanted = (count - free + old).next_power_of_two().max(next_capacity);
            let buffer = arena.allocate_append(wanted.clamp(DIRECT_ALIGNMENT, chunk_bytes_max))?;
            let capacity = buffer.capacity();
            assert!(
                capacity.is_multiple_of(DIRECT_ALIGNMENT),
                "a chunk of {capacity} bytes is not whole blocks"
            );
            free += capacity - old;
            taken.bytes += capacity;
            taken.chunks += 1;
            next_capacity = capacity * 2;
            fresh.push(Chunk { segment, start, buffer });
            start += capacity as u64;
        }
        if let (None, Some(first)) = (last, fresh.first_mut()) {
            // A new segment has no use for the partial block of the one before.
            let prefix = if position == 0 { Vec::new() } else { std::mem::take(&mut self.prefix) };
            let old = (position - first.start) as usize;
            assert_eq!(old, prefix.len(), "the last block's bytes are at hand at {segment}:{position}");
            first.buffer.append(&prefix);
        }
        self.chunks.extend(fresh);
        Ok(taken)
    }

    fn mark(&mut self, base_offset: Offset, segment: Offset, position: u64) {
        let chunk = self.chunk_index(segment, position).expect("room was made");
        let is_first_in_chunk = self
            .marks
            .back()
            .is_none_or(|mark| mark.segment != segment || mark.position < self.chunks[chunk].start);
        if is_first_in_chunk || position - self.last_mark_position >= MARK_INTERVAL_BYTES {
            let previous_end_offset = self.end_offset;
            self.marks.push_back(Mark { base_offset, previous_end_offset, segment, position });
            self.last_mark_position = position;
        }
    }

    fn copy_in(&mut self, segment: Offset, mut bytes: &[u8]) {
        let filling = self.chunks.partition_point(|chunk| {
            chunk.segment < segment || (chunk.segment == segment && chunk.buffer.remaining() == 0)
        });
        for chunk in self.chunks.iter_mut().skip(filling) {
            let (now, later) = bytes.split_at(bytes.len().min(chunk.buffer.remaining()));
            chunk.buffer.append(now);
            bytes = later;
        }
        assert!(bytes.is_empty(), "room was made for {} bytes more", bytes.len());
    }

    /// The chunk that holds the byte at `position`, or would.
    fn chunk_index(&self, segment: Offset, position: u64) -> Option<usize> {
        let after = self.chunks.partition_point(|chunk| (chunk.segment, chunk.start) <= (segment, position));
        let index = after.checked_sub(1)?;
        let chunk = &self.chunks[index];
        (chunk.segment == segment && position < chunk.start + chunk.buffer.capacity() as u64).then_some(index)
    }

    /// The bytes `from..to` of a segment file.
    ///
    /// # Panics
    /// If they are not all here.
    pub fn slices(&self, segment: Offset, from: u64, to: u64) -> Parts {
        let mut parts = Parts::new();
        let mut position = from;
        let mut index = self.chunk_index(segment, from).expect("the bytes asked for are in memory");
        while position < to {
            let chunk = &self.chunks[index];
            assert!(
                chunk.segment == segment && chunk.start <= position,
                "{segment}:{position} is not in memory"
            );
            let end = chunk.end().min(to);
            assert!(end > position, "{segment}:{position}..{to} is not in memory, which ends at {end}");
            let range = (position - chunk.start) as usize..(end - chunk.start) as usize;
            parts.push(chunk.buffer.slice(range));
            position = end;
            index += 1;
        }
        parts
    }

    /// The first batch that is whole in memory, and with it everything after it.
    pub fn first(&self) -> Option<Mark> {
        self.marks.front().copied()
    }

    fn header_at(&self, segment: Offset, position: u64) -> Option<BatchHeader> {
        let index = self.chunk_index(segment, position)?;
        if position >= self.chunks[index].end() {
            return None;
        }
        let mut bytes = [0; HEADER_BYTES];
        let mut filled = 0;
        for part in self.slices(segment, position, position + HEADER_BYTES as u64) {
            bytes[filled..filled + part.len()].copy_from_slice(&part);
            filled += part.len();
        }
        Some(BatchHeader::parse(&bytes).expect("only whole batches were appended"))
    }

    /// The last mark at or before `offset`.
    fn mark_before(&self, offset: Offset) -> Option<Mark> {
        let after = self.marks.partition_point(|mark| mark.base_offset <= offset);
        after.checked_sub(1).map(|index| self.marks[index])
    }

    /// Where the batch begins that holds `offset`, or the first one after it.
    pub fn locate(&self, offset: Offset) -> Option<(Mark, BatchHeader)> {
        let mut place = self.mark_before(offset)?;
        loop {
            let Some(header) = self.header_at(place.segment, place.position) else {
                place = self.marks.iter().find(|mark| mark.segment > place.segment).copied()?;
                continue;
            };
            if header.last_offset() >= offset {
                return Some((Mark { base_offset: header.base_offset(), ..place }, header));
            }
            place.position += header.size_bytes() as u64;
            place.previous_end_offset = header.next_offset();
        }
    }

    /// Whole batches from the one that holds `from` on, all below `end`, of one segment.
    pub fn read(&self, from: Offset, end: Offset, bytes_max: usize, takes_first: bool) -> TailRead {
        let Some((start, first)) = self.locate(from) else { return TailRead::default() };
        let size = first.size_bytes() as u64;
        if first.next_offset() > end || (size > bytes_max as u64 && !takes_first) {
            return TailRead::default();
        }
        let second = BatchesEnd { position: start.position + size, end_offset: first.next_offset() };
        let stop = self.walk(start.segment, second, end, start.position + bytes_max as u64);
        let slices = self.slices(start.segment, start.position, stop.position).into_vec();
        let bytes = (stop.position - start.position) as usize;
        TailRead { slices, bytes, end_offset: stop.end_offset }
    }

    /// Where the batches of a segment end that lie below offset `end` and position `stop_max`, looked for from
    /// `place` on, where one of them ends.
    fn walk(&self, segment: Offset, mut place: BatchesEnd, end: Offset, stop_max: u64) -> BatchesEnd {
        // Marks let a long read jump to its last few batches.
        let key = |mark: &Mark| (mark.segment, mark.position);
        let after =
            self.marks.partition_point(|mark| key(mark) <= (segment, stop_max) && mark.base_offset < end);
        if let Some(mark) = after.checked_sub(1).map(|index| self.marks[index])
            && key(&mark) > (segment, place.position)
        {
            // Not where its own batch begins: offsets may be left out before it, and no batch read has them.
            place = BatchesEnd { position: mark.position, end_offset: mark.previous_end_offset };
        }
        while let Some(header) = self.header_at(segment, place.position) {
            let next = place.position + header.size_bytes() as u64;
            if header.next_offset() > end || next > stop_max {
                break;
            }
            place = BatchesEnd { position: next, end_offset: header.next_offset() };
        }
        place
    }

    /// The bytes of memory held.
    #[cfg(test)]
    pub fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.buffer.capacity()).sum()
    }

    /// Gives up the oldest chunk if all batches that touch it are in their file: `written` says how much of a
    /// segment is. Returns the memory given back; `None` if the chunk must stay.
    pub fn evict_oldest(&mut self, written: impl Fn(Offset) -> SegmentWritten) -> Option<usize> {
        let chunk = self.chunks.front()?;
        let (segment, end, capacity) = (chunk.segment, chunk.end(), chunk.buffer.capacity());
        let state = written(segment);
        let is_filling = !state.is_sealed && self.chunks.len() == 1 && end == state.size;
        let next_mark = self.marks.iter().find(|mark| (mark.segment, mark.position) >= (segment, end));
        let needed = match next_mark {
            Some(mark) if mark.segment == segment => mark.position,
            _ => state.size,
        };
        if state.written < needed {
            return None;
        }
        if is_filling {
            let from = block_floor(end);
            let parts: Parts = if from < end { self.slices(segment, from, end) } else { Parts::new() };
            self.prefix = parts.iter().flat_map(|part| part.iter().copied()).collect();
        }
        let gone = self.marks.partition_point(|mark| (mark.segment, mark.position) < (segment, end));
        self.marks.drain(..gone);
        self.chunks.pop_front();
        if self.chunks.is_empty() {
            (self.chunks, self.marks) = Default::default();
        }
        Some(capacity)
    }

    /// Gives up everything, as when the log is deleted. Returns the memory given back.
    pub fn clear(&mut self) -> usize {
        let bytes = self.chunks.iter().map(|chunk| chunk.buffer.capacity()).sum();
        *self = Tail::default();
        bytes
    }

    /// Where the oldest chunk ends, for whoever must write it before it can go.
    pub fn oldest_segment(&self) -> Option<Offset> {
        self.chunks.front().map(|chunk| chunk.segment)
    }
}

/// How far a segment is in its file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentWritten {
    pub size: u64,
    pub written: u64,
    pub is_sealed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_core::record_batch::{BatchBuilder, RawBatch};

    fn batch(offset: i64, value_bytes: usize) -> Vec<u8> {
        let value = vec![offset as u8; value_bytes];
        BatchBuilder::new().at(Offset(offset)).record(None, value.as_slice()).build()
    }

    struct Log {
        arena: Arena,
        tail: Tail,
        bytes: Vec<u8>,
    }

    impl Log {
        fn new() -> Log {
            Log { arena: Arena::unregistered(1 << 20), tail: Tail::default(), bytes: Vec::new() }
        }

        fn append(&mut self, offset: i64, value_bytes: usize) {
            let batch = batch(offset, value_bytes);
            let header = BatchHeader::parse(&batch).unwrap();
            let (head, body) = batch.split_at(61);
            let position = self.bytes.len() as u64;
            self.tail.append(&self.arena, 8192, Offset(0), position, &header, [head, body]).unwrap();
            self.bytes.extend_from_slice(&batch);
        }

        fn read(&self, from: i64, end: i64, bytes_max: usize) -> Vec<u8> {
            let read = self.tail.read(Offset(from), Offset(end), bytes_max, true);
            assert_eq!(read.bytes, read.slices.iter().map(|slice| slice.len()).sum::<usize>());
            read.slices.concat_all()
        }
    }

    trait ConcatAll {
        fn concat_all(&self) -> Vec<u8>;
    }

    impl ConcatAll for Vec<Slice> {
        fn concat_all(&self) -> Vec<u8> {
            self.iter().flat_map(|slice| slice.to_vec()).collect()
        }
    }

    #[test]
    fn batches_read_back_across_chunks_whole_and_bounded() {
        let mut log = Log::new();
        let mut starts = vec![];
        for offset in 0..60 {
            starts.push(log.bytes.len());
            log.append(offset, 10 + (offset as usize * 97) % 1500);
        }
        starts.push(log.bytes.len());
        for from in 0..60usize {
            assert_eq!(log.read(from as i64, 60, 1 << 20), log.bytes[starts[from]..], "from {from}");
            for (end, bytes_max) in [(60, 5000), (from + 1, 1 << 20), ((from + 7).min(60), 9000), (60, 1)] {
                let mut stop = from + 1;
                while stop < end && starts[stop + 1] - starts[from] <= bytes_max {
                    stop += 1;
                }
                let expected = &log.bytes[starts[from]..starts[stop]];
                assert_eq!(
                    log.read(from as i64, end as i64, bytes_max),
                    expected,
                    "{from}..{end} of {bytes_max}"
                );
            }
        }
    }

    #[test]
    fn a_read_ends_behind_its_last_batch_even_where_offsets_are_left_out_behind_it() {
        let mut log = Log::new();
        let offsets: Vec<i64> = (0..60).map(|index| index * 5).collect();
        for offset in &offsets {
            log.append(*offset, 10 + (*offset as usize * 97) % 1500);
        }
        for from in offsets {
            for bytes_max in (1..60_000).step_by(2_003) {
                let read = log.tail.read(Offset(from), Offset(300), bytes_max, true);
                let bytes = read.slices.concat_all();
                let (mut rest, mut end_offset) = (bytes.as_slice(), Offset(0));
                while let Ok((batch, after)) = RawBatch::split_first(rest) {
                    (end_offset, rest) = (batch.header().next_offset(), after);
                }
                assert_eq!(read.end_offset, end_offset, "from {from} of {bytes_max}");
            }
        }
    }

    #[test]
    fn a_batch_larger_than_the_bound_is_read_only_if_it_may_be_the_first() {
        let mut log = Log::new();
        log.append(0, 30_000);
        assert_eq!(log.read(0, 1, 10).len(), log.bytes.len());
        assert_eq!(log.tail.read(Offset(0), Offset(1), 10, false).bytes, 0);
    }

    #[test]
    fn chunks_mirror_the_blocks_of_the_file_and_go_on_where_a_partial_block_ended() {
        let mut log = Log::new();
        log.bytes = vec![9; 4096 + 100];
        log.tail = Tail::with_prefix(vec![9; 100]);
        log.append(0, 50);
        let size = log.bytes.len() as u64;
        let block: Vec<u8> = log.tail.slices(Offset(0), 4096, size).to_vec().concat_all();
        assert_eq!(block, log.bytes[4096..]);
        assert_eq!(log.tail.first().unwrap().position, 4196);
    }

    #[test]
    fn only_written_chunks_are_given_up_and_the_partial_block_is_kept() {
        let mut log = Log::new();
        for offset in 0..20 {
            log.append(offset, 900);
        }
        let size = log.bytes.len() as u64;
        let written = |written| move |_| SegmentWritten { size, written, is_sealed: false };
        assert_eq!(log.tail.evict_oldest(written(0)), None);
        let before = log.tail.memory_bytes();
        let given = log.tail.evict_oldest(written(block_floor(size))).unwrap();
        assert_eq!(log.tail.memory_bytes(), before - given);
        let first = log.tail.first().unwrap();
        assert_eq!(log.read(first.base_offset.0, 20, 1 << 20), log.bytes[first.position as usize..]);
        while log.tail.evict_oldest(written(size)).is_some() {}
        assert_eq!((log.tail.memory_bytes(), log.arena.used_bytes()), (0, 0));
        log.append(20, 900);
        assert_eq!(log.read(20, 21, 1 << 20), log.bytes[size as usize..]);
        let block = block_floor(size);
        let kept: Vec<u8> = log.tail.slices(Offset(0), block, size).to_vec().concat_all();
        assert_eq!(kept, log.bytes[block as usize..size as usize]);
    }

    #[test]
    fn without_memory_nothing_is_appended() {
        let mut log = Log::new();
        log.append(0, 10);
        log.arena = Arena::unregistered(4096);
        let big = batch(1, 9000);
        let header = BatchHeader::parse(&big).unwrap();
        let position = log.bytes.len() as u64;
        let result =
            log.tail.append(&log.arena, 8192, Offset(0), position, &header, [&big[..61], &big[61..]]);
        assert!(result.is_err());
        log.append(1, 10);
        assert_eq!(log.read(0, 2, 1 << 20), log.bytes);
    }
}
