//! An ordered map whose copies share what neither of them changed.
//!
//! ```text
//!   before   [ chunk a ][ chunk b ][ chunk c ]
//!                 │                     │            insert into b: one list of pointers and one chunk are
//!   after    [ chunk a ][ chunk b'][ chunk c ]       copied, whatever the number of entries
//! ```
//!
//! Always true: entries are in key order; no chunk is empty; none has more than [`CHUNK_ENTRIES_MAX`].
//! Copying costs one counter per 64 to 128 entries or so, and a change copies one chunk: 10,000 topics created
//! one by one copy about 80 entries and 150 pointers each, not 10,000.

use std::borrow::Borrow;
use std::sync::Arc;

const CHUNK_ENTRIES_MAX: usize = 128;

/// An ordered map that is cheap to copy and change. Equal maps have equal entries, however they are cut.
#[derive(Clone, Debug)]
pub struct SharedMap<K, V> {
    chunks: Vec<Arc<Vec<(K, V)>>>,
    length: usize,
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        SharedMap { chunks: Vec::new(), length: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let entry = chunk.binary_search_by(|(candidate, _)| candidate.borrow().cmp(key)).ok()?;
        Some(&chunk[entry].1)
    }

    /// Sets the value of a key; the one before comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.chunks.is_empty() {
            self.chunks.push(Arc::default());
        }
        let index = self.chunk_of(&key).min(self.chunks.len() - 1);
        let chunk = Arc::make_mut(&mut self.chunks[index]);
        match chunk.binary_search_by(|(candidate, _)| candidate.cmp(&key)) {
            Ok(entry) => Some(std::mem::replace(&mut chunk[entry].1, value)),
            Err(entry) => {
                chunk.insert(entry, (key, value));
                self.length += 1;
                self.split_if_full(index);
                None
            }
        }
    }

    /// Takes a key out; its value comes back.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key);
        let chunk = self.chunks.get(index)?;
        let entry = chunk.binary_search_by(|(candidate, _)| candidate.borrow().cmp(key)).ok()?;
        let chunk = Arc::make_mut(&mut self.chunks[index]);
        let (_, value) = chunk.remove(entry);
        if chunk.is_empty() {
            self.chunks.remove(index);
        }
        self.length -= 1;
        Some(value)
    }

    /// All entries in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }

    /// All values in key order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Entries from a key on, in key order; the key itself need not be there.
    pub fn iter_from<'a, Q: Ord + ?Sized>(&'a self, from: &'a Q) -> impl Iterator<Item = (&'a K, &'a V)>
    where
        K: Borrow<Q>,
    {
        let first = self.chunk_of(from);
        let entries = self.chunks[first..].iter().flat_map(|chunk| chunk.iter());
        entries.map(|(key, value)| (key, value)).skip_while(move |(key, _)| K::borrow(key) < from)
    }

    /// The first chunk whose last key is not below `key`; one past the end if all are.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|(last, _)| last.borrow() < key))
    }

    fn split_if_full(&mut self, index: usize) {
        if self.chunks[index].len() <= CHUNK_ENTRIES_MAX {
            return;
        }
        let chunk = Arc::make_mut(&mut self.chunks[index]);
        let upper = chunk.split_off(chunk.len() / 2);
        self.chunks.insert(index + 1, Arc::new(upper));
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Clone, V: Clone + Eq> Eq for SharedMap<K, V> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_an_ordered_map_and_an_old_copy_never_changes(
            steps in prop::collection::vec((any::<bool>(), 0u16..600), 0..1500),
        ) {
            let mut map = SharedMap::default();
            let mut model = BTreeMap::new();
            let mut copies = Vec::new();
            for (step, (insert, key)) in steps.into_iter().enumerate() {
                if step % 200 == 0 {
                    copies.push((map.clone(), model.clone()));
                }
                if insert {
                    prop_assert_eq!(map.insert(key, step), model.insert(key, step));
                } else {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
            }
            copies.push((map, model));
            for (map, model) in copies {
                prop_assert!(map.iter().eq(model.iter()));
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(map.iter_from(&300).eq(model.range(300..)));
                prop_assert!(map.chunks.iter().all(|chunk| (1..=CHUNK_ENTRIES_MAX).contains(&chunk.len())));
            }
        }
    }

    #[test]
    fn a_change_copies_one_chunk_and_shares_the_others() {
        let mut before = SharedMap::default();
        (0..10_000).for_each(|key| {
            before.insert(key, key);
        });
        let mut after = before.clone();
        after.insert(5_000, 0);
        let shared =
            after.chunks.iter().filter(|&chunk| before.chunks.iter().any(|old| Arc::ptr_eq(old, chunk)));
        assert_eq!(shared.count(), before.chunks.len() - 1);
    }
}
