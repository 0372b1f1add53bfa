//! What the end-to-end tests share: real programs in private folders, and waiting on conditions.
//!
//! Nothing here knows the insides of a program: everything goes through command lines, MQTT, REST and files.

mod booted;
mod busybox;
mod center;
mod emulated;
mod fleet;
mod gateway;
mod in_1970;
mod injection;
mod installed;
mod mosquitto;
mod net;
pub mod packages;
mod pki;
mod programs;
mod proxy;
mod random;
mod registry;
mod reports;
mod small_disk;
mod stand_in;
mod steps;
mod talk;
mod vm;
mod wait;

pub use keros_test_bundle::Bundle;

pub use booted::{Booted, enable as booted_enable};
pub use busybox::{BusyBox, add_libraries};
pub use center::{Broker, Center};
pub use emulated::Emulated;
pub use fleet::Fleet;
pub use gateway::{Gateway, GatewayOptions, KEROS_5, KEROS_6};
pub use in_1970::in_1970;
pub use injection::{Injection, Threads, injected};
pub use installed::Installed;
pub use keros_ports::free_port;
pub use mosquitto::{Mosquitto, MosquittoMode, mosquitto_client};
pub use net::{FAR, Link, NEAR_ROUTER};
pub use pki::Pki;
pub use programs::{
    Process, count_from_environment, keros_program, project_root, run, run_ok, system_program,
};
pub use proxy::{Manner, Proxy};
pub use random::Random;
pub use registry::{Registry, Skopeo};
pub use reports::Reports;
pub use small_disk::SmallDisk;
pub use stand_in::{Answer, Asked, StandIn};
pub use steps::{ensure_true, steps_script, steps_script_with};
pub use talk::Talk;
pub use vm::{BOOT_LIMIT, Disk, HOST_SEEN_FROM_VM, Lost, Vm};
pub use wait::{LIMIT, wait_for, wait_within};
