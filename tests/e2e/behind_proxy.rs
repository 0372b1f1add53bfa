//! Debian's nginx with the shipped configuration before the center's pages and REST API.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use keros_tests::{
    Broker, Center, LIMIT, Pki, Process, free_port, keros_program, project_root, run_ok, system_program,
    wait_for,
};

const PASSWORD: &str = "correct horse battery staple";

/// A center, and nginx before it.
struct Site {
    _nginx: Process,
    center: Center,
    address: String,
    pki: Pki,
    folder: tempfile::TempDir,
}

impl Site {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let more = ["--behind-proxy", "127.0.0.1"].map(str::to_owned).to_vec();
        let center = Center::start_with(&folder.path().join("center"), Broker::Embedded, more)?;
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD)?;
        let data = folder.path().join("center/data");
        let words = ["admin", "create", "admin", "--password-file"].map(AsRef::as_ref);
        let files = [password.as_os_str(), "--data-folder".as_ref(), data.as_os_str()];
        run_ok(&keros_program("keros-center")?, words.into_iter().chain(files))?;
        let pki = Pki::new(&folder.path().join("pki"))?;
        let (port, plain) = (free_port()?, free_port()?);
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, configured(&pki, folder.path(), &center, port, plain)?)?;
        let mut command = Command::new(system_program("nginx")?);
        command.arg("-c").arg(&config).args(["-e", "stderr"]);
        let nginx = Process::start(&mut command, &folder.path().join("nginx.log"))?;
        wait_for("nginx listens", || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok()))?;
        Ok(Self { _nginx: nginx, center, address: format!("https://localhost:{port}"), pki, folder })
    }

    /// What curl says of a path, with further arguments.
    fn curl(&self, path: &str, arguments: &[&str]) -> Result<String> {
        let authority = self.pki.path("ca.pem").display().to_string();
        let url = format!("{}{path}", self.address);
        let limit = LIMIT.as_secs().to_string();
        let common = ["-sS", "--max-time", &limit, "--cacert", &authority];
        run_ok(&system_program("curl")?, common.iter().chain(arguments).chain(&[url.as_str()]))
    }

    fn jar(&self) -> String {
        self.folder.path().join("cookies").display().to_string()
    }

    /// The log-in's answer, with its headers.
    fn log_in(&self, password: &str, more: &[&str]) -> Result<String> {
        let (jar, password) = (self.jar(), format!("password={password}"));
        let form = ["-i", "-c", &jar, "--data-urlencode", "login=admin", "--data-urlencode", &password];
        self.curl("/login", &[&form, more].concat())
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.center.token().unwrap_or_default())
    }
}

/// The shipped file with the paths and ports of this test, in what Debian's nginx.conf has around it.
fn configured(pki: &Pki, folder: &Path, center: &Center, port: u16, plain: u16) -> Result<String> {
    let (cert, key) = pki.issue("pages", "localhost")?;
    let shipped = std::fs::read_to_string(project_root().join("packaging/nginx/keros-center.conf"))?;
    let lines = shipped.lines().filter(|line| !line.contains("[::]")).map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["listen", "443", ..] => format!("listen 127.0.0.1:{port} ssl;"),
            ["listen", "80;"] => format!("listen 127.0.0.1:{plain};"),
            ["ssl_certificate", _] => format!("ssl_certificate {};", cert.display()),
            ["ssl_certificate_key", _] => format!("ssl_certificate_key {};", key.display()),
            ["proxy_pass", _] => format!("proxy_pass http://{};", center.rest()),
            _ => line.to_owned(),
        }
    });
    let servers = lines.collect::<Vec<_>>().join("\n");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {}/{what};\n", folder.display()))
        .concat();
    let pid = folder.join("nginx.pid");
    Ok(format!(
        "daemon off;\nmaster_process off;\npid {};\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{servers}\n}}\n",
        pid.display()
    ))
}

/// Skipped where nginx is not installed.
fn site() -> Result<Option<Site>> {
    if Path::new("/usr/sbin/nginx").exists() {
        return Site::start().map(Some);
    }
    keros_skip::skipped("nginx is not installed");
    Ok(None)
}

#[test]
fn the_shipped_nginx_configuration_carries_log_ins_events_and_uploads() -> Result<()> {
    let Some(site) = site()? else { return Ok(()) };
    let entered = site.log_in(PASSWORD, &[])?;
    let cookie =
        entered.lines().find(|line| line.to_lowercase().starts_with("set-cookie")).context("a cookie")?;
    ensure!(cookie.contains("Secure") && cookie.contains("HttpOnly"), "{cookie}");
    ensure!(entered.contains("Strict-Transport-Security"), "{entered}");
    let page = site.curl("/groups", &["-b", &site.jar()])?;
    ensure!(page.contains("<h1>Groups"), "{page}");

    // An event comes at once, and not when a buffer is full or the stream has ended.
    let events = site.folder.path().join("events");
    let url = format!("{}/api/v1/events", site.address);
    let mut follow = Command::new(system_program("curl")?);
    follow.args(["-sSN", "--cacert"]).arg(site.pki.path("ca.pem")).args(["-H", &site.bearer(), &url]);
    let _follow = Process::start(&mut follow, &events)?;
    wait_for("the first event", || {
        Ok(std::fs::read_to_string(&events)?.contains("event: reset").then_some(()))
    })?;

    // More than the megabyte that nginx takes by itself.
    let file = site.folder.path().join("blob");
    std::fs::write(&file, vec![b'k'; 3 << 20])?;
    let digest = run_ok(&system_program("sha256sum")?, [&file])?;
    let digest = digest.split(' ').next().context("a digest")?.to_owned();
    let path = file.display().to_string();
    let put = ["-T", &path, "-H", &site.bearer(), "-o", "/dev/null", "-w", "%{http_code}"];
    let status = site.curl(&format!("/api/v1/blobs/sha256:{digest}"), &put)?;
    ensure!(status == "201", "{status}");
    Ok(())
}

#[test]
fn behind_nginx_it_is_the_client_whose_failed_log_ins_count_and_not_what_he_claims() -> Result<()> {
    let Some(site) = site()? else { return Ok(()) };
    let claims = ["--interface", "127.0.0.2", "-H", "X-Forwarded-For: 203.0.113.9"];
    site.log_in("not his password", &claims)?;
    let audit = site.curl("/api/v1/audit?limit=1", &["-H", &site.bearer()])?;
    ensure!(audit.contains("127.0.0.2") && !audit.contains("203.0.113.9"), "{audit}");
    Ok(())
}
