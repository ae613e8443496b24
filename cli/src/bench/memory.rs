//! The floor of a structure in memory: reaching as many bytes in an array of its own.

use std::hint::black_box;
use std::time::Instant;

use super::beside::median_ns;

/// As large as a timer of the wheel, and half a cache line.
type Node = [u64; 4];

/// What this machine's memory costs per node, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Writing one after the other.
    pub(super) write_ns: f64,
    /// Reading one after the other.
    pub(super) read_ns: f64,
    /// Changing random ones, of which the processor can have several under way.
    pub(super) random_ns: f64,
    /// Following a chain through all of them in random order: each says where the next is.
    pub(super) chain_ns: f64,
}

impl Memory {
    /// Measures an array of about `bytes`.
    pub(super) fn measured(bytes: usize) -> Self {
        const STEPS: usize = 65_536;
        let count = (bytes / size_of::<Node>()).max(1_024);
        let mut nodes: Vec<Node> = vec![[1; 4]; count];
        let write_ns = median_ns(|| {
            let begun = Instant::now();
            for (number, node) in nodes.iter_mut().enumerate() {
                *node = [number as u64; 4];
            }
            black_box(&mut nodes);
            begun.elapsed().as_nanos() as f64 / count as f64
        });
        let read_ns = median_ns(|| {
            let begun = Instant::now();
            let sum = nodes.iter().fold(0u64, |sum, node| sum.wrapping_add(node[1]));
            black_box(sum);
            begun.elapsed().as_nanos() as f64 / count as f64
        });
        let mut random = fastrand::Rng::with_seed(1);
        let random_ns = median_ns(|| {
            let places: Vec<usize> = (0..STEPS).map(|_| random.usize(0..count)).collect();
            let begun = Instant::now();
            for &place in &places {
                nodes[place][2] = nodes[place][2].wrapping_add(1);
            }
            black_box(&mut nodes);
            begun.elapsed().as_nanos() as f64 / STEPS as f64
        });
        link(&mut nodes, &mut random);
        let mut at = 0;
        let chain_ns = median_ns(|| {
            let begun = Instant::now();
            for _ in 0..STEPS {
                at = nodes[at][0] as usize;
            }
            black_box(at);
            begun.elapsed().as_nanos() as f64 / STEPS as f64
        });
        Memory { write_ns, read_ns, random_ns, chain_ns }
    }
}

/// Makes one ring of all nodes, in random order.
fn link(nodes: &mut [Node], random: &mut fastrand::Rng) {
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    random.shuffle(&mut order);
    for pair in order.windows(2) {
        nodes[pair[0]][0] = pair[1] as u64;
    }
    if let (Some(&first), Some(&last)) = (order.first(), order.last()) {
        nodes[last][0] = first as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_passes_every_node_once() {
        let mut nodes: Vec<Node> = vec![[0; 4]; 1_000];
        link(&mut nodes, &mut fastrand::Rng::with_seed(7));
        let mut seen = vec![false; nodes.len()];
        let mut at = 0;
        for _ in 0..nodes.len() {
            assert!(!std::mem::replace(&mut seen[at], true));
            at = nodes[at][0] as usize;
        }
        assert_eq!(at, 0);
    }
}
