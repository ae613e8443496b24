//! Groups of jobs that only transactions change, all of a group at a time.
//!
//! # How it judges
//! - The jobs of a group are always alike: all there, of one call and one version, or none. In every life, and in whatever a life begins with.
//! - Across lives what was acknowledged last binds, as any fact does. A life may begin with something newer: done, written, and not
//!   acknowledged any more.

use reveille::sim::Image;
use reveille::{Durability, Version};

use super::Fact;

/// How many groups there are.
pub(crate) const GROUPS: u8 = 2;

/// How many jobs a group has.
pub(crate) const MEMBERS: usize = 3;

/// How the jobs of a group stand: which call scheduled them, and their version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Alike {
    /// The call.
    pub call: u64,
    /// Of each of them.
    pub version: Version,
}

/// What transactions did in all lives.
#[derive(Default)]
pub(crate) struct Wholes {
    done: Vec<Done>,
    calls: u64,
}

struct Done {
    group: u8,
    partition: u16,
    /// How the group stands after it.
    stands: Option<Alike>,
    fact: Fact,
}

/// What the payload of a job says of which call scheduled it.
pub(crate) fn payload(call: u64) -> String {
    format!("W{call}")
}

/// The key of a job of a group begins like this.
pub(crate) fn prefix(group: u8) -> String {
    format!("w{group}.")
}

/// How the jobs of a group stand in a state.
pub(crate) fn standing(images: &[Image], group: u8) -> Result<Option<Alike>, String> {
    let prefix = prefix(group);
    let jobs = images.iter().flat_map(|image| &image.jobs);
    let found: Vec<_> = jobs.filter(|job| job.spec.key.as_str().starts_with(&prefix)).collect();
    let alike = found.iter().map(|job| {
        let text = std::str::from_utf8(job.spec.payload.as_bytes()).unwrap_or_default();
        let call = text.strip_prefix('W').and_then(|call| call.parse().ok());
        Some(Alike { call: call?, version: job.version })
    });
    let alike: Vec<_> = alike.collect();
    match alike.first() {
        None => Ok(None),
        Some(Some(first)) if alike.len() == MEMBERS && alike.iter().all(|other| *other == Some(*first)) => {
            Ok(Some(*first))
        }
        Some(_) => Err(format!("the jobs of group {group} are not alike: {alike:?}")),
    }
}

impl Wholes {
    /// The number of a call that is about to be made.
    pub(crate) fn begin(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    /// A transaction has changed a group. Returns its place.
    pub(crate) fn done(
        &mut self,
        life: u64,
        (group, partition): (u8, u16),
        stands: Option<Alike>,
        level: Durability,
    ) -> usize {
        self.done.push(Done { group, partition, stands, fact: Fact::new(life, level) });
        self.done.len() - 1
    }

    pub(super) fn fact_mut(&mut self, at: usize) -> Option<&mut Fact> {
        Some(&mut self.done.get_mut(at)?.fact)
    }

    pub(super) fn facts_mut(&mut self) -> impl Iterator<Item = (u16, &mut Fact)> {
        self.done.iter_mut().map(|done| (done.partition, &mut done.fact))
    }

    /// What is wrong with how the groups stand where a life begins, of which these facts bind.
    pub(super) fn missing(&self, images: &[Image], binds: impl Fn(&Fact) -> bool) -> Option<String> {
        let mut groups: Vec<u8> = self.done.iter().map(|done| done.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.into_iter().find_map(|group| {
            let found = standing(images, group).ok()?;
            let of_group: Vec<_> = self.done.iter().filter(|done| done.group == group).collect();
            let owed = of_group.iter().rposition(|done| binds(&done.fact));
            let may_be = of_group.iter().skip(owed.unwrap_or(0)).any(|done| done.stands == found);
            let is_nothing = owed.is_none() && found.is_none();
            let owed = owed.map(|at| of_group[at].stands);
            (!may_be && !is_nothing)
                .then(|| format!("of group {group} {owed:?} was acknowledged, and it is {found:?}"))
        })
    }

    /// The first group whose jobs are not alike.
    pub(super) fn halved(images: &[Image]) -> Option<String> {
        (0..GROUPS).find_map(|group| standing(images, group).err())
    }
}
