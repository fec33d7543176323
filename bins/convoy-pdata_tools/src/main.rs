//! One program with six names: see the library.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut stdout = io::stdout().lock();
    let mut stderr = io::stderr().lock();
    let status = convoy_pdata_tools::run(std::env::args_os(), &mut stdout, &mut stderr);
    ExitCode::from(status)
}
