//! The words of a record of the metadata log: numbers, compact texts and lists, tagged fields.

use super::record::KraftFault;
use crate::ids::TopicId;
use crate::unsigned_varint;

/// A place in a record's bytes.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// Where a field's bytes end before it does.
fn ends_early(field: &'static str) -> KraftFault {
    KraftFault::EndsEarly { field }
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    fn bytes(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], KraftFault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ends_early(field))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], KraftFault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ends_early(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn i8(&mut self, field: &'static str) -> Result<i8, KraftFault> {
        self.array(field).map(i8::from_be_bytes)
    }

    pub fn i32(&mut self, field: &'static str) -> Result<i32, KraftFault> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub fn i64(&mut self, field: &'static str) -> Result<i64, KraftFault> {
        self.array(field).map(i64::from_be_bytes)
    }

    pub fn id(&mut self, field: &'static str) -> Result<TopicId, KraftFault> {
        self.array(field).map(TopicId)
    }

    pub fn unsigned_varint(&mut self, field: &'static str) -> Result<u32, KraftFault> {
        let number = unsigned_varint::read(|| self.array(field).map(|[byte]| byte))?;
        number.ok_or(KraftFault::Malformed { field, reason: "a number of more than 32 bits" })
    }

    /// A length that is one more than what it stands for; `None` for null.
    fn compact_length(&mut self, field: &'static str) -> Result<Option<usize>, KraftFault> {
        let length = self.unsigned_varint(field)? as usize;
        Ok(length.checked_sub(1))
    }

    pub fn nullable_text(&mut self, field: &'static str) -> Result<Option<&'a str>, KraftFault> {
        let Some(length) = self.compact_length(field)? else { return Ok(None) };
        let text = std::str::from_utf8(self.bytes(length, field)?);
        text.map(Some).map_err(|_| KraftFault::Malformed { field, reason: "no UTF-8" })
    }

    pub fn text(&mut self, field: &'static str) -> Result<&'a str, KraftFault> {
        self.nullable_text(field)?.ok_or(KraftFault::Malformed { field, reason: "null" })
    }

    /// A list of things that take at least `item_bytes_min` each; `None` for null.
    pub fn nullable_list<T>(
        &mut self,
        field: &'static str,
        item_bytes_min: usize,
        mut read: impl FnMut(&mut Reader<'a>) -> Result<T, KraftFault>,
    ) -> Result<Option<Vec<T>>, KraftFault> {
        let Some(count) = self.compact_length(field)? else { return Ok(None) };
        if count > self.rest.len() / item_bytes_min.max(1) {
            return Err(ends_early(field));
        }
        (0..count).map(|_| read(self)).collect::<Result<_, _>>().map(Some)
    }

    /// As [`Reader::nullable_list`], where null is not allowed.
    pub fn list<T>(
        &mut self,
        field: &'static str,
        item_bytes_min: usize,
        read: impl FnMut(&mut Reader<'a>) -> Result<T, KraftFault>,
    ) -> Result<Vec<T>, KraftFault> {
        let list = self.nullable_list(field, item_bytes_min, read)?;
        list.ok_or(KraftFault::Malformed { field, reason: "null" })
    }

    pub fn numbers(&mut self, field: &'static str) -> Result<Vec<i32>, KraftFault> {
        self.list(field, 4, |reader| reader.i32(field))
    }

    /// Every tagged field; `take` leaves those alone that it does not know.
    pub fn tags(
        &mut self,
        mut take: impl FnMut(u32, Reader<'a>) -> Result<(), KraftFault>,
    ) -> Result<(), KraftFault> {
        let field = "tagged fields";
        for _ in 0..self.unsigned_varint(field)? {
            let tag = self.unsigned_varint(field)?;
            let length = self.unsigned_varint(field)? as usize;
            take(tag, Reader::new(self.bytes(length, field)?))?;
        }
        Ok(())
    }

    /// Tagged fields, none of which is needed.
    pub fn pass_tags(&mut self) -> Result<(), KraftFault> {
        self.tags(|_, _| Ok(()))
    }

    /// Nothing may be left.
    pub fn finish(&self) -> Result<(), KraftFault> {
        match self.rest {
            [] => Ok(()),
            _ => Err(KraftFault::Malformed { field: "record", reason: "bytes behind its last field" }),
        }
    }
}
