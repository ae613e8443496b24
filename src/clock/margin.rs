//! How early to wake so as to be on time: the margin that follows how late the system wakes a thread.

/// Follows the overshoot of past sleeps as TCP follows round trips (Jacobson 1988): a smoothed mean and a smoothed
/// deviation, and four deviations on top of the mean. Single outliers, such as a descheduled virtual machine, are
/// clipped: no margin could have covered them, and spinning for them would only burn the core.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margin {
    mean_us: f64,
    deviation_us: f64,
}

impl Margin {
    const MIN_US: f64 = 5.0;
    const MAX_US: f64 = 300.0;

    /// Before anything was observed: what an idle Linux machine needs, with room.
    pub(super) const fn new() -> Self {
        Margin { mean_us: 60.0, deviation_us: 10.0 }
    }

    pub(super) fn observe(&mut self, overshoot_us: u64) {
        let overshoot_us = (overshoot_us as f64).min(Self::MAX_US);
        let error = overshoot_us - self.mean_us;
        self.mean_us += error / 8.0;
        self.deviation_us += (error.abs() - self.deviation_us) / 4.0;
    }

    pub(super) fn us(&self) -> u64 {
        (self.mean_us + 4.0 * self.deviation_us).clamp(Self::MIN_US, Self::MAX_US) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_settles_a_little_above_a_steady_overshoot() {
        let mut margin = Margin::new();
        for _ in 0..100 {
            margin.observe(20);
        }
        assert!((20..=24).contains(&margin.us()), "{margin:?}");
    }

    #[test]
    fn it_widens_when_the_overshoot_scatters() {
        let mut margin = Margin::new();
        for n in 0..200 {
            margin.observe(if n % 4 == 0 { 90 } else { 30 });
        }
        assert!((90..=250).contains(&margin.us()), "{margin:?}");
    }

    #[test]
    fn an_outlier_does_not_make_it_spin_for_long() {
        let mut margin = Margin::new();
        margin.observe(1_000_000);
        assert!(margin.us() <= 300, "{margin:?}");
        for _ in 0..50 {
            margin.observe(50);
        }
        assert!(margin.us() < 70, "{margin:?}");
    }
}
