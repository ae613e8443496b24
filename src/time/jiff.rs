//! Instants of `jiff`, with the cargo feature of that name.

use jiff::{Timestamp as Instant, ZonedDateTime};

use super::Timestamp;

/// Finer than a microsecond is rounded up, so that the instant is never earlier than the one given.
impl From<Instant> for Timestamp {
    fn from(instant: Instant) -> Self {
        let us = -(-instant.as_nanosecond()).div_euclid(1_000);
        // `jiff` has the years from -9999 to 9999.
        Timestamp(i64::try_from(us).unwrap_or(if us < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// As its instant.
impl From<ZonedDateTime> for Timestamp {
    fn from(zoned: ZonedDateTime) -> Self {
        zoned.timestamp().into()
    }
}

/// As its instant.
impl From<&ZonedDateTime> for Timestamp {
    fn from(zoned: &ZonedDateTime) -> Self {
        zoned.timestamp().into()
    }
}

/// Fails for years before -9999 and after 9999, which `jiff` does not have.
impl TryFrom<Timestamp> for Instant {
    type Error = jiff::Error;

    fn try_from(timestamp: Timestamp) -> Result<Self, jiff::Error> {
        Instant::from_microsecond(timestamp.as_micros())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_jiff_does_not_have_is_refused() {
        for us in [i64::MIN, Instant::MIN.as_microsecond() - 1, Instant::MAX.as_microsecond() + 1, i64::MAX] {
            assert!(Instant::try_from(Timestamp(us)).is_err(), "{us}");
        }
        assert_eq!(Timestamp::from(Instant::MIN).as_micros(), Instant::MIN.as_microsecond());
    }

    #[test]
    fn a_zoned_instant_is_its_instant() {
        let zoned: ZonedDateTime = "2026-12-01T10:00:00+01:00[+01:00]".parse().unwrap();
        let instant: Timestamp = "2026-12-01T09:00:00Z".parse().unwrap();
        assert_eq!((Timestamp::from(&zoned), Timestamp::from(zoned)), (instant, instant));
    }

    proptest! {
        #[test]
        fn an_instant_comes_back_and_is_written_alike(
            us in Instant::MIN.as_microsecond()..=Instant::MAX.as_microsecond(),
        ) {
            let instant = Instant::try_from(Timestamp(us)).unwrap();
            prop_assert_eq!(Timestamp::from(instant), Timestamp(us));
            prop_assert_eq!(Timestamp(us).to_string().parse::<Timestamp>(), Ok(Timestamp(us)));
            if us >= -62_167_219_200_000_000 {
                prop_assert_eq!(Timestamp(us).to_string().parse::<Instant>().unwrap(), instant);
                prop_assert_eq!(instant.to_string().parse::<Timestamp>(), Ok(Timestamp(us)));
            }
        }

        #[test]
        fn nothing_becomes_earlier(ns in Instant::MIN.as_nanosecond()..=Instant::MAX.as_nanosecond()) {
            let later = i128::from(Timestamp::from(Instant::from_nanosecond(ns).unwrap()).as_micros()) * 1_000 - ns;
            prop_assert!((0..1_000).contains(&later), "{} ns later", later);
        }
    }
}
