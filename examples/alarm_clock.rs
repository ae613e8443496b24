//! An alarm clock: rings at times of day or after delays, says how late it was, and can be snoozed.
//!
//! ```sh
//! cargo run --example alarm_clock -- 07:30 10s "1m 30s"
//! ```
//!
//! A time of day is the next one in the system's time zone; such an alarm follows the wall clock when that is set. A
//! delay does not: ten seconds are ten seconds. Enter snoozes the alarm that would ring next.
//!
//! Without arguments it sets two alarms for the next second, presses the button itself, and ends when both have rung.

use std::time::{Duration, SystemTime};
use std::{env, io, thread};

use jiff::civil::Time;
use jiff::{SignedDuration, ZonedDateTime};
use reveille::{BoxError, Due, Engine, Job, LookupOutcome, RescheduleOutcome, Timestamp};
use tokio::sync::mpsc;

const SNOOZE: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut times: Vec<String> = env::args().skip(1).collect();
    let is_demo = times.is_empty();
    if is_demo {
        times = vec!["500ms".into(), "1s".into()];
    }

    let engine = Engine::builder().queue("alarms", ring).start().await?;
    for time in &times {
        // What was asked for is the key: whoever asks for the same alarm twice has one.
        engine.schedule_raw("alarms", "").key(time).due(parse(time)?).await?.scheduled()?;
        if let LookupOutcome::Scheduled(alarm) = engine.lookup(time) {
            println!("{time:>8}  set for {}", on_the_clock(alarm.due)?);
        }
    }

    let mut presses = if is_demo { press_once() } else { press_on_enter() };
    loop {
        tokio::select! {
            () = engine.idle() => break,
            Some(()) = presses.recv() => snooze(&engine, &times).await?,
        }
    }
    engine.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

async fn ring(job: Job) -> Result<(), BoxError> {
    let (alarm, now) = (job.key().as_str(), on_the_clock(job.fired_at())?);
    println!("{alarm:>8}  RING! it is {now}, {:?} late", job.lateness());
    Ok(())
}

/// Puts off the alarm that would ring next.
async fn snooze(engine: &Engine, times: &[String]) -> Result<(), BoxError> {
    let pending = times.iter().filter_map(|time| match engine.lookup(time) {
        LookupOutcome::Scheduled(alarm) => Some(alarm),
        _ => None,
    });
    let Some(next) = pending.min_by_key(|alarm| alarm.due) else { return Ok(()) };

    // It may ring between the lookup and this call. Then the call says so, and does not bring it back.
    let later = SystemTime::from(next.due) + SNOOZE;
    let alarm = next.key.as_str();
    match engine.reschedule(alarm, later).await? {
        RescheduleOutcome::Rescheduled { .. } => println!("{alarm:>8}  snoozed for {SNOOZE:?}"),
        too_late => println!("{alarm:>8}  not snoozed: {too_late:?}"),
    }
    Ok(())
}

/// `07:30`, or a delay such as `3s`.
fn parse(text: &str) -> Result<Due, BoxError> {
    if let Ok(time) = text.parse::<Time>() {
        let now = ZonedDateTime::now();
        let today = now.with().time(time).build()?;
        let next = if today > now { today } else { now.tomorrow()?.with().time(time).build()? };
        return Ok(Due::at(SystemTime::try_from(next)?));
    }
    match text.parse::<SignedDuration>().map(Duration::try_from) {
        Ok(Ok(delay)) => Ok(Due::In(delay)),
        _ => Err(format!("{text:?} is neither a time of day (07:30) nor a delay (10s, 1m 30s)").into()),
    }
}

fn on_the_clock(instant: Timestamp) -> Result<String, BoxError> {
    let local = ZonedDateTime::try_from(SystemTime::from(instant))?;
    Ok(local.strftime("%H:%M:%S%.3f").to_string())
}

/// A thread of its own, which need not end: a task that reads the terminal would keep the runtime from stopping.
fn press_on_enter() -> mpsc::Receiver<()> {
    let (press, presses) = mpsc::channel(1);
    thread::spawn(move || {
        io::stdin().lines().map_while(Result::ok).try_for_each(|_| press.blocking_send(()))
    });
    presses
}

fn press_once() -> mpsc::Receiver<()> {
    let (press, presses) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        press.send(()).await
    });
    presses
}
