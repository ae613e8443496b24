//! How a job recurs: its bytes and its name. What it means is in [`recurrence`](crate::job::recurrence).

use super::JobOption;
use crate::job::recurrence::{self, Recurrence};

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
