use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    hash::{BuildHasher, Hash, RandomState},
};

/// Places by what is at them, of which only hashes are kept: what it finds can be
/// others', too, if seldom.
#[derive(Default)]
pub(super) struct Index {
    hasher: RandomState,
    /// One place for each hash.
    first: HashMap<u64, u64>,
    /// Further places, after their hashes.
    more: BTreeSet<(u64, u64)>,
}

impl Index {
    pub(super) fn insert(&mut self, key: impl Hash, place: u64) {
        let hash = self.hasher.hash_one(key);
        match self.first.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(place);
            }
            Entry::Occupied(entry) if *entry.get() == place => {}
            Entry::Occupied(_) => {
                self.more.insert((hash, place));
            }
        }
    }

    pub(super) fn remove(&mut self, key: impl Hash, place: u64) {
        let hash = self.hasher.hash_one(key);
        if !self.more.remove(&(hash, place)) && self.first.get(&hash) == Some(&place) {
            let next = self.further(hash).next();
            match next {
                Some(next) => {
                    self.more.remove(&(hash, next));
                    self.first.insert(hash, next);
                }
                None => {
                    self.first.remove(&hash);
                }
            }
        }
    }

    /// The places that may have a key.
    pub(super) fn places(&self, key: impl Hash) -> impl Iterator<Item = u64> {
        let hash = self.hasher.hash_one(key);
        self.first.get(&hash).copied().into_iter().chain(self.further(hash))
    }

    fn further(&self, hash: u64) -> impl Iterator<Item = u64> {
        self.more.range((hash, 0)..=(hash, u64::MAX)).map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_and_go() {
        let mut index = Index::default();
        for (key, place) in [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("a", 4)] {
            index.insert(key, place);
        }
        let places = |index: &Index, key: &str| index.places(key).collect::<Vec<_>>();
        assert_eq!((places(&index, "a"), places(&index, "b"), places(&index, "c")), (vec![1, 2, 4], vec![3], vec![]));
        index.remove("a", 1);
        index.remove("a", 9);
        index.remove("b", 3);
        assert_eq!((places(&index, "a"), places(&index, "b")), (vec![2, 4], vec![]));
        index.remove("a", 4);
        index.remove("a", 2);
        assert!(places(&index, "a").is_empty());
    }
}
