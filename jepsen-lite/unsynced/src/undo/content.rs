//! Takes writes and changes of length back, and makes them again in part or whole.

use super::choice::Kept;
use super::tree::Tree;
use crate::journal::at;
use crate::record::{FileId, Resized, Written};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Takes a write back; returns what it had left, from its beginning to its end or the file's.
pub(super) fn take_back_write(tree: &mut Tree, written: &Written) -> io::Result<Vec<u8>> {
    let Some((path, file)) = open(tree, written.file)? else {
        return Ok(Vec::new());
    };
    let take_back = || {
        let len = file.metadata()?.len();
        let end = written.at.saturating_add(written.len).min(len);
        let mut new = vec![0; end.saturating_sub(written.at) as usize];
        file.read_exact_at(&mut new, written.at)?;
        if len != written.old_len {
            file.set_len(written.old_len)?;
        }
        file.write_all_at(&written.old, written.at)?;
        Ok(new)
    };
    take_back().map_err(|e| at(&path, &e))
}

/// Gives a file back its length, and what was cut off.
pub(super) fn take_back_resize(tree: &mut Tree, resized: &Resized) -> io::Result<()> {
    let Some((path, file)) = open(tree, resized.file)? else {
        return Ok(());
    };
    let take_back = || {
        file.set_len(resized.old_len)?;
        file.write_all_at(&resized.old, resized.to)
    };
    take_back().map_err(|e| at(&path, &e))
}

/// Writes again what is kept of a write.
pub(super) fn make_write_again(
    tree: &mut Tree,
    written: &Written,
    new: &[u8],
    kept: &Kept,
) -> io::Result<()> {
    let Some((path, file)) = open(tree, written.file)? else {
        return Ok(());
    };
    for range in kept.ranges(written.at, new.len() as u64) {
        let (from, to) = (range.start - written.at, range.end - written.at);
        let bytes = &new[from as usize..to as usize];
        file.write_all_at(bytes, range.start).map_err(|e| at(&path, &e))?;
    }
    Ok(())
}

/// Sets a length again.
pub(super) fn make_resize_again(tree: &mut Tree, resized: &Resized) -> io::Result<()> {
    match open(tree, resized.file)? {
        Some((path, file)) => file.set_len(resized.to).map_err(|e| at(&path, &e)),
        None => Ok(()),
    }
}

fn open(tree: &mut Tree, file: FileId) -> io::Result<Option<(PathBuf, File)>> {
    let Some(path) = tree.find(file)? else {
        return Ok(None);
    };
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|e| at(&path, &e))?;
    Ok(Some((path, file)))
}
