//! What somebody who has taken the agent over does on the gateway. The test `taken_over` starts it there, with the agent's user and nothing
//! more, and looks at what came of it. It forges nothing itself: what it sends lies in files.

mod talk;
mod tamper;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "\
usage: keros-hostile send SOCKET FILE...    each file in a connection of its own; prints its name and the last line of the answer
       keros-hostile hold SOCKET COUNT MARK so many silent connections, until the file MARK is gone
       keros-hostile endless SOCKET         one line without an end
       keros-hostile serve SOCKET FILE      answers whoever connects with this file
       keros-hostile swap PATH PATH MARK    gives each the other's name, again and again, until the file MARK is gone
       keros-hostile open PATH...           tries to write each, follows no link; prints what it may do
       keros-hostile signal PID...          tries to end each; prints what it may do
       keros-hostile notify TEXT            tells the service manager this, as a service would";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keros-hostile: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["send", socket, files @ ..] => talk::send(Path::new(socket), files),
        ["hold", socket, count, mark] => talk::hold(Path::new(socket), count.parse()?, Path::new(mark)),
        ["endless", socket] => talk::endless(Path::new(socket)),
        ["serve", socket, file] => talk::serve(Path::new(socket), Path::new(file)),
        ["swap", one, other, mark] => tamper::swap(Path::new(one), Path::new(other), Path::new(mark)),
        ["open", paths @ ..] => tamper::open(paths),
        ["signal", processes @ ..] => tamper::signal(processes),
        ["notify", text] => talk::notify(text).context("telling the service manager"),
        _ => bail!("{USAGE}"),
    }
}
