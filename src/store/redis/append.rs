//! Adding to the log.

use super::Core;
use super::answer::{behind, damaged};
use super::errors::Doing;
use super::facts::Fsync;
use super::scripts::{APPEND, Call, run};
use crate::store::codec::{BatchHeader, FRAME_BYTES_IDEAL, encode_batch};
use crate::store::{Batch, StoreError};

impl Core {
    pub(super) async fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        let Batch { grant, first_record, records } = batch;
        let keys = self.keys(grant.partition);
        let log = keys.log();
        let header =
            BatchHeader { partition: grant.partition, epoch: grant.epoch, first_record: *first_record };
        let mut bytes = Vec::with_capacity(FRAME_BYTES_IDEAL);
        encode_batch(&header, records, &mut bytes).map_err(|error| {
            StoreError::fatal(format!(
                "a batch of partition {} cannot be written: {error}",
                grant.partition.0
            ))
        })?;
        let call = Call::by(&APPEND, vec![keys.meta(), log.clone()], grant)
            .number(*first_record)
            .number(batch.end())
            .bytes(&bytes);
        let sending = self.known.send(grant, *first_record);
        self.known.sends(grant, batch.end());
        let (answer, connection) = run(&self.log, &call, Doing::with("appending to", &log)).await?;
        match answer.word() {
            "OK" => {
                let is_proved = connection.facts.fsync() == Fsync::BeforeAnswer;
                self.known.acknowledge(grant, batch.end(), is_proved);
                self.known.appends(grant);
                Ok(())
            }
            // A request whose answer was lost wrote it, perhaps to a server that did not sync then.
            "DUP" if !self.known.can_have(grant, answer.number(1)) => Err(damaged(&keys, "tail")),
            "DUP" => {
                self.known.acknowledge(grant, batch.end(), false);
                Ok(())
            }
            "GAP" => {
                let tail = answer.number(1);
                let missing = format!(
                    "records {tail} to {first_record} of partition {} are missing",
                    grant.partition.0
                );
                Err(if sending.is_lost(tail) {
                    behind(format!("Redis went back in time: {missing}"))
                } else {
                    StoreError::retry(format!("a batch has overtaken one before it: {missing}"))
                })
            }
            _ => Err(answer.refusal(&keys)),
        }
    }
}
