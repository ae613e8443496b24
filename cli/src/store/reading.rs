//! The jobs of a namespace as a restart would go on with them, read as patiently as the user wants it. Takes no lease and
//! changes nothing.

use reveille::PartitionId;
use reveille::read::{Contents, Figures, Namespace, ReadError};
use reveille::store::{PartitionRead, ReadStore, StoreFuture};

use super::Named;

impl Named {
    /// Tells `each` of one partition after another, as a restart would go on with it. Of none, if nothing is there.
    pub(crate) async fn each_left(&self, mut each: impl FnMut(&Contents)) -> Result<(), String> {
        let namespace = match Namespace::open(self.clone()).await {
            Ok(namespace) => namespace,
            Err(ReadError::Empty) => return Ok(()),
            Err(error) => return Err(self.cannot_read(error)),
        };
        for partition in namespace.partitions() {
            let contents = namespace.read(partition).await.map_err(|error| self.cannot_read(error))?;
            // Whoever ran its jobs has gone, or is not asked.
            contents.map(Contents::after_restart).iter().for_each(&mut each);
        }
        Ok(())
    }

    /// How many jobs a restart would go on with.
    pub(crate) async fn left(&self) -> Result<Figures, String> {
        let mut figures = Figures::default();
        self.each_left(|contents| figures.add(Figures::of(contents))).await?;
        Ok(figures)
    }

    fn cannot_read(&self, error: ReadError) -> String {
        match error {
            ReadError::Store(error) => self.cannot_use(&error),
            ReadError::Misfit { error: misfit, .. } => format!("{error}: {misfit}"),
            error => error.to_string(),
        }
    }
}

impl ReadStore for Named {
    fn partitions(&self) -> StoreFuture<'_, Option<u16>> {
        Box::pin(self.ask_patiently(|store| async move { store.partitions().await }))
    }

    fn read(&self, partition: PartitionId) -> StoreFuture<'_, Option<PartitionRead>> {
        Box::pin(self.ask_patiently(move |store| async move { store.read(partition).await }))
    }
}
