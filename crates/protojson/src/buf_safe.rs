//! What the functions of `buf.rs` do, without `unsafe`: see there.

use crate::buf::{Block, Charset, ESCAPES, EncodedTag, INLINE};

pub(crate) fn put_filled(out: &mut Vec<u8>, block: &[u8; INLINE], fill: impl FnOnce(&mut [u8; INLINE]) -> usize) {
    let mut block = *block;
    let len = fill(&mut block).min(INLINE);
    out.extend_from_slice(&block[..len]);
}

pub(crate) fn put_key(out: &mut Vec<u8>, key: &Block) {
    out.extend_from_slice(&key.bytes()[..key.len()]);
}

pub(crate) fn put_key_and_start(out: &mut Vec<u8>, key: &Block) {
    out.extend_from_slice(&key.bytes()[..key.len_with_start()]);
}

pub(crate) fn put_keys_and_starts<'k, const MAX: usize>(out: &mut Vec<u8>, keys: impl Iterator<Item = &'k Block>) {
    keys.take(MAX).for_each(|key| put_key_and_start(out, key));
}

pub(crate) fn put_blocks(out: &mut Vec<u8>, key: &Block, value: &Block) {
    put_key(out, key);
    put_key(out, value);
}

pub(crate) fn close(out: &mut Vec<u8>, start: usize, open: u8, close: u8) {
    match out.get_mut(start) {
        Some(comma) => *comma = open,
        None => out.push(open),
    }
    out.push(close);
}

pub(crate) fn put_word(out: &mut Vec<u8>, word: [u8; 8], len: usize) {
    out.extend_from_slice(&word[..len.min(8)]);
}

pub(crate) fn put_tag(out: &mut Vec<u8>, tag: EncodedTag) {
    out.extend_from_slice(tag.as_bytes());
}

pub(crate) fn put_tag_and_byte(out: &mut Vec<u8>, tag: EncodedTag, byte: u8) {
    put_tag(out, tag);
    out.push(byte);
}

pub(crate) fn put_tagged(out: &mut Vec<u8>, tag: EncodedTag, text: &[u8], len: usize) {
    let len = len.min(text.len());
    put_tag_and_byte(out, tag, len as u8);
    out.extend_from_slice(&text[..len]);
}

pub(crate) fn put_string(out: &mut Vec<u8>, text: &[u8]) -> Charset {
    for &byte in text {
        match &ESCAPES[usize::from(byte)] {
            (_, 0) => out.push(byte),
            (escape, len) => out.extend_from_slice(&escape[..usize::from(*len)]),
        }
    }
    out.push(b'"');
    if text.is_ascii() { Charset::Ascii } else { Charset::Other }
}

pub(crate) fn put_member(out: &mut Vec<u8>, key: &Block, text: &[u8]) -> Charset {
    put_key_and_start(out, key);
    put_string(out, text)
}

pub(crate) fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

pub(crate) fn plain_run(text: &[u8]) -> usize {
    text.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(text.len())
}

pub(crate) fn same(text: &[u8], block: &[u8; INLINE], wild: u32) -> usize {
    if text.len() < INLINE {
        return 0;
    }
    (0..INLINE).take_while(|&at| text[at] == block[at] || wild >> at & 1 == 1).count()
}

#[cfg(test)]
mod tests {
    use crate::{
        buf::{Block, EncodedTag, INLINE, Key, fast},
        buf_safe as safe,
    };

    /// splitmix64: a seed is a case.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        }

        fn below(&mut self, limit: usize) -> usize {
            (self.next() % limit as u64) as usize
        }

        fn byte(&mut self) -> u8 {
            self.next() as u8
        }

        /// Bytes with many of those that matter.
        fn bytes(&mut self) -> Vec<u8> {
            if self.below(2) == 0 {
                return (0..self.below(80)).map(|_| 0x23 + self.byte() % 0x38).collect();
            }
            let byte = |random: &mut Self| match random.below(12) {
                0 => b'"',
                1 => b'\\',
                2 => random.byte() % 0x20,
                3 => random.byte(),
                _ => 0x20 + random.byte() % 0x5f,
            };
            (0..self.below(120)).map(|_| byte(self)).collect()
        }

        /// Keys of all lengths that have a block.
        fn key(&mut self) -> Key {
            let len = 1 + self.below(INLINE);
            let start = ["", "\"", "true"][self.below(3)];
            Key::with_start(&"a key of up to 32 bytes: itself."[..len], start)
        }

        /// The tag of a field, of up to five bytes.
        fn tag(&mut self) -> EncodedTag {
            let bits = 4 + self.below(29);
            EncodedTag::new(8 | (self.next() & ((1 << bits) - 1)) as u32)
        }
    }

    /// Calls a test with each of the cases.
    fn cases(test: impl Fn(&mut Random)) {
        (0..if cfg!(miri) { 12 } else { 500 }).for_each(|seed| test(&mut Random(seed)));
    }

    /// The same done to two buffers, and compared.
    fn both<T: PartialEq + std::fmt::Debug>(
        before: usize,
        fast: impl FnOnce(&mut Vec<u8>) -> T,
        safe: impl FnOnce(&mut Vec<u8>) -> T,
    ) {
        // Without room to spare, so that what is written beyond it is seen by Miri.
        let mut a = vec![b'x'; before];
        let mut b = a.clone();
        let results = (fast(&mut a), safe(&mut b));
        assert_eq!(results.0, results.1);
        assert_eq!(a, b);
    }

    #[test]
    fn keys_are_put_as_the_safe_twins_do() {
        cases(|random| {
            let (keys, before) = ([random.key(), random.key(), random.key()], random.below(40));
            let blocks: Vec<&Block> = keys.iter().filter_map(Key::block).collect();
            let (one, two) = (blocks[0], blocks[1]);
            both(before, |out| fast::put_key(out, one), |out| safe::put_key(out, one));
            both(before, |out| fast::put_key_and_start(out, one), |out| safe::put_key_and_start(out, one));
            both(before, |out| fast::put_blocks(out, one, two), |out| safe::put_blocks(out, one, two));
            both(
                before,
                |out| fast::put_keys_and_starts::<2>(out, blocks.iter().copied()),
                |out| safe::put_keys_and_starts::<2>(out, blocks.iter().copied()),
            );
        });
    }

    #[test]
    fn text_is_put_as_the_safe_twins_do() {
        cases(|random| {
            let (text, key, before) = (random.bytes(), random.key(), random.below(40));
            let (block, tag, len) = (key.block().unwrap(), random.tag(), random.below(0x80));
            both(before, |out| fast::put_string(out, &text), |out| safe::put_string(out, &text));
            both(before, |out| fast::put_member(out, block, &text), |out| safe::put_member(out, block, &text));
            both(before, |out| fast::put_short(out, &text), |out| safe::put_short(out, &text));
            both(before, |out| fast::put_tagged(out, tag, &text, len), |out| safe::put_tagged(out, tag, &text, len));
            assert_eq!(fast::plain_run(&text), safe::plain_run(&text));
        });
    }

    #[test]
    fn bytes_are_put_as_the_safe_twins_do() {
        cases(|random| {
            let (before, tag, byte) = (random.below(40), random.tag(), random.byte());
            let (len, word) = (random.below(INLINE + 1), random.next().to_le_bytes());
            both(before, |out| fast::put_tag(out, tag), |out| safe::put_tag(out, tag));
            both(before, |out| fast::put_tag_and_byte(out, tag, byte), |out| safe::put_tag_and_byte(out, tag, byte));
            both(before, |out| fast::put_word(out, word, len), |out| safe::put_word(out, word, len));
            both(before, |out| fast::close(out, len, b'[', b']'), |out| safe::close(out, len, b'[', b']'));
            let fill = |block: &mut [u8; INLINE]| {
                block[len.min(INLINE - 1)] = byte;
                len
            };
            both(
                before,
                |out| fast::put_filled(out, &[b' '; INLINE], fill),
                |out| safe::put_filled(out, &[b' '; INLINE], fill),
            );
        });
    }

    #[test]
    fn bytes_are_compared_as_the_safe_twin_does() {
        cases(|random| {
            let (text, at, wild) = (random.bytes(), random.below(INLINE), random.next() as u32);
            let mut block = [0; INLINE];
            block[..text.len().min(INLINE)].copy_from_slice(&text[..text.len().min(INLINE)]);
            let mut other = block;
            other[at] ^= 1;
            for wild in [0, 1, wild] {
                assert_eq!(fast::same(&text, &block, wild), safe::same(&text, &block, wild));
                assert_eq!(fast::same(&other, &block, wild), safe::same(&other, &block, wild));
            }
        });
    }
}
