//! Instants of the standard library.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Timestamp, micros_ceil};

/// Finer than a microsecond is rounded up, so that the instant is never earlier than the one given. Stops at the last instant
/// that can be named.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(i64::try_from(micros_ceil(after)).unwrap_or(i64::MAX)),
            Err(before) => {
                let us = u64::try_from(before.duration().as_micros()).unwrap_or(u64::MAX);
                Timestamp(0i64.saturating_sub_unsigned(us))
            }
        }
    }
}

/// Exact, but where the platform cannot name the instant: then it is the last that it can. Windows begins with the year 1601
/// and ends with 30828; Unix has them all.
impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        let us = timestamp.0.unsigned_abs();
        match timestamp.0 {
            0.. => farthest(us, |distance| UNIX_EPOCH.checked_add(distance)),
            _ => farthest(us, |distance| UNIX_EPOCH.checked_sub(distance)),
        }
    }
}

/// The instant `us` microseconds away, or the farthest on the way that there is.
fn farthest(us: u64, at: impl Fn(Duration) -> Option<SystemTime>) -> SystemTime {
    let at = |us| at(Duration::from_micros(us));
    at(us).unwrap_or_else(|| {
        // Some at `near`, none at `far`.
        let (mut near, mut far) = (0, us);
        while far - near > 1 {
            let middle = near + (far - near) / 2;
            *(if at(middle).is_some() { &mut near } else { &mut far }) = middle;
        }
        at(near).unwrap_or(UNIX_EPOCH)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn system_time_is_never_rounded_to_an_earlier_instant() {
        let time = UNIX_EPOCH + Duration::from_nanos(1_001);
        assert_eq!(Timestamp::from(time), Timestamp::from_micros(2));
        let before = UNIX_EPOCH - Duration::from_nanos(1_001);
        assert_eq!(Timestamp::from(before), Timestamp::from_micros(-1));
        assert!(SystemTime::from(Timestamp::from(before)) >= before);
    }

    #[test]
    fn what_the_platform_cannot_name_is_the_last_that_it_can() {
        let second = Duration::from_secs(1);
        let up_to = |last: Duration| move |distance| (distance <= last).then(|| UNIX_EPOCH + distance);
        assert_eq!(farthest(u64::MAX, up_to(second)), UNIX_EPOCH + second);
        assert_eq!(farthest(7, up_to(second)), UNIX_EPOCH + Duration::from_micros(7));
        assert_eq!(farthest(u64::MAX, up_to(Duration::ZERO)), UNIX_EPOCH);
    }

    proptest! {
        #[test]
        fn every_instant_comes_back(us: i64) {
            // As far as Windows goes.
            let us = us % 200_000_000_000_000_000;
            let there_and_back = Timestamp::from(SystemTime::from(Timestamp(us.max(-11_000_000_000_000_000))));
            prop_assert_eq!(there_and_back, Timestamp(us.max(-11_000_000_000_000_000)));
        }
    }
}
