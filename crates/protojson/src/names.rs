//! Looking a name up: field names and enum names, read from JSON text, and the
//! paths of methods.

/// A hash table from byte strings to small numbers, built once.
///
/// Several names may lead to the same number (a field's JSON name and its
/// proto name). A look-up costs one multiplication per eight bytes at each end
/// of the name, and in the middle of a long one, and one comparison.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    slots: Box<[Slot]>,
    names: Box<str>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The ends of the name: all of it, up to 16 bytes.
    ends: (u64, u64),
    start: u32,
    len: u32,
    /// One more than the number; 0 marks an empty slot.
    value: u32,
}

impl NameTable {
    /// Builds the table. Where a name comes twice the first one holds.
    pub(crate) fn new<'a>(entries: impl Iterator<Item = (&'a str, u32)> + Clone) -> Self {
        let count = entries.clone().count();
        if count == 0 {
            return Self::default();
        }
        let mut table =
            Self { slots: vec![Slot::default(); (count * 2).next_power_of_two()].into(), names: Box::default() };
        let mut names = String::with_capacity(entries.clone().map(|(name, _)| name.len()).sum());
        for (name, value) in entries {
            let ends = ends(name.as_bytes());
            let mask = table.slots.len() - 1;
            let mut at = hash(ends, name.as_bytes()) & mask;
            loop {
                let slot = &mut table.slots[at];
                if slot.value == 0 {
                    *slot = Slot { ends, start: names.len() as u32, len: name.len() as u32, value: value + 1 };
                    names.push_str(name);
                    break;
                }
                if &names[slot.start as usize..][..slot.len as usize] == name {
                    break;
                }
                at = (at + 1) & mask;
            }
        }
        table.names = names.into();
        table
    }

    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let ends = ends(name);
        let mut at = hash(ends, name) & mask;
        loop {
            let slot = self.slots.get(at)?;
            if slot.value == 0 {
                return None;
            }
            if slot.ends == ends && slot.len as usize == name.len() && (name.len() <= 16 || self.name(slot) == name) {
                return Some(slot.value - 1);
            }
            at = (at + 1) & mask;
        }
    }

    fn name(&self, slot: &Slot) -> &[u8] {
        self.names.as_bytes().get(slot.start as usize..(slot.start + slot.len) as usize).unwrap_or_default()
    }
}

/// The first and the last eight bytes of a name. With the length they are the
/// whole of a name of up to 16 bytes.
#[inline]
fn ends(name: &[u8]) -> (u64, u64) {
    if let (Some(head), Some(tail)) = (name.first_chunk(), name.last_chunk()) {
        (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
    } else if let (Some(head), Some(tail)) = (name.first_chunk(), name.last_chunk()) {
        (u64::from(u32::from_le_bytes(*head)), u64::from(u32::from_le_bytes(*tail)))
    } else {
        (name.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte)), 0)
    }
}

#[inline]
fn hash((head, tail): (u64, u64), name: &[u8]) -> usize {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut mixed = (head ^ (name.len() as u64).rotate_left(32)).wrapping_mul(K) ^ tail.rotate_left(23).wrapping_mul(K);
    // The paths of methods begin alike, and many end alike.
    if name.len() > 16
        && let Some(middle) = name[name.len() / 2 - 4..].first_chunk()
    {
        mixed ^= u64::from_le_bytes(*middle).wrapping_mul(K).rotate_left(31);
    }
    (mixed.wrapping_mul(K) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in_and_nothing_else() {
        let names: Vec<String> = (0..500).map(|i| format!("{}name{i}", "x".repeat(i % 40))).collect();
        let table = NameTable::new(names.iter().enumerate().map(|(i, name)| (name.as_str(), i as u32)));
        for (i, name) in names.iter().enumerate() {
            assert_eq!(table.find(name.as_bytes()), Some(i as u32));
            assert_eq!(table.find(format!("{name}!").as_bytes()), None);
        }
        assert_eq!(NameTable::default().find(b"a"), None);
    }
}
