//! The bundles folder: what stays, what goes, and what should not be there at all.

use std::os::unix::fs::symlink;

use super::bundle::{Bundle, bytes, descriptor};
use super::server::Server;
use super::*;

fn store(folder: &Path) -> BlobStore {
    let store = BlobStore::new(folder.join("bundles"), Path::new("/"));
    store.prepare().unwrap();
    store
}

fn put(store: &BlobStore, content: &[u8]) -> Digest {
    let mut part = store.part(descriptor(content), &Stop::default()).unwrap();
    part.add(content).unwrap();
    assert!(part.finish().unwrap());
    Digest::of(content)
}

fn begin(store: &BlobStore, content: &[u8]) {
    let mut part = store.part(descriptor(content), &Stop::default()).unwrap();
    part.add(&content[..10]).unwrap();
    part.pause();
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_open_jobs_need_stays_and_of_the_rest_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let bundle = Bundle::of_length(1000);
    put(&store, &bundle.manifest);
    put(&store, &bundle.blobs[&bundle.config]);
    begin(&store, &bundle.blobs[&bundle.data()]);
    begin(&store, &bytes(1000, 50));
    let old: Vec<Digest> = (0..4)
        .map(|age| {
            let digest = put(&store, &bytes(1000, 60 + age));
            let path = store.folder().join("blobs/sha256").join(digest.hex());
            let time = std::time::SystemTime::now() - Duration::from_secs(100 * age);
            std::fs::File::open(path).unwrap().set_modified(time).unwrap();
            digest
        })
        .collect();
    // Each takes a block of the disk.
    store.collect(&[bundle.digest], 2 * 4096 + 2500);
    let mut expected: Vec<_> =
        [bundle.digest, bundle.config, old[0], old[1]].map(|digest| digest.hex()).to_vec();
    expected.sort();
    assert_eq!(names(&store.folder().join("blobs/sha256")), expected);
    let part = bundle.data().hex();
    assert_eq!(names(&store.folder().join("partial")), [part.clone(), format!("{part}.durable")]);
    store.collect(&[], 0);
    assert_eq!(names(&store.folder().join("blobs/sha256")), [] as [String; 0]);
    assert_eq!(names(&store.folder().join("partial")), [] as [String; 0]);
}

#[test]
fn what_does_not_belong_there_is_removed_and_nothing_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "x").unwrap();
    let bundle = Bundle::of_length(1000);
    let all: Vec<Digest> = bundle.blobs.keys().copied().chain([bundle.digest]).collect();
    type Make = fn(&Path, &Path);
    let makes: [Make; 4] = [
        |path, outside| symlink(outside.join("precious"), path).unwrap(),
        |path, outside| symlink(outside, path).unwrap(),
        |path, _| std::fs::create_dir_all(path.join("deep/er")).unwrap(),
        |path, _| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
    ];
    for make in makes {
        let served = bundle.clone();
        let server = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
        let mut gateway = Gateway::new();
        for place in ["blobs/sha256", "partial"] {
            let place = gateway.folder.path().join("bundles").join(place);
            std::fs::create_dir_all(&place).unwrap();
            all.iter().for_each(|digest| make(&place.join(digest.hex()), &outside));
            make(&place.join("junk"), &outside);
            make(&place.join(format!("{}.durable", bundle.data().hex())), &outside);
        }
        assert_eq!(gateway.fetch(&bundle, &server), FetchEnd::Complete);
        gateway.fetcher.means.store.collect(&[bundle.digest], 0);
        assert_eq!(names(&gateway.blobs()).len(), all.len());
        assert_eq!(gateway.parts(), [] as [String; 0]);
        assert_eq!(names(&outside), ["precious"]);
        assert_eq!(std::fs::read_to_string(outside.join("precious")).unwrap(), "x");
    }
    // The folders themselves.
    for place in ["bundles", "bundles/blobs", "bundles/blobs/sha256", "bundles/partial"] {
        let served = bundle.clone();
        let server = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
        let mut gateway = Gateway::new();
        let path = gateway.folder.path().join(place);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(&outside, &path).unwrap();
        assert_eq!(gateway.fetch(&bundle, &server), FetchEnd::Complete);
        assert_eq!(names(&outside), ["precious"]);
    }
}

#[test]
fn a_part_has_one_writer_and_is_not_removed_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let content = bytes(1000, 1);
    let mut part = store.part(descriptor(&content), &Stop::default()).unwrap();
    part.add(&content[..500]).unwrap();
    let second = store.part(descriptor(&content), &Stop::default()).unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
    store.collect(&[], 0);
    part.add(&content[500..]).unwrap();
    assert!(part.finish().unwrap());
}

#[test]
fn the_room_for_a_bundle_is_kept_free_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let blob = descriptor(&bytes(1_000_000, 1));
    assert_eq!((store.have(blob), store.taken(blob)), (0, 0));
    store.part(blob, &Stop::default()).unwrap().reserve().unwrap();
    assert_eq!((store.have(blob), store.taken(blob)), (0, blob.size));
}
