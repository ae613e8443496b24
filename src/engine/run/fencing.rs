//! What keeps an attempt that has been overtaken from changing anything elsewhere.
//!
//! # Why a later start has a higher token
//! - A key is of one partition for ever, and a partition counts its starts under its lock. Within the life of an engine that
//!   count only grows.
//! - The store gives a partition to another engine only under a higher epoch, and the token has the first one that the engine got.
//!   If the same engine has to claim its lease again, the count goes on, and the token keeps that epoch.

use std::fmt;

use super::handler::Job;

/// Tells an attempt from all that have begun before it: see [`Job::fencing_token`]. Tokens are ordered: by epoch, then by turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub struct FencingToken {
    /// The epoch under which the engine got the job's partition. 0 without a store.
    pub epoch: u64,
    /// Which start of the partition it was since then, counted from 1.
    pub turn: u64,
}

impl FencingToken {
    /// Both in one number of the same order.
    pub fn as_u128(self) -> u128 {
        u128::from(self.epoch) << 64 | u128::from(self.turn)
    }
}

/// Both as hexadecimal digits of fixed width: texts of the same order.
impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.epoch, self.turn)
    }
}

impl Job {
    /// What a system that the handler changes can keep stale attempts out by: it remembers the highest token that it has seen for
    /// the key, and refuses a change with a lower one.
    ///
    /// Of two attempts at jobs of one key, the one that began later has the higher token: retries, jobs that were scheduled
    /// under the key anew, occurrences, and attempts by an engine that has taken over, while the one before it was only
    /// thought dead. That holds for all keys of a partition, and across restarts as long as the store keeps its epochs: one that was
    /// emptied gives higher ones too if it is a Redis, as they follow its clock. Without a store it holds within the life of
    /// an engine. The token of an attempt does not change.
    ///
    /// ```
    /// # use reveille::Job;
    /// # struct Db; impl Db { async fn execute(&self, _: &str, _: (String, u128)) -> Result<u64, String> { Ok(1) } }
    /// async fn close_auction(db: &Db, job: &Job) -> Result<(), String> {
    ///     let token = job.fencing_token();
    ///     // As two columns: `WHERE (epoch, turn) <= ($2, $3)`.
    ///     let update = "UPDATE auctions SET closed = true, token = $2 WHERE key = $1 AND token <= $2";
    ///     match db.execute(update, (job.key().to_string(), token.as_u128())).await? {
    ///         0 => Err(format!("a later attempt than {token} was here")),
    ///         _ => Ok(()),
    ///     }
    /// }
    /// # let _ = close_auction;
    /// ```
    pub fn fencing_token(&self) -> FencingToken {
        let at = usize::from(self.handle().partition().0);
        let ownership = self.shared().ownership.as_ref();
        FencingToken { epoch: ownership.map_or(0, |ownership| ownership.first_epoch(at)), turn: self.turn() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_text_have_the_order_of_the_token() {
        let token = |epoch, turn| FencingToken { epoch, turn };
        let row = [token(0, 1), token(0, u64::MAX), token(1, 0), token(16, 9), token(u64::MAX, 16)];
        assert!(row.is_sorted());
        assert!(row.map(FencingToken::as_u128).is_sorted());
        assert!(row.map(|token| token.to_string()).is_sorted());
        assert_eq!(token(16, 9).to_string(), "0000000000000010-0000000000000009");
    }
}
