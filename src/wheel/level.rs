//! Where a deadline goes: the arithmetic of levels, digits and slots, and the occupancy bitmaps.
//!
//! A `u64` tick is read as eleven digits in base 64. A timer sits on the level of the highest digit in which its
//! deadline and the wheel's time differ, in the slot which that digit of the deadline names. So a slot of level 0
//! holds one tick, a slot of level 1 holds 64, and the eleven levels together reach every `u64`: there is no
//! overflow list, and no level ever wraps.
//!
//! Two facts follow, and the wheel rests on them:
//! - timers that share a deadline share a slot, whenever they were inserted (so a slot's order is first in, first out);
//! - every occupied slot of a level lies before every occupied slot of the levels above it (so the earliest slot is
//!   the first one of the lowest level that has any).
//!
//! Everything here is pure. No sum is formed, only masks and shifts, so nothing can overflow near `u64::MAX`.

/// Bits of a digit.
const DIGIT_BITS: u32 = 6;

/// Slots of a level: one bit each in a `u64`.
const SLOTS: u32 = 1 << DIGIT_BITS;

/// Levels it takes to tell any two `u64` apart.
pub(super) const LEVELS: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;

/// Slots of all levels. The top level uses only 16 of its 64; the others are never reached.
pub(super) const PLACES: usize = LEVELS * SLOTS as usize;

/// The level of the highest digit in which `now` and `at` differ; 0 if they do not.
#[inline]
pub(super) fn level_of(now: u64, at: u64) -> u32 {
    // Setting the lowest bit changes no level and spares a branch for "equal".
    ((now ^ at) | 1).ilog2() / DIGIT_BITS
}

/// The wheel's time, which decides where a deadline belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Time {
    pub(super) now: u64,
    /// Level of the slot that is half cascaded, which is the one that contains `now`; 0 if none is.
    pub(super) cascading: u32,
}

impl Time {
    /// Where a deadline goes that is inserted now.
    #[inline]
    pub(super) fn place(self, deadline: u64) -> Place {
        // A half cascaded slot contains `now`, so whatever would go to a level below it is within its range.
        self.at_least(self.cascading, deadline)
    }

    /// Where a deadline belongs that does not wait in a half cascaded slot.
    #[inline]
    pub(super) fn usual_place(self, deadline: u64) -> Place {
        self.at_least(0, deadline)
    }

    /// The slot that is half cascaded.
    #[inline]
    pub(super) fn half_cascaded(self) -> Option<Place> {
        (self.cascading != 0).then(|| Place::new(self.cascading, self.now))
    }

    /// Whether a deadline is in the range of the slot that is half cascaded.
    #[inline]
    pub(super) fn is_cascading(self, deadline: u64) -> bool {
        (deadline ^ self.now) >> (self.cascading * DIGIT_BITS) == 0
    }

    #[inline]
    fn at_least(self, level: u32, deadline: u64) -> Place {
        let effective = deadline.max(self.now);
        Place::new(level_of(self.now, effective).max(level), effective)
    }
}

/// A slot of a level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place(u16);

impl Place {
    /// The slot of `level` that `at` belongs to.
    #[inline]
    pub(super) fn new(level: u32, at: u64) -> Place {
        debug_assert!((level as usize) < LEVELS);
        Place::from_parts(level, (at >> (level * DIGIT_BITS)) as u32 % SLOTS)
    }

    #[inline]
    fn from_parts(level: u32, slot: u32) -> Place {
        // `PLACES` is far below `u16::MAX`, so the cast loses nothing.
        Place((level * SLOTS + slot) as u16)
    }

    /// Counts the places from 0, below [`PLACES`].
    #[inline]
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    #[inline]
    pub(super) fn level(self) -> u32 {
        self.index() as u32 / SLOTS
    }

    #[inline]
    fn slot(self) -> u32 {
        self.index() as u32 % SLOTS
    }

    /// Whether deadlines that differ in these bits only, the lowest 32 of them, are all here if one is.
    #[inline]
    pub(super) fn contains_all(self, differing: u32) -> bool {
        differing.checked_shr(self.level() * DIGIT_BITS) == Some(0)
    }

    /// The first tick of this slot, in the turn of its level that `now` is in.
    #[inline]
    pub(super) fn start(self, now: u64) -> u64 {
        let shift = self.level() * DIGIT_BITS;
        // On the top level nothing is left above the digit: the shift would be past the width of the type.
        let above = u64::MAX.checked_shl(shift + DIGIT_BITS).unwrap_or(0);
        (now & above) | (u64::from(self.slot()) << shift)
    }

    /// The last tick of this slot, in the turn of its level that `now` is in.
    #[inline]
    pub(super) fn last(self, now: u64) -> u64 {
        self.start(now) | !(u64::MAX << (self.level() * DIGIT_BITS))
    }
}

/// Which slots hold a timer: one bit a slot, one word a level; and which levels have any.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    slots: [u64; LEVELS],
    levels: u32,
}

impl Occupancy {
    #[inline]
    pub(super) fn set(&mut self, place: Place) {
        self.slots[place.level() as usize] |= 1 << place.slot();
        self.levels |= 1 << place.level();
    }

    #[inline]
    pub(super) fn unset(&mut self, place: Place) {
        let slots = &mut self.slots[place.level() as usize];
        *slots &= !(1 << place.slot());
        if *slots == 0 {
            self.levels &= !(1 << place.level());
        }
    }

    #[inline]
    pub(super) fn contains(&self, place: Place) -> bool {
        self.slots[place.level() as usize] & (1 << place.slot()) != 0
    }

    /// The first slot of the lowest level that has any: the earliest one.
    #[inline]
    pub(super) fn first(&self) -> Option<Place> {
        let level = self.levels.trailing_zeros();
        let slots = self.slots.get(level as usize)?;
        Some(Place::from_parts(level, slots.trailing_zeros()))
    }

    /// Those that begin by the tick `until`, seen from `now`.
    pub(super) fn until(&self, now: u64, until: u64) -> impl Iterator<Item = Place> {
        (0..LEVELS as u32).flat_map(move |level| {
            let mut slots = self.slots[level as usize];
            std::iter::from_fn(move || {
                let place = (slots != 0).then(|| Place::from_parts(level, slots.trailing_zeros()))?;
                slots &= slots - 1;
                (place.start(now) <= until).then_some(place)
            })
        })
    }

    /// The earliest that reaches the tick `from`, seen from `now`.
    pub(super) fn reaching(&self, now: u64, from: u64) -> Option<Place> {
        (0..LEVELS as u32).find_map(|level| {
            let slots = self.slots[level as usize];
            let places = (0..SLOTS).filter(|slot| slots & (1 << slot) != 0);
            places.map(|slot| Place::from_parts(level, slot)).find(|place| place.last(now) >= from)
        })
    }
}

#[cfg(any(test, fuzzing))]
impl Place {
    /// Every place, for the checks that visit them all.
    pub(super) fn all() -> impl Iterator<Item = Place> {
        (0..LEVELS as u32).flat_map(|level| (0..SLOTS).map(move |slot| Place::from_parts(level, slot)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eleven_levels_reach_every_tick() {
        assert_eq!(LEVELS, 11);
        assert_eq!(level_of(0, 0), 0);
        assert_eq!(level_of(0, 63), 0);
        assert_eq!(level_of(0, 64), 1);
        assert_eq!(level_of(63, 64), 1);
        assert_eq!(level_of(0, u64::MAX), 10);
        assert_eq!(level_of(u64::MAX, u64::MAX), 0);
        for level in 1..LEVELS as u32 {
            let start = 1_u64 << (level * DIGIT_BITS);
            assert_eq!(level_of(0, start), level);
            assert_eq!(level_of(0, start - 1), level - 1);
            assert_eq!(level_of(start - 1, start), level);
            assert_eq!(level_of(start, start + 1), 0);
        }
    }

    #[test]
    fn a_place_knows_its_level_slot_and_start() {
        let now = u64::MAX - 63;
        for at in [now, u64::MAX - 1, u64::MAX] {
            let place = Place::new(level_of(now, at), at);
            assert_eq!((place.level(), place.start(now), place.last(now)), (0, at, at));
        }
        let top = Place::new(10, u64::MAX);
        assert_eq!((top.slot(), top.start(7), top.last(7)), (15, 15 << 60, u64::MAX));
        let place = Place::new(2, 3 * 4096 + 17);
        assert_eq!((place.level(), place.slot(), place.start(4096 + 5)), (2, 3, 3 * 4096));
        assert_eq!(place.last(4096 + 5), 4 * 4096 - 1);
    }

    #[test]
    fn places_are_counted_without_gaps() {
        assert!(Place::all().map(Place::index).eq(0..PLACES));
    }

    #[test]
    fn the_first_slot_is_on_the_lowest_level() {
        let mut occupancy = Occupancy::default();
        assert_eq!(occupancy.first(), None);
        let (high, low, lowest) =
            (Place::from_parts(10, 3), Place::from_parts(4, 63), Place::from_parts(4, 2));
        for place in [high, low, lowest] {
            occupancy.set(place);
            assert!(occupancy.contains(place));
        }
        for place in [lowest, low, high] {
            assert_eq!(occupancy.first(), Some(place));
            occupancy.unset(place);
        }
        assert_eq!(occupancy.first(), None);
    }
}
