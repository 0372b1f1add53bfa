//! The program. All of it is in the library, where tests reach it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    keros_agent::main()
}
