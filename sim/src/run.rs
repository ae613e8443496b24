//! One run, from a setting and a plan to its result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use reveille::Durability;
use reveille::partition::Config;

use crate::app::App;
use crate::disk::{Disk, Journal, Machine};
use crate::ledger::Ledger;
use crate::network::Network;
use crate::plan::{Fault, Item, Setting, StoreKind, What};
use crate::server::{Fsync, Server, Twin};
use crate::shadow::Shadow;
use crate::trace::Trace;
use crate::world::{Violation, World};

const SECOND: u64 = 1_000_000;

/// Once faults have stopped, everything is in order within this time.
const SETTLES_US: u64 = 90 * SECOND;

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// Differs for two runs that were not the same.
    pub digest: u64,
    /// What happened, if it was kept.
    pub lines: Vec<String>,
    /// Jobs that were asked for.
    pub jobs: usize,
    /// Starts of handlers.
    pub starts: usize,
}

/// Runs a plan.
pub fn run(setting: &Setting, plan: &[Item], keeps_trace: bool) -> Outcome {
    run_beside(setting, plan, keeps_trace, None)
}

/// Runs a plan. If the server has a twin, the engines get the twin's answers, and the run is broken if they differ from the
/// server's.
pub fn run_beside(
    setting: &Setting,
    plan: &[Item],
    keeps_trace: bool,
    twin: Option<Box<dyn Twin>>,
) -> Outcome {
    let world = World::new(setting.seed, Trace::new(keeps_trace));
    world.note(|| format!("{setting:?}"));
    let config = Config {
        tick_us: setting.tick_us,
        horizon_us: u64::MAX,
        payload_bytes_max: usize::MAX,
        fired_max: setting.fired_max.div_ceil(usize::from(setting.partitions)),
        fired_for_us: 3_600 * SECOND,
        dead_max: usize::MAX,
        dead_for_us: u64::MAX,
        engine: 0,
        is_logged: false,
    };
    let shadow = Shadow::new(&world, config, setting.partitions);
    let server = Server::new(&world, setting.policy, &shadow);
    if let Some(twin) = twin {
        server.join(twin);
    }
    let network = Network::new(&world, &server, setting.seed, setting.delay_us);
    let ledger = Ledger::new(&world, setting);
    let policy = setting.policy;
    let (losses, lost) = (Arc::clone(&ledger), Arc::clone(&ledger));
    // A crash spares what is on the disk, a failover what the replica has; FLUSHALL spares nothing.
    shadow.tell(Box::new(move |partition, event, why| {
        let spares = |level: Durability| match (why, level) {
            (Why::Crash, Durability::Fsync) => true,
            (Why::Crash, Durability::Replicated) => match policy.fsync {
                Fsync::Always => true,
                Fsync::EverySecond => policy.has_waitaof,
                Fsync::Never => false,
            },
            (Why::FailOver, Durability::Replicated) => true,
            _ => false,
        };
        losses.store_told(partition, event, &spares);
    }));
    shadow.tell_of_any_loss(Box::new(move || lost.store_lost()));
    let machine = (setting.store == StoreKind::Disk).then(|| machine(setting, &world, &shadow));
    let app = App::new(setting.clone(), &world, &network, machine, &shadow, &ledger);
    let is_over = Arc::new(AtomicBool::new(false));
    world.spawn_env(follow(Arc::clone(&app), plan.to_vec(), Arc::clone(&is_over)));
    world.run(|| is_over.load(Relaxed), || app.at_rest());
    server.part();
    let (jobs, starts) = ledger.counts();
    let outcome = Outcome {
        violation: world.violation(),
        digest: world.trace.digest(),
        lines: world.trace.lines(),
        jobs,
        starts,
    };
    for slot in 0..setting.slots {
        app.kill(slot);
    }
    world.end();
    outcome
}

/// A machine with a store on its disk.
fn machine(setting: &Setting, world: &Arc<World>, shadow: &Arc<Shadow>) -> Machine {
    let disk = Disk::new(Some(world), setting.seed);
    let journal = Journal::new(world, shadow, setting.partitions);
    let told = Arc::clone(&journal);
    disk.tell_of_syncs(move |name| {
        // A snapshot that is not synced is none.
        if name.starts_with("log-") {
            told.sync_failed();
        }
    });
    Machine { disk, journal }
}

/// Why the server has lost something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// It ended, and its disk had less.
    Crash,
    /// Its replica had less.
    FailOver,
    /// An operator flushed it.
    Flush,
    /// A partition is begun with nothing.
    GivenUp,
}

/// Follows the plan, then waits for everything to end.
async fn follow(app: Arc<App>, plan: Vec<Item>, is_over: Arc<AtomicBool>) {
    let world = Arc::clone(&app.world);
    let begun_us = world.now_us();
    for slot in 0..app.setting.slots {
        app.begin(slot);
    }
    for item in plan {
        world.until(begun_us + item.at_us).await;
        match item.what {
            What::Call(slot, call) => app.call(slot, call),
            What::Fault(fault) => bring_about(&app, fault),
        }
    }
    world.until(begun_us + app.setting.active_us).await;
    app.heal();
    let healed_us = world.now_us();
    // Requests on their way have arrived by then, and jobs that were due soon have fired.
    world.after(12 * SECOND).await;
    while let Some(missing) = app.unsettled() {
        if world.now_us() > healed_us + SETTLES_US {
            world.broken("8 late, never dropped", format!("long after all is well: {missing}"));
            return;
        }
        world.after(SECOND / 2).await;
    }
    app.settle();
    is_over.store(true, Relaxed);
}

/// What to do about a fault when its time is over.
type Later = Box<dyn FnOnce(&Arc<App>) + Send>;

fn bring_about(app: &Arc<App>, fault: Fault) {
    let world = Arc::clone(&app.world);
    world.note(|| format!("fault: {fault:?}"));
    app.trouble(&fault);
    let later = |us: u64, act: Later| {
        let (world, app) = (Arc::clone(&world), Arc::clone(app));
        app.world.clone().spawn_env(async move {
            world.after(us).await;
            act(&app);
        });
    };
    let server = &app.network.server;
    match fault {
        Fault::Kill(slot, down_us) => {
            app.kill(slot);
            later(down_us, Box::new(move |app| app.begin(slot)));
        }
        Fault::Shutdown(slot, grace_us, down_us) => app.shut_down(slot, grace_us, down_us),
        Fault::Freeze(slot, us) => {
            let Some(process) = app.process(slot) else { return };
            process.freeze();
            later(us, Box::new(move |_| process.thaw()));
        }
        Fault::Block(slot, us) => {
            let Some(process) = app.process(slot) else { return };
            process.block();
            later(us, Box::new(move |_| process.unblock()));
        }
        Fault::Wall(slot, us) => app.set_wall(slot, us),
        Fault::ServerBack(us) => server.set_back(us),
        Fault::Cut(slot, arrives_us) => app.network.cut(slot, arrives_us),
        Fault::Deaf(slot, us) => app.network.deafen(slot, us),
        Fault::Slow(us) => app.network.slow_to(us),
        Fault::Pause(us) => server.pause(us),
        Fault::Crash(down_us, is_slow) => {
            app.network.cut(None, None);
            server.crash(is_slow);
            later(down_us, Box::new(move |app| app.network.server.come_up(down_us / 3)));
        }
        Fault::FailOver(down_us) => {
            app.network.cut(None, None);
            server.fail_over();
            later(down_us, Box::new(|app| app.network.server.come_up(0)));
        }
        Fault::Mode(mode, us) => server.misbehave(mode, us),
        Fault::Flush => server.flush(),
        Fault::ForgetScripts => server.forget_scripts(),
        Fault::Lose(partition, loss) => server.lose_some(partition, loss),
        Fault::KillAt(slot, operations, down_us) => app.kill_at(slot, operations, down_us),
        Fault::Power(down_us) => app.lose_power(down_us),
        Fault::PowerAt(operations, down_us) => app.lose_power_at(operations, down_us),
        Fault::Disk(trouble, us) => {
            if let Some(machine) = &app.machine {
                machine.disk.trouble(trouble, us);
            }
        }
        Fault::ServerAhead(ahead_us, for_us) => {
            server.set_ahead(ahead_us);
            later(for_us, Box::new(move |app| app.network.server.set_back(ahead_us)));
        }
    }
}
