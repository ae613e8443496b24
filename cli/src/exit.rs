//! From a subcommand that waits to the program's exit status.

use std::future::Future;
use std::process::ExitCode;

use crate::complain;

/// Runs `command` to its end on a runtime with one thread per core. An error means that nothing was begun.
pub(crate) fn status(command: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(|error| format!("cannot start: {error}")).and_then(|runtime| {
        let ended = runtime.block_on(command);
        // Without waiting for tasks that are left on it.
        runtime.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|error| {
        complain(error);
        ExitCode::from(2)
    })
}
