//! Lists of declared gateways, in any spelling that people use.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use keros_protocol::limits::MAX_LINK_CONFIG_BYTES;
use keros_protocol::magic_link::GatewayPattern;

use super::BundleError;

/// A list of the greatest config, each line with a comment twice as long as its EUI.
const MAX_LIST_BYTES: u64 = 4 * MAX_LINK_CONFIG_BYTES as u64;

/// Reads a list: an EUI or a beginning (`7076FF*`) a line; what is behind `#` is a comment.
///
/// # Errors
/// When it cannot be read, or a line is neither.
pub(crate) fn read_gateways(path: &Path) -> Result<BTreeSet<GatewayPattern>, BundleError> {
    let reading = |error| BundleError::Read(path.to_owned(), error);
    let mut text = String::new();
    let mut limited = std::fs::File::open(path).map_err(reading)?.take(MAX_LIST_BYTES + 1);
    limited.read_to_string(&mut text).map_err(reading)?;
    if text.len() as u64 > MAX_LIST_BYTES {
        return Err(reading(std::io::Error::other(format!("it has more than {MAX_LIST_BYTES} bytes"))));
    }
    parse_list(&text, &path.display().to_string())
}

fn parse_list(text: &str, file: &str) -> Result<BTreeSet<GatewayPattern>, BundleError> {
    let mut gateways = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let of_line = |what| BundleError::Gateways { file: file.to_owned(), line: index + 1, what };
        gateways.insert(parse_pattern(line).map_err(of_line)?);
    }
    Ok(gateways)
}

/// Reads one: `7076FF0056070123`, `70:76:ff:00:56:07:01:23`, `7076ff*`.
///
/// # Errors
/// When it is none.
pub(crate) fn parse_pattern(text: &str) -> Result<GatewayPattern, String> {
    let plain: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.' | ' ')).collect();
    plain.to_ascii_uppercase().parse().map_err(|_| {
        format!(
            "{text:?} is no gateway: expected the 16 hex digits of an EUI, or the first 2 to 15 of several and a `*`, like 7076FF*"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_any_spelling_and_its_order_does_not_matter() {
        let text = "# north\n7076ff0056070123  # tower\n\n 70-76-FF-00-56-07-01-24\r\n70:76:ff:*\n7076FF0056070123\n";
        let list: Vec<String> = parse_list(text, "list").unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(list, ["7076FF*", "7076FF0056070123", "7076FF0056070124"]);
        assert!(parse_list("# nobody\n", "list").unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_no_gateway_is_named() {
        for bad in ["*", "7*", "7076FF", "north", "7076FF0056070123,7076FF0056070124", "7076FF**"] {
            let error = parse_list(&format!("\n{bad}\n"), "list").unwrap_err().to_string();
            assert!(error.starts_with(&format!("list, line 2: {bad:?} is no gateway: expected")), "{error}");
        }
    }
}
