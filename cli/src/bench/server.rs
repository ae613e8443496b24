//! The Redis to measure, the benchmark's own or an existing one, and a bare connection to it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use reveille::store::{RedisConfig, RedisStore};

use super::Error;

/// A Redis, and a namespace in it for this run alone.
#[derive(Debug)]
pub(super) struct Redis {
    url: String,
    namespace: String,
    /// Stopped and removed when dropped.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    child: Child,
    folder: PathBuf,
}

impl Redis {
    /// The one at `url`.
    pub(super) async fn at(url: &str) -> Result<Self, Error> {
        let redis = Redis { url: url.to_owned(), namespace: new_namespace(), own: None };
        redis.connect().await?;
        Ok(redis)
    }

    /// One of our own.
    pub(super) async fn start(appendfsync: &str) -> Result<Self, Error> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = std::env::temp_dir().join(new_namespace());
        std::fs::create_dir_all(&folder)?;
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", appendfsync])
            .arg("--dir")
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("redis-server cannot be started ({error}); install it, or name one with --store")
            })?;
        let own = Own { child, folder };
        let redis =
            Redis { url: format!("redis://127.0.0.1:{port}/0"), namespace: new_namespace(), own: Some(own) };
        for _ in 0..100 {
            if redis.connect().await.is_ok() {
                return Ok(redis);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("redis-server does not answer".into())
    }

    /// The store on it.
    pub(super) fn store(&self) -> Result<RedisStore, Error> {
        Ok(RedisStore::new(RedisConfig::new(&self.url)?.namespace(&self.namespace)?))
    }

    /// Where a Redis of our own keeps its data.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.folder.as_path())
    }

    /// A bare connection, as the store has them.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, Error> {
        use redis::IntoConnectionInfo;
        let info = self.url.as_str().into_connection_info()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = redis::Client::open(info.set_tcp_settings(tcp))?;
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// Every key of the namespace.
    pub(super) async fn keys(&self, connection: &mut MultiplexedConnection) -> Result<Vec<String>, Error> {
        let pattern = format!("{{rv:{}:*", self.namespace);
        let (mut cursor, mut keys) = (0u64, Vec::new());
        loop {
            let (next, mut page): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(1000)
                .query_async(connection)
                .await?;
            keys.append(&mut page);
            cursor = next;
            if cursor == 0 {
                return Ok(keys);
            }
        }
    }

    /// What the namespace takes in Redis' memory, in bytes.
    pub(super) async fn bytes(&self, connection: &mut MultiplexedConnection) -> Result<u64, Error> {
        let mut bytes = 0;
        for key in self.keys(connection).await? {
            let mut command = redis::cmd("MEMORY");
            command.arg("USAGE").arg(&key).arg("SAMPLES").arg(0);
            bytes += command.query_async::<Option<u64>>(connection).await?.unwrap_or_default();
        }
        Ok(bytes)
    }

    /// Removes the namespace. Not needed for a Redis of our own, but harmless.
    pub(super) async fn clear(&self) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        for key in self.keys(&mut connection).await? {
            let () = redis::cmd("UNLINK").arg(&key).query_async(&mut connection).await?;
        }
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn new_namespace() -> String {
    format!("reveille-bench-{}-{:x}", std::process::id(), fastrand::u64(..))
}
