//! Random numbers that are the same in every run.

/// SplitMix64 (Steele, Lea and Flood, 2014): a few cycles a number, and good enough to scatter deadlines.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    #[inline]
    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// Any number.
    #[allow(clippy::should_implement_trait, reason = "it has no end, and nobody iterates")]
    #[inline]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `0..bound`.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}
