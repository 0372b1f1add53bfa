//! Every bound on what crosses the network, with the arithmetic that it comes from. All sizes are bytes.

/// The text of a JetPorch script. The vendor's page takes one text field; 256 KiB is some 5,000 tasks.
pub const MAX_SCRIPT_BYTES: usize = 256 * 1024;

/// The variables sent with a script, as JSON.
pub const MAX_VARS_BYTES: usize = 64 * 1024;

/// The signed payload of one command: script and variables, each at most doubled by JSON escapes of an ordinary text
/// (`\n`, `\"`), and 1 KiB for the rest.
pub const MAX_COMMAND_PAYLOAD_BYTES: usize = 2 * (MAX_SCRIPT_BYTES + MAX_VARS_BYTES) + 1024;

/// One envelope as JSON: base64 makes 4 bytes of 3; 2 KiB for type, signatures and quotes.
pub const MAX_ENVELOPE_BYTES: usize = MAX_COMMAND_PAYLOAD_BYTES / 3 * 4 + 2048;

/// One Downlink message. It holds at least one command of the greatest size and a statement; what does not fit is sent
/// with a later Downlink. The agent tells the broker this number as its MQTT Maximum Packet Size.
pub const MAX_DOWNLINK_BYTES: usize = 1024 * 1024;

/// Commands in one Downlink.
pub const MAX_COMMANDS_PER_DOWNLINK: usize = 16;

/// Cancellations in one statement: all open jobs of a gateway and all commands beside it, and room. Some 4 KiB as JSON.
pub const MAX_CANCELLATIONS_PER_STATEMENT: usize = 64;

/// Signatures on one envelope: two keys during a switch, and room.
pub const MAX_SIGNATURES: usize = 4;

/// Output kept of one task: head and tail together.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// What a dry run would change, head and tail together: some 400 lines, for one cellular message of each gateway of a group.
pub const MAX_DIFFERENCES_BYTES: usize = 16 * 1024;

/// One Report: output of [`MAX_OUTPUT_BYTES`], each byte at most six in JSON (`\u0000`), and 32 KiB for the rest.
pub const MAX_REPORT_BYTES: usize = 6 * MAX_OUTPUT_BYTES + 32 * 1024;

/// One Telemetry: 2,000 packages of some 100 bytes each, and room.
pub const MAX_TELEMETRY_BYTES: usize = 256 * 1024;

/// Any free text in a report besides the output: messages, names, details.
pub const MAX_TEXT_BYTES: usize = 2048;

/// One request line or event line between agent and executor.
pub const MAX_EXECUTOR_LINE_BYTES: usize = 1024 * 1024;

/// The manifest of a Magic Link: [`MAX_BUNDLE_FILES`] entries of some 250 bytes each.
pub const MAX_MANIFEST_BYTES: usize = 256 * 1024;

/// The config of a Magic Link: some 50,000 gateways by their EUI, 19 bytes each.
pub const MAX_LINK_CONFIG_BYTES: usize = 1024 * 1024;

/// Files of a Magic Link.
pub const MAX_BUNDLE_FILES: usize = 1000;

/// Folders of a Magic Link. Each is made and synced by itself, which takes some milliseconds on the flash of a gateway.
pub const MAX_BUNDLE_FOLDERS: usize = 1000;

/// All files of a Magic Link together. The smallest gateway has 2 GB of flash; agent and executor hold a copy each.
pub const MAX_BUNDLE_BYTES: u64 = 512 * 1024 * 1024;

/// The token with which a gateway fetches a Magic Link.
pub const MAX_FETCH_TOKEN_BYTES: usize = 1024;

/// Shortens a text to at most `max_bytes` bytes, at a character's end, and marks that it did.
#[must_use]
pub fn shorten(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let mark = "…";
    let mut end = max_bytes.saturating_sub(mark.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}", &text[..end])
}

// A Downlink must be able to carry one command of the greatest size, else that command could never be delivered.
const _: () = assert!(MAX_ENVELOPE_BYTES + 64 * 1024 < MAX_DOWNLINK_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortening_keeps_characters_whole() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcdef", 5), "ab…");
        assert_eq!(shorten("ééé", 5), "é…");
    }
}
