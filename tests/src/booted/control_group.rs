//! A control group for one container.
//!
//! systemd-nspawn makes its container's groups below the one that it was started in. Two containers that were started from the same group
//! would share them, and the one's systemd would remove what the other's has just made (seen as a unit that failed at the boot).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// Folders of one name in each hierarchy that systemd uses; removed when this is dropped.
#[derive(Debug)]
pub(super) struct ControlGroup(Vec<PathBuf>);

impl ControlGroup {
    /// Makes them below the group that this process is in.
    pub(super) fn make(name: &str) -> Result<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup")?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let mut made = Self(vec![]);
        for (mount, path) in of_systemd(&own, &mounts) {
            let folder = Path::new(&mount).join(path.trim_start_matches('/')).join(name);
            std::fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
            made.0.push(folder);
        }
        Ok(made)
    }

    /// A command that goes into the group and then becomes this program.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        let enter = "while [ \"$1\" != -- ]; do echo $$ > \"$1/cgroup.procs\" || exit; shift; done; shift; exec \"$@\"";
        command.args(["-c", enter, "sh"]).args(&self.0).arg("--").arg(program);
        command
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        self.0.iter().for_each(|folder| remove(folder));
    }
}

/// Removes a group and those below it; one that still has processes stays.
fn remove(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    entries.flatten().filter(|entry| entry.path().is_dir()).for_each(|entry| remove(&entry.path()));
    let _ = std::fs::remove_dir(folder);
}

/// Where systemd's own hierarchies are mounted, and which group of each this process is in (cgroups(7), proc(5)).
fn of_systemd(own: &str, mounts: &str) -> Vec<(String, String)> {
    let is_systemd = |controllers: &str| controllers.is_empty() || controllers == "name=systemd";
    let groups = own.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        is_systemd(controllers).then_some((controllers, path))
    });
    groups.filter_map(|(controllers, path)| Some((mounted(controllers, mounts)?, path.to_owned()))).collect()
}

/// The mount point of the hierarchy with these controllers; none: the unified one.
fn mounted(controllers: &str, mounts: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let (kind, options) = (kind.next()?, kind.nth(1)?);
        let wanted = match controllers {
            "" => kind == "cgroup2",
            name => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        wanted.then(|| place.split(' ').nth(4).map(str::to_owned)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchies_of_systemd_are_found_among_all() {
        let own = "9:name=systemd:/a\n8:pids:/\n0::/b\n";
        let mounts = "30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      31 25 0:27 / /sys/fs/cgroup/pids rw,nosuid shared:9 - cgroup cgroup rw,pids\n\
                      32 25 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
        let found = of_systemd(own, mounts);
        let expected = [("/sys/fs/cgroup/systemd", "/a"), ("/sys/fs/cgroup/unified", "/b")];
        assert_eq!(found, expected.map(|(mount, path)| (mount.to_owned(), path.to_owned())));
    }
}
