//! `serve`: from the command line to the server's settings.

use super::Ended;
use super::arguments::ServeArguments;

pub(super) fn serve(arguments: ServeArguments) -> anyhow::Result<Ended> {
    let _ = arguments;
    anyhow::bail!("not merged")
}
