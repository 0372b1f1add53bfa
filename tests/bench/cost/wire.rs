//! Bytes on the agent's link with mutual TLS, as nft counts them between two network namespaces: whole IP packets, with the headers
//! of IP and TCP, in both directions.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::{Add, Mul, Sub};
use std::time::Duration;

use anyhow::{Result, ensure};
use keros_tests::{FAR, Link, run_ok, system_program};

use super::site::Site;
use crate::measure::gateway_program;

const PORT: u16 = 8883;
const TELEMETRIES: usize = 5;
const PINGS: usize = 6;
/// Of the gateway's default settings.
const PINGS_AN_HOUR: f64 = 3600.0 / 300.0;
/// For the last acknowledgements of TCP.
const SETTLE: Duration = Duration::from_secs(1);
/// TCP's own packets would be merged into larger ones on such a cable, which have fewer headers.
const ONE_SEGMENT: [&str; 6] = ["link", "set", "dev", "cable", "gso_max_segs", "1"];

/// Prints the table.
pub(crate) fn run() -> Result<()> {
    let link = Link::make()?;
    let mut site = Site::prepare(|options| {
        options.host = Some(FAR.to_string());
        options.port = PORT;
        options.namespace = Some(link.near().to_owned());
    })?;
    bridge(link.listen(PORT)?, site.broker.port);
    for end in [link.near(), link.far()] {
        run_ok(&system_program("ip")?, ["-n", end].into_iter().chain(ONE_SEGMENT))?;
    }
    link.filter("meta l4proto tcp counter\n")?;
    let counter = Counter { link: &link };

    let start = counter.of(|| site.start(&gateway_program("keros-agent")?))?;
    let telemetry =
        counter.of(|| (0..TELEMETRIES).try_for_each(|_| site.telemetry()))? * (1.0 / TELEMETRIES as f64);
    let listed = counter.of(|| {
        site.install("2.0")?;
        site.telemetry()
    })?;
    let ping = pings(&site, &counter)?;
    let job = counter.of(|| site.job("job"))?;
    let reconnect = counter.of(|| reconnect(&mut site))?;

    println!("| on the link, mutual TLS, with the headers of TCP and IP | up | down | together |");
    println!("| --- | ---: | ---: | ---: |");
    row("telemetry and its answer", telemetry);
    row("ping and its answer", ping);
    row("an hour: 1 telemetry, 12 pings", telemetry + ping * PINGS_AN_HOUR);
    row(&format!("telemetry with a changed list of {} packages", Site::packages()), listed);
    row("from the start to the answer to the first telemetry, with the list", start);
    row("a connection that was lost: TCP, TLS, log-in, subscription, telemetry", reconnect);
    row("a job of one task, from the nudge to its acknowledged end, confirmed over a new connection", job);
    println!();
    Ok(())
}

/// Passes bytes on to the broker, which is not in the far namespace; until the program ends.
fn bridge(listener: TcpListener, port: u16) {
    let pass = |mut from: &TcpStream, mut to: &TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            // Dropped at once, when the broker is not there: the agent tries again.
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            std::thread::spawn(move || {
                std::thread::scope(|scope| {
                    scope.spawn(|| pass(&near, &far));
                    pass(&far, &near);
                });
            });
        }
    });
}

/// What one of them costs; the pieces between two moments at which the broker has had one.
fn pings(site: &Site, counter: &Counter<'_>) -> Result<Bytes> {
    let next = || {
        let before = site.packets("PINGREQ");
        keros_tests::wait_for("a ping", || Ok((site.packets("PINGREQ") > before).then_some(())))
    };
    next()?;
    let mut count = 0;
    let bytes = counter.of(|| {
        let before = site.packets("PINGREQ");
        (0..PINGS).try_for_each(|_| next())?;
        count = site.packets("PINGREQ") - before;
        Ok(())
    })?;
    ensure!(count == PINGS, "{count} pings were seen, not {PINGS}");
    Ok(bytes * (1.0 / PINGS as f64))
}

/// The broker begins anew; the agent, and the center, come back by themselves.
fn reconnect(site: &mut Site) -> Result<()> {
    let before = site.packets("CONNECT");
    site.broker.kill()?;
    site.broker.restart()?;
    keros_tests::wait_for("the agent is back", || {
        let is_back =
            site.status()?["connection"]["state"] == "connected" && site.packets("SUBSCRIBE") > before;
        Ok(is_back.then_some(()))
    })
}

fn row(what: &str, bytes: Bytes) {
    let Bytes { up, down } = bytes;
    println!("| {what} | {up:.0} | {down:.0} | {:.0} |", up + down);
}

#[derive(Clone, Copy)]
struct Bytes {
    up: f64,
    down: f64,
}

impl Add for Bytes {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { up: self.up + other.up, down: self.down + other.down }
    }
}

impl Sub for Bytes {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { up: self.up - other.up, down: self.down - other.down }
    }
}

impl Mul<f64> for Bytes {
    type Output = Self;
    fn mul(self, times: f64) -> Self {
        Self { up: self.up * times, down: self.down * times }
    }
}

struct Counter<'a> {
    link: &'a Link,
}

impl Counter<'_> {
    /// What passes while this is done.
    fn of(&self, work: impl FnOnce() -> Result<()>) -> Result<Bytes> {
        let before = self.now()?;
        work()?;
        std::thread::sleep(SETTLE);
        Ok(self.now()? - before)
    }

    fn now(&self) -> Result<Bytes> {
        let [up, down] = self.link.counted()?;
        Ok(Bytes { up: up as f64, down: down as f64 })
    }
}
