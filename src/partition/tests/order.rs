//! Order within a tick and across ticks, with budgets that end anywhere.

use super::{ALL, MAIL, Rig, draft, draft_with, in_queue};
use crate::partition::{Due, Gathering, JobOptions, Priority, QueueId, Rank};

#[test]
fn promise_7_jobs_of_a_tick_go_by_priority_then_due_then_sequence() {
    for budget in [1, 2, 3, 7, 1_000] {
        let mut rig = Rig::new();
        let mut expected = Vec::new();
        for n in 0..60u64 {
            let (priority, us) = ((n * 7 % 4) as u8, n * 13 % 5 * 200);
            let due = Due::At(rig.now.wall.saturating_add_micros(9_001 + us));
            let key = format!("{n:02}");
            rig.take(draft_with(&key, due, JobOptions::default().with_priority(Priority(priority))));
            expected.push((priority, us, key));
        }
        expected.sort();
        rig.pass_ms(10);
        rig.settle_by(budget);
        assert_eq!(
            rig.run_ready(),
            expected.into_iter().map(|(.., key)| key).collect::<Vec<_>>(),
            "budget {budget}"
        );
    }
}

#[test]
fn promise_7_no_job_of_a_tick_is_released_before_the_tick_is_whole() {
    let mut rig = Rig::new();
    for n in 0..10 {
        rig.with_priority(&format!("late-{n}"), 10, 200);
    }
    rig.with_priority("urgent", 10, 0);
    rig.pass_ms(10);
    for _ in 0..10 {
        rig.partition.advance(rig.now, 1);
        assert_eq!(rig.partition.ready(MAIL), 0);
    }
    while rig.partition.ready(MAIL) == 0 {
        rig.partition.advance(rig.now, 1);
    }
    assert_eq!(rig.start().unwrap().key.as_str(), "urgent");
}

/// What is said of a tick before it is whole holds when it is: those who know it release other partitions' jobs by it.
#[test]
fn promise_7_what_a_gathered_tick_turns_out_to_be_is_not_before_what_it_could_be() {
    for seed in 0..20u64 {
        let mut rig = Rig::new();
        // The ticks of the two clocks do not begin together.
        rig.step_wall(seed as i64 * 137);
        for n in 0..60u64 {
            let mixed = (n * 11 + seed * 7) % 23;
            let priority = if mixed < 3 { mixed as u8 } else { Priority::NORMAL.0 };
            let options = JobOptions::default().with_priority(Priority(priority));
            let us = 3_000 + n * 131 % 4_000;
            let due = match seed % 3 {
                0 => Due::At(rig.now.wall.saturating_add_micros(us)),
                1 => Due::In(std::time::Duration::from_micros(us)),
                _ if n % 2 == 0 => Due::At(rig.now.wall.saturating_add_micros(us)),
                _ => Due::In(std::time::Duration::from_micros(us)),
            };
            let job = rig.take(draft_with(&n.to_string(), due, options));
            if n % 5 == 0 {
                rig.partition.cancel(job, None).cancelled().unwrap();
            }
        }
        rig.pass_ms(10);
        let apart = (rig.now.mono.as_micros() / 1_000) as i64 - rig.now.wall.as_micros() / 1_000;
        let key = |rank: Rank| (rank.key(apart).0, rank.priority());
        let (mut least, mut ticks) = (None, 0);
        loop {
            match rig.partition.gather(rig.now, 1 + seed as usize % 4) {
                Gathering::Nothing => break,
                Gathering::Partly { at_least, .. } => {
                    let now = at_least.map(key).into_iter().min();
                    assert!(least <= now, "{least:?}, then {now:?}");
                    least = now;
                }
                Gathering::Whole { first, .. } => {
                    assert!(least <= Some(key(first)), "{least:?}, but {first:?}");
                    (least, ticks) = (None, ticks + 1);
                    rig.partition.release_tick(Priority::LAST, ALL);
                    rig.run_ready();
                }
            }
        }
        assert!(ticks >= 4, "{ticks}");
        rig.partition.validate();
    }
}

#[test]
fn the_two_clocks_share_one_order_when_they_keep_step() {
    let mut rig = Rig::new();
    for n in 0..50 {
        let key = format!("{n:02}");
        if n % 2 == 0 {
            rig.at(&key, 10 + n)
        } else {
            rig.after(&key, 10 + n as u64)
        };
    }
    rig.pass_ms(200);
    let fired = rig.fire();
    assert!(fired.is_sorted() && fired.len() == 50, "{fired:?}");
}

#[test]
fn siblings_that_come_while_their_tick_is_collected_fire_with_it() {
    let mut rig = Rig::new();
    for n in 0..4 {
        rig.at(&format!("{n}"), 10);
    }
    rig.pass_ms(10);
    assert!(!rig.partition.advance(rig.now, 2));
    rig.with_priority("first", 10, 0);
    rig.after("zero", 0);
    let fired = rig.fire();
    assert_eq!(fired, ["first", "0", "1", "2", "3", "zero"]);
}

#[test]
fn a_batch_cut_short_in_its_release_goes_on_after_cancels_and_later_ticks() {
    let mut rig = Rig::new();
    let jobs: Vec<_> = (0..8).map(|n| rig.at(&format!("{n}"), 10)).collect();
    rig.at("later", 11);
    rig.pass_ms(12);
    assert!(!rig.partition.advance(rig.now, 10));
    assert!(rig.partition.ready(MAIL) > 0 && rig.partition.ready(MAIL) < 8);
    rig.partition.cancel(jobs[7], None).cancelled().unwrap();
    rig.partition.cancel(jobs[0], None).cancelled().unwrap();
    assert_eq!(rig.fire(), ["1", "2", "3", "4", "5", "6", "later"]);
}

#[test]
fn a_budget_of_nothing_does_nothing_and_says_so() {
    let mut rig = Rig::new();
    assert!(rig.partition.advance(rig.now, 0));
    rig.at("a", 10);
    rig.pass_ms(9);
    assert!(rig.partition.advance(rig.now, 0));
    rig.pass_ms(1);
    assert!(!rig.partition.advance(rig.now, 0));
    assert_eq!(rig.settle_by(1), 2, "one slice collects it, one releases it and is done");
    assert_eq!(rig.run_ready(), ["a"]);
}

#[test]
fn each_queue_is_told_of_once_when_its_backlog_changes() {
    let mut rig = Rig::new();
    let other = QueueId(7);
    let due = rig.wall_ms(10);
    for n in 0..3 {
        rig.at(&format!("mail-{n}"), 10);
        rig.take(in_queue(other, draft(&format!("other-{n}"), due)));
    }
    assert_eq!(rig.partition.take_touched(), None, "pending jobs are no backlog");
    rig.pass_ms(10);
    rig.settle();
    let mut touched: Vec<_> = std::iter::from_fn(|| rig.partition.take_touched()).collect();
    touched.sort();
    assert_eq!(touched, [MAIL, other]);
    rig.partition.start(other, rig.now).unwrap();
    assert_eq!(rig.partition.take_touched(), Some(other));
    assert_eq!(rig.partition.take_touched(), None);
    assert_eq!(
        (rig.partition.ready(MAIL), rig.partition.ready(other), rig.partition.ready(QueueId(9))),
        (3, 2, 0)
    );
}
