//! Bytes are read as an archive, as they are and with the checksums of a tar archive made right.

#![no_main]

use keros_playbook::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzzing::archive(bytes);
    fuzzing::archive(&fuzzing::with_checksums(bytes.to_vec()));
});
