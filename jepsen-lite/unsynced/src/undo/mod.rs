//! Rolls a directory back to what a power cut might have left of it.
//!
//! Owns: the choice of what is lost and its carrying out. Never does: run while the program does.
//! Called by a nemesis between a kill and the restart.
//!
//! All that no sync covered is taken back, the newest change first, while what it had written is
//! read off; then what is kept is made again, the oldest first. See `choice` for what may be kept
//! of what, and `tree` for how files are found whatever they are called by now.

mod choice;
mod content;
mod names;
mod tree;

use crate::journal::Journal;
use crate::record::{Change, ChangeNo, Written};
use choice::{Kept, choose};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use tree::Tree;

/// What is written at once or not at all, in bytes, within a file.
pub const SECTOR_BYTES: u64 = 512;

/// What of the unsynced changes is lost: at least one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of them.
    All,
    /// A seeded choice, in which changes are lost and kept out of order and writes are torn
    /// between sectors: what the kernel wrote back, and a device with a cache of its own.
    Subset,
    /// All after a seeded point in time; the write at that point may be torn.
    Suffix,
}

/// What [`undo`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undone {
    /// Changes of which nothing is left.
    pub changes_lost: usize,
    /// Writes of which some sectors are left.
    pub changes_torn: usize,
    /// Changes that survived whole.
    pub changes_kept: usize,
    /// Written bytes that are lost, as far as they had replaced or extended something.
    pub bytes_lost: u64,
    /// Files and names that lost something, relative to the directory; without those that have
    /// no name left.
    pub files: BTreeSet<PathBuf>,
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes_lost, changes_torn, changes_kept, bytes_lost, files } = self;
        let files = files.len();
        write!(
            f,
            "{changes_lost} unsynced changes lost, {changes_torn} torn, {changes_kept} kept; \
             {bytes_lost} bytes lost in {files} files"
        )
    }
}

/// A change, with what it had made of the file.
struct Step {
    no: ChangeNo,
    change: Change,
    /// Of a write: the bytes from its beginning on.
    new: Vec<u8>,
}

/// Takes unsynced changes back from the directory that this journal is of, and empties the
/// journal. The same journal, directory and seed give the same result. When it returns, the
/// directory is what the next start of the program finds after a power cut.
///
/// # Errors
/// `NotFound` when there is no journal, which means that the library was not loaded;
/// `ResourceBusy` when the program still runs; and whatever the disk says, after which the
/// directory is of no use.
pub fn undo(journal: &Path, loss: Loss, seed: u64) -> io::Result<Undone> {
    let mut undone = Undone::default();
    let Some((mut journal, found)) = Journal::existing(journal)? else {
        return Ok(undone);
    };
    if !found.pending.is_empty() {
        let mut tree = Tree::open(&found.dir, &journal)?;
        let steps = take_back(&mut tree, found.pending)?;
        let kept = choose(&steps, loss, seed);
        make_again(&mut tree, &steps, &kept, &mut undone)?;
        tree.close()?;
    }
    journal.empty()?;
    match std::fs::remove_dir_all(journal.graves()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(undone),
    }
}

/// Takes everything back, and reads off what it was.
fn take_back(tree: &mut Tree, pending: BTreeMap<ChangeNo, Change>) -> io::Result<Vec<Step>> {
    let mut steps = Vec::with_capacity(pending.len());
    for (no, change) in pending.into_iter().rev() {
        let mut step = Step { no, change, new: Vec::new() };
        match &step.change {
            Change::Write(written) => step.new = content::take_back_write(tree, written)?,
            Change::Resize(resized) => content::take_back_resize(tree, resized)?,
            Change::Create(created) => names::take_back_create(tree, no, created)?,
            Change::Remove(removed) => names::take_back_remove(tree, no, removed)?,
            Change::Rename(renamed) => names::take_back_rename(tree, no, renamed)?,
        }
        steps.push(step);
    }
    steps.reverse();
    Ok(steps)
}

/// Makes again what is kept, in order, and counts.
fn make_again(
    tree: &mut Tree,
    steps: &[Step],
    kept: &[Kept],
    undone: &mut Undone,
) -> io::Result<()> {
    for (step, kept) in steps.iter().zip(kept) {
        if matches!(kept, Kept::All | Kept::Sectors(_)) {
            match &step.change {
                Change::Write(written) => {
                    content::make_write_again(tree, written, &step.new, kept)?;
                }
                Change::Resize(resized) => content::make_resize_again(tree, resized)?,
                Change::Create(created) => names::make_create_again(tree, step.no, created)?,
                Change::Remove(removed) => names::make_remove_again(tree, step.no, removed)?,
                Change::Rename(renamed) => names::make_rename_again(tree, step.no, renamed)?,
            }
        }
        match kept {
            Kept::All => {
                undone.changes_kept += 1;
                continue;
            }
            Kept::Sectors(_) => undone.changes_torn += 1,
            Kept::Nothing => undone.changes_lost += 1,
        }
        if let Change::Write(written) = &step.change {
            undone.bytes_lost += lost_bytes(written, step.new.len() as u64, kept);
        }
        undone.files.extend(name_of(tree, &step.change)?);
    }
    Ok(())
}

fn lost_bytes(written: &Written, len: u64, kept: &Kept) -> u64 {
    let survived: u64 = kept.ranges(written.at, len).map(|range| range.end - range.start).sum();
    len - survived
}

fn name_of(tree: &mut Tree, change: &Change) -> io::Result<Option<PathBuf>> {
    let path = match change {
        Change::Write(Written { file, .. }) => tree.find(*file)?,
        Change::Resize(resized) => tree.find(resized.file)?,
        named => named.path().cloned(),
    };
    Ok(path.and_then(|path| tree.name(&path)))
}
