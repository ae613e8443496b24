//! The floors of the library: a room knows rooms of lower floors, and no others.
//!
//! The test reads the sources: every `use`, and every path that begins with `crate`, `self`, `super` or a module beside it.
//! An arrow goes from the room of the file to the room of the path. It must go down. So no two rooms form a circle, and rooms of
//! one floor do not know each other. What tests use is not looked at: they may know anything.

#[path = "architecture/arrows.rs"]
mod arrows;

use std::collections::BTreeMap;
use std::path::Path;

use arrows::{Arrow, Source, arrows, is_test};

/// The rooms, from the ground up. A room is a module with all that lies in it, but for rooms of its own.
const FLOORS: &[&[&str]] = &[
    &["chain", "json", "metrics", "prefetch", "sync", "time"],
    &["seam", "slab"],
    &["rt", "wheel"],
    &["job"],
    &["partition"],
    &["clock", "store"],
    &["engine::error", "engine::meters", "read"],
    &["engine::log", "engine::ownership", "engine::queues"],
    &["engine::state"],
    &["engine::durability", "engine::run", "engine::tell"],
    &["engine::calls"],
    &["engine::start"],
    &["engine"],
    &["sim", "testing"],
    &[ROOT],
];

/// Folders that are no rooms: each belongs to the room that it lies in.
const WITHIN: &[&str] = &[
    "engine::calls::transaction",
    "job::options",
    "job::recurrence",
    "job::recurrence::cron",
    "partition::model",
    "partition::ready",
    "partition::replay",
    "partition::table",
    "store::codec",
    "store::disk",
    "store::redis",
    "store::redis::address",
    "wheel::slots",
];

/// The crate's root: what it exports is for users.
const ROOT: &str = "";

#[test]
fn arrows_go_down() {
    let sources = Source::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 100, "only {} files were found", sources.len());
    assert_eq!(complaints(&sources, FLOORS, WITHIN), Vec::<String>::new());
}

/// What is wrong with the sources, in words.
fn complaints(sources: &[Source], floors: &[&[&str]], within: &[&str]) -> Vec<String> {
    let floor_of: BTreeMap<&str, usize> = floors
        .iter()
        .enumerate()
        .flat_map(|(floor, rooms)| rooms.iter().map(move |&room| (room, floor)))
        .collect();
    let mut complaints = unknown_folders(sources, &floor_of, within);
    for arrow in arrows(sources) {
        let (from, to) = (room_of(&arrow.from, &floor_of), room_of(&arrow.to, &floor_of));
        if from != to && floor_of[from] <= floor_of[to] {
            let Arrow { file, line, .. } = &arrow;
            complaints.push(format!(
                "{file}:{line}: `{from}` (floor {}) knows `{to}` (floor {})",
                floor_of[from], floor_of[to]
            ));
        }
    }
    complaints.sort();
    complaints.dedup();
    complaints
}

/// The room that a module or an item in it belongs to.
fn room_of<'a>(path: &[String], floor_of: &BTreeMap<&'a str, usize>) -> &'a str {
    let prefixes = (0..=path.len()).rev().map(|length| path[..length].join("::"));
    let mut rooms = prefixes.filter_map(|prefix| floor_of.get_key_value(prefix.as_str()));
    rooms.next().map_or(ROOT, |(room, _)| room)
}

/// Files and folders that nobody has given a floor.
fn unknown_folders(sources: &[Source], floor_of: &BTreeMap<&str, usize>, within: &[&str]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| !is_test(&source.module)) {
        // A file at the top is a room as a folder is; deeper down, only folders are.
        let folder = if source.is_folder || source.module.len() <= 1 {
            source.module.join("::")
        } else {
            source.module[..source.module.len() - 1].join("::")
        };
        if !floor_of.contains_key(folder.as_str()) && !within.contains(&folder.as_str()) {
            complaints.push(format!("{}: `{folder}` is on no floor", source.file));
        }
    }
    complaints
}

/// The checker itself, with things to find.
mod checks {
    use super::{ROOT, Source, complaints};

    const FLOORS: &[&[&str]] = &[&["ground", "beside"], &["house"], &["house::attic"], &[ROOT]];

    fn check(files: &[(&str, &str)]) -> Vec<String> {
        let rest = ["lib.rs", "ground.rs", "beside.rs", "house/mod.rs", "house/attic/mod.rs"];
        let rest =
            rest.iter().filter(|name| files.iter().all(|(file, _)| file != *name)).map(|&name| (name, ""));
        let files: Vec<Source> =
            files.iter().copied().chain(rest).map(|(file, text)| Source::new(file, text)).collect();
        complaints(&files, FLOORS, &["house::cellar"])
    }

    #[test]
    fn an_arrow_down_is_none_to_complain_of() {
        let attic = "use crate::house::Door;\nuse crate::{ground, house::{cellar, Roof}};\nuse std::fmt;";
        assert_eq!(check(&[("house/attic/mod.rs", attic)]), [""; 0]);
        // The parts of a room may know each other.
        assert_eq!(
            check(&[("house/cellar/mod.rs", "use super::Door;"), ("house/door.rs", "use super::cellar;")]),
            [""; 0]
        );
    }

    #[test]
    fn a_planted_arrow_up_is_found() {
        let up = ["ground.rs:2: `ground` (floor 0) knows `house` (floor 1)"];
        for text in [
            "\nuse crate::house::Door;",
            "\nuse crate::{house::{Door, roof::{self, Tile}}};",
            "\npub(crate) use super::house::*;",
            "\nfn f() -> crate::house::Door { todo!() }",
            "\nmod inner { use super::super::house::Door; }",
            "\n#[cfg(feature = \"x\")] const F: fn() = super::house::f;",
        ] {
            assert_eq!(check(&[("ground.rs", text)]), up, "{text}");
        }
        let deep = check(&[("house/door.rs", "fn f() { super::attic::climb() }")]);
        assert_eq!(deep, ["house/door.rs:1: `house` (floor 1) knows `house::attic` (floor 2)"]);
        let child = check(&[("house/mod.rs", "mod attic;\npub use attic::Window;")]);
        assert_eq!(child, ["house/mod.rs:2: `house` (floor 1) knows `house::attic` (floor 2)"]);
    }

    #[test]
    fn rooms_of_one_floor_do_not_know_each_other_and_nobody_takes_what_is_exported() {
        let beside = check(&[("ground.rs", "use crate::beside;")]);
        assert_eq!(beside, ["ground.rs:1: `ground` (floor 0) knows `beside` (floor 0)"]);
        let exported = check(&[("house/mod.rs", "use crate::Door;")]);
        assert_eq!(exported, ["house/mod.rs:1: `house` (floor 1) knows `` (floor 3)"]);
    }

    #[test]
    fn comments_strings_and_tests_count_for_nothing() {
        let text = r##"
            //! See [`crate::house`].
            /* use crate::house; /* nested */ use crate::house; */
            const S: &str = "use crate::house;"; const R: &str = r#" " use crate::house; "#;
            fn captures<'a>(a: &'a u8) -> impl Sized + use<'a> { if *a > 0 { (); } }
            fn lifetimes<'a>(quote: char) -> bool { quote == '"' || quote == '\'' }
            #[cfg(test)]
            mod tests { use crate::house::Door; fn f() { if true { super::super::house::f() } } }
        "##;
        assert_eq!(check(&[("ground.rs", text), ("ground/tests.rs", "use crate::house;")]), [""; 0]);
        let after = format!("{text}\nuse crate::house;");
        assert_eq!(check(&[("ground.rs", &after)]).len(), 1, "what follows is read again");
    }

    #[test]
    fn a_folder_that_is_on_no_floor_is_found() {
        let shed = check(&[("shed/mod.rs", ""), ("house/hall/mod.rs", "")]);
        assert_eq!(
            shed,
            ["house/hall/mod.rs: `house::hall` is on no floor", "shed/mod.rs: `shed` is on no floor"]
        );
        assert_eq!(check(&[("shed.rs", "")]), ["shed.rs: `shed` is on no floor"]);
    }
}
