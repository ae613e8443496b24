//! Ports that nobody else takes, also while nobody listens on them.
//!
//! A port that the system gives (`bind` to 0) is anybody's again once it is let go: another test may get it before a server
//! has bound it, or while the server is down; even a client may, that connects to it in vain and is given the very port as its
//! own. So ports are taken from below those that systems give, and held by a UDP socket of the same number for as long as
//! they are somebody's. The system lets go of that socket whatever becomes of the process.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A TCP port of 127.0.0.1 that is its holder's until this is dropped. Nobody listens on it but whom the holder has.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _held: UdpSocket,
}

impl Port {
    /// Takes one.
    ///
    /// # Panics
    /// When there is none.
    pub fn reserve() -> Self {
        static TRIED: AtomicU16 = AtomicU16::new(0);
        // Programs that run at a time begin far from each other; that two never hold the same is up to the socket.
        let begin = std::process::id().wrapping_mul(997);
        for _ in 0..COUNT {
            let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
            let number = FIRST + (begin.wrapping_add(tried) % u32::from(COUNT)) as u16;
            let Ok(held) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else { continue };
            // Somebody who knows nothing of this may listen there.
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Port { number, _held: held };
            }
        }
        panic!("there is no free port from {FIRST} on");
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The address of a Redis there.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_hold_the_same_and_the_holder_can_listen() {
        let held: Vec<_> = (0..200).map(|_| Port::reserve()).collect();
        assert_eq!(held.iter().map(Port::number).collect::<BTreeSet<_>>().len(), held.len());
        for port in &held {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap();
            UdpSocket::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap_err();
        }
    }
}
