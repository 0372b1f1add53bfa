//! An external broker by TLS and client certificate; the files are made by `openssl`, as an operator would.

use super::*;
use crate::broker::TlsFiles;

/// Runs `openssl` in a folder; `false`: it is not installed.
fn openssl(folder: &Path, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "openssl {arguments}");
            true
        }
        Err(_) => {
            keros_skip::skipped("openssl is not installed");
            false
        }
    }
}

/// An authority `ca.pem`, and certificates `server` and `client` by it.
fn certificates(folder: &Path) -> bool {
    std::fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let mut done =
        openssl(folder, &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2"));
    for name in ["server", "client"] {
        done = done
            && openssl(
                folder,
                &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN=keros-center"),
            )
            && openssl(
                folder,
                &format!(
                    "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile san"
                ),
            );
    }
    done
}

fn with_tls(port: u16, folder: &Path, ca: &str) -> BrokerChoice {
    BrokerChoice::External(ExternalBroker {
        host: "127.0.0.1".to_owned(),
        port,
        tls: Some(BrokerTls {
            ca_file: folder.join(ca),
            client: Some((folder.join("client.pem"), folder.join("client.key"))),
        }),
        username: None,
        password_file: None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_external_broker_is_reached_by_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    // mosquitto gives up root, and could not read the files of a private folder then.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(folder.path().join("server.key"), std::fs::Permissions::from_mode(0o644))
        .unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (at("ca.pem"), at("server.pem"), at("server.key"));
    let tls = format!(
        "cafile {ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\nuse_identity_as_username true\n"
    );
    let port = keros_ports::free_port().unwrap();
    let Some(_broker) = Mosquitto::start_with(folder.path(), port, &tls) else { return };
    let center = Running::start_connected(folder.path(), with_tls(port, folder.path(), "ca.pem")).await;
    center.stop().await;
}

#[tokio::test]
async fn tls_files_that_cannot_be_used_keep_the_center_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    for (ca, mode, reason) in
        [("none.pem", 0o600, "none.pem"), ("san", 0o600, "no certificate in"), ("ca.pem", 0o644, "chmod 600")]
    {
        let key = folder.path().join("client.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let (_stop, stopped) = watch::channel(false);
        let settings = settings(folder.path(), with_tls(1, folder.path(), ca));
        let error = serve(settings, oneshot::channel().0, stopped).await.unwrap_err();
        assert!(format!("{error:#}").contains(reason), "{error:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_fetches_a_part_of_a_blob_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    let files = TlsFiles {
        cert: folder.path().join("server.pem"),
        key: folder.path().join("server.key"),
        client_cas: Vec::new(),
    };
    let mut settings = settings(folder.path(), external(1));
    settings.registry.plain = None;
    settings.registry.tls = Some(("127.0.0.1:0".parse().unwrap(), files));
    let center = Running::start_with(folder.path(), settings).await;
    assert_eq!(center.put_blob(b"hello world").await, 201);
    let digest = keros_protocol::magic_link::Digest::of(b"hello world");
    let mut curl = Command::new("curl");
    curl.current_dir(folder.path())
        .args(["--silent", "--show-error", "--fail", "--cacert", "ca.pem", "--range", "6-"])
        .args(["--user", &format!("api:{}", center.token)])
        .arg(format!("https://{}/v2/links/blobs/{digest}", center.registry));
    match tokio::task::spawn_blocking(move || curl.output()).await.unwrap() {
        Ok(output) => {
            assert_eq!(output.stdout, b"world", "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(_) => keros_skip::skipped("curl is not installed"),
    }
    center.stop().await;
}
