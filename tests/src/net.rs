//! A link of the test's own: two network namespaces with a cable between them. What happens on it disturbs nobody else.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use nix::sched::{CloneFlags, setns};

use crate::{run_ok, system_program};

static LINKS: AtomicUsize = AtomicUsize::new(0);

/// The address behind the far end: the near one reaches it by its default route.
pub const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const FAR_ADDRESS: &str = "10.77.0.1/24";
const NEAR_ADDRESS: &str = "10.77.0.2/24";
/// The default route of the near end.
pub const NEAR_ROUTER: &str = "10.77.0.1";
/// The name of the interface at both ends.
const CABLE: &str = "cable";

/// The cable; both namespaces are removed when this is dropped.
#[derive(Debug)]
pub struct Link {
    near: String,
    far: String,
}

impl Link {
    /// Makes both ends, with addresses, up.
    ///
    /// # Errors
    /// Without root, or without `ip`.
    pub fn make() -> Result<Self> {
        let number = LINKS.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("keros-{end}-{}-{number}", std::process::id());
        let link = Self { near: name("near"), far: name("far") };
        for end in [&link.near, &link.far] {
            ip(&["netns", "add", end])?;
        }
        let (near, far) = (link.near.as_str(), link.far.as_str());
        ip(&["-n", near, "link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", far])?;
        for (end, address) in [(near, NEAR_ADDRESS), (far, FAR_ADDRESS)] {
            ip(&["-n", end, "address", "add", address, "dev", CABLE])?;
            ip(&["-n", end, "link", "set", "lo", "up"])?;
            ip(&["-n", end, "link", "set", CABLE, "up"])?;
        }
        ip(&["-n", far, "address", "add", &FAR.to_string(), "dev", "lo"])?;
        ip(&["-n", near, "route", "add", "default", "via", NEAR_ROUTER])?;
        Ok(link)
    }

    /// The name of the namespace where the gateway is.
    #[must_use]
    pub fn near(&self) -> &str {
        &self.near
    }

    /// The name of the namespace of the far end.
    #[must_use]
    pub fn far(&self) -> &str {
        &self.far
    }

    /// Pulls the cable, or plugs it in again.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn plug(&self, in_: bool) -> Result<()> {
        ip(&["-n", &self.far, "link", "set", CABLE, if in_ { "up" } else { "down" }])
    }

    /// Both directions get this many bits a second.
    ///
    /// # Errors
    /// When `tc` fails.
    pub fn slow_down(&self, bits_per_s: u32) -> Result<()> {
        let rate = format!("{bits_per_s}bit");
        for end in [&self.near, &self.far] {
            let shape = ["qdisc", "add", "dev", CABLE, "root", "tbf", "rate", &rate, "burst", "1600"];
            let arguments = ["-n", end].into_iter().chain(shape).chain(["latency", "20s"]);
            run_ok(&system_program("tc")?, arguments)?;
        }
        Ok(())
    }

    /// Filters what arrives at the far end by a rule of nft, and with it what leaves, if the rule fits that too.
    ///
    /// # Errors
    /// When `nft` does not understand it.
    pub fn filter(&self, rule: &str) -> Result<()> {
        let chain = |hook: &str| format!("chain {hook} {{ type filter hook {hook} priority 0; {rule} }}\n");
        let table = format!("table inet fault {{\n{}{}}}\n", chain("input"), chain("output"));
        let arguments = ["netns", "exec", &self.far, "nft", &table];
        run_ok(&system_program("ip")?, arguments).map(drop)
    }

    /// Whether a packet has met the rule of the filter, which must count them.
    ///
    /// # Errors
    /// When there is no filter.
    pub fn has_filtered(&self) -> Result<bool> {
        let list = ["netns", "exec", &self.far, "nft", "list", "table", "inet", "fault"];
        let table = run_ok(&system_program("ip")?, list)?;
        Ok(table.split("counter packets ").skip(1).any(|rest| !rest.starts_with("0 ")))
    }

    /// How many bytes have met the rule of the filter, which must count them: those that came to the far end, and those that left it.
    ///
    /// # Errors
    /// When there is no such filter.
    pub fn counted(&self) -> Result<[u64; 2]> {
        let list = ["netns", "exec", &self.far, "nft", "list", "table", "inet", "fault"];
        let table = run_ok(&system_program("ip")?, list)?;
        let counts =
            table.split("bytes ").skip(1).filter_map(|rest| rest.split_whitespace().next()?.parse().ok());
        match counts.collect::<Vec<u64>>()[..] {
            [came, left] => Ok([came, left]),
            _ => bail!("the filter does not count: {table}"),
        }
    }

    /// Removes the filter.
    ///
    /// # Errors
    /// When there is none.
    pub fn unfilter(&self) -> Result<()> {
        ip(&["netns", "exec", &self.far, "nft", "delete", "table", "inet", "fault"])
    }

    /// A listener at the far end, which this process may use from its own side: the bridge between the two.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn listen(&self, port: u16) -> Result<TcpListener> {
        let path = Path::new("/run/netns").join(&self.far);
        // A thread of its own goes there, and ends there: the socket stays.
        let listener = std::thread::spawn(move || -> Result<TcpListener> {
            setns(std::fs::File::open(path)?, CloneFlags::CLONE_NEWNET)?;
            Ok(TcpListener::bind(SocketAddrV4::new(FAR, port))?)
        });
        listener.join().unwrap_or_else(|_| bail!("the thread that listens has panicked"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for end in [&self.near, &self.far] {
            let _ = ip(&["netns", "delete", end]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run_ok(&system_program("ip")?, arguments).map(drop)
}
