//! Embed the engine in ten lines: build it, schedule a job by its key, wait until it has fired.
//!
//! ```sh
//! cargo run --example embed
//! ```

use std::time::Duration;

use reveille::{BoxError, Engine, Job};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let engine = Engine::builder().queue("reminders", remind).start().await?;

    let delay = Duration::from_millis(300);
    engine.schedule_raw("reminders", "the tea is ready").key("tea").after(delay).await?.scheduled()?;

    engine.idle().await; // Until no job is left. A service would go about its work instead.
    Ok(())
}

async fn remind(job: Job) -> Result<(), BoxError> {
    let text = std::str::from_utf8(job.payload().as_bytes())?;
    println!("{}: {text} ({:?} late)", job.key(), job.lateness());
    Ok(())
}
