//! Ends of processes that the machine brings about: in the middle of an operation on its disk, or all at once.

use std::sync::Arc;

use super::App;
use crate::process::Process;

impl App {
    /// Kills a process instead of an operation on the disk, after so many of them, and starts it again after this time.
    pub(crate) fn kill_at(self: &Arc<Self>, slot: usize, operations: u64, down_us: u64) {
        let Some(process) = self.process(slot) else { return };
        let (app, its) = (Arc::downgrade(self), Arc::downgrade(&process));
        let told = move || {
            let (Some(app), Some(process)) = (app.upgrade(), its.upgrade()) else { return };
            process.stop();
            let world = Arc::clone(&app.world);
            world.clone().spawn_env(async move {
                app.kill_this(slot, &process);
                world.after(down_us).await;
                app.begin(slot);
            });
        };
        process.seat.end_after(operations, Box::new(told));
    }

    fn kill_this(self: &Arc<Self>, slot: usize, process: &Arc<Process>) {
        if self.process(slot).is_some_and(|its| Arc::ptr_eq(&its, process)) {
            self.kill(slot);
        }
    }

    /// The machine loses its power, and has it again after this time.
    pub(crate) fn lose_power(self: &Arc<Self>, down_us: u64) {
        let Some(machine) = &self.machine else { return };
        (0..self.setting.slots).for_each(|slot| self.kill(slot));
        machine.journal.power_lost();
        machine.disk.lose_power();
        self.world
            .note(|| format!("power is lost; left are {}", machine.disk.listing("/var/lib/reveille/sim")));
        let (app, world) = (Arc::clone(self), Arc::clone(&self.world));
        self.world.spawn_env(async move {
            world.after(down_us).await;
            (0..app.setting.slots).for_each(|slot| app.begin(slot));
        });
    }

    /// The machine loses its power instead of an operation on the disk, after so many of them.
    pub(crate) fn lose_power_at(self: &Arc<Self>, operations: u64, down_us: u64) {
        let Some(machine) = &self.machine else { return };
        let app = Arc::downgrade(self);
        let told = move || {
            let Some(app) = app.upgrade() else { return };
            for slot in 0..app.setting.slots {
                if let Some(process) = app.process(slot) {
                    process.stop();
                }
            }
            let world = Arc::clone(&app.world);
            world.spawn_env(async move { app.lose_power(down_us) });
        };
        machine.disk.fail_after(operations, Box::new(told));
    }
}
