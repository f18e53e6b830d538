//! Damage to a node's log while it is down: flipped bytes, or a file that lost its end.
//!
//! Expected: the node stops at its start and says so, or the damage is where nothing is kept and
//! it serves as before; never does it serve wrong data, which the checks of the run would show.
//! What became of it is told. One that stopped, at once or later, comes back by the documented
//! way: its directory is wiped. Seen to take hold when the file differs, and it is known what came
//! of it.

use super::kill::kill;
use super::stage::{Injection, Stage, named};
use client::cluster::ClusterError;
use rand::Rng;
use rand::rngs::StdRng;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use stock::NodeId;

/// sled's data file in a node's directory.
const DATA_FILE: &str = "db-dir/db";
/// Bytes that are flipped, one right after the other: a sector.
const FLIPPED_BYTES: usize = 512;
/// How often to look for a place that holds something; most of a young file is empty.
const PLACES_MAX: usize = 10_000;
/// How long a node may take to stop or to be ready.
const VERDICT_DEADLINE: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Flips a sector that holds something.
pub(super) async fn corrupt(stage: Stage<'_>) -> Result<Injection, ClusterError> {
    inject(stage, flip).await
}

/// Cuts the end off, in the middle of what the file holds.
pub(super) async fn truncate(stage: Stage<'_>) -> Result<Injection, ClusterError> {
    inject(stage, cut).await
}

/// Changes the file; says what was done, or nothing when it could not.
type Damage = fn(&Path, &mut StdRng) -> io::Result<Option<String>>;

async fn inject(mut stage: Stage<'_>, damage: Damage) -> Result<Injection, ClusterError> {
    let victim = stage.forgetful().await?;
    kill(&mut stage, &[victim])?;
    let path = stage.cluster.processes.node(victim).dir.join(DATA_FILE);
    stage.cluster.mark_damaged(victim);
    let done = damage(&path, &mut stage.turn.random);
    let done = done.map_err(crate::cluster::unusable("damage", path.display().to_string()))?;
    stage.cluster.launch(victim)?;
    let outcome = outcome(&mut stage, victim).await;
    let seen = done.is_some() && outcome.is_some();
    let what = format!(
        "log of {}: {}; {}",
        named(&[victim]),
        done.unwrap_or_else(|| "it holds nothing to damage".to_owned()),
        outcome.unwrap_or("it neither stopped nor was ready in time")
    );
    Ok(Injection::seen(what, seen))
}

/// Whether it stopped or serves; none when neither came about in time.
async fn outcome(stage: &mut Stage<'_>, victim: NodeId) -> Option<&'static str> {
    let started = Instant::now();
    while started.elapsed() < VERDICT_DEADLINE {
        let processes = &mut stage.cluster.processes;
        if let Ok(status) = processes.wait_exit(victim, Duration::ZERO).await {
            return Some(if status.success() { "it ended" } else { "it stopped" });
        }
        if processes.ready(victim).await {
            return Some("it serves: nothing that it needs was hit");
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    None
}

fn flip(path: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    let file = File::options().read(true).write(true).open(path)?;
    let end = end_of_content(&file)?;
    for _ in 0..PLACES_MAX {
        let at = random.random_range(0..end.max(1));
        let mut bytes = [0; FLIPPED_BYTES];
        let count = file.read_at(&mut bytes, at)?;
        if bytes[..count].iter().all(|byte| *byte == 0) {
            continue;
        }
        for byte in &mut bytes[..count] {
            *byte ^= 0xa5;
        }
        file.write_all_at(&bytes[..count], at)?;
        file.sync_all()?;
        return Ok(Some(format!("{count} bytes flipped at {at} of {end}")));
    }
    Ok(None)
}

fn cut(path: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    let file = File::options().read(true).write(true).open(path)?;
    let end = end_of_content(&file)?;
    if end == 0 {
        return Ok(None);
    }
    let left = random.random_range(0..end);
    file.set_len(left)?;
    file.sync_all()?;
    Ok(Some(format!("cut to {left} bytes of {end}")))
}

/// Where the last byte is that is not zero: sled's file ends with room for what comes next.
fn end_of_content(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = vec![0; 64 * 1024];
    while end > 0 {
        let begin = end.saturating_sub(block.len() as u64);
        let bytes = &mut block[..(end - begin) as usize];
        file.read_exact_at(bytes, begin)?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// A file with content in the middle, as sled's.
    fn file() -> (tempfile::NamedTempFile, Vec<u8>) {
        let mut bytes = vec![0; 200_000];
        bytes[100_000..120_000].fill(7);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        (file, bytes)
    }

    #[test]
    fn a_flip_hits_what_is_kept_and_a_cut_goes_through_it_or_before_it() {
        for seed in 0..50 {
            let mut random = StdRng::seed_from_u64(seed);
            let (damaged, before) = file();
            flip(damaged.path(), &mut random).unwrap().unwrap();
            let after = std::fs::read(damaged.path()).unwrap();
            assert_eq!(after.len(), before.len());
            assert!(after[99_000..121_000] != before[99_000..121_000], "seed {seed}");
            let (damaged, _) = file();
            cut(damaged.path(), &mut random).unwrap().unwrap();
            assert!(damaged.path().metadata().unwrap().len() < 120_000, "seed {seed}");
        }
    }

    #[test]
    fn an_empty_file_is_not_said_to_be_damaged() {
        let mut random = StdRng::seed_from_u64(1);
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(flip(empty.path(), &mut random).unwrap(), None);
        assert_eq!(cut(empty.path(), &mut random).unwrap(), None);
    }
}
