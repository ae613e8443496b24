//! A Redis that answers some commands as it is told to, and passes the others on to a real one: for versions and
//! commands that are not installed here.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Answers a command as bytes on the wire; `None` passes it on.
pub type Answers = dyn Fn(&[String]) -> Option<String> + Send + Sync;

/// Begins to answer. The threads end with the connections.
pub fn start(to: u16, answers: impl Fn(&[String]) -> Option<String> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let answers: Arc<Answers> = Arc::new(answers);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, answers) = (client.unwrap(), Arc::clone(&answers));
            thread::spawn(move || serve(client, to, &*answers));
        }
    });
    url
}

/// An answer to INFO: a master of this version with an append-only file, and `more`.
pub fn info(version: &str, more: &str) -> String {
    bulk(&format!(
        "redis_version:{version}\r\nredis_mode:standalone\r\nrole:master\r\nloading:0\r\naof_enabled:1\r\n\
         maxmemory:0\r\nmaxmemory_policy:noeviction\r\nevicted_keys:0\r\nconnected_slaves:0\r\n{more}"
    ))
}

pub fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn serve(client: TcpStream, to: u16, answers: &Answers) -> Option<()> {
    let server = TcpStream::connect(("127.0.0.1", to)).ok()?;
    for stream in [&client, &server] {
        stream.set_nodelay(true).ok()?;
    }
    let (mut to_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let (mut from_client, mut from_server) = (BufReader::new(client), BufReader::new(server));
    loop {
        let request = message(&mut from_client)?;
        match answers(&words(&request)) {
            Some(answer) => to_client.write_all(answer.as_bytes()).ok()?,
            None => {
                to_server.write_all(&request).ok()?;
                to_client.write_all(&message(&mut from_server)?).ok()?;
            }
        }
    }
}

/// A whole message of RESP 2, as it is on the wire.
fn message(from: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_until(b'\n', &mut bytes).ok().filter(|&count| count > 0)?;
    let count = std::str::from_utf8(&bytes[1..]).ok()?.trim().parse::<i64>().unwrap_or(-1);
    match bytes[0] {
        b'$' if count >= 0 => {
            let begin = bytes.len();
            bytes.resize(begin + count as usize + 2, 0);
            from.read_exact(&mut bytes[begin..]).ok()?;
        }
        b'*' => {
            for _ in 0..count {
                bytes.extend(message(from)?);
            }
        }
        _ => {}
    }
    Some(bytes)
}

fn words(request: &[u8]) -> Vec<String> {
    let value = redis::parse_redis_value(request).unwrap();
    let words: Vec<Vec<u8>> = redis::from_redis_value(value).unwrap();
    words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}
