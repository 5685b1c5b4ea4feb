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
    use proptest::prelude::*;

    use crate::{
        buf::{Block, EncodedTag, INLINE, Key, fast},
        buf_safe as safe,
    };

    /// Bytes with many of those that matter.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![8 => 0x20..0x7fu8, 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0..0x20u8, 1 => any::<u8>()];
        let plain = proptest::collection::vec(0x23..0x5bu8, 0..80);
        prop_oneof![proptest::collection::vec(byte, 0..120), plain]
    }

    /// Keys of all lengths that have a block.
    fn key() -> impl Strategy<Value = Key> {
        (1..=INLINE, prop_oneof![Just(""), Just("\""), Just("true")])
            .prop_map(|(len, start)| Key::with_start(&"a key of up to 32 bytes: itself."[..len], start))
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

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 12 } else { 500 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn keys_are_put_as_the_safe_twins_do(keys in proptest::collection::vec(key(), 3), before in 0..40usize) {
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
        }

        #[test]
        fn text_is_put_as_the_safe_twins_do(
            text in bytes(), key in key(), before in 0..40usize, tag in 8..u32::MAX, len in 0..0x80usize,
        ) {
            let (block, tag) = (key.block().unwrap(), EncodedTag::new(tag));
            both(before, |out| fast::put_string(out, &text), |out| safe::put_string(out, &text));
            both(before, |out| fast::put_member(out, block, &text), |out| safe::put_member(out, block, &text));
            both(before, |out| fast::put_short(out, &text), |out| safe::put_short(out, &text));
            both(before, |out| fast::put_tagged(out, tag, &text, len), |out| safe::put_tagged(out, tag, &text, len));
            prop_assert_eq!(fast::plain_run(&text), safe::plain_run(&text));
        }

        #[test]
        fn bytes_are_put_as_the_safe_twins_do(
            before in 0..40usize, tag in 8..u32::MAX, byte in any::<u8>(), len in 0..=INLINE, word in any::<[u8; 8]>(),
        ) {
            let tag = EncodedTag::new(tag);
            both(before, |out| fast::put_tag(out, tag), |out| safe::put_tag(out, tag));
            both(before, |out| fast::put_tag_and_byte(out, tag, byte), |out| safe::put_tag_and_byte(out, tag, byte));
            both(before, |out| fast::put_word(out, word, len), |out| safe::put_word(out, word, len));
            both(before, |out| fast::close(out, len, b'[', b']'), |out| safe::close(out, len, b'[', b']'));
            let fill = |block: &mut [u8; INLINE]| {
                block[len.min(INLINE - 1)] = byte;
                len
            };
            both(before, |out| fast::put_filled(out, &[b' '; INLINE], fill), |out| safe::put_filled(out, &[b' '; INLINE], fill));
        }

        #[test]
        fn bytes_are_compared_as_the_safe_twin_does(text in bytes(), at in 0..INLINE, wild in any::<u32>()) {
            let mut block = [0; INLINE];
            block[..text.len().min(INLINE)].copy_from_slice(&text[..text.len().min(INLINE)]);
            let mut other = block;
            other[at] ^= 1;
            for wild in [0, 1, wild] {
                prop_assert_eq!(fast::same(&text, &block, wild), safe::same(&text, &block, wild));
                prop_assert_eq!(fast::same(&other, &block, wild), safe::same(&other, &block, wild));
            }
        }
    }
}
