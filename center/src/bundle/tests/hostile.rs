//! Layouts and tars that somebody made to harm, or by mistake: each is refused by name.

use std::io::Write as _;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::*;

/// What is said of a layout, and whether it was read after all.
fn fault(path: &Path) -> String {
    let read = || {
        let bundle = Image::open(path)?.bundle(None)?;
        for blob in bundle.link.manifest.blobs() {
            let copied = std::io::copy(&mut bundle.blob(blob)?, &mut std::io::sink());
            copied.map_err(|error| bundle.failed(blob.digest, error, &|_| unreachable!()))?;
        }
        Ok::<_, BundleError>(())
    };
    read().err().map_or_else(|| "read".to_owned(), |error| error.to_string())
}

/// A good layout, changed.
fn layout_with(change: impl FnOnce(&Path)) -> String {
    let folder = folder();
    let out = folder.path().join("out");
    write(&bundle(folder.path()), &out).unwrap();
    change(&out);
    fault(&out)
}

fn blob_of(layout: &Path, content: &str) -> std::path::PathBuf {
    super::super::link::blob_path(layout, keros_protocol::magic_link::Digest::of(content.as_bytes()))
}

#[test]
fn a_layout_that_is_none_or_damaged_is_named() {
    assert_eq!(layout_with(|_| {}), "read");
    let index =
        |text: &'static str| layout_with(move |out| std::fs::write(out.join("index.json"), text).unwrap());
    for (found, words) in [
        (
            layout_with(|out| std::fs::remove_file(out.join("oci-layout")).unwrap()),
            "oci-layout cannot be read",
        ),
        (
            layout_with(|out| put(out, "oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#)),
            "\"2.0.0\", not 1.0.0",
        ),
        (index("{"), "index.json: EOF"),
        (index("{\"manifests\":[]}"), "names no manifest"),
        (
            index(
                r#"{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":1}]}"#,
            ),
            "names no manifest",
        ),
        (
            index(
                r#"{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../../etc/passwd","size":1}]}"#,
            ),
            "64 lower-case hex digits",
        ),
        (layout_with(|out| put(out, "index.json", &" ".repeat(1024 * 1024 + 1))), "more than 1048576 bytes"),
        (layout_with(|out| std::fs::remove_file(blob_of(out, "hello\n")).unwrap()), "No such file"),
        (layout_with(|out| std::fs::write(blob_of(out, "hello\n"), "hellO\n").unwrap()), "has the digest"),
        (layout_with(|out| std::fs::write(blob_of(out, "hello\n"), "hell").unwrap()), "2 bytes too early"),
        (
            layout_with(|out| std::fs::write(blob_of(out, "hello\n"), "hello\n\n").unwrap()),
            "more than 6 bytes",
        ),
        (
            layout_with(|out| {
                let path = blob_of(out, "hello\n");
                std::fs::remove_file(&path).unwrap();
                nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
            }),
            "it is no file",
        ),
    ] {
        assert!(found.contains(words), "{words}: {found}");
    }
}

/// A tar of a good layout, its entries changed.
fn tar_with(change: impl FnOnce(&mut Builder<Vec<u8>>)) -> String {
    let folder = folder();
    let out = folder.path().join("out");
    write(&bundle(folder.path()), &out).unwrap();
    let mut tar = Builder::new(Vec::new());
    tar.append_dir_all(".", &out).unwrap();
    change(&mut tar);
    let path = folder.path().join("x.tar");
    std::fs::write(&path, tar.into_inner().unwrap()).unwrap();
    fault(&path)
}

fn add(tar: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, size: u64, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

#[test]
fn a_tar_that_is_made_to_harm_is_named() {
    let file = EntryType::Regular;
    assert_eq!(tar_with(|_| {}), "read", "names that begin with ./");
    assert_eq!(tar_with(|tar| add(tar, "manifest.json", file, 2, b"[]")), "read", "as docker writes it");
    for (found, words) in [
        (tar_with(|tar| add(tar, "../x", file, 1, b"x")), "\"../x\" leads out"),
        (tar_with(|tar| add(tar, "/etc/passwd", file, 1, b"x")), "leads out"),
        (tar_with(|tar| add(tar, "blobs/../../x", EntryType::Directory, 0, b"")), "leads out"),
        (tar_with(|tar| add(tar, "index.json", file, 2, b"{}")), "\"index.json\" is in it twice"),
        (tar_with(|tar| add(tar, "x", EntryType::Symlink, 0, b"")), "\"x\" is a link"),
        (tar_with(|tar| add(tar, "x", EntryType::Link, 0, b"")), "\"x\" is a link"),
        (tar_with(|tar| add(tar, "x", EntryType::Char, 0, b"")), "neither a file nor a folder"),
        (tar_with(|tar| add(tar, "x", EntryType::GNUSparse, 0, b"")), "sparse"),
        (tar_with(|tar| add(tar, "x", file, 1 << 40, b"x")), "cut off: \"x\""),
        (tar_with(|tar| add(tar, "x", file, u64::MAX, b"x")), "size overflow"),
        (tar_with(|tar| add(tar, "x", EntryType::GNULongName, 1 << 40, b"x")), "cut off"),
        (tar_with(|tar| tar.get_mut().extend([b'x'; 512])), "no tar, or a damaged one"),
    ] {
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn a_tar_that_is_none_is_named() {
    let folder = folder();
    let path = folder.path().join("out.tar");
    write(&bundle(folder.path()), &path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let said = |bytes: &[u8]| {
        let path = folder.path().join("x.tar");
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        fault(&path)
    };
    for (bytes, words) in [
        (&b""[..], "oci-layout is not in it"),
        (b"not a tar", "no tar, or a damaged one"),
        (&[b'x'; 2048], "no tar"),
        (b"\x1F\x8B\x08rest", "compressed by gzip, a plain tar is read: unpack it with gunzip"),
        (b"\x28\xB5\x2F\xFDrest", "zstd"),
        (b"BZh9", "bzip2"),
        (b"\xFD7zXZ", "xz"),
    ] {
        assert!(said(bytes).contains(words), "{words}: {}", said(bytes));
    }
    assert_eq!(said(&whole), "read");
    // The last 1,024 bytes are the end's mark, which some tools leave out, and the 512 before them may be padding.
    for end in (0..whole.len() - 1536).step_by(7) {
        let found = said(&whole[..end]);
        assert_ne!(found, "read", "cut at {end}");
    }
}

#[test]
fn no_single_bit_of_a_tar_can_turn_unseen() {
    let folder = folder();
    let path = folder.path().join("out.tar");
    let good = bundle(folder.path());
    write(&good, &path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // Every 31st: each bit of a byte has its turn.
    for bit in (0..bytes.len() * 8).step_by(31) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &bytes).unwrap();
        let read = Image::open(&path).and_then(|image| image.bundle(Some(&good.digest.hex())));
        if let Ok(read) = read {
            assert_eq!(read.manifest, good.manifest, "bit {bit}");
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}
