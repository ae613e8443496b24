//! What it measures, as JSON: each figure, its floor, and the ratio of the two.

use serde_json::Value;

use crate::measured;

/// A number above zero.
fn positive(value: &Value) -> f64 {
    value.as_f64().filter(|number| *number > 0.0).unwrap_or_else(|| panic!("{value} is not above zero"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// That operations have floors, and ratios that are theirs.
fn check_operations(report: &Value, names: &[&str], floors: usize) {
    let operations = list(&report["operations"]);
    let told: Vec<_> = operations.iter().map(|it| it["operation"].as_str().unwrap()).collect();
    assert_eq!(told, names);
    for operation in operations {
        let ns = positive(&operation["ns"]);
        assert_eq!(list(&operation["floors"]).len(), floors, "{operation}");
        for floor in list(&operation["floors"]) {
            let ratio = ns / positive(&floor["ns"]);
            assert!((positive(&floor["to_floor"]) / ratio - 1.0).abs() < 1e-6, "{operation}");
        }
    }
}

#[test]
fn the_wheel() {
    let report = measured(&["wheel", "--timers", "2000"]);
    assert_eq!(report["timers"], 2_000);
    assert!(positive(&report["bytes_per_timer"]) >= 8.0, "{report}");
    let names = [
        "insert",
        "reschedule a random one",
        "cancel one, insert one",
        "fire, all of a day",
        "fire, all on one tick",
    ];
    check_operations(&report, &names, 1);
}

#[test]
fn the_engine() {
    let report = measured(&["engine", "--jobs", "2000", "--threads", "3"]);
    assert_eq!((&report["jobs"], &report["threads"]), (&2_000.into(), &3.into()));
    let names = ["schedule", "reschedule", "cancel", "look up"];
    let names: Vec<_> =
        names.iter().flat_map(|name| [(*name).to_owned(), format!("{name}, 3 threads")]).collect();
    check_operations(&report, &names.iter().map(String::as_str).collect::<Vec<_>>(), 2);
}

#[test]
fn limit() {
    let report =
        measured(&["limit", "--jobs", "5000", "--per-second", "500", "--seconds", "1", "--turns", "2"]);
    assert_eq!(
        (&report["jobs"], &report["per_second"], &report["early"]),
        (&5_000.into(), &500.into(), &0.into())
    );
    let kept = list(&report["kept"]);
    assert_eq!(kept.len(), 2);
    // A busy machine starts fewer, and never more.
    assert!(kept.iter().all(|kept| positive(kept) < 510.0), "{report}");
    assert!(positive(&report["busiest_second"]) < 1.03, "{report}");
    let ratio = positive(&report["beside"]["p99_us"]) / positive(&report["alone"]["p99_us"]);
    assert!((positive(&report["p99_to_alone"]) / ratio - 1.0).abs() < 1e-6);
}

#[test]
fn lateness() {
    let report = measured(&["lateness", "--jobs", "12", "--every-ms", "2", "--load", "1"]);
    assert_eq!((&report["jobs"], &report["every_ms"], &report["load"]), (&12.into(), &2.into(), &1.into()));
    assert_eq!((list(&report["floors"]).len(), list(&report["engine"]).len()), (3, 6), "{report}");
    for row in list(&report["floors"]).iter().chain(list(&report["engine"])) {
        assert_eq!(row["early"], 0, "{row}");
        let late = ["p50_us", "p99_us", "p999_us", "max_us"].map(|at| positive(&row["late"][at]));
        assert!(late.is_sorted(), "{row}");
        assert!(list(&row["curve"]).iter().any(|point| point[0] == 50.0), "{row}");
    }
    for row in list(&report["engine"]) {
        let is_floor = |it: &&Value| it["name"] == row["to_floor"]["floor"];
        let floor = list(&report["floors"]).iter().find(is_floor).expect("a floor is one that was measured");
        for (ratio, at) in [("p50", "p50_us"), ("p99", "p99_us")] {
            let expected = positive(&row["late"][at]) / positive(&floor["late"][at]);
            assert!((positive(&row["to_floor"][ratio]) / expected - 1.0).abs() < 1e-6, "{row}");
        }
    }
}

#[test]
fn a_burst() {
    let report = measured(&["burst", "--jobs", "500,3000", "--rounds", "3"]);
    assert_eq!(report["rounds"], 3);
    let bursts = list(&report["bursts"]);
    assert_eq!(bursts.iter().map(|burst| burst["jobs"].as_u64().unwrap()).collect::<Vec<_>>(), [500, 3_000]);
    for burst in bursts {
        let floor = positive(&burst["tokio_sleep"]["last_ms"]);
        for way in ["tokio_sleep", "async_handler", "inline_handler"] {
            let came = &burst[way];
            let (rounds, at) = (list(&came["rounds"]), ["first_ms", "half_ms", "last_ms"]);
            assert_eq!(rounds.len(), 3, "{came}");
            for it in rounds.iter().chain([came]) {
                assert!(at.map(|at| positive(&it[at])).is_sorted(), "{came}");
            }
            for at in at {
                let mut of_rounds: Vec<_> = rounds.iter().map(|round| positive(&round[at])).collect();
                of_rounds.sort_unstable_by(f64::total_cmp);
                assert_eq!(positive(&came[at]), of_rounds[1], "{came}");
            }
            let expected = (way != "tokio_sleep").then(|| positive(&came["last_ms"]) / floor);
            assert_eq!(came["to_floor"].as_f64().is_some(), expected.is_some(), "{came}");
            let is_right = |expected: f64| (positive(&came["to_floor"]) / expected - 1.0).abs() < 1e-6;
            assert!(expected.is_none_or(is_right), "{burst}");
            assert_eq!(came["others"].as_u64().unwrap() > 0, came["others_late"].is_object(), "{came}");
        }
    }
}

#[test]
fn reading() {
    let report = measured(&["reading", "--jobs", "10000", "--seconds", "1"]);
    assert_eq!(report["jobs"], 10_000);
    let rows = list(&report["rows"]);
    assert_eq!((rows.len(), &rows[0]["calls"]), (13, &0.into()), "{report}");
    let quiet = positive(&rows[0]["late"]["p99_us"]);
    for row in &rows[1..] {
        assert!(row["calls"].as_u64() > Some(0) && row["jobs"].as_u64() > Some(0), "{row}");
        assert!(positive(&row["p50_ms"]) <= positive(&row["max_ms"]), "{row}");
        let ratio = positive(&row["late"]["p99_us"]) / quiet;
        assert!((positive(&row["late_to_quiet"]) / ratio - 1.0).abs() < 1e-6, "{row}");
    }
    let jobs = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap()["jobs"].as_u64().unwrap();
    assert_eq!((jobs("a page"), jobs("by due: the first page")), (100, 100));
    // One job in a thousand, and one in ten thousand.
    assert_eq!((jobs("a page of a rare queue"), jobs("by due: of a rare queue")), (10, 10));
    assert_eq!((jobs("a page of a tag"), jobs("by due: of a tag")), (1, 1));
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_engine() {
    let report = measured(&["idle", "--jobs", "100", "--seconds", "1"]);
    let floor = positive(&report["floor_percent"]);
    let profiles = list(&report["profiles"]);
    let names: Vec<_> = profiles.iter().map(|it| it["profile"].as_str().unwrap()).collect();
    assert_eq!(names, ["eco", "precise", "dedicated"]);
    for profile in profiles {
        let percent = positive(&profile["percent_of_a_core"]);
        assert!((positive(&profile["to_floor"]) / (percent / floor) - 1.0).abs() < 1e-6, "{profile}");
        // None of them spins while there is nothing to wait for: that would be a hundred.
        assert!(percent < 50.0, "{report}");
    }
}

#[test]
fn durable_has_the_floors_of_its_store() {
    let redis = measured(&["durable", "--callers", "64", "--seconds", "1"]);
    assert_eq!((&redis["durability"], &redis["callers"]), (&"logged".into(), &64.into()));
    let names: Vec<_> = list(&redis["floors"]).iter().map(|floor| floor["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a bare round trip (SET)", "a bare write", "a bare write and fdatasync"]);
    for floor in list(&redis["floors"]) {
        let ratio = positive(&redis["alone_us"]["p50"]) / positive(&floor["us"]["p50"]);
        assert!((positive(&floor["alone_to_floor"]) / ratio - 1.0).abs() < 1e-6, "{redis}");
        assert!(positive(&floor["us"]["p50"]) <= positive(&floor["us"]["p99"]), "{redis}");
    }
    assert!(positive(&redis["bytes_per_job"]) > 64.0, "a job has its payload: {redis}");
    assert!(positive(&redis["acknowledged"]) >= 64.0, "each caller was answered: {redis}");

    let memory = measured(&["durable", "--store", "memory:", "--callers", "64", "--seconds", "1"]);
    assert_eq!(list(&memory["floors"]).len(), 0);
    assert_eq!(memory["bytes_per_job"], Value::Null);
    assert!(positive(&memory["acknowledged"]) >= 64.0, "{memory}");
}

#[test]
fn a_level_that_a_store_cannot_give_is_not_taken_for_another() {
    let ended = crate::bench(&["durable", "--store", "memory:", "--durability", "fsync", "--seconds", "1"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("fsync"), "{}", ended.stderr);
}

#[test]
fn durable_on_a_disk_is_held_against_that_disk() {
    let folder = std::env::temp_dir().join(format!("reveille-bench-test-{}", std::process::id()));
    let store = format!("file:{}", folder.display());
    for (level, first) in [("logged", "a bare write"), ("fsync", "a bare write and fdatasync")] {
        let args = ["durable", "--store", &store, "--callers", "64", "--seconds", "1", "--durability", level];
        let report = measured(&args);
        assert_eq!((&report["durability"], &report["floors"][0]["name"]), (&level.into(), &first.into()));
        assert!(positive(&report["acknowledged"]) >= 64.0, "{report}");
        assert!(positive(&report["bytes_per_job"]) > 64.0, "a job has its payload: {report}");
    }
    let left: Vec<_> = folder.read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    std::fs::remove_dir(folder).unwrap();
}

#[test]
fn a_restore_and_snapshots_on_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("file:{}", folder.path().display());
    let report = measured(&["restore", "--store", &store, "--jobs", "2000"]);
    assert_eq!(report["jobs"], 2_000);
    for way in ["from_snapshot", "from_log"] {
        let restore = &report[way];
        let ratio = positive(&restore["seconds"]) / positive(&restore["raw_read_seconds"]);
        assert!((positive(&restore["to_raw_read"]) / ratio - 1.0).abs() < 1e-6, "{report}");
        // A job has its key and its payload.
        assert!(
            positive(&restore["bytes_per_job"]) > 64.0 && positive(&restore["megabytes"]) > 0.1,
            "{report}"
        );
    }
    let report = measured(&["snapshot", "--store", &store, "--jobs", "1000", "--firing", "100"]);
    assert!(positive(&report["snapshots"]) >= 1.0, "{report}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left behind");
    let nothing = crate::bench(&["restore", "--store", "memory:", "--jobs", "1000"]);
    assert_eq!(nothing.status.code(), Some(1), "{}", nothing.stdout);
}
