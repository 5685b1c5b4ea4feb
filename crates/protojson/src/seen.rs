/// A set of small numbers; those below 64 without an allocation.
pub(crate) struct Seen {
    low: u64,
    high: Vec<u64>,
}

impl Seen {
    #[inline]
    pub(crate) fn new() -> Self {
        Self { low: 0, high: Vec::new() }
    }

    /// Adds the number. Returns whether it is new.
    #[inline]
    pub(crate) fn insert(&mut self, number: usize) -> bool {
        let bit = 1 << (number % 64);
        let word = if number < 64 { &mut self.low } else { self.high_word(number / 64 - 1) };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    #[cold]
    #[inline(never)]
    fn high_word(&mut self, at: usize) -> &mut u64 {
        if self.high.len() <= at {
            self.high.resize(at + 1, 0);
        }
        &mut self.high[at]
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn every_number_is_new_once() {
        let mut seen = Seen::new();
        for number in (0..400).rev().step_by(3) {
            assert!(seen.insert(number) && !seen.insert(number), "{number}");
        }
        assert!(!seen.insert(0) && seen.insert(1));
    }
}
