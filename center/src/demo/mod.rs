//! `demo`.

use std::io::Write;

use crate::cli::Ended;
use crate::cli::arguments::DemoArguments;

pub(crate) fn run(arguments: &DemoArguments, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let _ = (arguments.keep, out);
    anyhow::bail!("not merged")
}
