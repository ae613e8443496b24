//! A job that survives the process: `cargo run --example durable`, with a Redis at `redis://127.0.0.1:6379/0` or at the
//! address in REVEILLE_STORE. Kill it before the minute is over, and start it again.

use std::time::Duration;

use reveille::store::{RedisConfig, RedisStore};
use reveille::{Engine, Job, OnConflict};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::var("REVEILLE_STORE").unwrap_or_else(|_| "redis://127.0.0.1:6379/0".into());
    let store = RedisStore::new(RedisConfig::new(address)?.namespace("example")?);
    let engine = Engine::builder()
        .queue(
            "open_sale",
            |job: Job| async move { println!("{} opens, {:?} late", job.key(), job.lateness()) },
        )
        .store(store)
        .start()
        .await?;
    let sale = engine.schedule_raw("open_sale", "500 seats").key("concert:42").on_conflict(OnConflict::Keep);
    let outcome = sale.after(Duration::from_secs(60)).await?;
    println!("{outcome:?}; it is in Redis now, whatever becomes of this process");
    engine.idle().await;
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
