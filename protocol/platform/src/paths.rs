//! Where things are on a gateway. Facts about KerOS come from the vendor's public pages and from third-party packages for
//! these gateways; none was tried on a real one, so every path can be overridden. All are relative to a root folder.

/// KerOS 6: shell lines `export EUI64="7076FF00…"`, `export CODENAME="wiis"`.
pub const BOARD_INFO_ENV: &str = "run/boardinfo.env";
/// KerOS 4 and 5: JSON with the key `EUI64`.
pub const BOARD_INFO_JSON: &str = "tmp/board_info.json";
/// `EUI64=…` among the kernel's arguments.
pub const KERNEL_COMMAND_LINE: &str = "proc/cmdline";
/// KerOS 6: one line, e.g. `6.3.1`.
pub const VERSION_FILE: &str = "etc/version";
/// KerOS 4 and 5: JSON with the key `sw_version`.
pub const STARTUP_STATUS_JSON: &str = "tmp/sys_startup_status.json";

/// The agent's state.
pub const AGENT_STATE_FOLDER: &str = "/var/lib/keros-agent";
/// The executor's state: only root can read or write it.
pub const EXECUTOR_STATE_FOLDER: &str = "/var/lib/keros-executor";
/// Trusted public keys: `command-*.pem` and `statement-*.pem`.
pub const TRUST_FOLDER: &str = "/etc/keros-agent/trust";
/// The agent's configuration.
pub const AGENT_CONFIG_FILE: &str = "/etc/keros-agent/config.yaml";
/// Sockets of the agent.
pub const AGENT_RUNTIME_FOLDER: &str = "/run/keros-agent";
/// Where the executor listens on a gateway with systemd.
pub const EXECUTOR_SOCKET: &str = "/run/keros-executor.sock";
