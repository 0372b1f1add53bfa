//! Makes archives, also such as no honest program would make.

#![allow(dead_code, reason = "each test program uses its part")]

use std::io::Write as _;
use std::process::{Command, Stdio};

/// An entry of a tar archive, byte by byte as wanted.
pub(crate) fn tar_entry(name: &[u8], kind: u8, target: &[u8], mode: u32, content: &[u8]) -> Vec<u8> {
    tar_entry_of_size(name, kind, target, mode, content, content.len() as u64)
}

/// As [`tar_entry`], with a size that need not be true.
pub(crate) fn tar_entry_of_size(
    name: &[u8],
    kind: u8,
    target: &[u8],
    mode: u32,
    content: &[u8],
    size: u64,
) -> Vec<u8> {
    if name.len() > 100 {
        let mut all = tar_entry(b"././@LongLink", b'L', b"", 0o644, &[name, b"\0"].concat());
        all.extend(tar_entry_of_size(&name[..100], kind, target, mode, content, size));
        return all;
    }
    let mut header = tar::Header::new_ustar();
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name);
    old.linkname[..target.len()].copy_from_slice(target);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(mode);
    header.set_size(size);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(crate) fn file(name: &str, content: &str) -> Vec<u8> {
    tar_entry(name.as_bytes(), b'0', b"", 0o644, content.as_bytes())
}

pub(crate) fn folder(name: &str, mode: u32) -> Vec<u8> {
    tar_entry(name.as_bytes(), b'5', b"", mode, b"")
}

pub(crate) fn link(name: &str, target: &str) -> Vec<u8> {
    tar_entry(name.as_bytes(), b'2', target.as_bytes(), 0o777, b"")
}

pub(crate) fn hard_link(name: &str, target: &str) -> Vec<u8> {
    tar_entry(name.as_bytes(), b'1', target.as_bytes(), 0o644, b"")
}

/// A record of pax for the next entry.
pub(crate) fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let digits = (1..6).find(|digits| (rest.len() + digits).to_string().len() == *digits).unwrap();
    tar_entry(b"pax", b'x', b"", 0o644, format!("{}{rest}", rest.len() + digits).as_bytes())
}

pub(crate) fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut all = entries.concat();
    all.extend([0; 1024]);
    all
}

pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zst(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// By the program; `None` where it is not there.
pub(crate) fn xz(bytes: &[u8], options: &[&str]) -> Option<Vec<u8>> {
    let mut command = Command::new("xz");
    command.arg("-c").args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    Some(output.stdout)
}

/// An entry of a zip archive.
pub(crate) struct Zipped {
    pub(crate) name: Vec<u8>,
    /// Kind and mode as on a Unix.
    pub(crate) mode: u32,
    pub(crate) content: Vec<u8>,
    pub(crate) flags: u16,
    /// Not the true size, but this one.
    pub(crate) size: Option<u32>,
    pub(crate) wrong_checksum: bool,
}

impl Zipped {
    pub(crate) fn file(name: &str, content: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            mode: 0o100_644,
            content: content.to_vec(),
            flags: 0,
            size: None,
            wrong_checksum: false,
        }
    }
}

pub(crate) fn zip(entries: &[Zipped]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = u32::try_from(bytes.len()).unwrap();
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&entry.content).unwrap();
        let packed = encoder.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(&entry.content);
        let sum = crc.sum() ^ u32::from(entry.wrong_checksum);
        let size = entry.size.unwrap_or(u32::try_from(entry.content.len()).unwrap());
        let mut common = Vec::new();
        for number in [20, entry.flags, 8, 0, 0] {
            common.extend(number.to_le_bytes());
        }
        for number in [sum, u32::try_from(packed.len()).unwrap(), size] {
            common.extend(number.to_le_bytes());
        }
        common.extend(u16::try_from(entry.name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(&entry.name);
        bytes.extend(&packed);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend(&entry.name);
    }
    let at = u32::try_from(bytes.len()).unwrap();
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count, count].concat());
    bytes.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    bytes.extend(at.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}
