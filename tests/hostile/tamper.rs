//! What it does to files and processes.

use std::fs::OpenOptions;
use std::path::Path;

use anyhow::Result;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(super) fn swap(one: &Path, other: &Path, mark: &Path) -> Result<()> {
    let mut count = 0_u64;
    while mark.exists() {
        for _ in 0..1000 {
            renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)?;
            count += 1;
        }
    }
    println!("{count}");
    Ok(())
}

pub(super) fn open(paths: &[&str]) -> Result<()> {
    for path in paths {
        let place = Path::new(path);
        let tried = if place.is_dir() {
            let file = place.join("by-the-agent");
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&file)
                .and_then(|_| std::fs::remove_file(file))
        } else {
            OpenOptions::new().append(true).open(place).map(drop)
        };
        let read =
            if place.is_dir() { place.read_dir().map(drop) } else { std::fs::File::open(place).map(drop) };
        println!("{path}\t{}\t{}", word(tried, "writes"), word(read, "reads"));
    }
    Ok(())
}

fn word(tried: std::io::Result<()>, done: &str) -> String {
    tried.map_or_else(|error| error.to_string(), |()| done.to_owned())
}

pub(super) fn signal(processes: &[&str]) -> Result<()> {
    for process in processes {
        let tried = kill(Pid::from_raw(process.parse()?), Signal::SIGKILL);
        println!(
            "{process}\t{}",
            tried.map_or_else(|errno| errno.desc().to_owned(), |()| "killed".to_owned())
        );
    }
    Ok(())
}
