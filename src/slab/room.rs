//! Which pages of a table have room.

/// One bit a page, set if the page is open and can take something.
#[derive(Debug, Default)]
pub(super) struct Room {
    words: Vec<u64>,
    /// All words below this one are zero.
    hint: usize,
}

impl Room {
    /// The lowest page with room.
    #[inline]
    pub(super) fn first(&mut self) -> Option<usize> {
        match self.words.get(self.hint) {
            Some(&word) if word != 0 => Some(self.hint * 64 + word.trailing_zeros() as usize),
            _ => self.look_on(),
        }
    }

    #[cold]
    fn look_on(&mut self) -> Option<usize> {
        let rest = self.words.get(self.hint..).unwrap_or_default();
        let empty = rest.iter().position(|&word| word != 0);
        self.hint += empty.unwrap_or(rest.len());
        let word = self.words.get(self.hint)?;
        Some(self.hint * 64 + word.trailing_zeros() as usize)
    }

    #[inline]
    pub(super) fn set(&mut self, page: usize) {
        if page / 64 >= self.words.len() {
            self.words.resize(page / 64 + 1, 0);
        }
        self.words[page / 64] |= 1 << (page % 64);
        self.hint = self.hint.min(page / 64);
    }

    #[inline]
    pub(super) fn unset(&mut self, page: usize) {
        if let Some(word) = self.words.get_mut(page / 64) {
            *word &= !(1 << (page % 64));
        }
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn has(&self, page: usize) -> bool {
        self.words.get(page / 64).is_some_and(|word| word & (1 << (page % 64)) != 0)
    }

    /// Panics if the hint is above a page with room.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self) {
        assert!(self.words.iter().take(self.hint).all(|&word| word == 0), "hint above a page with room");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_page_is_found_whatever_comes_and_goes() {
        let mut room = Room::default();
        assert_eq!(room.first(), None);
        room.unset(700);
        for (page, first) in [(700, 700), (65, 65), (300, 65), (3, 3)] {
            room.set(page);
            assert!(room.has(page));
            assert_eq!(room.first(), Some(first));
            room.validate();
        }
        for (page, first) in [(65, Some(3)), (3, Some(300)), (300, Some(700)), (700, None)] {
            room.unset(page);
            assert_eq!(room.first(), first);
            room.validate();
        }
        room.set(0);
        assert_eq!(room.first(), Some(0));
    }
}
