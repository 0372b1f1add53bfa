//! The temperature, from `/sys/class/thermal` (kernel documentation: thermal sysfs, millidegrees Celsius).

use std::path::Path;

use super::one_decimal;

/// Zones looked at; a gateway has one or two.
const MAX_ZONES: usize = 32;

/// The warmest zone, degrees Celsius. A sensor that is off reads far outside of what electronics stand, and is left out.
pub(super) fn warmest(folder: &Path) -> Option<f32> {
    let zones = std::fs::read_dir(folder).ok()?;
    let millidegrees = zones
        .filter_map(Result::ok)
        .filter(|zone| zone.file_name().to_string_lossy().starts_with("thermal_zone"))
        .take(MAX_ZONES)
        .filter_map(|zone| keros_platform::read_small(&zone.path().join("temp"), 64)?.trim().parse().ok())
        .filter(|millidegrees: &i32| (-60_000..=200_000).contains(millidegrees))
        .max()?;
    Some(one_decimal(f64::from(millidegrees) / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::tests::root;

    #[test]
    fn the_warmest_zone_that_makes_sense_counts() {
        let root = root(&[
            ("thermal_zone0/temp", "41250\n"),
            ("thermal_zone1/temp", "52999\n"),
            ("thermal_zone2/temp", "-274000\n"),
            ("thermal_zone3/temp", "2147483\n"),
            ("thermal_zone4/temp", "x\n"),
            ("cooling_device0/temp", "90000\n"),
        ]);
        assert_eq!(warmest(root.path()), Some(53.0));
    }
}
