//! What is in the packages: they are the same each time, and what people read of them is sound.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use keros_tests::{keros_program, packages, project_root, run, run_ok, system_program};

/// The paths in a package.
fn paths(package: &Path) -> Result<BTreeSet<String>> {
    let tar = run_ok(&system_program("dpkg-deb")?, ["-c".as_ref(), package.as_os_str()])?;
    Ok(tar.lines().filter_map(|line| line.split_whitespace().nth(5)).map(str::to_owned).collect())
}

#[test]
fn every_unit_and_every_page_is_in_the_package_and_nothing_of_keros_5() -> Result<()> {
    let paths = paths(&packages::agent_package()?)?;
    for unit in fs::read_dir(project_root().join("systemd"))? {
        let name = unit?.file_name().to_string_lossy().into_owned();
        let place = match name.rsplit_once('.').map_or("", |(_, kind)| kind) {
            "conf" => {
                let (name, kind) =
                    name.trim_end_matches(".conf").rsplit_once('.').context("NAME.KIND.conf")?;
                format!("./usr/lib/{kind}.d/{name}.conf")
            }
            "catalog" => format!("./usr/lib/systemd/catalog/{name}"),
            _ => format!("./usr/lib/systemd/system/{name}"),
        };
        ensure!(paths.contains(&place), "systemd/{name} is not at {place} of the package: {paths:#?}");
    }
    for page in ["man1/keros-agent.1", "man1/keros-executor-settle.1", "man5/keros-agent-config.5"] {
        ensure!(paths.contains(&format!("./usr/share/man/{page}.gz")), "{page}: {paths:#?}");
    }
    for completion in [
        "bash-completion/completions/keros-executor",
        "zsh/vendor-completions/_keros-agent",
        "fish/vendor_completions.d/keros-agent.fish",
    ] {
        ensure!(paths.contains(&format!("./usr/share/{completion}")), "{completion}: {paths:#?}");
    }
    // A gateway whose agent is broken, or was never enabled, finishes what its jobs are owed all the same.
    for link in [
        "multi-user.target.wants/keros-executor-settle.service",
        "timers.target.wants/keros-executor-settle.timer",
    ] {
        ensure!(paths.contains(&format!("./usr/lib/systemd/system/{link}")), "{link}: {paths:#?}");
    }
    ensure!(!paths.iter().any(|path| path.contains("monit") || path.contains("init.d")), "{paths:#?}");
    Ok(())
}

#[test]
fn the_same_programs_give_the_same_bytes() -> Result<()> {
    let binaries = tempfile::tempdir()?;
    for program in ["keros-agent", "keros-executor", "keros-center"] {
        // Whatever is in them.
        fs::write(binaries.path().join(program), program.repeat(1000))?;
    }
    let manual = keros_program("keros-manual")?;
    let build = |version: &str| -> Result<Vec<Vec<u8>>> {
        let out = tempfile::tempdir()?;
        let folder = out.path().to_string_lossy().into_owned();
        let arguments = [
            "--manual".to_owned(),
            manual.display().to_string(),
            "--binaries".to_owned(),
            binaries.path().display().to_string(),
            "--version".to_owned(),
            version.to_owned(),
            "--out".to_owned(),
            folder,
            "arm64".to_owned(),
        ];
        let made = run_ok(&project_root().join("packaging/build"), arguments)?;
        made.lines().map(|path| Ok(fs::read(path)?)).collect()
    };
    let first = build("1.2.3")?;
    ensure!(first.len() == 2, "agent and center");
    // File times are seconds: the second build is in another one.
    let then = std::time::SystemTime::now();
    keros_tests::wait_for("another second", || Ok((then.elapsed()?.as_millis() > 1000).then_some(())))?;
    ensure!(build("1.2.3")? == first, "the second build gave other bytes");
    ensure!(build("1.2.4")? != first, "and another version other ones");
    Ok(())
}

#[test]
fn manual_pages_and_completions_are_sound() -> Result<()> {
    let folder = tempfile::tempdir()?;
    run_ok(&keros_program("keros-manual")?, [folder.path()])?;
    let find = |pattern: &str| -> Result<Vec<String>> {
        let found = run_ok(
            &system_program("find")?,
            [folder.path().as_os_str(), "-path".as_ref(), pattern.as_ref()],
        )?;
        Ok(found.lines().map(str::to_owned).collect())
    };
    let pages = find("*/man/*.[15]")?;
    ensure!(pages.len() > 60, "{pages:#?}");
    for page in pages {
        let output = run(&system_program("groff")?, ["-K", "utf8", "-ww", "-man", "-z", "-Tutf8", &page])?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() && told.is_empty(), "{page}: {told}");
    }
    let scripts = find("*/bash-completion/completions/*")?;
    ensure!(scripts.len() == 3, "{scripts:#?}");
    for script in scripts {
        run_ok(&system_program("bash")?, ["-n", &script])?;
    }
    Ok(())
}
