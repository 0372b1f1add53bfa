//! What kind of link the default route goes over, from `/proc/net` and `/sys/class/net`.
//!
//! Field order of `/proc/net/route`: proc(5); of `/proc/net/ipv6_route`: the kernel's `net/ipv6/route.c`; interface
//! types: `linux/if_arp.h`.

use std::path::Path;

use super::MAX_FILE_BYTES;

const RTF_UP: u32 = 0x1;
const RTF_REJECT: u32 = 0x200;
const ARPHRD_ETHER: &str = "1";
const ARPHRD_PPP: &str = "512";
const ARPHRD_RAWIP: &str = "519";

/// `ethernet`, `wifi`, `cellular` or `other`; `None` without a default route.
pub(super) fn category(root: &Path) -> Option<&'static str> {
    let read = |path: &str| keros_platform::read_small(&root.join(path), MAX_FILE_BYTES);
    let interface = read("proc/net/route")
        .and_then(|text| default_interface_v4(&text).map(str::to_owned))
        .or_else(|| default_interface_v6(&read("proc/net/ipv6_route")?).map(str::to_owned))?;
    // The name becomes part of a path.
    if interface.contains('/') || interface.starts_with('.') {
        return Some("other");
    }
    Some(interface_category(&root.join("sys/class/net").join(&interface), &interface))
}

/// The interface of the default route with the lowest metric.
fn default_interface_v4(route: &str) -> Option<&str> {
    let routes = route.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(8).collect();
        let [interface, destination, _gateway, flags, _references, _use, metric, mask] = fields[..] else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let is_default = destination == "00000000" && mask == "00000000" && is_usable(flags);
        Some((metric.parse::<u32>().ok()?, interface)).filter(|_| is_default)
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, interface)| interface)
}

fn default_interface_v6(route: &str) -> Option<&str> {
    let routes = route.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [destination, prefix, _, _, _, metric, _, _, flags, interface] = fields[..] else { return None };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let is_default = destination.bytes().all(|b| b == b'0') && prefix == "00" && is_usable(flags);
        Some((u32::from_str_radix(metric, 16).ok()?, interface)).filter(|_| is_default && interface != "lo")
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, interface)| interface)
}

const fn is_usable(flags: u32) -> bool {
    flags & RTF_UP != 0 && flags & RTF_REJECT == 0
}

/// What the kernel says of the interface comes first, its name second: a modem's interface may be called `eth1`.
fn interface_category(folder: &Path, name: &str) -> &'static str {
    let read = |file: &str| keros_platform::read_small(&folder.join(file), 4096).unwrap_or_default();
    let uevent = read("uevent");
    let device_type = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).unwrap_or_default();
    let hardware_type = read("type");
    match (device_type, hardware_type.trim()) {
        ("wwan", _) | (_, ARPHRD_PPP | ARPHRD_RAWIP) => return "cellular",
        ("wlan", _) => return "wifi",
        _ => {}
    }
    if folder.join("wireless").exists() || folder.join("phy80211").exists() {
        return "wifi";
    }
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if begins(&["ppp", "wwan", "rmnet", "ccmni"]) {
        "cellular"
    } else if begins(&["wl"]) {
        "wifi"
    } else if begins(&["en", "eth"]) && matches!(hardware_type.trim(), ARPHRD_ETHER | "") {
        "ethernet"
    } else {
        "other"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::tests::root;

    const HEADER: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    fn v4(lines: &[(&str, &str, u32)]) -> String {
        let line = |(interface, destination, metric): &(&str, &str, u32)| {
            let mask = if *destination == "00000000" { "00000000" } else { "00FFFFFF" };
            format!("{interface}\t{destination}\t0101A8C0\t0003\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
        };
        format!("{HEADER}{}", lines.iter().map(line).collect::<String>())
    }

    #[test]
    fn the_lowest_metric_decides() {
        let text = v4(&[("wwan0", "00000000", 700), ("eth0", "00000000", 100), ("eth1", "0001A8C0", 0)]);
        assert_eq!(default_interface_v4(&text), Some("eth0"));
        assert_eq!(default_interface_v4(&v4(&[("eth1", "0001A8C0", 0)])), None);
        assert_eq!(default_interface_v4("x\ny\n"), None);
    }

    #[test]
    fn ipv6_counts_when_there_is_no_ipv4() {
        let zero = "0".repeat(32);
        let text = format!(
            "{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n\
             {zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     wlan0\n"
        );
        let root = root(&[("proc/net/route", HEADER), ("proc/net/ipv6_route", &text)]);
        assert_eq!(category(root.path()), Some("wifi"));
    }

    #[test]
    fn each_kind_of_link_is_recognised() {
        for (interface, file, content, expected) in [
            ("eth0", "type", "1\n", "ethernet"),
            ("enp3s0", "type", "1\n", "ethernet"),
            ("eth1", "uevent", "DEVTYPE=wwan\nINTERFACE=eth1\n", "cellular"),
            ("wwan0", "type", "1\n", "cellular"),
            ("ppp0", "type", "512\n", "cellular"),
            ("rmnet_data0", "type", "519\n", "cellular"),
            ("wlan0", "type", "1\n", "wifi"),
            ("mlan0", "wireless/x", "", "wifi"),
            ("ap0", "uevent", "DEVTYPE=wlan\n", "wifi"),
            ("tun0", "type", "65534\n", "other"),
            ("br0", "type", "1\n", "other"),
        ] {
            let file = format!("sys/class/net/{interface}/{file}");
            let routes = v4(&[(interface, "00000000", 0)]);
            let root = root(&[("proc/net/route", &routes), (&file, content)]);
            assert_eq!(category(root.path()), Some(expected), "{interface}");
        }
    }

    #[test]
    fn an_interface_name_is_no_way_out_of_the_folder() {
        let root = root(&[("proc/net/route", &v4(&[("../../wlan0", "00000000", 0)]))]);
        assert_eq!(category(root.path()), Some("other"));
    }
}
