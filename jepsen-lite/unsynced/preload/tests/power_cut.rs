//! Unsynced changes of a real, killed process are lost, and synced ones are kept.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by a panic")]

mod scene;

use scene::{Scene, Stage};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use unsynced::Loss;

const SCENES: &[Scene] = &[
    ("writes", writes),
    ("another descriptor", another_descriptor),
    ("half syncs", half_syncs),
    ("names", names),
    ("removals", removals),
    ("lengths", lengths),
    ("appends and copies", appends_and_copies),
    ("directories", directories),
    ("more", more),
    ("a mapping", a_mapping),
];

#[test]
fn a_scene_is_played_in_a_child() {
    scene::play(SCENES);
}

/// A file whose content and name are durable.
fn durable(dir: &Path, name: &str, content: &str) -> File {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true);
    let file = file.open(dir.join(name)).unwrap();
    file.write_all_at(content.as_bytes(), 0).unwrap();
    file.sync_all().unwrap();
    sync(dir);
    file
}

fn sync(dir: &Path) {
    File::open(dir).unwrap().sync_all().unwrap();
}

fn writes(dir: &Path) {
    let file = durable(dir, "file", "synced synced");
    file.write_all_at(b"LOST", 2).unwrap();
    file.write_all_at(b"LOST", 11).unwrap();
}

#[test]
fn unsynced_writes_are_lost_and_synced_ones_kept() {
    let stage = Stage::new();
    stage.play("writes");
    assert_eq!(stage.read("file").unwrap(), "syLOST syncLOST");
    let undone = stage.cut(Loss::All, 0);
    assert_eq!(stage.read("file").unwrap(), "synced synced");
    assert_eq!((undone.changes_lost, undone.bytes_lost), (2, 8));
    assert_eq!(undone.files.iter().map(|p| p.to_str().unwrap()).collect::<Vec<_>>(), ["file"]);
    // There is no more to lose.
    assert_eq!(stage.cut(Loss::All, 0).changes_lost, 0);
    assert_eq!(stage.names(), ["file"]);
}

fn another_descriptor(dir: &Path) {
    let file = durable(dir, "file", "old");
    file.write_all_at(b"new", 0).unwrap();
    File::open(dir.join("file")).unwrap().sync_data().unwrap();
    file.try_clone().unwrap().write_all_at(b"lost", 0).unwrap();
}

#[test]
fn a_sync_is_of_the_file_not_of_the_descriptor() {
    let stage = Stage::new();
    stage.play("another descriptor");
    stage.cut(Loss::All, 0);
    assert_eq!(stage.read("file").unwrap(), "new");
}

fn half_syncs(dir: &Path) {
    let file = durable(dir, "file", "old");
    file.write_all_at(b"new", 0).unwrap();
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    // SAFETY: it takes a descriptor, and touches no memory.
    assert_eq!(unsafe { libc::sync_file_range(fd, 0, 3, flags) }, 0);
    // Nor is a sync of another file, or of the directory.
    durable(dir, "other", "other");
}

#[test]
fn sync_file_range_and_syncs_of_others_are_no_sync() {
    let stage = Stage::new();
    stage.play("half syncs");
    stage.cut(Loss::All, 0);
    assert_eq!(stage.read("file").unwrap(), "old");
    assert_eq!(stage.read("other").unwrap(), "other");
}

fn names(dir: &Path) {
    for which in ["durable", "lost"] {
        durable(dir, which, "old");
        durable(dir, &format!("{which}.tmp"), "new");
    }
    fs::rename(dir.join("durable.tmp"), dir.join("durable")).unwrap();
    sync(dir);
    fs::rename(dir.join("lost.tmp"), dir.join("lost")).unwrap();
    let nameless = File::create(dir.join("nameless")).unwrap();
    nameless.write_all_at(b"synced, but who finds it?", 0).unwrap();
    nameless.sync_all().unwrap();
}

#[test]
fn names_are_durable_by_a_sync_of_their_directory() {
    let stage = Stage::new();
    stage.play("names");
    stage.cut(Loss::All, 0);
    assert_eq!(stage.names(), ["durable", "lost", "lost.tmp"]);
    assert_eq!(stage.read("durable").unwrap(), "new");
    assert_eq!(stage.read("lost").unwrap(), "old");
    assert_eq!(stage.read("lost.tmp").unwrap(), "new");
}

fn removals(dir: &Path) {
    durable(dir, "gone", "gone");
    fs::remove_file(dir.join("gone")).unwrap();
    sync(dir);
    let file = durable(dir, "file", "first");
    file.write_all_at(b"FIRST", 0).unwrap();
    fs::remove_file(dir.join("file")).unwrap();
    let second = File::create(dir.join("file")).unwrap();
    second.write_all_at(b"second", 0).unwrap();
    second.sync_all().unwrap();
}

#[test]
fn an_unsynced_removal_brings_the_file_back() {
    let stage = Stage::new();
    stage.play("removals");
    stage.cut(Loss::All, 0);
    assert_eq!(stage.names(), ["file"]);
    assert_eq!(stage.read("file").unwrap(), "first");
}

fn lengths(dir: &Path) {
    durable(dir, "cut", "0123456789").set_len(4).unwrap();
    durable(dir, "grown", "0123").set_len(8).unwrap();
    durable(dir, "emptied", "0123456789");
    fs::write(dir.join("emptied"), "new").unwrap();
    let kept = durable(dir, "kept", "0123456789");
    kept.set_len(4).unwrap();
    kept.sync_all().unwrap();
}

#[test]
fn unsynced_lengths_are_taken_back() {
    let stage = Stage::new();
    stage.play("lengths");
    assert_eq!(stage.read("emptied").unwrap(), "new");
    stage.cut(Loss::All, 0);
    assert_eq!(stage.read("cut").unwrap(), "0123456789");
    assert_eq!(stage.read("grown").unwrap(), "0123");
    assert_eq!(stage.read("emptied").unwrap(), "0123456789");
    assert_eq!(stage.read("kept").unwrap(), "0123");
}

fn appends_and_copies(dir: &Path) {
    use std::io::{IoSlice, Write};
    durable(dir, "log", "one ");
    let mut log = OpenOptions::new().append(true).open(dir.join("log")).unwrap();
    log.write_all(b"two ").unwrap();
    log.sync_data().unwrap();
    let parts = [IoSlice::new(b"th"), IoSlice::new(b"ree")];
    assert_eq!(log.write_vectored(&parts).unwrap(), 5);
    durable(dir, "copy", "before");
    fs::copy(dir.join("log"), dir.join("copy")).unwrap();
    let mut options = OpenOptions::new();
    let mut direct = options.append(true).open(dir.join("log")).unwrap();
    assert_eq!(std::io::copy(&mut File::open(dir.join("copy")).unwrap(), &mut direct).unwrap(), 13);
}

#[test]
fn appends_and_copies_are_seen() {
    let stage = Stage::new();
    stage.play("appends and copies");
    assert_eq!(stage.read("log").unwrap(), "one two threeone two three");
    assert_eq!(stage.read("copy").unwrap(), "one two three");
    stage.cut(Loss::All, 0);
    assert_eq!(stage.read("log").unwrap(), "one two ");
    assert_eq!(stage.read("copy").unwrap(), "before");
}

fn directories(dir: &Path) {
    fs::create_dir(dir.join("kept")).unwrap();
    sync(dir);
    durable(&dir.join("kept"), "file", "here");
    fs::create_dir(dir.join("lost")).unwrap();
    durable(&dir.join("lost"), "file", "nowhere");
}

#[test]
fn what_is_in_a_lost_directory_is_lost() {
    let stage = Stage::new();
    stage.play("directories");
    stage.cut(Loss::All, 0);
    assert_eq!(stage.names(), ["kept"]);
    assert_eq!(stage.read("kept/file").unwrap(), "here");
}

fn more(dir: &Path) {
    let file = OpenOptions::new().write(true).open(dir.join("file")).unwrap();
    file.write_all_at(b"more", 0).unwrap();
}

#[test]
fn a_kill_alone_makes_nothing_durable() {
    let stage = Stage::new();
    stage.play("writes");
    stage.play("more");
    let undone = stage.cut(Loss::All, 0);
    assert_eq!(undone.changes_lost, 3, "of both lives");
    assert_eq!(stage.read("file").unwrap(), "synced synced");
}

fn a_mapping(dir: &Path) {
    let file = durable(dir, "file", "mapped");
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, never used.
    unsafe { libc::mmap(std::ptr::null_mut(), 6, protection, libc::MAP_SHARED, fd, 0) };
}

#[test]
fn a_mapping_that_cannot_be_followed_ends_the_program() {
    let stage = Stage::new();
    let (mut child, _lines) = stage.start("a mapping");
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGABRT));
}
