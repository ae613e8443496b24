//! Draws what was measured: `scripts/plot` measures and runs this.
//!
//! ```text
//! plot PEERS.json LATENESS.json FOLDER NOTE
//! ```
//!
//! The first file is what `cargo bench --bench peers -- --json` prints, the second what `reveille bench lateness --json` prints.
//! Into the folder go `wheel.svg`, `engine.svg` and `lateness.svg`. The note says on which machine that was, and stands
//! in each.

mod charts;
mod figures;
mod svg;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde::de::DeserializeOwned;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let drawn = match &arguments[..] {
        [peers, lateness, folder, note] => draw(peers, lateness, Path::new(folder), note),
        _ => Err("usage: plot PEERS.json LATENESS.json FOLDER NOTE".into()),
    };
    match drawn {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plot: {error}");
            ExitCode::from(2)
        }
    }
}

fn draw(peers: &str, lateness: &str, folder: &Path, note: &str) -> Result<(), String> {
    let peers: figures::Peers = read(peers)?;
    let lateness: figures::Lateness = read(lateness)?;
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let charts = [
        ("wheel.svg", charts::wheel(&peers, note)),
        ("engine.svg", charts::engine(&peers, note)),
        ("lateness.svg", charts::lateness(&lateness, note)),
    ];
    for (name, chart) in charts {
        let path = folder.join(name);
        let svg = chart.svg().ok_or_else(|| format!("nothing was measured for {name}"))?;
        fs::write(&path, svg).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &str) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
}
