//! What an error says of the change that was asked for.

/// What has become of the change that a call asked for, when the call ends with an error. Of a commit that has waited, the
/// change is what its outcome tells, which may be that there was nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Nothing was changed. The same call can be made again.
    None,
    /// The change is in force in this engine, and is not as durable as was asked for: a restart may forget it. To make the
    /// same call again is to change twice.
    InForce,
    /// The change was made, and the engine has ended or lost the jobs since. Whether it is in force is for the next
    /// owner to say: look the job up there.
    Unknown,
}

impl Change {
    /// Whether the change is in force or may be.
    pub fn may_be_in_force(self) -> bool {
        self != Change::None
    }
}
