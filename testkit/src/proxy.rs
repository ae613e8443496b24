//! A line that misbehaves as it is told to: a TCP proxy on threads of its own.
#![allow(clippy::disallowed_methods, reason = "a delay is one of real time")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What the line does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It passes everything on.
    None,
    /// Everything takes so much longer, each way.
    Delay(Duration),
    /// A connection ends in the middle of the next reply.
    CutReplies,
    /// A connection ends in the middle of the next request.
    CutRequests,
    /// Connections end, and none is made.
    Refuse,
    /// Nothing gets through either way, and nobody is told. What was on its way arrives when the fault is over.
    BlackHole,
}

const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The line. It ends with this value, and with it all connections through it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    fault: Mutex<Fault>,
    is_over: AtomicBool,
    connections: AtomicUsize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

impl Proxy {
    /// Begins to pass connections on to this port.
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            fault: Mutex::new(Fault::None),
            is_over: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, to, &accepting));
        Proxy { port, shared }
    }

    /// The address, as a store takes it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Has it do this from here on, also to connections that are there.
    pub fn set(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, SeqCst);
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }
}

fn accept(listener: &TcpListener, to: u16, shared: &Arc<Shared>) {
    while !shared.is_over() {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(LOOK_EVERY);
            continue;
        };
        if shared.fault() == Fault::Refuse {
            continue;
        }
        shared.connections.fetch_add(1, SeqCst);
        let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
        for stream in [&client, &server] {
            // What it inherits from the listener differs between systems.
            stream.set_nonblocking(false).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(LOOK_EVERY)).unwrap();
        }
        let ends = [
            (client.try_clone().unwrap(), server.try_clone().unwrap(), Way::Request),
            (server, client, Way::Reply),
        ];
        for (from, to, way) in ends {
            let shared = Arc::clone(shared);
            thread::spawn(move || pass_on(from, to, way, &shared));
        }
    }
}

/// Reads one way. Writes on another thread, so that a delay makes everything late and not slow.
fn pass_on(mut from: TcpStream, to: TcpStream, way: Way, shared: &Arc<Shared>) {
    let (late, delayed) = channel();
    let (writes_to, writing) = (to.try_clone().unwrap(), Arc::clone(shared));
    let writer = thread::spawn(move || write(writes_to, &delayed, &writing));
    let mut buffer = [0; 64 * 1024];
    while !shared.is_over() {
        let fault = shared.fault();
        if fault == Fault::Refuse {
            break;
        }
        if fault == Fault::BlackHole {
            thread::sleep(LOOK_EVERY);
            continue;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        // It may have come while this waited for something to read.
        let fault = shared.fault();
        let is_cut =
            matches!((fault, way), (Fault::CutReplies, Way::Reply) | (Fault::CutRequests, Way::Request));
        if is_cut {
            // Behind what waits to be written: before it, a server would read a mixture of both.
            let _ = late.send((Instant::now(), buffer[..count / 2].to_vec()));
            break;
        }
        let delay = if let Fault::Delay(delay) = fault { delay } else { Duration::ZERO };
        if late.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
            break;
        }
    }
    drop(late);
    let _ = writer.join();
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn write(mut to: TcpStream, delayed: &Receiver<(Instant, Vec<u8>)>, shared: &Shared) {
    while let Ok((at, bytes)) = delayed.recv() {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        while shared.fault() == Fault::BlackHole && !shared.is_over() {
            thread::sleep(LOOK_EVERY);
        }
        if shared.fault() == Fault::Refuse || to.write_all(&bytes).is_err() {
            return;
        }
    }
}
