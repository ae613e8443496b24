//! What goes over a connection: commands out, answers in.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, Value};

/// One connection's two directions. Clones share it.
#[derive(Clone)]
pub(super) enum Wire {
    Redis(MultiplexedConnection),
    #[cfg(feature = "_sim")]
    Simulated(std::sync::Arc<dyn crate::seam::Line>, Duration),
}

impl Wire {
    pub(super) async fn connect(
        client: &Client,
        options: &AsyncConnectionConfig,
        response_timeout: Duration,
    ) -> Result<Self, RedisError> {
        #[cfg(feature = "_sim")]
        if let Some(simulation) = crate::seam::current() {
            return Ok(Wire::Simulated(simulation.connect().await?, response_timeout));
        }
        let _ = response_timeout;
        client.get_multiplexed_async_connection_with_config(options).await.map(Wire::Redis)
    }

    /// Sends a command. An error from the server is still in the answer.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, RedisError> {
        match self {
            Wire::Redis(mux) => mux.clone().send_packed_command(command).await,
            #[cfg(feature = "_sim")]
            Wire::Simulated(line, patience) => {
                let mut answers = simulated(line, command.get_packed_command(), 1, *patience).await?;
                Ok(answers.pop().unwrap_or(Value::Nil))
            }
        }
    }

    /// Sends commands in a pipeline. Errors from the server are still in the answers.
    pub(super) async fn send_all(&self, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        match self {
            Wire::Redis(mux) => mux.clone().send_packed_commands(commands, 0, commands.len()).await,
            #[cfg(feature = "_sim")]
            Wire::Simulated(line, patience) => {
                simulated(line, commands.get_packed_pipeline(), commands.len(), *patience).await
            }
        }
    }
}

#[cfg(feature = "_sim")]
async fn simulated(
    line: &std::sync::Arc<dyn crate::seam::Line>,
    packed: Vec<u8>,
    count: usize,
    patience: Duration,
) -> Result<Vec<Value>, RedisError> {
    let answers = crate::rt::timeout(patience, line.send(packed, count)).await;
    answers.unwrap_or_else(|_elapsed| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}
