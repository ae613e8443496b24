//! How a job recurs, and how far it has come: bytes and names. What it means is in [`recurrence`](crate::job::recurrence).

use super::JobOption;
use crate::job::recurrence::{self, Progress, Recurrence};

impl JobOption for Recurrence {
    const NAME: &'static str = "recurrence";
    const MUST_BE: &'static str = "an object such as {\"every\":\"5s\"} or {\"cron\":\"0 9 * * *\",\"zone\":\"Europe/Berlin\"}, \
                                   with a rule that can be kept";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        recurrence::write(self, out);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        recurrence::read(bytes)
    }
}

impl JobOption for Progress {
    const NAME: &'static str = "occurrence";
    const MUST_BE: &'static str = "an object such as {\"scheduled_for\":\"2026-12-01T09:00:00Z\",\"number\":1,\"missed\":0}, as an export has it";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        recurrence::write_progress(self, out);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        recurrence::read_progress(bytes)
    }
}
