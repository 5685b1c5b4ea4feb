//! Appending to and scanning of bytes: the one file with `unsafe`.
//!
//! What it buys, on a full `Space` (474 bytes of wire, 1,750 of JSON), is in
//! `benches/`: run it with the feature-less twins in [`safe`] swapped in to
//! compare. Every function here has a twin there, and a property test holds
//! the two equal.
#![allow(unsafe_code, reason = "the one exception; each block says why it is sound")]

use crate::schema::INLINE;

/// What a string of a message held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Ascii,
    /// At least one byte above 0x7f, so that UTF-8 must be checked.
    Other,
}

/// Appends the first `len` bytes of `block`.
///
/// Copying the whole block, whose size is known, is a few moves; copying `len`
/// bytes is a call.
#[inline(always)]
pub(super) fn put_block(out: &mut Vec<u8>, block: &[u8; INLINE], len: usize) {
    let len = len.min(INLINE);
    out.reserve(INLINE);
    // SAFETY: `reserve` made room for INLINE bytes after the end; those are
    // written, and at most that many are then counted in.
    unsafe {
        let end = out.as_mut_ptr().add(out.len());
        end.copy_from_nonoverlapping(block.as_ptr(), INLINE);
        out.set_len(out.len() + len);
    }
}

/// Appends the first `len` bytes of `word`, by one move.
#[inline(always)]
pub(super) fn put_word(out: &mut Vec<u8>, word: [u8; 8], len: usize) {
    let len = len.min(8);
    out.reserve(8);
    // SAFETY: `reserve` made room for 8 bytes after the end; those are written,
    // and at most that many are then counted in.
    unsafe {
        out.as_mut_ptr().add(out.len()).cast::<[u8; 8]>().write_unaligned(word);
        out.set_len(out.len() + len);
    }
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

static ESCAPES: [([u8; 7], u8); 256] = escapes();

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod simd {
    use std::arch::x86_64::*;

    /// The bytes of a block of 16 that JSON escapes (or that end a string),
    /// and those above 0x7f, as bit masks.
    ///
    /// # Safety
    ///
    /// None: SSE2 is part of the target.
    #[inline(always)]
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
}

#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
mod simd {
    #[inline(always)]
    pub(super) fn classify(block: &[u8; 16]) -> (u32, u32) {
        let mut masks = (0, 0);
        for (i, &byte) in block.iter().enumerate() {
            masks.0 |= u32::from(byte < 0x20 || byte == b'"' || byte == b'\\') << i;
            masks.1 |= u32::from(byte >> 7) << i;
        }
        masks
    }
}

/// Copies up to 16 bytes into a block, filled up with spaces.
#[inline(always)]
fn short_block(bytes: &[u8]) -> [u8; 16] {
    const FILL: u64 = 0x2020_2020_2020_2020;
    let len = bytes.len();
    let (low, high) = if let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let (head, tail) = (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
        // The last eight bytes, moved down by as many as the head covers.
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

/// Appends `text` as a JSON string with its quotes, escaping what JSON must
/// have escaped. Whether the bytes are UTF-8 is not checked.
#[inline]
pub(super) fn put_string(out: &mut Vec<u8>, text: &[u8]) -> Charset {
    /// Room for the quotes, for a block of 16 past the end, and for an escape.
    const SLACK: usize = 2 + 16 + 8;
    out.reserve(text.len() + SLACK);
    let mut high = 0;
    // SAFETY: `end` is where the next byte goes. Invariant at the head of both
    // loops: the capacity left after `end` is at least what remains of `text`
    // plus SLACK. A block of 16 stores at most 16 bytes and moves on by at most
    // as many as it consumed of `text`; an escape stores 7, moves on by up to
    // 6, consumes 1, and then makes the room again.
    unsafe {
        let mut base = out.as_mut_ptr();
        let mut end = out.len();
        *base.add(end) = b'"';
        end += 1;
        let mut rest = text;
        loop {
            // Whole blocks are copied from where they are: putting them together
            // elsewhere first would cost more than all the rest.
            while let Some(block) = rest.first_chunk::<16>() {
                let (special, beyond) = simd::classify(block);
                base.add(end).cast::<[u8; 16]>().write_unaligned(*block);
                high |= beyond;
                if special != 0 {
                    let plain = special.trailing_zeros() as usize;
                    end += plain;
                    rest = rest.get_unchecked(plain..);
                    break;
                }
                end += 16;
                rest = rest.get_unchecked(16..);
            }
            if rest.len() < 16 {
                let block = short_block(rest);
                let (special, beyond) = simd::classify(&block);
                base.add(end).cast::<[u8; 16]>().write_unaligned(block);
                high |= beyond;
                // The fill is spaces, never special.
                let plain = (special.trailing_zeros() as usize).min(rest.len());
                end += plain;
                rest = rest.get_unchecked(plain..);
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
#[inline(always)]
pub(super) fn plain_run(text: &[u8]) -> usize {
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

/// Appends bytes that are mostly few.
#[inline(always)]
pub(super) fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
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

/// The same without `unsafe`, byte by byte: what the functions above must do.
#[cfg(test)]
pub(super) mod safe {
    use super::{Charset, ESCAPES, INLINE};

    pub(super) fn put_block(out: &mut Vec<u8>, block: &[u8; INLINE], len: usize) {
        out.extend_from_slice(&block[..len.min(INLINE)]);
    }

    pub(super) fn put_string(out: &mut Vec<u8>, text: &[u8]) -> Charset {
        out.push(b'"');
        for &byte in text {
            match &ESCAPES[usize::from(byte)] {
                (_, 0) => out.push(byte),
                (escape, len) => out.extend_from_slice(&escape[..usize::from(*len)]),
            }
        }
        out.push(b'"');
        if text.is_ascii() { Charset::Ascii } else { Charset::Other }
    }

    pub(super) fn plain_run(text: &[u8]) -> usize {
        text.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(text.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes with many of those that matter.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![8 => 0x20..0x7fu8, 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0..0x20u8, 1 => any::<u8>()];
        let plain = proptest::collection::vec(0x23..0x5bu8, 0..80);
        prop_oneof![proptest::collection::vec(byte, 0..120), plain]
    }

    proptest! {
        #[test]
        fn every_function_is_equal_to_its_safe_twin(text in bytes(), before in 0..40usize, len in 0..=INLINE) {
            let (mut fast, mut slow) = (vec![b'x'; before], vec![b'x'; before]);
            prop_assert_eq!(put_string(&mut fast, &text), safe::put_string(&mut slow, &text));
            prop_assert_eq!(&fast, &slow);
            prop_assert_eq!(plain_run(&text), safe::plain_run(&text));
            let mut block = [0; INLINE];
            block[..text.len().min(INLINE)].copy_from_slice(&text[..text.len().min(INLINE)]);
            put_block(&mut fast, &block, len);
            safe::put_block(&mut slow, &block, len);
            put_short(&mut fast, &text);
            slow.extend_from_slice(&text);
            let word = [1, 2, 3, 4, 5, 6, 7, 8];
            put_word(&mut fast, word, len);
            slow.extend_from_slice(&word[..len.min(8)]);
            prop_assert_eq!(&fast, &slow);
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
