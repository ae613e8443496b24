//! See the library, of which this is the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    reveille_cli::main()
}
