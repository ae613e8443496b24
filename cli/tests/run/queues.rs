//! Queues that share handlers, and queues with a rate, by the options of `run`.

use serde_json::Value;

use testkit::program::{Ended, of_kind, run_through, text};
use testkit::time::real_now;

/// Jobs of these queues, all due at one instant: soon enough to wait for, and late enough for all lines to be read before.
fn together(queues: &[(&str, usize)]) -> String {
    let at = real_now().as_micros() / 1_000_000 + 3;
    let line = |queue: &str, number: usize| {
        format!("{{\"op\":\"schedule\",\"key\":\"{queue} {number}\",\"queue\":\"{queue}\",\"at\":{at}}}\n")
    };
    queues.iter().flat_map(|&(queue, jobs)| (0..jobs).map(move |number| line(queue, number))).collect()
}

fn fired(ended: &Ended) -> Vec<&Value> {
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    of_kind(&ended.events, "fired").collect()
}

/// The queues of the jobs that fired, in their order.
fn queues(ended: &Ended) -> Vec<&str> {
    fired(ended).iter().map(|event| text(event, "queue")).collect()
}

#[test]
fn a_queue_of_a_higher_precedence_goes_first() {
    let input = together(&[("bulk", 5), ("mails", 5), ("a=b", 5)]);
    let ended = run_through(&["--pool", "1", "--precedence", "a=b=5", "--precedence", "bulk=-1"], &input);
    assert_eq!(queues(&ended), [["a=b"; 5], ["mails"; 5], ["bulk"; 5]].concat());
}

#[test]
fn queues_have_shares_by_their_weights() {
    let input = together(&[("mails", 12), ("bulk", 12)]);
    let ended = run_through(&["--pool", "1", "--weight", "mails=3"], &input);
    let queues = queues(&ended);
    assert_eq!(queues.len(), 24);
    for four in queues[..16].chunks(4) {
        assert_eq!(four.iter().filter(|queue| **queue == "mails").count(), 3, "{queues:?}");
    }
}

#[test]
fn a_pool_is_for_the_commands_of_all_queues() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place").display().to_string();
    // Whoever finds it taken fails.
    let command = format!("mkdir {place} && sleep 0.05 && rmdir {place}");
    let input = together(&[("mails", 4), ("bulk", 4)]);
    let ended = run_through(&["--pool", "1", "--exec", &command], &input);
    assert_eq!(fired(&ended).len(), 8);
    assert_eq!(of_kind(&ended.events, "failed").count(), 0, "{}", ended.stderr);
}

#[test]
fn a_rate_spreads_the_starts_of_its_queue_and_of_no_other() {
    let input = together(&[("mails", 6), ("bulk", 6)]);
    let ended = run_through(&["--rate", "mails=10/1s,2"], &input);
    let at_us = |queue: &str| -> Vec<i64> {
        let fired = fired(&ended);
        let of_queue = fired.iter().filter(|event| text(event, "queue") == queue);
        of_queue
            .map(|event| text(event, "fired_at").parse::<reveille::Timestamp>().unwrap().as_micros())
            .collect()
    };
    let (mails, bulk) = (at_us("mails"), at_us("bulk"));
    assert_eq!((mails.len(), bulk.len()), (6, 6));
    // Two at once, and then one in a tenth of a second.
    for (number, at_us) in mails.iter().enumerate() {
        let least_us = (number as i64 - 1).max(0) * 100_000;
        assert!(at_us - mails[0] >= least_us - 1_000, "{mails:?}");
    }
    assert!(bulk.iter().all(|at_us| *at_us < mails[5]), "{bulk:?} beside {mails:?}");
}
