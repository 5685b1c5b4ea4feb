//! Appending to a buffer and scanning bytes: the one file with `unsafe`, and the types
//! whose invariants its soundness relies on.
//!
//! Nothing outside of this file can break those invariants: their fields are private, and
//! their constructors are here. Each function of [`fast`] has a twin without `unsafe` in
//! `buf_safe.rs`; property tests hold the two equal, and `--cfg protojson_safe` builds the
//! crate with the twins, without any `unsafe`.
#![allow(unsafe_code, reason = "the one exception; each block says why it is sound")]

#[cfg(not(protojson_safe))]
pub(crate) use fast::*;

#[cfg(protojson_safe)]
pub(crate) use crate::buf_safe::*;
use crate::wire;

/// The size of a [`Block`].
pub(crate) const INLINE: usize = 32;

/// Up to [`INLINE`] bytes of text in an array of that size, so that copying and comparing
/// them takes no loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    bytes: [u8; INLINE],
    /// Invariant: at most `INLINE`.
    len: u8,
    /// The length with the usual start of the value; 0 if that does not fit.
    /// Invariant: at most `INLINE`.
    len_with_start: u8,
}

impl Block {
    const EMPTY: Self = Self { bytes: [0; INLINE], len: 0, len_with_start: 0 };

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn bytes(&self) -> &[u8; INLINE] {
        &self.bytes
    }

    /// At most [`INLINE`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The length with the usual start of the value: at most [`INLINE`], 0 if that does
    /// not fit.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn len_with_start(&self) -> usize {
        usize::from(self.len_with_start)
    }
}

/// Text that is copied into JSON as it is: the key of a field, or the name of an enum's
/// value.
///
/// The block also holds the usual first bytes of a field's value (`true`, a quote, a
/// brace), so that key and start are copied or compared in one step.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    block: Block,
    /// The whole text, where it is not in the block.
    long: Box<[u8]>,
}

impl Key {
    /// A text without a value behind it.
    pub(crate) fn new(text: &str) -> Self {
        Self::with_start(text, "")
    }

    /// A text, and the usual start of the value behind it.
    pub(crate) fn with_start(text: &str, start: &str) -> Self {
        let mut block = Block::EMPTY;
        let Some((inline, rest)) = block.bytes.split_at_mut_checked(text.len()) else {
            return Self::without_block(text);
        };
        inline.copy_from_slice(text.as_bytes());
        block.len = text.len() as u8;
        if let Some(inline) = rest.get_mut(..start.len()) {
            inline.copy_from_slice(start.as_bytes());
            block.len_with_start = (text.len() + start.len()) as u8;
        }
        Self { block, long: Box::default() }
    }

    /// A text that is never in a block.
    pub(crate) fn without_block(text: &str) -> Self {
        Self { block: Block::EMPTY, long: text.as_bytes().into() }
    }

    /// The text in its block; `None` if it is too long for one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn block(&self) -> Option<&Block> {
        (self.block.len != 0).then_some(&self.block)
    }

    /// The text in its block with the start of its value; `None` if that is too long.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn block_with_start(&self) -> Option<&Block> {
        (self.block.len_with_start != 0).then_some(&self.block)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        if self.block.len == 0 { &self.long } else { &self.block.bytes[..self.block.len()] }
    }
}

/// A field's tag as it is encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodedTag {
    bytes: [u8; 8],
    /// Invariant: at most 5.
    len: u8,
}

impl EncodedTag {
    pub(crate) fn new(tag: u32) -> Self {
        let mut encoded = Vec::with_capacity(5);
        wire::put_varint(&mut encoded, u64::from(tag));
        let mut bytes = [0; 8];
        bytes[..encoded.len()].copy_from_slice(&encoded);
        Self { bytes, len: encoded.len() as u8 }
    }

    /// At most 5.
    #[cfg(any(test, not(protojson_safe)))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn len(self) -> usize {
        usize::from(self.len)
    }

    /// The tag in the lowest bytes, zeros above.
    #[cfg(any(test, not(protojson_safe)))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn word(self) -> u64 {
        u64::from_le_bytes(self.bytes)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Which characters a string had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    Ascii,
    /// At least one byte above 0x7f, so that UTF-8 must be checked.
    Other,
}

/// How a byte is written inside a JSON string: its escape, filled up to eight
/// bytes, and the escape's length; 0 for a byte that stays as it is.
const fn escapes() -> [([u8; 7], u8); 256] {
    let hex = b"0123456789abcdef";
    let mut table = [([0; 7], 0); 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = ([b'\\', b'u', b'0', b'0', hex[byte >> 4], hex[byte & 15], 0], 6);
        byte += 1;
    }
    table[0x08] = (*b"\\b\0\0\0\0\0", 2);
    table[0x09] = (*b"\\t\0\0\0\0\0", 2);
    table[0x0a] = (*b"\\n\0\0\0\0\0", 2);
    table[0x0c] = (*b"\\f\0\0\0\0\0", 2);
    table[0x0d] = (*b"\\r\0\0\0\0\0", 2);
    table[b'"' as usize] = (*b"\\\"\0\0\0\0\0", 2);
    table[b'\\' as usize] = (*b"\\\\\0\0\0\0\0", 2);
    table
}

pub(crate) static ESCAPES: [([u8; 7], u8); 256] = escapes();

/// Copies up to 16 bytes, filled up with spaces.
#[cfg(any(test, not(protojson_safe)))]
#[cfg_attr(not(debug_assertions), inline(always))]
fn short_block(bytes: &[u8]) -> [u8; 16] {
    const FILL: u64 = 0x2020_2020_2020_2020;
    let len = bytes.len();
    let (low, high) = if let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let (head, tail) = (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
        // The last eight bytes, shifted by as many as the head already holds.
        let over = 16 - len;
        let high = if over >= 8 { FILL } else { tail >> (8 * over) | !(!0 >> (8 * over)) & FILL };
        (head, high)
    } else if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (head, tail) = (u64::from(u32::from_le_bytes(*head)), u64::from(u32::from_le_bytes(*tail)));
        let bits = 8 * len as u32;
        let low = head | tail << (bits - 32);
        (low | FILL.checked_shl(bits).unwrap_or(0), FILL)
    } else {
        let mut low = FILL;
        for &byte in bytes.iter().rev() {
            low = low << 8 | u64::from(byte);
        }
        (low, FILL)
    };
    let mut block = [0; 16];
    block[..8].copy_from_slice(&low.to_le_bytes());
    block[8..].copy_from_slice(&high.to_le_bytes());
    block
}

#[cfg(any(test, not(protojson_safe)))]
pub(crate) mod fast {
    use super::{Block, Charset, ESCAPES, EncodedTag, INLINE, short_block, simd};

    /// Appends a copy of `block`, lets `fill` edit it, and keeps as many bytes as `fill`
    /// returns. The copy is edited in place, since a wide load after small stores to the
    /// same bytes would stall.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_filled(out: &mut Vec<u8>, block: &[u8; INLINE], fill: impl FnOnce(&mut [u8; INLINE]) -> usize) {
        out.reserve(INLINE);
        // SAFETY: `reserve` made room for INLINE bytes after the end. Those are
        // written before they are lent out, alone, as an array of that many; and no
        // more are then counted in.
        unsafe {
            let end = out.as_mut_ptr().add(out.len()).cast::<[u8; INLINE]>();
            end.write(*block);
            let len = fill(&mut *end).min(INLINE);
            out.set_len(out.len() + len);
        }
    }

    /// Appends a key.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_key(out: &mut Vec<u8>, key: &Block) {
        // SAFETY: a block's length is at most INLINE.
        unsafe { put_whole_block(out, key.bytes(), key.len()) }
    }

    /// Appends a key and the usual start of its value.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_key_and_start(out: &mut Vec<u8>, key: &Block) {
        // SAFETY: a block's length with the start of the value is at most INLINE.
        unsafe { put_whole_block(out, key.bytes(), key.len_with_start()) }
    }

    /// Appends keys, each with the usual start of its value: the first `MAX` of them.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_keys_and_starts<'k, const MAX: usize>(out: &mut Vec<u8>, keys: impl Iterator<Item = &'k Block>) {
        out.reserve(MAX * INLINE);
        let mut end = out.len();
        for key in keys.take(MAX) {
            // SAFETY: `reserve` made room for MAX blocks after the old end, and the loop
            // turns at most that often; each turn writes one block at `end`, and moves on by
            // at most the size of a block.
            unsafe { out.as_mut_ptr().add(end).copy_from_nonoverlapping(key.bytes().as_ptr(), INLINE) };
            end += key.len_with_start();
        }
        // SAFETY: all bytes up to `end` were just written.
        unsafe { out.set_len(end) };
    }

    /// # Safety
    ///
    /// `len` is at most INLINE.
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn put_whole_block(out: &mut Vec<u8>, block: &[u8; INLINE], len: usize) {
        out.reserve(INLINE);
        // SAFETY: `reserve` made room for INLINE bytes after the end; those are
        // written, and at most that many are then counted in.
        unsafe {
            let end = out.as_mut_ptr().add(out.len());
            end.copy_from_nonoverlapping(block.as_ptr(), INLINE);
            out.set_len(out.len() + len);
        }
    }

    /// Appends a key and its value, which is the second block.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_blocks(out: &mut Vec<u8>, key: &Block, value: &Block) {
        out.reserve(2 * INLINE);
        // SAFETY: `reserve` made room for two blocks after the end. Both are written, the
        // second behind what counts of the first; and a block's length is at most INLINE.
        unsafe {
            let end = out.as_mut_ptr().add(out.len());
            end.copy_from_nonoverlapping(key.bytes().as_ptr(), INLINE);
            end.add(key.len()).copy_from_nonoverlapping(value.bytes().as_ptr(), INLINE);
            out.set_len(out.len() + key.len() + value.len());
        }
    }

    /// Puts brackets around what was appended from `start` on: the opening one
    /// takes the place of the first comma, if there is one.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn close(out: &mut Vec<u8>, start: usize, open: u8, close: u8) {
        out.reserve(2);
        let start = start.min(out.len());
        let end = out.len().max(start + 1);
        // SAFETY: `start` is at most the length, so that `end` is at most one more,
        // and `reserve` made room for two. What the new length takes in was written
        // before or is here.
        unsafe {
            *out.as_mut_ptr().add(start) = open;
            *out.as_mut_ptr().add(end) = close;
            out.set_len(end + 1);
        }
    }

    /// Appends the first `len` bytes of `word`, by one move.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_word(out: &mut Vec<u8>, word: [u8; 8], len: usize) {
        let len = len.min(8);
        out.reserve(8);
        // SAFETY: `reserve` made room for 8 bytes after the end; those are written,
        // and at most that many are then counted in.
        unsafe {
            out.as_mut_ptr().add(out.len()).cast::<[u8; 8]>().write_unaligned(word);
            out.set_len(out.len() + len);
        }
    }

    /// Appends a tag.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_tag(out: &mut Vec<u8>, tag: EncodedTag) {
        // SAFETY: a tag's length is at most 5.
        unsafe { put_low_bytes(out, tag.word(), tag.len()) }
    }

    /// Appends a tag and the byte after it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_tag_and_byte(out: &mut Vec<u8>, tag: EncodedTag, byte: u8) {
        // SAFETY: a tag's length is at most 5.
        unsafe { put_low_bytes(out, tag.word() | u64::from(byte) << (8 * tag.len()), tag.len() + 1) }
    }

    /// # Safety
    ///
    /// `len` is at most 8.
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn put_low_bytes(out: &mut Vec<u8>, word: u64, len: usize) {
        out.reserve(8);
        // SAFETY: `reserve` made room for 8 bytes after the end; those are written,
        // and at most that many are then counted in.
        unsafe {
            out.as_mut_ptr().add(out.len()).cast::<[u8; 8]>().write_unaligned(word.to_le_bytes());
            out.set_len(out.len() + len);
        }
    }

    /// Appends a tag, `len`, which is below 0x80, and as many bytes of `text`, or all
    /// if it has fewer, with one `set_len`: later writes depend on the length.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_tagged(out: &mut Vec<u8>, tag: EncodedTag, text: &[u8], len: usize) {
        debug_assert!(len < 0x80);
        let (before, len) = (tag.len() + 1, len.min(text.len()));
        match text.first_chunk::<{ 2 * INLINE }>() {
            Some(blocks) if len <= 2 * INLINE => {
                out.reserve(8 + 2 * INLINE);
                // SAFETY: `reserve` made room for eight bytes and two blocks after the end.
                // Eight bytes are written, of which a tag's length and one, at most six,
                // count; behind those two blocks, of which `len`, at most that many, count.
                unsafe {
                    let end = out.as_mut_ptr().add(out.len());
                    let word = tag.word() | (len as u64) << (8 * tag.len());
                    end.cast::<[u8; 8]>().write_unaligned(word.to_le_bytes());
                    end.add(before).copy_from_nonoverlapping(blocks.as_ptr(), 2 * INLINE);
                    out.set_len(out.len() + before + len);
                }
            }
            _ => {
                put_tag_and_byte(out, tag, len as u8);
                out.extend_from_slice(&text[..len]);
            }
        }
    }

    /// Room for a string's quote, for a block of 16 past its end, and for the escapes
    /// of a block.
    const SLACK: usize = 1 + 16 + 16 * 7;

    /// The longest string that is copied before it is looked at.
    const SHORT: usize = 64;

    /// Appends `text` as a JSON string whose opening quote is there already, with
    /// what JSON must have escaped escaped. Whether the bytes are UTF-8 is not
    /// checked.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_string(out: &mut Vec<u8>, text: &[u8]) -> Charset {
        put_after(out, &[0; INLINE], 0, text)
    }

    /// Appends a key, the quote behind it, and `text` as [`put_string`] does.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_member(out: &mut Vec<u8>, key: &Block, text: &[u8]) -> Charset {
        put_after(out, key.bytes(), key.len_with_start(), text)
    }

    /// Appends the first `len` bytes of the block, and `text` as [`put_string`] does, with
    /// one `set_len`: later writes depend on the length.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn put_after(out: &mut Vec<u8>, block: &[u8; INLINE], len: usize, text: &[u8]) -> Charset {
        let len = len.min(INLINE);
        out.reserve(INLINE + SHORT + 1);
        // SAFETY: `reserve` made room for a block, a text of up to SHORT bytes and a quote
        // after the end. The block is written, and at most its length is counted in; the
        // text goes right behind that, if its length is what was just compared.
        unsafe {
            let end = out.as_mut_ptr().add(out.len());
            if len > 0 {
                end.copy_from_nonoverlapping(block.as_ptr(), INLINE);
            }
            // Most strings are short and have nothing to escape: these are copied first, and
            // whether they had something to escape is looked at once, at the end.
            if (16..=SHORT).contains(&text.len()) {
                let (special, high) = simd::copy(text, end.add(len));
                if !special {
                    *end.add(len + text.len()) = b'"';
                    out.set_len(out.len() + len + text.len() + 1);
                    return if high { Charset::Other } else { Charset::Ascii };
                }
            }
            out.set_len(out.len() + len);
        }
        put_long_string(out, text)
    }

    /// Appends a string of any length.
    #[inline(never)]
    fn put_long_string(out: &mut Vec<u8>, text: &[u8]) -> Charset {
        out.reserve(text.len() + SLACK);
        let mut high = 0;
        // Whether what was written last is the text as it is, 16 bytes or more.
        let mut same = false;
        // SAFETY: `end` is where the next byte goes. Invariant at the head of both
        // loops: the capacity left after `end` is at least what remains of `text`
        // plus SLACK. A block of 16 stores at most 16 bytes and moves on by at most
        // as many as it consumed of `text`; an escape stores 7, moves on by up to
        // 6, consumes 1, and then makes the room again. The last block of a text is
        // stored again from up to 15 bytes before `end`, which hold just those
        // bytes of the text where `same` says so.
        unsafe {
            let mut base = out.as_mut_ptr();
            let mut end = out.len();
            let mut rest = text;
            loop {
                // Whole blocks are copied from where they are: putting them together
                // elsewhere first would cost more than all the rest.
                while let Some(block) = rest.first_chunk::<16>() {
                    let (special, beyond) = simd::classify(block);
                    base.add(end).cast::<[u8; 16]>().write_unaligned(*block);
                    high |= beyond;
                    if special == 0 {
                        end += 16;
                        rest = rest.get_unchecked(16..);
                        same = true;
                        continue;
                    }
                    same = false;
                    if rest.len() < 32 {
                        let plain = special.trailing_zeros() as usize;
                        end += plain;
                        rest = rest.get_unchecked(plain..);
                        break;
                    }
                    let (mut specials, mut from) = (special, 0);
                    while specials != 0 {
                        let at = specials.trailing_zeros() as usize;
                        specials &= specials - 1;
                        let (escape, len) = &ESCAPES[usize::from(block[at & 15])];
                        end += at - from;
                        base.add(end).cast::<[u8; 7]>().write_unaligned(*escape);
                        end += usize::from(*len);
                        from = at + 1;
                        // What follows in the block, with what is after it.
                        let after = rest.as_ptr().add(from).cast::<[u8; 16]>();
                        base.add(end).cast::<[u8; 16]>().write_unaligned(after.read_unaligned());
                    }
                    end += 16 - from;
                    rest = rest.get_unchecked(16..);
                    if out.capacity() - end < rest.len() + SLACK {
                        out.set_len(end);
                        out.reserve(rest.len() + SLACK);
                        base = out.as_mut_ptr();
                    }
                }
                if rest.len() < 16 {
                    let before = 16 - rest.len();
                    let (block, special) = match text.last_chunk::<16>() {
                        Some(block) if same => {
                            let (special, beyond) = simd::classify(block);
                            high |= beyond;
                            base.add(end - before).cast::<[u8; 16]>().write_unaligned(*block);
                            (None, special >> before)
                        }
                        _ => {
                            let block = short_block(rest);
                            let (special, beyond) = simd::classify(&block);
                            high |= beyond;
                            (Some(block), special)
                        }
                    };
                    if let Some(block) = block {
                        base.add(end).cast::<[u8; 16]>().write_unaligned(block);
                    }
                    // The fill is spaces, never special.
                    let plain = (special.trailing_zeros() as usize).min(rest.len());
                    end += plain;
                    rest = rest.get_unchecked(plain..);
                    same = false;
                }
                let Some((&byte, after)) = rest.split_first() else { break };
                let (escape, len) = &ESCAPES[usize::from(byte)];
                base.add(end).cast::<[u8; 7]>().write_unaligned(*escape);
                end += usize::from(*len);
                rest = after;
                if out.capacity() - end < rest.len() + SLACK {
                    out.set_len(end);
                    out.reserve(rest.len() + SLACK);
                    base = out.as_mut_ptr();
                }
            }
            *base.add(end) = b'"';
            out.set_len(end + 1);
        }
        if high == 0 { Charset::Ascii } else { Charset::Other }
    }

    /// The length of the run at the start of `text` that a JSON string holds as it
    /// is: up to a quote, a backslash, a control character, or the end.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn plain_run(text: &[u8]) -> usize {
        let mut at = 0;
        loop {
            // SAFETY: `at` never passes the end of `text`.
            let rest = unsafe { text.get_unchecked(at..) };
            match rest.first_chunk::<16>() {
                Some(block) => {
                    let (special, _) = simd::classify(block);
                    if special != 0 {
                        return at + special.trailing_zeros() as usize;
                    }
                    at += 16;
                }
                None => {
                    let (special, _) = simd::classify(&short_block(rest));
                    return at + (special.trailing_zeros() as usize).min(rest.len());
                }
            }
        }
    }

    /// How many bytes at the start of `text` are those of `block`, where those of
    /// the mask `wild` count as the same; 0 if the text is shorter than a block.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn same(text: &[u8], block: &[u8; INLINE], wild: u32) -> usize {
        match text.first_chunk() {
            Some(text) => (simd::same(text, block) | wild).trailing_ones() as usize,
            None => 0,
        }
    }

    /// Appends bytes that are mostly few.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
        if bytes.len() > 16 {
            out.extend_from_slice(bytes);
            return;
        }
        out.reserve(16);
        let block = short_block(bytes);
        // SAFETY: room for 16 was made; at most that many are counted in, and all
        // of them were written.
        unsafe {
            out.as_mut_ptr().add(out.len()).cast::<[u8; 16]>().write_unaligned(block);
            out.set_len(out.len() + bytes.len());
        }
    }
}

#[cfg(any(test, not(protojson_safe)))]
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod simd {
    use std::arch::x86_64::*;

    /// The bytes of a block of 16 that JSON escapes (or that end a string),
    /// and those above 0x7f, as bit masks.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn classify(block: &[u8; 16]) -> (u32, u32) {
        // SAFETY: an unaligned load of 16 bytes from an array of 16; the other
        // intrinsics have no preconditions but SSE2.
        unsafe {
            let bytes = _mm_loadu_si128(block.as_ptr().cast());
            let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
            let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
            // Unsigned `byte <= 0x1f`, by saturating subtraction.
            let control = _mm_cmpeq_epi8(_mm_subs_epu8(bytes, _mm_set1_epi8(0x1f)), _mm_setzero_si128());
            let special = _mm_or_si128(_mm_or_si128(quote, slash), control);
            (_mm_movemask_epi8(special) as u32, _mm_movemask_epi8(bytes) as u32)
        }
    }

    /// Copies `text` as it is, and tells whether any byte is one that JSON
    /// escapes, and whether any is above 0x7f.
    ///
    /// # Safety
    ///
    /// `text` has 16 bytes or more, and there is room for them at `to`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) unsafe fn copy(text: &[u8], to: *mut u8) -> (bool, bool) {
        // SAFETY: every load is of 16 bytes within `text`, every store of 16
        // bytes at the same place after `to`: from 0 on as long as 16 are left,
        // and the last 16 once more.
        unsafe {
            let mut specials = _mm_setzero_si128();
            let mut all = _mm_setzero_si128();
            let mut block = |at: usize| {
                let bytes = _mm_loadu_si128(text.as_ptr().add(at).cast());
                _mm_storeu_si128(to.add(at).cast(), bytes);
                let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
                let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
                let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
                specials = _mm_or_si128(specials, _mm_or_si128(_mm_or_si128(quote, slash), control));
                all = _mm_or_si128(all, bytes);
            };
            let mut at = 0;
            while at + 16 < text.len() {
                block(at);
                at += 16;
            }
            block(text.len() - 16);
            (_mm_movemask_epi8(specials) != 0, _mm_movemask_epi8(all) != 0)
        }
    }

    /// Which of 32 bytes are the same, as a bit mask.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn same(a: &[u8; 32], b: &[u8; 32]) -> u32 {
        // SAFETY: unaligned loads of 16 bytes at 0 and 16 of arrays of 32; the
        // other intrinsics have no preconditions but SSE2.
        unsafe {
            let half = |at: usize| {
                let (a, b) = (a.as_ptr().add(at).cast(), b.as_ptr().add(at).cast());
                _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(a), _mm_loadu_si128(b))) as u32
            };
            half(0) | half(16) << 16
        }
    }
}

#[cfg(any(test, not(protojson_safe)))]
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
mod simd {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn classify(block: &[u8; 16]) -> (u32, u32) {
        let mut masks = (0, 0);
        for (i, &byte) in block.iter().enumerate() {
            masks.0 |= u32::from(byte < 0x20 || byte == b'"' || byte == b'\\') << i;
            masks.1 |= u32::from(byte >> 7) << i;
        }
        masks
    }

    /// # Safety
    ///
    /// There is room for `text` at `to`.
    pub(super) unsafe fn copy(text: &[u8], to: *mut u8) -> (bool, bool) {
        // SAFETY: the caller's promise; the two do not overlap, since one is
        // borrowed and the other written.
        unsafe { to.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        let special = text.iter().any(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\');
        (special, !text.is_ascii())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn same(a: &[u8; 32], b: &[u8; 32]) -> u32 {
        a.iter().zip(b).enumerate().fold(0, |mask, (i, (a, b))| mask | u32::from(a == b) << i)
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, INLINE, Key, short_block};

    #[test]
    fn a_block_holds_what_fits_and_nothing_else() {
        for len in 0..2 * INLINE {
            let text = "k".repeat(len);
            for start in ["", "true"] {
                let key = Key::with_start(&text, start);
                assert_eq!(key.as_bytes(), text.as_bytes());
                assert_eq!(key.block().map(Block::len), (1..=INLINE).contains(&len).then_some(len));
                let whole = len + start.len();
                let fits = whole <= INLINE && whole > 0;
                assert_eq!(key.block_with_start().map(Block::len_with_start), fits.then_some(whole));
            }
        }
    }

    #[test]
    fn short_blocks_hold_their_bytes_and_spaces() {
        for len in 0..16 {
            let bytes: Vec<u8> = (1..=len as u8).collect();
            let mut expected = [b' '; 16];
            expected[..len].copy_from_slice(&bytes);
            assert_eq!(short_block(&bytes), expected, "{len}");
        }
    }
}
