//! A Magic Link that is made, kept and served by the center: who is declared runs it, also on KerOS 5, and who is not has read
//! no more of it than for whom it is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use keros_tests::{
    Answer, Asked, Bundle, Fleet, GatewayOptions, KEROS_5, KEROS_6, StandIn, free_port, run, system_program,
};
use serde_json::Value;

const SIX: &str = "7076FF0000000006";
const FIVE: &str = "7076FF0000000005";
const STRANGER: &str = "7276FF0000000006";

const SITE: &str = "\
- name: forwarder
  groups: [all]
  tasks:
    - !copy { src: forwarder.bin, dest: /etc/forwarder.bin }
    - !shell { cmd: 'echo run >> \"$KEROS_ROOT/etc/runs\"' }
";

/// Asks the center's registry what the stand-in was asked for.
fn relay(registry: u16, asked: &Asked) -> Answer {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let mut request = agent.get(format!("http://127.0.0.1:{registry}{}", asked.path));
    if let Some(authorization) = &asked.authorization {
        request = request.header("Authorization", authorization);
    }
    match request.call().map(|mut answer| (answer.status().as_u16(), answer.body_mut().read_to_vec())) {
        Ok((200, Ok(bytes))) => Answer::Bytes(bytes),
        Ok((status, _)) => Answer::Status(status),
        Err(_) => Answer::Status(502),
    }
}

/// What each token was used for.
fn by_token(stand_in: &StandIn) -> BTreeMap<String, BTreeSet<String>> {
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Asked { path, authorization, .. } in stand_in.asked() {
        paths.entry(authorization.unwrap_or_default()).or_default().insert(path);
    }
    paths
}

#[test]
fn the_declared_run_it_and_a_stranger_reads_only_for_whom_it_is() -> Result<()> {
    let port = free_port()?;
    let stand_in = StandIn::start(move |asked| relay(port, asked))?;
    let registry = [
        "--registry".to_owned(),
        format!("127.0.0.1:{port}"),
        "--registry-url".to_owned(),
        format!("http://127.0.0.1:{}", stand_in.port),
    ];
    let options =
        GatewayOptions { more: "magic_links: { allow_http: true }\n".to_owned(), ..Default::default() };
    let fleet =
        Fleet::start_registry(&[(SIX, KEROS_6), (FIVE, KEROS_5), (STRANGER, KEROS_6)], &options, &registry)?;
    let workshop = fleet.path("forwarder");
    std::fs::create_dir_all(workshop.join("files"))?;
    std::fs::write(workshop.join("site.yml"), SITE)?;
    std::fs::write(workshop.join("files/forwarder.bin"), vec![7; 100_000])?;
    let made = fleet.center.command_line(&[
        "magic-link",
        "create",
        &workshop.display().to_string(),
        "--gateway",
        "7076FF*",
        "--json",
    ])?;
    let made: Value = serde_json::from_str(&made)?;
    let hash = made["digest"].as_str().context("a Magic Link has a digest")?;

    let update = fleet.send_link("site", hash, None)?;
    let ends = fleet.ends(&update)?;
    ensure!(ends[SIX] == "succeeded" && ends[FIVE] == "succeeded", "{ends:#?}");
    ensure!(ends[STRANGER] == "refused: not_declared", "{ends:#?}");
    for gateway in &fleet.gateways {
        let runs = std::fs::read_to_string(gateway.root.join("etc/runs")).unwrap_or_default();
        ensure!(runs == if gateway.eui == STRANGER { "" } else { "run\n" }, "{}: {runs:?}", gateway.eui);
    }
    let mut asked: Vec<usize> = by_token(&stand_in).values().map(BTreeSet::len).collect();
    asked.sort_unstable();
    // Manifest and config; those, the playbook and its file.
    ensure!(asked == [2, 4, 4], "{:#?}", by_token(&stand_in));
    Ok(())
}

/// A token is good for one gateway and one Magic Link: it opens nothing else, and without one nothing opens.
#[test]
fn what_a_gateway_was_given_opens_one_link_alone() -> Result<()> {
    let port = free_port()?;
    let stand_in = StandIn::start(move |asked| relay(port, asked))?;
    let url = format!("http://127.0.0.1:{}", stand_in.port);
    let registry = ["--registry", &format!("127.0.0.1:{port}"), "--registry-url", &url].map(str::to_owned);
    let options =
        GatewayOptions { more: "magic_links: { allow_http: true }\n".to_owned(), ..Default::default() };
    let fleet = Fleet::start_registry(&[(SIX, KEROS_6)], &options, &registry)?;
    let mut hashes = Vec::new();
    for name in ["one", "two"] {
        let workshop = fleet.path(name);
        std::fs::create_dir(&workshop)?;
        std::fs::write(
            workshop.join("site.yml"),
            format!("{SITE}# {name}\n")
                .replace("    - !copy { src: forwarder.bin, dest: /etc/forwarder.bin }\n", ""),
        )?;
        let folder = workshop.display().to_string();
        let arguments = ["magic-link", "create", &folder, "--gateway", SIX, "--json"];
        let made: Value = serde_json::from_str(&fleet.center.command_line(&arguments)?)?;
        hashes.push(made["digest"].as_str().context("a Magic Link has a digest")?.to_owned());
    }
    let update = fleet.send_link("site", &hashes[0], None)?;
    ensure!(fleet.ends(&update)?[SIX] == "succeeded");
    let token = stand_in.asked().into_iter().find_map(|asked| asked.authorization);
    let ask = |hash: &str, authorization: Option<String>| {
        let path = format!("/v2/links/manifests/{hash}");
        relay(port, &Asked { path, authorization, from: 0 })
    };
    ensure!(matches!(ask(&hashes[0], token.clone()), Answer::Bytes(_)));
    ensure!(matches!(ask(&hashes[1], token), Answer::Status(401 | 403 | 404)));
    ensure!(matches!(ask(&hashes[0], None), Answer::Status(401)));
    Ok(())
}

#[test]
fn curl_fetches_by_range_what_it_was_cut_off_from() -> Result<()> {
    let port = free_port()?;
    let registry = ["--registry".to_owned(), format!("127.0.0.1:{port}")];
    let fleet = Fleet::start_registry(&[], &GatewayOptions::default(), &registry)?;
    let data: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let files = [("site.yml", SITE.as_bytes()), ("files/forwarder.bin", data.as_slice())];
    let bundle = Bundle::write(&fleet.path("layout"), &[SIX], &files)?;
    fleet.center.command_line(&["magic-link", "import", &bundle.layout.display().to_string()])?;
    let blob = format!("http://127.0.0.1:{port}/v2/links/blobs/{}", bundle.manifest.files[1].blob.digest);
    let bearer = format!("Authorization: Bearer {}", fleet.center.token().context("it has a token")?);
    let curl = |arguments: &[&str]| {
        run(&system_program("curl")?, ["-s", "-H", &bearer, &blob].iter().chain(arguments))
    };

    ensure!(curl(&["-r", "100-199"])?.stdout == data[100..200]);
    ensure!(curl(&["-r", "-10"])?.stdout == data[data.len() - 10..]);
    let part = fleet.path("part");
    std::fs::write(&part, &data[..54_321])?;
    let output = curl(&["-f", "-C", "-", "-o", &part.display().to_string()])?;
    ensure!(output.status.success() && std::fs::read(&part)? == data, "{output:?}");
    let beyond = curl(&["-r", "100000-", "-o", "/dev/null", "-w", "%{http_code}"])?;
    ensure!(beyond.stdout == b"416", "{beyond:?}");
    Ok(())
}
