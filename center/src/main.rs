//! The program. All of it is in the library, where the maker of manual pages reaches it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    keros_center::main()
}
