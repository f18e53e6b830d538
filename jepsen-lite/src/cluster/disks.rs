//! A small file system under each node's directory, whose room can be taken away.
//!
//! Owns: the mounts; dropping it unmounts them (`sweep` does when the harness was killed). A tmpfs
//! may be made smaller down to what is in use, so a full disk costs no memory. Mounting takes
//! root. Called by `cluster` and the nemesis `disk-full`.

use super::unusable;
use crate::aside;
use client::cluster::ClusterError;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};
use stock::NodeId;

/// Room while no fault is in place, in bytes: more than a run of some minutes writes.
const SIZE_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// A node takes no more when it has less than this left.
const RESERVE_BYTES: u64 = 32 * 1024 * 1024;
/// A tmpfs counts in pages of at least this, in bytes.
const PAGE_BYTES: u64 = 4096;
/// A node that writes meanwhile may use more than it had when its size was set.
const SHRINK_TRIES: u32 = 20;

/// How much is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Less than a node wants to have in reserve.
    BelowReserve,
    /// Not a page.
    None,
}

impl Room {
    fn bytes(self) -> u64 {
        match self {
            Self::BelowReserve => RESERVE_BYTES / 2,
            Self::None => 0,
        }
    }
}

/// The mounted file systems.
#[derive(Debug)]
pub(crate) struct Disks {
    mounted: BTreeMap<NodeId, PathBuf>,
}

impl Disks {
    /// A file system for each node in `dir`, with this source; or, in words, why there is none.
    pub(super) fn mount(ids: &[NodeId], dir: &Path, source: &str) -> Result<Self, String> {
        let mut disks = Self { mounted: BTreeMap::new() };
        for id in ids {
            let path = dir.join(format!("disk-{id}"));
            let mounted = std::fs::create_dir_all(&path).and_then(|()| {
                let flags = MountFlags::NOSUID | MountFlags::NODEV;
                Ok(mount(source, &path, "tmpfs", flags, size(SIZE_BYTES).as_c_str())?)
            });
            mounted.map_err(|error| {
                format!("no tmpfs can be mounted at {}: {error}; run it as root", path.display())
            })?;
            disks.mounted.insert(*id, path);
        }
        Ok(disks)
    }

    /// Where the node's directory goes.
    pub(super) fn data(&self, id: NodeId) -> PathBuf {
        self.mounted[&id].join("data")
    }

    /// Leaves the node only this much room.
    ///
    /// # Errors
    /// [`ClusterError::Io`].
    pub(crate) fn shrink(&self, id: NodeId, room: Room) -> Result<(), ClusterError> {
        let path = &self.mounted[&id];
        let mut shrunk = Ok(());
        for _ in 0..SHRINK_TRIES {
            shrunk = used_bytes(path).and_then(|used| resize(path, used + room.bytes()));
            if shrunk.is_ok() {
                break;
            }
        }
        shrunk.map_err(unusable("shrink", path.display().to_string()))
    }

    /// Whether there is no more room than a node that is to have this notices; with none, a write
    /// is tried. A node that lives may have given some back since it was taken away.
    pub(crate) fn has_only(&self, id: NodeId, room: Room) -> bool {
        let path = &self.mounted[&id];
        let free = rustix::fs::statvfs(path).map(|disk| disk.f_bavail * disk.f_frsize);
        let Ok(free) = free else { return false };
        if room == Room::BelowReserve {
            return free < RESERVE_BYTES;
        }
        let probe = path.join("probe");
        let wrote = std::fs::write(&probe, [1; 2 * PAGE_BYTES as usize]);
        // Nobody is left to hear of an error here; it is a byte more or less.
        let _ = std::fs::remove_file(&probe);
        wrote.is_err_and(|error| error.kind() == io::ErrorKind::StorageFull)
    }

    /// All have room again.
    ///
    /// # Errors
    /// [`ClusterError::Io`].
    pub(super) fn grow(&self) -> Result<(), ClusterError> {
        self.mounted.values().try_for_each(|path| {
            resize(path, SIZE_BYTES).map_err(unusable("grow", path.display().to_string()))
        })
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for path in self.mounted.values() {
            // Detached, it goes when the last file in it is closed.
            if let Err(error) = unmount(path, UnmountFlags::DETACH) {
                aside::say(format_args!("could not unmount {}: {error}", path.display()));
            } else {
                // Empty now; it says nothing to whoever reads the run's files.
                let _ = std::fs::remove_dir(path);
            }
        }
    }
}

fn size(bytes: u64) -> CString {
    // Digits hold no zero byte, so the fallback is never taken.
    CString::new(format!("size={bytes}")).unwrap_or_default()
}

fn resize(path: &Path, bytes: u64) -> io::Result<()> {
    // A size of 0 would mean that there is no limit.
    Ok(mount_remount(path, MountFlags::empty(), size(bytes.max(PAGE_BYTES)).as_c_str())?)
}

fn used_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok((disk.f_blocks - disk.f_bfree) * disk.f_frsize)
}
