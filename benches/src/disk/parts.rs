//! The parts of the workload.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use reveille::Durability::{Fsync, Logged};
use reveille::store::codec::{BatchHeader, encode_batch};

use super::args::Args;
use super::drive::{self, Driven, Found, Lane};
use super::floor::{Bare, Small, disk_bytes, small_writes};
use super::report::{BARE, Report};
use super::ways::Way;
use super::work::{PARTITIONS, Stock, Work};
use super::{Error, Folder};

/// Calls one after the other.
const ALONE_MAX: usize = 2_000;
/// For so long at most.
const ALONE_TIME: Duration = Duration::from_secs(2);

/// Jobs that stay while others come and go.
const STAY: u64 = 10_000;

/// As an engine does by default.
const SNAPSHOT_EVERY: u64 = 100_000;

/// Pairs between two looks at the batches.
const PAIRS_AT_ONCE: u64 = 512;

pub(crate) async fn measure(args: &Args, ways: &[&Way], report: &mut Report) -> Result<(), Error> {
    let mut work: Vec<_> = (0..PARTITIONS).map(Work::new).collect();
    let mut stock = Vec::new();
    // The log of more would not fit into memory; the jobs themselves do.
    let logged = args.jobs.min(1_000_000) / u64::from(PARTITIONS);
    for work in &mut work {
        stock.push(work.fill(logged)?);
        work.fill_silently(args.jobs / u64::from(PARTITIONS) - logged);
    }
    for round in 0..args.rounds {
        eprintln!("round {}", round + 1);
        if args.has("log") {
            bare_log(args, &stock, report)?;
        }
        if args.has("floor") {
            floor(args, report)?;
        }
        for way in ways {
            if args.has("log") || args.has("alone") {
                log_and_alone(args, way, &mut stock, report).await?;
            }
            if args.has("jobs") {
                jobs(args, way, &mut stock, &work, report).await?;
            }
        }
    }
    drop((stock, work));
    if args.has("churn") {
        for way in ways {
            churn(args, way, report).await?;
        }
    }
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn bare_log(args: &Args, stock: &[Stock], report: &mut Report) -> Result<(), Error> {
    let bytes: u64 = stock.iter().map(|stock| stock.bytes).sum();
    let each = [("log, logged: MB/s", 0), ("log, fsync: MB/s", 32), ("log, fsync after each batch: MB/s", 1)];
    for (figure, synced_every) in each {
        let folder = Folder::new(&args.folder)?;
        let took = Bare::create(folder.path(), "bare")?.write_all(bytes, synced_every)?;
        report.add(figure, BARE, megabytes(bytes) / took.as_secs_f64());
    }
    Ok(())
}

fn floor(args: &Args, report: &mut Report) -> Result<(), Error> {
    for (kind, figures) in [
        (Small::Synced, ["floor, write and fdatasync: µs, p50", "floor, write and fdatasync: µs, p99"]),
        (
            Small::SyncedInRoom,
            ["floor, the same in room made before: µs, p50", "floor, the same in room made before: µs, p99"],
        ),
        (
            Small::BesideSyncs,
            ["floor, write beside fdatasyncs: µs, p50", "floor, write beside fdatasyncs: µs, p99"],
        ),
    ] {
        let folder = Folder::new(&args.folder)?;
        percentiles(&mut small_writes(folder.path(), kind)?, figures, BARE, report);
    }
    Ok(())
}

fn percentiles(times: &mut [Duration], figures: [&'static str; 2], name: &'static str, report: &mut Report) {
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_nanos() as f64 / 1e3;
    report.add(figures[0], name, at(0.5));
    report.add(figures[1], name, at(0.99));
}

async fn log_and_alone(
    args: &Args,
    way: &Way,
    stock: &mut [Stock],
    report: &mut Report,
) -> Result<(), Error> {
    let folder = Folder::new(&args.folder)?;
    let mut driven = Driven::open(way, folder.path()).await?;
    let bytes: u64 = stock.iter().map(|stock| stock.bytes).sum();
    let batches: usize = stock.iter().map(|stock| stock.batches.len()).sum();
    if args.has("log") {
        let mut warm: Vec<_> = stock.iter().map(Stock::beginning).collect();
        driven.append(&mut warm, Fsync).await?;
        for (level, rate, count) in [
            (Logged, "log, logged: MB/s", "log, logged: batches/s"),
            (Fsync, "log, fsync: MB/s", "log, fsync: batches/s"),
        ] {
            let took = driven.append(stock, level).await?.as_secs_f64();
            report.add(rate, way.name, megabytes(bytes) / took);
            report.add(count, way.name, batches as f64 / took);
        }
    }
    if args.has("alone") {
        let mut bare = Bare::create(folder.path(), "bare")?;
        alone(way, &mut driven, &mut bare, stock, report).await?;
    }
    Ok(())
}

/// One schedule after the other, in turns with bare writes.
async fn alone(
    way: &Way,
    driven: &mut Driven,
    bare: &mut Bare,
    stock: &[Stock],
    report: &mut Report,
) -> Result<(), Error> {
    for (level, figures) in [
        (
            Logged,
            ["alone, logged: µs, p50", "alone, logged: µs, p99", "alone, logged: to a bare write in turns"],
        ),
        (
            Fsync,
            [
                "alone, fsync: µs, p50",
                "alone, fsync: µs, p99",
                "alone, fsync: to a bare write and fdatasync in turns",
            ],
        ),
    ] {
        let (mut ours, mut bares) = (Vec::new(), Vec::new());
        let mut record = stock[0].one();
        let mut frame = Vec::new();
        let (warm, since) = (ALONE_MAX / 100, Instant::now());
        for n in 0..warm + ALONE_MAX {
            if n > warm && since.elapsed() > ALONE_TIME {
                break;
            }
            let lane = &mut driven.lanes[0];
            lane.take(&mut record);
            let header =
                BatchHeader { partition: lane.grant.partition, epoch: 1, first_record: record.first_record };
            encode_batch(&header, &record.records, &mut frame)?;
            let bare_took = bare.write(&frame, level == Fsync)?;
            let began = Instant::now();
            driven.store.append(&record).await?;
            if level == Fsync {
                driven.store.sync(&lane.grant, level).await?;
            }
            let took = began.elapsed();
            if n >= warm {
                ours.push(took);
                bares.push(bare_took);
            }
        }
        for (name, times) in [(BARE, &mut bares), (way.name, &mut ours)] {
            percentiles(times, [figures[0], figures[1]], name, report);
        }
        let middle = |times: &[Duration]| times[times.len() / 2].as_nanos() as f64;
        report.add(figures[2], way.name, middle(&ours) / middle(&bares));
    }
    Ok(())
}

async fn jobs(
    args: &Args,
    way: &Way,
    stock: &mut [Stock],
    work: &[Work],
    report: &mut Report,
) -> Result<(), Error> {
    let folder = Folder::new(&args.folder)?;
    let records = stock.iter().map(|stock| stock.records).sum();
    let mut driven = Driven::open(way, folder.path()).await?;
    driven.append(stock, Logged).await?;
    report.add("jobs, in the log: MB on disk", way.name, megabytes(disk_bytes(folder.path())));
    driven.close().await?;

    let driven =
        reload(way, &folder, Found { jobs: 0, records }, "jobs, reload from the log: s", report).await?;
    let (took, publishing) = driven.snapshot(work).await?;
    report.add("jobs, snapshot: s", way.name, took.as_secs_f64());
    report.add("jobs, of that publishing, log removed: s", way.name, publishing.as_secs_f64());
    report.add("jobs, in a snapshot: MB on disk", way.name, megabytes(disk_bytes(folder.path())));
    let killed = folder.copy(&args.folder)?;
    driven.close().await?;

    let found = Found { jobs: args.jobs / u64::from(PARTITIONS) * u64::from(PARTITIONS), records: 0 };
    let after_kill = reload(way, &killed, found, "jobs, reload as kill -9 left it: s", report).await?;
    after_kill.close().await?;
    drop(killed);
    let driven = reload(way, &folder, found, "jobs, reload from a snapshot: s", report).await?;
    let (took, publishing) = driven.snapshot(work).await?;
    report.add("jobs, second snapshot: s", way.name, took.as_secs_f64());
    report.add("jobs, of that publishing, first removed: s", way.name, publishing.as_secs_f64());
    report.add("jobs, after the second snapshot: MB on disk", way.name, megabytes(disk_bytes(folder.path())));
    Ok(())
}

/// Opens and loads, and sees that everything is there.
async fn reload(
    way: &Way,
    folder: &Folder,
    expected: Found,
    figure: &'static str,
    report: &mut Report,
) -> Result<Driven, Error> {
    let began = Instant::now();
    let driven = Driven::open(way, folder.path()).await?;
    let found = driven.load().await?;
    report.add(figure, way.name, began.elapsed().as_secs_f64());
    if found == expected {
        return Ok(driven);
    }
    Err(format!("{}: {found:?} was loaded, and {expected:?} written", way.name).into())
}

async fn churn(args: &Args, way: &Way, report: &mut Report) -> Result<(), Error> {
    let folder = Folder::new(&args.folder)?;
    let driven = Driven::open(way, folder.path()).await?;
    let (most, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let watch = {
        let (most, is_over, path) = (Arc::clone(&most), Arc::clone(&is_over), folder.path().to_owned());
        std::thread::spawn(move || {
            while !is_over.load(Relaxed) {
                most.fetch_max(disk_bytes(&path), Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let began = Instant::now();
    let pairs = args.pairs / u64::from(PARTITIONS);
    let tasks: Vec<_> = driven
        .lanes
        .iter()
        .map(|lane| tokio::spawn(churn_one(Arc::clone(&driven.store), lane.clone(), pairs)))
        .collect();
    for task in tasks {
        task.await??;
    }
    let took = began.elapsed();
    is_over.store(true, Relaxed);
    watch.join().map_err(|_| "the watch over the folder panicked")?;
    report.add(
        "churn: pairs/s, with what makes them",
        way.name,
        (pairs * u64::from(PARTITIONS)) as f64 / took.as_secs_f64(),
    );
    report.add("churn: most MB on disk", way.name, megabytes(most.load(Relaxed)));
    report.add("churn: MB on disk at the end", way.name, megabytes(disk_bytes(folder.path())));
    driven.close().await?;
    let stay = STAY / u64::from(PARTITIONS) * u64::from(PARTITIONS);
    let driven = Driven::open(way, folder.path()).await?;
    let found = driven.load().await?;
    if found.jobs != stay {
        return Err(format!("{}: {} jobs were left, and {stay} stay", way.name, found.jobs).into());
    }
    Ok(())
}

/// Schedules and cancels in one partition.
async fn churn_one(store: Arc<dyn reveille::store::Store>, mut lane: Lane, pairs: u64) -> Result<(), Error> {
    let mut work = Work::new(lane.grant.partition.0);
    for _ in 0..STAY / u64::from(PARTITIONS) {
        work.schedule();
    }
    let (mut made, mut covered) = (0, 0);
    while made < pairs {
        let mut batches = Vec::new();
        while made < pairs && batches.len() < 8 {
            for _ in 0..PAIRS_AT_ONCE.min(pairs - made) {
                work.schedule_and_cancel();
                made += 1;
            }
            while let Some(batch) = work.cut(&lane.grant, lane.log_end, made == pairs) {
                lane.log_end = batch.end();
                batches.push(Arc::new(batch));
            }
        }
        drive::append(Arc::clone(&store), lane.grant.clone(), batches, Logged).await?;
        if lane.log_end - covered >= SNAPSHOT_EVERY || made == pairs {
            lane.snapshot(&*store, &work).await?;
            covered = lane.log_end;
        }
    }
    Ok(())
}
