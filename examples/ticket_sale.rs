//! A ticket sale that moves: typed tasks, changed by business key, and what the calls answer.
//!
//! Three concerts go on sale at one instant. One sale is put off, one is called off. Nobody keeps the id of a job: the
//! concert's own key is all that is needed.
//!
//! ```sh
//! cargo run --example ticket_sale
//! ```

use std::time::{Duration, SystemTime};

use reveille::{BoxError, CancelOutcome, Engine, Job, RescheduleOutcome, ScheduleOutcome, Task};
use serde::{Deserialize, Serialize};

/// Opens a sale. The fields travel with the job; `NAME` is its queue.
#[derive(Serialize, Deserialize)]
struct OpenSale {
    artist: String,
    seats: u32,
}

impl Task for OpenSale {
    const NAME: &'static str = "open_sale";
    type Output = Result<(), BoxError>;

    async fn run(self, job: Job) -> Result<(), BoxError> {
        let (concert, late) = (job.key(), job.lateness());
        println!("  {concert}  on sale: {} seats for {}, {late:?} late", self.seats, self.artist);
        Ok(())
    }
}

#[tokio::main]
#[allow(clippy::disallowed_methods, reason = "a sale opens at an instant of the wall clock")]
async fn main() -> Result<(), BoxError> {
    let engine = Engine::builder().task::<OpenSale>().start().await?;
    // In life: ten o'clock on a Friday, weeks ahead.
    let opening = SystemTime::now() + Duration::from_millis(500);

    println!("announcing:");
    announce(&engine, "concert:1", "Nina", 500, opening).await?;
    announce(&engine, "concert:2", "Miles", 800, opening).await?;
    announce(&engine, "concert:3", "Ella", 300, opening).await?;
    announce(&engine, "concert:3", "Ella", 3_000, opening).await?;

    println!("changing plans:");
    let later = opening + Duration::from_millis(300);
    match engine.reschedule("concert:1", later).await? {
        RescheduleOutcome::Rescheduled { .. } => println!("  concert:1  put off"),
        too_late => println!("  concert:1  not put off: {too_late:?}"),
    }
    match engine.cancel("concert:2").await? {
        CancelOutcome::Cancelled => println!("  concert:2  called off: it will never open"),
        too_late => println!("  concert:2  not called off: {too_late:?}"),
    }

    println!("opening:");
    engine.idle().await;

    // Fired, cancelled and never heard of are different answers, and none of these calls brings a sale back.
    println!("too late:");
    println!("  concert:1  reschedule: {:?}", engine.reschedule("concert:1", later).await?);
    println!("  concert:3  cancel: {:?}", engine.cancel("concert:3").await?);
    println!("  concert:9  cancel: {:?}", engine.cancel("concert:9").await?);

    let stats = engine.stats();
    println!("{} opened, {} called off, at most {:?} late", stats.fired, stats.cancelled, stats.lateness.max);
    engine.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

async fn announce(
    engine: &Engine,
    concert: &str,
    artist: &str,
    seats: u32,
    opening: SystemTime,
) -> Result<(), BoxError> {
    let sale = OpenSale { artist: artist.into(), seats };
    match engine.schedule(sale).key(concert).at(opening).await? {
        ScheduleOutcome::Scheduled { .. } => println!("  {concert}  opens soon: {seats} seats"),
        // `.on_conflict(OnConflict::Replace)` would have the later announcement win.
        ScheduleOutcome::AlreadyScheduled { .. } => println!("  {concert}  opens already; ignored"),
        other => println!("  {concert}  {other:?}"),
    }
    Ok(())
}
