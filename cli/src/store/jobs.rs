//! The pending jobs of a partition, from what a store holds of it.

use std::collections::HashMap;

use reveille::partition::{Delivery, JobImage, Record, ScheduledRecord};
use reveille::store::Loaded;
use reveille::{JobId, PartitionId, Version};

use super::Named;

/// Reads the pending jobs of a partition, without taking its lease: those that a restart would go on with.
pub(crate) async fn jobs_of(named: &Named, partition: PartitionId) -> Result<Vec<JobImage>, String> {
    let read = named.ask(|store| async move { store.read(partition).await }).await?;
    read.map_or_else(|| Ok(Vec::new()), |read| pending(read.loaded))
}

/// What is left of the image after the records. Some of them may be in it already: the last one about a job counts, and
/// one about a job that is not there is about one that has gone.
fn pending(loaded: Loaded) -> Result<Vec<JobImage>, String> {
    let mut jobs: HashMap<JobId, JobImage> = loaded.image.jobs.into_iter().map(|job| (job.id, job)).collect();
    for record in loaded.records {
        match record {
            Record::Scheduled(job) => {
                if let Some(replaced) = job.replaces {
                    jobs.remove(&replaced);
                }
                jobs.insert(job.id, taken(job));
            }
            Record::Rescheduled { id, version, due } => {
                if let Some(job) = jobs.get_mut(&id) {
                    (job.version, job.spec.due) = (version, due);
                }
            }
            Record::Started { id, at, attempt } => {
                if let Some(job) = jobs.get_mut(&id) {
                    (job.running_since, job.attempt) = (Some(at), attempt);
                }
            }
            Record::Interrupted { id, .. } => {
                if let Some(job) = jobs.get_mut(&id) {
                    job.running_since = None;
                }
            }
            Record::Cancelled { id } | Record::Finished { id, .. } | Record::Skipped { id, .. } => {
                jobs.remove(&id);
            }
            other => {
                return Err(format!(
                    "the store holds what this program does not know, about job {}",
                    other.id()
                ));
            }
        }
    }
    // Whoever ran them has gone, or is not asked: a restart runs those again that may run twice, and no others.
    jobs.retain(|_, job| job.running_since.is_none() || job.spec.options.delivery() == Delivery::AtLeastOnce);
    Ok(jobs.into_values().collect())
}

fn taken(job: ScheduledRecord) -> JobImage {
    JobImage { id: job.id, spec: job.spec, version: Version::FIRST, attempt: 0, running_since: None }
}

#[cfg(test)]
mod tests {
    use reveille::job::{JobOptions, JobSpec, QueueName, RecordedDue};
    use reveille::partition::{Image, TimeBase};
    use reveille::{End, Key, Payload, Timestamp};

    use super::*;

    fn id(number: u64) -> JobId {
        serde_json::from_str(&number.to_string()).unwrap()
    }

    fn due(us: i64) -> RecordedDue {
        RecordedDue { base: TimeBase::Wall, wall: Timestamp::from_micros(us) }
    }

    fn scheduled(number: u64, delivery: Delivery, replaces: Option<u64>) -> ScheduledRecord {
        let (key, queue) = (Key::new(format!("k{number}")).unwrap(), QueueName::new("q").unwrap());
        let options = JobOptions::default().with_delivery(delivery);
        let spec = JobSpec { options, ..JobSpec::new(key, queue, Payload::default(), due(0)) };
        ScheduledRecord { id: id(number), spec, replaces: replaces.map(id) }
    }

    fn left(image: Vec<JobImage>, records: Vec<Record>) -> Vec<(u64, i64)> {
        let image = Image { jobs: image, ..Image::default() };
        let mut jobs: Vec<_> = pending(Loaded { image, records, ..Loaded::default() })
            .unwrap()
            .into_iter()
            .map(|job| (job.id.as_u64(), job.spec.due.wall.as_micros()))
            .collect();
        jobs.sort_unstable();
        jobs
    }

    #[test]
    fn what_a_restart_goes_on_with_is_pending() {
        use Delivery::{AtLeastOnce, AtMostOnce};
        let at = Timestamp::from_micros(9);
        let records = vec![
            Record::Scheduled(scheduled(1, AtLeastOnce, None)),
            Record::Scheduled(scheduled(2, AtLeastOnce, None)),
            Record::Scheduled(scheduled(3, AtMostOnce, None)),
            Record::Scheduled(scheduled(4, AtLeastOnce, Some(1))),
            Record::Scheduled(scheduled(5, AtLeastOnce, None)),
            Record::Rescheduled { id: id(4), version: Version(2), due: due(7) },
            Record::Started { id: id(2), at, attempt: 1 },
            Record::Started { id: id(3), at, attempt: 1 },
            Record::Cancelled { id: id(5) },
        ];
        assert_eq!(left(Vec::new(), records), [(2, 0), (4, 7)]);
    }

    #[test]
    fn an_image_that_shows_records_already_makes_no_difference() {
        let records = vec![
            Record::Rescheduled { id: id(8), version: Version(2), due: due(1) },
            Record::Cancelled { id: id(8) },
            Record::Scheduled(scheduled(1, Delivery::AtLeastOnce, None)),
            Record::Rescheduled { id: id(1), version: Version(2), due: due(7) },
            Record::Scheduled(scheduled(2, Delivery::AtLeastOnce, None)),
            Record::Finished { id: id(2), at: Timestamp::from_micros(3), end: End::Done },
        ];
        for shown in 0..=2 {
            let image =
                (1..=shown).map(|number| taken(scheduled(number, Delivery::AtLeastOnce, None))).collect();
            assert_eq!(left(image, records.clone()), [(1, 7)]);
        }
    }
}
