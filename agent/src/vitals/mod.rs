//! How the gateway is: what telemetry tells about it, read from the platform's files below one root folder.
//!
//! Whatever cannot be found out is absent, never an error: a telemetry without a temperature is better than none. It
//! sends nothing and decides nothing; it keeps only what the next sample needs.

mod clock;
mod disks;
mod network;
mod packages;
mod processor;
mod thermal;

use std::path::{Path, PathBuf};

use keros_protocol::{Disk, KerosVersion, Package};

use packages::PackageReader;
use processor::CpuTimes;

/// No file below /proc or /sys that is read here is longer; `/proc/stat` grows with the interrupts.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Whether a time source has set the clock since boot.
pub(crate) fn is_synchronised(root: &Path) -> bool {
    clock::is_synchronised(root)
}

/// `ethernet`, `wifi`, `cellular` or `other`; `None` without a default route.
pub(crate) fn default_route(root: &Path) -> Option<&'static str> {
    network::category(root)
}

/// One sample; the fields are those of [`keros_protocol::Telemetry`] with the same names.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Vitals {
    /// The kernel's name for this boot.
    pub(crate) boot_id: Option<uuid::Uuid>,
    /// Seconds since boot.
    pub(crate) uptime: Option<u64>,
    /// CPU in use since the last sample (since boot at first), percent of all cores.
    pub(crate) cpu_percent: Option<f32>,
    /// Memory in use, percent.
    pub(crate) memory_percent: Option<f32>,
    /// The warmest thermal zone, degrees Celsius.
    pub(crate) temperature: Option<f32>,
    /// File systems on real devices.
    pub(crate) disks: Vec<Disk>,
    /// `ethernet`, `wifi`, `cellular` or `other`; absent without a default route.
    pub(crate) network_interface_category: Option<String>,
    /// Whether a time source disciplines the clock.
    pub(crate) clock_synchronised: bool,
    /// Digest of the package list; absent on a system without a package manager that is known.
    pub(crate) packages_digest: Option<String>,
    /// The package list, unless its digest is the one that the caller knows.
    pub(crate) installed_packages: Option<Vec<Package>>,
}

/// Takes samples.
#[derive(Debug)]
pub(crate) struct Sampler {
    root: PathBuf,
    last_cpu: Option<CpuTimes>,
    packages: PackageReader,
}

impl Sampler {
    /// A sampler of the files below `platform_root`. The firmware's version is listed as the package `keros`.
    pub(crate) fn new(platform_root: &Path, keros_version: Option<&KerosVersion>) -> Self {
        let packages = PackageReader::new(platform_root, keros_version);
        Self { root: platform_root.to_owned(), last_cpu: None, packages }
    }

    /// Takes one sample. The package list is left out when its digest is `known_packages`.
    pub(crate) fn sample(&mut self, known_packages: Option<&str>) -> Vitals {
        let (packages_digest, installed_packages) = self.packages.read(known_packages);
        Vitals {
            boot_id: self.read("proc/sys/kernel/random/boot_id").and_then(|text| text.trim().parse().ok()),
            uptime: self.read("proc/uptime").and_then(|text| processor::uptime_s(&text)),
            cpu_percent: self.cpu_percent(),
            memory_percent: self.read("proc/meminfo").and_then(|text| processor::memory_percent(&text)),
            temperature: thermal::warmest(&self.root.join("sys/class/thermal")),
            disks: self.read("proc/mounts").map(|text| disks::usage(&self.root, &text)).unwrap_or_default(),
            network_interface_category: network::category(&self.root).map(str::to_owned),
            clock_synchronised: clock::is_synchronised(&self.root),
            packages_digest,
            installed_packages,
        }
    }

    fn cpu_percent(&mut self) -> Option<f32> {
        let now = CpuTimes::parse(&self.read("proc/stat")?)?;
        let percent = now.busy_percent_since(self.last_cpu.unwrap_or_default());
        self.last_cpu = Some(now);
        percent
    }

    fn read(&self, path: &str) -> Option<String> {
        keros_platform::read_small(&self.root.join(path), MAX_FILE_BYTES)
    }
}

/// Rounds to one decimal: enough for a person, and it keeps the message short.
fn one_decimal(value: f64) -> f32 {
    #[allow(clippy::cast_possible_truncation, reason = "a percentage or a temperature fits easily")]
    let rounded = ((value * 10.0).round() / 10.0) as f32;
    rounded
}

/// Part of a whole in percent, one decimal; `None` of nothing.
fn percent(part: u64, whole: u64) -> Option<f32> {
    #[allow(clippy::cast_precision_loss, reason = "one decimal is kept")]
    let value = part as f64 * 100.0 / whole as f64;
    (whole > 0).then(|| one_decimal(value.min(100.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root folder with these files.
    pub(super) fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn an_empty_system_gives_an_empty_sample() {
        let root = root(&[]);
        assert_eq!(Sampler::new(root.path(), None).sample(None), Vitals::default());
    }

    #[test]
    fn a_gateway_gives_all_fields() {
        let root = root(&[
            ("proc/sys/kernel/random/boot_id", "0d3b1f8e-5f4b-4f0e-9d56-5a1d3d7f6a11\n"),
            ("proc/uptime", "93784.52 180012.11\n"),
            ("proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n"),
            ("proc/meminfo", "MemTotal: 245760 kB\nMemFree: 1 kB\nMemAvailable: 184320 kB\n"),
            ("sys/class/thermal/thermal_zone0/temp", "48312\n"),
            ("run/systemd/timesync/synchronized", ""),
        ]);
        let mut sampler = Sampler::new(root.path(), Some(&"6.3.1".parse().unwrap()));
        let vitals = sampler.sample(None);
        assert_eq!(vitals.boot_id.unwrap().to_string(), "0d3b1f8e-5f4b-4f0e-9d56-5a1d3d7f6a11");
        assert_eq!(vitals.uptime, Some(93784));
        assert_eq!(vitals.cpu_percent, Some(20.0));
        assert_eq!(vitals.memory_percent, Some(25.0));
        assert_eq!(vitals.temperature, Some(48.3));
        assert!(vitals.clock_synchronised);

        std::fs::write(root.path().join("proc/stat"), "cpu  190 0 100 710 100 0 0 0 0 0\n").unwrap();
        assert_eq!(sampler.sample(None).cpu_percent, Some(90.0), "since the last sample, not since boot");
    }

    #[test]
    fn this_machine_has_vitals() {
        let vitals = Sampler::new(Path::new("/"), None).sample(None);
        assert!(vitals.boot_id.is_some());
        assert!(vitals.uptime.is_some_and(|uptime_s| uptime_s > 0));
        assert!(vitals.cpu_percent.is_some_and(|percent| (0.0..=100.0).contains(&percent)));
        assert!(vitals.memory_percent.is_some_and(|percent| percent > 0.0 && percent < 100.0));
    }
}
