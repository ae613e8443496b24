//! The ops that read, as calls of an engine.

use reveille::read::{Load, LoadBuckets};
use reveille::{Engine, JobFilter, ListCursor, ListError};

use super::call::{Reply, outcome_only};
use super::output::{Answer, Answered, Listed, Page};
use crate::jsonl::reading::{Bucket, Order, Reading};

/// Does what a line asks for. O(jobs) at worst; the engine is held for some tens of microseconds at a time.
pub(super) fn answer(engine: &Engine, line: u64, reading: Reading) -> Reply {
    let op = reading.name();
    match reading {
        Reading::List { filter, order, from, limit } => match page(engine, &filter, order, from, limit) {
            Ok((jobs, next)) => {
                let next = next.map(|next| next.to_string());
                Reply::Done(Answered::Page(Page { line, jobs, next }))
            }
            Err(error) => Reply::mistake(line, error),
        },
        Reading::Count(filter) => {
            let count = engine.count(&filter);
            let (count, exact) = (Some(count.jobs), Some(count.is_exact));
            Reply::done(line, op, Answer { count, exact, ..outcome_only("counted") })
        }
        Reading::Load { filter, bucket, buckets } => {
            Reply::done(line, op, load(engine, &filter, bucket, buckets))
        }
    }
}

/// As many jobs as are wanted, if there are as many: where few match, it takes several looks to find them.
fn page(
    engine: &Engine,
    filter: &JobFilter,
    order: Order,
    from: ListCursor,
    limit: usize,
) -> Result<(Vec<Listed>, Option<ListCursor>), ListError> {
    let (mut jobs, mut next) = (Vec::new(), Some(from));
    while let Some(from) = next.filter(|_| jobs.len() < limit) {
        let jobs_max = limit - jobs.len();
        let page = match order {
            Order::Any => engine.list(filter, from, jobs_max)?,
            Order::Due => engine.list_by_due(filter, from, jobs_max)?,
        };
        jobs.extend(page.jobs.into_iter().map(Listed::from));
        jobs.extend(page.fired.into_iter().map(Listed::from));
        next = page.next;
    }
    Ok((jobs, next))
}

fn load(engine: &Engine, filter: &JobFilter, bucket: Bucket, buckets: LoadBuckets) -> Answer {
    let load: Load = engine.load(filter, buckets);
    Answer { bucket: Some(bucket.name()), load: Some(load), ..outcome_only("counted") }
}
