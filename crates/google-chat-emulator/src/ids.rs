//! The ids of spaces: they look random, as the real ones do, and lead back to the
//! place of the space, so that no index is needed for them.

use std::hash::{BuildHasher, RandomState};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// The multipliers of splitmix64, and their inverses modulo 2^64.
const ONE: (u64, u64) = (0xbf58_476d_1ce4_e5b9, 0x96de_1b17_3f11_9089);
const TWO: (u64, u64) = (0x94d0_49bb_1331_11eb, 0x3196_42b2_d24d_8ec3);

/// What makes the ids of one emulator others than those of the next.
pub(super) fn secret() -> u64 {
    RandomState::new().hash_one(0)
}

/// The id of a place: 64 bits in base64url. Each place has another.
pub(super) fn id(place: u64, secret: u64) -> String {
    let mut mixed = place.wrapping_add(secret);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(ONE.0);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(TWO.0);
    mixed ^= mixed >> 31;
    URL_SAFE_NO_PAD.encode(mixed.to_be_bytes())
}

/// The place of an id, if it can be one.
pub(super) fn place(id: &str, secret: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    let length = URL_SAFE_NO_PAD.decode_slice(id, &mut bytes).ok()?;
    let mut mixed = u64::from_be_bytes(bytes);
    mixed ^= mixed >> 31 ^ mixed >> 62;
    mixed = mixed.wrapping_mul(TWO.1);
    mixed ^= mixed >> 27 ^ mixed >> 54;
    mixed = mixed.wrapping_mul(ONE.1);
    mixed ^= mixed >> 30 ^ mixed >> 60;
    (length == 8).then(|| mixed.wrapping_sub(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_place() {
        let secret = secret();
        for at in [0, 1, 2, 1_000_000, u64::from(u32::MAX), u64::MAX] {
            let id = id(at, secret);
            assert_eq!((id.len(), place(&id, secret)), (11, Some(at)), "{id}");
        }
        for no_id in ["", "AAQA", "AAQAjCNSsU0A", "AAQAjCNSsU\u{e9}", "AAQAjCNSsU1"] {
            assert_eq!(place(no_id, secret), None, "{no_id}");
        }
    }
}
