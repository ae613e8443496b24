//! What an engine does that has lost one of its partitions: the one place that says so.

/// How much an engine gives up with a partition that another engine owns now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum OnLoss {
    /// Everything. A namespace has one owner: a standby that got one partition waits for all others, and an owner that kept
    /// those would wait for that one; neither would ever go on.
    #[default]
    GiveUpAll,
    /// That partition. The others go on: for owners that share a namespace.
    #[cfg_attr(
        any(not(test), reveille_loom, reveille_shuttle),
        expect(dead_code, reason = "no engine shares a namespace yet")
    )]
    GiveUpOne,
}
