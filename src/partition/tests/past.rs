//! What goes past a large tick, and what waits for it.

use super::{ALL, MAIL, Rig, draft, draft_with, in_queue};
use crate::partition::{Due, Gathering, Handle, JobOptions, Priority, QueueId};

const OTHER: QueueId = QueueId(1);

/// Jobs of a tick that takes some slices.
const MANY: usize = 1_000;
const SLICE: usize = 100;

impl Rig {
    fn other(&mut self, key: &str, ms: i64, priority: u8) -> Handle {
        let options = JobOptions::default().with_priority(Priority(priority));
        let due = self.wall_ms(ms);
        self.take(in_queue(OTHER, draft_with(key, due, options)))
    }

    /// A tick of many jobs, at 10 ms.
    fn many(&mut self) {
        for n in 0..MANY {
            self.at(&format!("many-{n}"), 10);
        }
    }

    fn release_past(&mut self) -> usize {
        let behind = self.partition.behind(self.now, false);
        self.partition.release_past(self.now, behind, false)
    }

    fn start_others(&mut self) -> Vec<String> {
        let started = std::iter::from_fn(|| self.partition.start(OTHER, self.now));
        started.map(|started| started.key.to_string()).collect()
    }
}

#[test]
fn promise_7_another_queues_jobs_go_past_a_large_tick_in_their_order() {
    let mut rig = Rig::new();
    // Ticks at the end of a slot of the wheel, and beyond it.
    for ms in [11, 12, 13, 40, 80, 90] {
        rig.other(&format!("{ms}-b"), ms, 9);
        rig.other(&format!("{ms}-a"), ms, 3);
        rig.at(&format!("{ms}-mail"), ms);
    }
    rig.other("ahead", 95, 0);
    let delayed = draft("delayed", Due::In(std::time::Duration::from_millis(13)));
    rig.take(in_queue(OTHER, delayed));
    rig.many();
    rig.pass_ms(91);
    let mut passed = Vec::new();
    let mut slices = 0;
    while !matches!(rig.partition.gather(rig.now, SLICE), Gathering::Whole { jobs, .. } if jobs == MANY) {
        slices += 1;
        rig.release_past();
        rig.partition.validate();
        passed.extend(rig.start_others());
    }
    assert!(slices > 5, "it took {slices} slices");
    let expected = [
        "11-a", "11-b", "12-a", "12-b", "13-a", "13-b", "delayed", "40-a", "40-b", "80-a", "80-b", "90-a",
        "90-b",
    ];
    assert_eq!(rig.partition.ready(MAIL), 0, "of its own queue nothing goes past");
    assert_eq!(passed, expected);
    rig.settle();
    let mails = rig.run_ready();
    assert_eq!(mails.len(), MANY + 6);
    assert!(
        mails[MANY..].iter().eq(["11-mail", "12-mail", "13-mail", "40-mail", "80-mail", "90-mail"].iter())
    );
}

#[test]
fn promise_7_a_queue_with_a_job_in_the_large_tick_waits_for_it() {
    for shared_class in [false, true] {
        let mut rig = Rig::new();
        rig.many();
        rig.other("after", 12, 0);
        if shared_class {
            // Another queue, which the wheels do not tell from this one.
            let draft = draft("in-it", rig.wall_ms(10));
            rig.take(in_queue(QueueId(OTHER.0 + 64), draft));
        } else {
            rig.other("in-it", 10, 255);
        }
        rig.pass_ms(20);
        for _ in 0..MANY / SLICE {
            rig.partition.gather(rig.now, SLICE);
            assert_eq!(rig.release_past(), 0);
        }
        while !matches!(rig.partition.gather(rig.now, SLICE), Gathering::Whole { .. }) {}
        // Neither while it is released, except for the last of it.
        rig.partition.release_tick(Priority::LAST, MANY / 2);
        assert_eq!(rig.release_past(), 0);
        rig.partition.release_tick(Priority::LAST, MANY);
        rig.settle();
        let expected: &[&str] = if shared_class { &["after"] } else { &["in-it", "after"] };
        assert_eq!(rig.start_others(), expected);
    }
}

#[test]
fn promise_7_what_comes_after_its_time_does_not_go_before_what_has_gone_past() {
    let mut rig = Rig::new();
    rig.many();
    rig.other("passed", 14, 0);
    rig.pass_ms(16);
    rig.partition.gather(rig.now, SLICE);
    assert_eq!(rig.release_past(), 1);
    // As partitions are compared, it has come with the tick of the other.
    rig.other("late", 11, 0);
    assert_eq!(rig.release_past(), 1);
    let ranks = [rig.partition.backlog(OTHER), {
        assert_eq!(
            rig.partition.start(OTHER, rig.now).map(|started| started.key.to_string()),
            Some("passed".into())
        );
        rig.partition.backlog(OTHER)
    }];
    let [first, second] = ranks.map(|(_, rank)| rank.map(|rank| rank.key(0).0));
    assert!(first.is_some() && first <= second, "{first:?}, then {second:?}");
    assert_eq!(rig.start_others(), ["late"]);
}

#[test]
fn promise_3_a_cancel_of_what_has_gone_past_takes_it_back() {
    let mut rig = Rig::new();
    rig.many();
    let [a, b, c] = ["a", "b", "c"].map(|key| rig.other(key, 12, 0));
    rig.pass_ms(12);
    rig.partition.gather(rig.now, SLICE);
    assert_eq!(rig.release_past(), 3);
    assert!(rig.is_ready(a) && rig.is_ready(c));
    rig.partition.cancel(b, None).cancelled().unwrap();
    rig.partition.validate();
    assert_eq!(rig.start_others(), ["a", "c"]);
    rig.settle_by(ALL);
    assert_eq!(rig.run_ready().len(), MANY);
}

/// What is too long to be looked at is as if it were in the large tick.
#[test]
fn promise_9_a_look_past_a_large_tick_is_bounded() {
    let mut rig = Rig::new();
    rig.many();
    rig.other("soon", 11, 0);
    for n in 0..MANY {
        rig.other(&format!("crowd-{n}"), 12, 0);
    }
    rig.take(in_queue(QueueId(2), draft("free", rig.wall_ms(13))));
    rig.pass_ms(20);
    rig.partition.gather(rig.now, SLICE);
    assert_eq!(rig.release_past(), 1);
    assert_eq!(rig.partition.ready(QueueId(2)), 1);
    rig.settle_by(SLICE);
    let others = rig.start_others();
    assert_eq!((others.len(), others[0].as_str()), (MANY + 1, "soon"));
}

#[test]
fn promise_7_what_is_on_its_way_in_another_partition_is_waited_for() {
    let [mut rig, mut other] = [Rig::new(), Rig::new()];
    rig.many();
    other.many();
    rig.other("after", 12, 0);
    other.other("in-it", 10, 0);
    rig.take(in_queue(QueueId(2), draft("free", rig.wall_ms(12))));
    for rig in [&mut rig, &mut other] {
        rig.pass_ms(12);
        rig.partition.gather(rig.now, SLICE);
    }
    let mut behind = rig.partition.behind(rig.now, false);
    behind.add(other.partition.behind(other.now, false));
    assert_eq!(rig.partition.release_past(rig.now, behind, false), 1);
    assert_eq!((rig.partition.ready(QueueId(2)), rig.partition.ready(OTHER)), (1, 0));
    other.settle();
    let mut behind = rig.partition.behind(rig.now, false);
    behind.add(other.partition.behind(other.now, true));
    assert_eq!(rig.partition.release_past(rig.now, behind, false), 1);
}

/// A partition that has released its share has gathered a later tick already, which has jobs of the queue that others still
/// gather.
#[test]
fn promise_7_a_partition_that_is_ahead_lets_others_pass_and_keeps_the_large_ticks_queue() {
    let [mut rig, mut other] = [Rig::new(), Rig::new()];
    other.many();
    for ms in [11, 12] {
        rig.at(&format!("{ms}-mail"), ms);
        rig.with_priority(&format!("{ms}-urgent"), ms, 0);
        rig.other(&format!("{ms}-b"), ms, 9);
        rig.other(&format!("{ms}-a"), ms, 3);
    }
    for rig in [&mut rig, &mut other] {
        rig.pass_ms(20);
        rig.partition.gather(rig.now, SLICE);
    }
    for passed in [4, 0] {
        let mut behind = rig.partition.behind(rig.now, true);
        behind.add(other.partition.behind(other.now, false));
        assert_eq!(rig.partition.release_past(rig.now, behind, true), passed);
        rig.partition.validate();
    }
    assert_eq!(rig.start_others(), ["11-a", "11-b", "12-a", "12-b"]);
    assert_eq!(rig.partition.ready(MAIL), 0);
    assert_eq!(rig.fire(), ["11-urgent", "11-mail", "12-urgent", "12-mail"]);
}
