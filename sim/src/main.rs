fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let first: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(1);
    let (mut jobs, mut starts, mut bad) = (0, 0, 0);
    for seed in first..first + count {
        let (setting, plan) = reveille_sim::draw(seed);
        let out = reveille_sim::run(&setting, &plan, count == 1);
        if count == 1 { for l in &out.lines { println!("{l}"); } println!("digest {:x}", out.digest); }
        jobs += out.jobs; starts += out.starts;
        if let Some(v) = out.violation { bad += 1; let d: String = v.detail.chars().take(300).collect(); println!("seed {seed}: {} : {}", v.promise, d); }
    }
    println!("{count} seeds, {jobs} jobs, {starts} starts, {bad} bad");
}
