//! An error and its causes in one line, for logs.

use std::error::Error;
use std::fmt;

/// How many causes are shown. An error that names itself as its cause must not go on for ever.
const CAUSES_MAX: usize = 16;

/// Shows an error and its causes, each behind a colon, without those that the error before already contains.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let causes = std::iter::successors(self.0.source(), |&cause| cause.source());
        for cause in causes.take(CAUSES_MAX) {
            let said = cause.to_string();
            if !last.contains(&said) {
                write!(f, ": {said}")?;
                last = said;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Trouble {
        #[error("the card was not charged")]
        Charge(#[source] Box<Trouble>),
        #[error("the bank does not answer: {0}")]
        Bank(#[source] Box<Trouble>),
        #[error("connection refused")]
        Refused,
    }

    #[test]
    fn causes_are_told_once() {
        let error = Trouble::Charge(Box::new(Trouble::Bank(Box::new(Trouble::Refused))));
        let told = Chain(&error).to_string();
        assert_eq!(told, "the card was not charged: the bank does not answer: connection refused");
        assert_eq!(Chain(&Trouble::Refused).to_string(), "connection refused");
    }

    #[derive(Debug)]
    struct Ring(usize);

    impl fmt::Display for Ring {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "again {}", self.0)
        }
    }

    impl Error for Ring {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            // Leaked: there is no owner for a chain without an end.
            Some(Box::leak(Box::new(Ring(self.0 + 1))))
        }
    }

    #[test]
    fn a_chain_without_an_end_is_cut() {
        let told = Chain(&Ring(100)).to_string();
        assert!(told.ends_with(&format!("again {}", 100 + CAUSES_MAX)), "{told}");
    }
}
