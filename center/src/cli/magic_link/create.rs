//! `magic-link create`.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::Context as _;
use keros_protocol::magic_link::GatewayPattern;

use super::arguments::{CreateArguments, FitArguments};
use super::upload;
use crate::api::LinkView;
use crate::bundle::{self, Bundle, BundleError, Contents};
use crate::cli::arguments::Access;
use crate::cli::script::{self, Checked};
use crate::cli::{Ended, connect, print_json};

pub(super) fn run(access: &Access, arguments: CreateArguments, out: &mut dyn Write) -> anyhow::Result<Ended> {
    if arguments.quick.show_playbook {
        write!(out, "{}", arguments.quick.quick().playbook()?)?;
        return Ok(Ended::Done);
    }
    let contents = contents(arguments.fit, arguments.playbook)?;
    // Of the quick form's playbook; the other form leaves it empty.
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let bundle = match &arguments.dir {
        Some(folder) => bundle::make(folder, contents)?,
        None => bundle::make_quick(&arguments.quick.quick(), contents, scratch.path())?,
    };
    if !check(&bundle)? {
        return Ok(Ended::InvalidScript);
    }
    let mut view = LinkView::new(bundle.digest, &bundle.link);
    match &arguments.output {
        Some(path) => bundle::write(&bundle, path)?,
        None => view = upload::run(&connect(access)?, &bundle)?,
    }
    if access.json {
        return print_json(out, &view);
    }
    writeln!(out, "{}", bundle.digest)?;
    let next = match &arguments.output {
        Some(path) => format!("Written to {}; the center does not have it.", path.display()),
        None => {
            let beginning = &bundle.digest.hex()[..12];
            format!("Send it with: keros-center update send --group NAME --magic-link {beginning}")
        }
    };
    writeln!(std::io::stderr(), "{}\n{next}", summary(&view))?;
    Ok(Ended::Done)
}

fn contents(
    fit: FitArguments,
    playbook: Option<keros_protocol::magic_link::Title>,
) -> Result<Contents, BundleError> {
    let models = fit.models();
    let mut gateways: BTreeSet<GatewayPattern> = fit.gateway.into_iter().collect();
    for file in fit.gateways {
        gateways.extend(bundle::read_gateways(&file)?);
    }
    Ok(Contents {
        name: fit.name,
        description: fit.description,
        gateways,
        keros: fit.keros,
        models,
        expires_at_unix_s: fit.expires,
        playbook,
    })
}

/// Checks the playbook as a gateway will; what was found is on standard error then.
fn check(bundle: &Bundle) -> anyhow::Result<bool> {
    let Err(findings) = bundle::check::check(&bundle.link, |digest| bundle.path(digest)) else {
        return Ok(true);
    };
    let checked = Checked::of(findings);
    script::report(&checked, "No Magic Link was made.", &mut |title| {
        let file = bundle.link.manifest.files.iter().find(|file| file.title.as_str() == title)?;
        script::read(&bundle.path(file.blob.digest)).ok()
    })?;
    Ok(checked.is_fit())
}

fn summary(view: &LinkView) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    format!(
        "{} file{}, {} bytes, for {} declared gateway{} or prefix{}.",
        view.files.len(),
        plural(view.files.len()),
        view.size_bytes,
        view.gateways.len(),
        plural(view.gateways.len()),
        if view.gateways.len() == 1 { "" } else { "es" },
    )
}
