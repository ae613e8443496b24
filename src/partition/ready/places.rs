//! Jobs in an order in which they arrive: an array in pieces, whose first and any other job can be taken out.
//!
//! # Rules
//! - A job knows the number of its place. To take it out voids that place, in O(1), and touches no other job.
//! - Memory comes back a piece at a time, and growing moves nothing.
//! - Memory is bounded by the jobs that are there, whatever has come and gone: void places at the front go at once, and so does
//!   a piece that has only void ones. When more than half of all places are void, what is left moves up, a few places with
//!   each job that comes or goes.
//! - The work of a call is bounded by a piece, and by one look at each piece that it finds empty.
//!
//! # Invariants (see `validate`)
//! - The first place has a job, unless there is none.
//! - A job is in one place, whose number its state names.

use std::collections::VecDeque;

use crate::partition::job::State;
use crate::partition::table::JobTable;

/// The number of a job's place. Counted on for ever, and wraps around.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::partition) struct Place(pub(in crate::partition) u32);

/// Places of a piece.
const PIECE: usize = 1024;

/// Places of a piece that is kept, however empty its list is: most queues have a job or two ready.
const KEPT: usize = 64;

/// Places that are looked at with each job that comes or goes, while jobs move up.
const STEP: usize = 4;

/// A place: which job is in it, and the tick in which that came due, by the clock that it follows.
///
/// Packed, so that the tick takes no more than its own bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(Rust, packed(4))]
pub(in crate::partition) struct Ready {
    pub(in crate::partition) slot: u32,
    pub(in crate::partition) tick: u64,
}

impl Ready {
    /// No job. The table never hands out the last slot number.
    const VOID: Ready = Ready { slot: u32::MAX, tick: 0 };

    fn is_void(self) -> bool {
        self.slot == Ready::VOID.slot
    }
}

#[derive(Default, Debug)]
struct Piece {
    /// No memory once all places are void, unless it is the last piece.
    places: Vec<Ready>,
    live: usize,
}

#[derive(Default, Debug)]
pub(super) struct Places {
    pieces: VecDeque<Piece>,
    /// The number of the first piece's first place.
    base: u32,
    /// From there to the first job, and to the end.
    front: usize,
    end: usize,
    live: usize,
    sweep: Option<Sweep>,
}

/// Jobs move up: those in the places from `from` on to the places from `to` on. All places between are void.
#[derive(Clone, Copy, Debug)]
struct Sweep {
    to: Place,
    from: Place,
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.live
    }

    #[inline]
    pub(super) fn first(&self) -> Option<Ready> {
        if self.live == 0 {
            return None;
        }
        self.pieces.front()?.places.get(self.front).copied()
    }

    /// The slot that lies `places` behind the first job.
    #[inline]
    pub(super) fn ahead(&self, places: usize) -> Option<u32> {
        let at = self.front + places;
        let place = self.pieces.get(at / PIECE)?.places.get(at % PIECE)?;
        (!place.is_void()).then_some(place.slot)
    }

    fn offset(&self, Place(number): Place) -> usize {
        number.wrapping_sub(self.base) as usize
    }

    fn place(&self, offset: usize) -> Place {
        Place(self.base.wrapping_add(offset as u32))
    }

    /// Whether the job in `slot` is in a place.
    #[inline]
    pub(super) fn has(&self, slot: u32, place: Place) -> bool {
        let at = self.offset(place);
        let piece = self.pieces.get(at / PIECE);
        piece.and_then(|piece| piece.places.get(at % PIECE)).is_some_and(|ready| ready.slot == slot)
    }

    /// Appends a job. Returns its place, which the job has to be told.
    #[inline]
    pub(super) fn push(&mut self, ready: Ready) -> Place {
        let (place, piece) = (self.place(self.end), self.end / PIECE);
        if piece == self.pieces.len() {
            self.add_piece();
        }
        self.end += 1;
        self.live += 1;
        if let Some(last) = self.pieces.back_mut() {
            last.places.push(ready);
            last.live += 1;
        }
        place
    }

    #[cold]
    fn add_piece(&mut self) {
        if let Some(last) = self.pieces.back_mut().filter(|last| last.live == 0) {
            last.places = Vec::new();
        }
        let capacity = if self.pieces.is_empty() { 0 } else { PIECE };
        self.pieces.push_back(Piece { places: Vec::with_capacity(capacity), live: 0 });
    }

    /// Takes the job out of a place that has one.
    pub(super) fn void(&mut self, place: Place) {
        let at = self.offset(place);
        let (number, is_last) = (at / PIECE, at / PIECE + 1 == self.pieces.len());
        let Some(piece) = self.pieces.get_mut(number) else { return };
        piece.void(at % PIECE, is_last);
        self.live -= 1;
        if at == self.front {
            self.settle();
        }
    }

    /// Goes on to the first job.
    fn settle(&mut self) {
        if self.live == 0 {
            return self.clear();
        }
        while let Some(piece) = self.pieces.front() {
            if piece.live > 0 {
                let void = piece.places[self.front..].iter().position(|ready| !ready.is_void());
                self.front += void.unwrap_or(0);
                break;
            }
            self.pieces.pop_front();
            self.base = self.base.wrapping_add(PIECE as u32);
            (self.front, self.end) = (0, self.end - PIECE);
        }
        self.shrink();
        // What has moved up has gone, and nothing before the first job will be needed.
        let front = self.place(self.front);
        self.sweep.take_if(|sweep| sweep.to.0.wrapping_sub(front.0).cast_signed() < 0);
    }

    /// There is no job left.
    fn clear(&mut self) {
        self.base = self.base.wrapping_add(self.end as u32);
        (self.front, self.end, self.sweep) = (0, 0, None);
        self.pieces.truncate(1);
        match self.pieces.front_mut() {
            Some(piece) if piece.places.capacity() <= KEPT => piece.places.clear(),
            _ => self.pieces.clear(),
        }
        self.shrink();
    }

    /// Gives memory of the directory back once most of it is idle.
    fn shrink(&mut self) {
        if self.pieces.capacity() > KEPT && self.pieces.len() < self.pieces.capacity() / 4 {
            self.pieces.shrink_to(self.pieces.len() * 2);
        }
    }

    /// Has jobs move up by a few places if too many are void.
    #[inline]
    pub(super) fn tidy(&mut self, jobs: &mut JobTable) {
        if self.sweep.is_some() || self.end - self.front > 2 * (self.live + PIECE) {
            self.move_up(jobs);
        }
    }

    #[cold]
    fn move_up(&mut self, jobs: &mut JobTable) {
        let front = self.place(self.front);
        let Sweep { mut to, mut from } = self.sweep.unwrap_or(Sweep { to: front, from: front });
        for _ in 0..STEP {
            let (at, aim) = (self.offset(from), self.offset(to));
            if at >= self.end {
                self.sweep = None;
                return self.truncate(aim);
            }
            let is_last = at / PIECE + 1 == self.pieces.len();
            let Some(piece) = self.pieces.get_mut(at / PIECE) else { break };
            if piece.live == 0 {
                from = self.place(self.end.min((at / PIECE + 1) * PIECE));
                continue;
            }
            from = Place(from.0.wrapping_add(1));
            let ready = piece.places[at % PIECE];
            if ready.is_void() {
                continue;
            }
            if at != aim {
                piece.void(at % PIECE, is_last);
                self.set(to, ready);
                if let Some(mut job) = jobs.at_mut(ready.slot) {
                    job.set_state(State::Ready(to));
                }
            }
            to = Place(to.0.wrapping_add(1));
        }
        self.sweep = Some(Sweep { to, from });
    }

    /// Puts a job into a place that is void.
    fn set(&mut self, place: Place, ready: Ready) {
        let at = self.offset(place);
        let Some(piece) = self.pieces.get_mut(at / PIECE) else { return };
        if piece.places.len() <= at % PIECE {
            piece.places.resize(PIECE, Ready::VOID);
        }
        piece.places[at % PIECE] = ready;
        piece.live += 1;
    }

    /// Ends the list at `end`. No job lies behind.
    fn truncate(&mut self, end: usize) {
        self.end = end;
        self.pieces.truncate(end.div_ceil(PIECE));
        if let Some(last) = self.pieces.back_mut() {
            last.places.truncate(end - (end - 1) / PIECE * PIECE);
        }
        self.shrink();
    }

    #[cfg(test)]
    pub(super) fn count_from(&mut self, number: u32) {
        debug_assert_eq!(self.live, 0);
        self.base = number;
    }

    /// Bytes held for places.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        let places: usize = self.pieces.iter().map(|piece| piece.places.capacity()).sum();
        places * size_of::<Ready>() + self.pieces.capacity() * size_of::<Piece>()
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, jobs: &JobTable) {
        let mut live = 0;
        for (number, piece) in self.pieces.iter().enumerate() {
            let is_last = number + 1 == self.pieces.len();
            let mut live_here = 0;
            for (offset, ready) in piece.places.iter().enumerate().filter(|(_, ready)| !ready.is_void()) {
                let place = self.place(number * PIECE + offset);
                let job = jobs.at(ready.slot).expect("a ready list names live jobs");
                assert_eq!(job.state(), State::Ready(place), "{job:?}");
                assert!(number * PIECE + offset >= self.front);
                live_here += 1;
            }
            assert_eq!(live_here, piece.live);
            assert!(is_last || piece.live > 0 || piece.places.capacity() == 0, "an empty piece is held");
            live += live_here;
        }
        assert_eq!(live, self.live);
        assert!(live == 0 || self.first().is_some_and(|first| !first.is_void()));
        assert!(self.end - self.front <= 3 * (live + 2 * PIECE) || self.sweep.is_some());
    }
}

impl Piece {
    fn void(&mut self, at: usize, is_last: bool) {
        self.places[at] = Ready::VOID;
        self.live -= 1;
        if self.live == 0 && !is_last {
            self.places = Vec::new();
        }
    }
}
