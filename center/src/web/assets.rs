//! Style, scripts and pictures: inside the program, with their digests in their names, so that browsers keep them for good and never
//! have an old one.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use ring::digest::{SHA256, digest};

use super::Failure;

/// Hex digits of the digest in a name: 48 bits tell versions of one file apart.
const DIGITS: usize = 12;

/// A file.
struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const fn asset(
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
) -> Asset {
    Asset { stem, extension, content_type, bytes }
}

static ASSETS: &[Asset] = &[
    asset("app", "css", CSS, include_bytes!("../../web/static/app.css")),
    asset("app", "js", SCRIPT, include_bytes!("../../web/static/app.js")),
    asset("live", "js", SCRIPT, include_bytes!("../../web/static/live.js")),
    asset("update", "js", SCRIPT, include_bytes!("../../web/static/update.js")),
    asset("icon", "svg", "image/svg+xml", include_bytes!("../../web/static/icon.svg")),
];

/// The names by which they are asked for, in the order of [`ASSETS`].
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(Asset::name).collect());

impl Asset {
    fn name(&self) -> String {
        let hex: String =
            digest(&SHA256, self.bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}.{}", self.stem, hex.get(..DIGITS).unwrap_or(&hex), self.extension)
    }
}

/// Where the file of this plain name (`app.css`) is. A name that is none leads nowhere.
pub(super) fn path_of(plain: &str) -> String {
    let is_it = |asset: &Asset| {
        plain.strip_prefix(asset.stem).and_then(|rest| rest.strip_prefix('.')) == Some(asset.extension)
    };
    let name = ASSETS.iter().position(is_it).and_then(|index| NAMES.get(index));
    format!("/static/{}", name.map_or(plain, String::as_str))
}

pub(super) async fn get(Path(name): Path<String>) -> Result<Response, Failure> {
    let found = NAMES.iter().position(|known| *known == name).and_then(|index| ASSETS.get(index));
    let asset = found.ok_or_else(|| Failure::not_found("There is no such file."))?;
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, asset.bytes).into_response())
}
