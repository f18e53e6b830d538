//! Takes creations, removals and renames back, and makes them again.
//!
//! What is made again may meet another world than it was made in: the creation of a file that was
//! then renamed is lost, say, and the rename is kept. A directory only holds names and inodes, so
//! the outcome is what the kept changes say of each name, and a change whose directory is lost is
//! lost with it.

use super::tree::{Tree, exists, move_to};
use crate::journal::at;
use crate::record::{ChangeNo, Created, FileId, Grave, Removed, Renamed};
use std::io;
use std::path::Path;

pub(super) fn take_back_create(tree: &mut Tree, no: ChangeNo, created: &Created) -> io::Result<()> {
    let is_there = match created.file {
        Some(file) => tree.is_at(file, &created.path),
        // It died in the middle of it.
        None => exists(&created.path),
    };
    if is_there { move_to(&created.path, &tree.aside(no)) } else { Ok(()) }
}

pub(super) fn make_create_again(
    tree: &mut Tree,
    no: ChangeNo,
    created: &Created,
) -> io::Result<()> {
    let aside = tree.aside(no);
    if !has_parent(&created.path) || !exists(&aside) {
        return Ok(());
    }
    displace(tree, no, &created.path)?;
    move_to(&aside, &created.path)
}

pub(super) fn take_back_remove(tree: &mut Tree, no: ChangeNo, removed: &Removed) -> io::Result<()> {
    if exists(&removed.path) {
        // It died before it could make the change.
        return Ok(());
    }
    exhume(tree, no, removed.file, removed.grave, &removed.path)
}

pub(super) fn make_remove_again(
    tree: &mut Tree,
    no: ChangeNo,
    removed: &Removed,
) -> io::Result<()> {
    displace(tree, no, &removed.path)
}

pub(super) fn take_back_rename(tree: &mut Tree, no: ChangeNo, renamed: &Renamed) -> io::Result<()> {
    if !tree.is_at(renamed.file, &renamed.to) || tree.is_at(renamed.file, &renamed.from) {
        // It died before it could make the change.
        return Ok(());
    }
    move_to(&renamed.to, &renamed.from)?;
    match renamed.replaced {
        Some((file, grave)) => exhume(tree, no, file, grave, &renamed.to),
        None => Ok(()),
    }
}

pub(super) fn make_rename_again(
    tree: &mut Tree,
    no: ChangeNo,
    renamed: &Renamed,
) -> io::Result<()> {
    if !has_parent(&renamed.to) {
        return Ok(());
    }
    let from = if tree.is_at(renamed.file, &renamed.from) {
        Some(renamed.from.clone())
    } else {
        // The name that it had before is lost, but the file is there.
        tree.find(renamed.file)?
    };
    match from {
        Some(from) if from != renamed.to => {
            displace(tree, no, &renamed.to)?;
            move_to(&from, &renamed.to)
        }
        Some(_) | None => Ok(()),
    }
}

/// Puts what a change removed back under its name.
fn exhume(
    tree: &mut Tree,
    no: ChangeNo,
    file: FileId,
    grave: Grave,
    path: &Path,
) -> io::Result<()> {
    match grave {
        Grave::Directory => std::fs::create_dir(path).map_err(|e| at(path, &e)),
        Grave::Link | Grave::Copy => {
            move_to(&tree.grave(no), path)?;
            if !tree.is_at(file, path) {
                tree.is_copied_to(file, path);
            }
            Ok(())
        }
    }
}

fn displace(tree: &mut Tree, no: ChangeNo, path: &Path) -> io::Result<()> {
    if exists(path) { move_to(path, &tree.displaced(no)) } else { Ok(()) }
}

fn has_parent(path: &Path) -> bool {
    path.parent().is_some_and(Path::is_dir)
}
