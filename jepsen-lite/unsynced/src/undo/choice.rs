//! Chooses what survives: everything that a real disk may do, and nothing that none can.
//!
//! - A sector goes to the disk as it is in the page cache at that moment, so what survives of the
//!   writes to one sector is a prefix of them, never a later write without an earlier one.
//! - After a truncation that is lost, what was written to the file is lost too: it had gone to new
//!   blocks, which nothing leads to.
//! - Otherwise changes survive or not independently of each other and of their order, and a write
//!   over several sectors may survive in some of them.
//! - Something is lost where something can be: a power cut that takes nothing is none. A disk may
//!   always lose the last change of a file, since nothing was built on it. Where there is a choice,
//!   it is of a file that is not only written again and again in one place, as a mark is.
//!
//! Pure: the steps and a seed in, a choice out.

use super::{Loss, SECTOR_BYTES, Step};
use crate::record::{Change, FileNo};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// What survives of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    All,
    Nothing,
    /// Of a write, by sector from that of its first byte on; neither all nor none.
    Sectors(Vec<bool>),
}

/// How a seed treats changes, in 1/256 where it is a chance.
struct Mood {
    keep: u64,
    tear: u64,
    overlap: Overlap,
}

/// What gives way when an earlier write of a sector was to be lost, and a later one kept.
#[derive(Clone, Copy)]
enum Overlap {
    /// The later one carries the earlier ones along.
    KeepEarlier,
    /// The later one is lost, too.
    LoseLater,
}

/// One write in eight that could be torn is.
const TEAR_IN_256: u64 = 32;

/// Says of each step what survives.
pub(super) fn choose(steps: &[Step], loss: Loss, seed: u64) -> Vec<Kept> {
    let mut random = SplitMix(seed);
    let mut kept: Vec<Kept> = match loss {
        Loss::All => steps.iter().map(|_| Kept::Nothing).collect(),
        Loss::Suffix => suffix(steps, &mut random),
        Loss::Subset => subset(steps, &mut random),
    };
    let once = written_once(steps);
    if once.iter().all(|&position| kept[position] == Kept::All)
        && let Some(last) = once.into_iter().rfind(|&position| is_last_of_its_file(steps, position))
    {
        kept[last] = Kept::Nothing;
    }
    if kept.iter().all(|kept| *kept == Kept::All)
        && let Some(last) = kept.last_mut()
    {
        *last = Kept::Nothing;
    }
    kept
}

/// The changes that do not merely write again what an earlier one had written.
fn firsts_of_their_kind(steps: &[Step]) -> Vec<usize> {
    let mut written = HashSet::new();
    let first_of_its_kind = |(position, step): (usize, &Step)| match &step.change {
        Change::Write(write) => {
            written.insert((write.file.no, write.at, write.len)).then_some(position)
        }
        _ => Some(position),
    };
    steps.iter().enumerate().filter_map(first_of_its_kind).collect()
}

/// The writes of what no other one writes.
fn written_once(steps: &[Step]) -> Vec<usize> {
    let place = |step: &Step| match &step.change {
        Change::Write(write) => Some((write.file.no, write.at, write.len)),
        _ => None,
    };
    let mut times: HashMap<_, usize> = HashMap::new();
    for step in steps {
        *times.entry(place(step)).or_default() += 1;
    }
    let is_once = |step: &Step| place(step).is_some() && times[&place(step)] == 1;
    (0..steps.len()).filter(|&position| is_once(&steps[position])).collect()
}

/// Whether it changes what a file holds, and nothing later does anything to that file, or to any
/// name.
fn is_last_of_its_file(steps: &[Step], position: usize) -> bool {
    let file = |step: &Step| match &step.change {
        Change::Write(written) => Some(written.file.no),
        Change::Resize(resized) => Some(resized.file.no),
        Change::Create(_) | Change::Remove(_) | Change::Rename(_) => None,
    };
    let is_another = |step: &Step| file(step).is_some() && file(step) != file(&steps[position]);
    file(&steps[position]).is_some() && steps[position + 1..].iter().all(is_another)
}

/// The point in time is drawn among the changes that do not merely write again what an earlier one
/// had written. A mark that is rewritten after each sync of a log, and never synced itself, has
/// most of the changes, and nearly every cut among all of them would be one between two marks.
fn suffix(steps: &[Step], random: &mut SplitMix) -> Vec<Kept> {
    let points = firsts_of_their_kind(steps);
    let cut = points[random.below(points.len() as u64) as usize];
    let choose = |(position, step)| match usize::cmp(&position, &cut) {
        std::cmp::Ordering::Less => Kept::All,
        std::cmp::Ordering::Equal => Kept::from(torn(step, random)),
        std::cmp::Ordering::Greater => Kept::Nothing,
    };
    steps.iter().enumerate().map(choose).collect()
}

fn subset(steps: &[Step], random: &mut SplitMix) -> Vec<Kept> {
    let mood = Mood {
        keep: [32, 128, 224][random.below(3) as usize],
        tear: TEAR_IN_256,
        overlap: [Overlap::KeepEarlier, Overlap::LoseLater][random.below(2) as usize],
    };
    let mut choice: Vec<Vec<bool>> = steps.iter().map(|step| draw(step, &mood, random)).collect();
    match mood.overlap {
        Overlap::KeepEarlier => keep_earlier(steps, &mut choice),
        Overlap::LoseLater => lose_later(steps, &mut choice),
    }
    lose_after_lost_truncations(steps, &mut choice);
    choice.into_iter().map(Kept::from).collect()
}

fn draw(step: &Step, mood: &Mood, random: &mut SplitMix) -> Vec<bool> {
    let sectors = sectors(step);
    if sectors > 1 && random.below(256) < mood.tear {
        return torn(step, random);
    }
    vec![random.below(256) < mood.keep; sectors]
}

fn torn(step: &Step, random: &mut SplitMix) -> Vec<bool> {
    (0..sectors(step)).map(|_| random.below(2) == 1).collect()
}

/// How many parts of a step can survive without each other.
fn sectors(step: &Step) -> usize {
    match &step.change {
        Change::Write(written) => touched(written.at, step.new.len() as u64).count(),
        _ => 1,
    }
}

fn touched(at: u64, len: u64) -> Range<u64> {
    at / SECTOR_BYTES..(at + len.max(1)).div_ceil(SECTOR_BYTES)
}

fn keep_earlier(steps: &[Step], choice: &mut [Vec<bool>]) {
    let mut kept = HashSet::new();
    for (step, choice) in steps.iter().zip(choice).rev() {
        each_sector(step, choice, |sector, survives| {
            *survives |= kept.contains(&sector);
            if *survives {
                kept.insert(sector);
            }
        });
    }
}

fn lose_later(steps: &[Step], choice: &mut [Vec<bool>]) {
    let mut lost = HashSet::new();
    for (step, choice) in steps.iter().zip(choice) {
        each_sector(step, choice, |sector, survives| {
            *survives &= !lost.contains(&sector);
            if !*survives {
                lost.insert(sector);
            }
        });
    }
}

fn each_sector(step: &Step, choice: &mut [bool], mut visit: impl FnMut((FileNo, u64), &mut bool)) {
    if let Change::Write(written) = &step.change {
        let sectors = touched(written.at, step.new.len() as u64);
        for (sector, survives) in sectors.zip(choice) {
            visit((written.file.no, sector), survives);
        }
    }
}

fn lose_after_lost_truncations(steps: &[Step], choice: &mut [Vec<bool>]) {
    let mut lost = HashSet::new();
    for (step, choice) in steps.iter().zip(choice) {
        let (file, shrinks) = match &step.change {
            Change::Write(written) => (written.file.no, false),
            Change::Resize(resized) => (resized.file.no, resized.to < resized.old_len),
            Change::Create(_) | Change::Remove(_) | Change::Rename(_) => continue,
        };
        if lost.contains(&file) {
            choice.fill(false);
        } else if shrinks && choice.contains(&false) {
            lost.insert(file);
        }
    }
}

impl From<Vec<bool>> for Kept {
    fn from(sectors: Vec<bool>) -> Self {
        match (sectors.contains(&true), sectors.contains(&false)) {
            (true, true) => Self::Sectors(sectors),
            (true, false) => Self::All,
            (false, _) => Self::Nothing,
        }
    }
}

impl Kept {
    /// What survives of `len` bytes at `at`.
    pub(super) fn ranges(&self, at: u64, len: u64) -> impl Iterator<Item = Range<u64>> {
        let end = at + len;
        let all = matches!(self, Self::All).then_some(at..end);
        let sectors: &[bool] = if let Self::Sectors(sectors) = self { sectors } else { &[] };
        let some = touched(at, len).zip(sectors).filter(|(_, survives)| **survives);
        let some = some.map(move |(sector, _)| {
            let from = (sector * SECTOR_BYTES).max(at);
            from..((sector + 1) * SECTOR_BYTES).min(end)
        });
        all.into_iter().chain(some)
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers of a seed in every build.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..bound`; `bound` is far below 2^64, so the bias is of no account.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ChangeNo, FileId, Written};

    fn write(no: u64, file: u64, at: u64) -> Step {
        let file = FileId { no: FileNo(file), inode: file };
        let written = Written { file, at, len: 8, old_len: 0, old: Vec::new() };
        Step { no: ChangeNo(no), change: Change::Write(written), new: vec![1; 8] }
    }

    /// Whatever else survives, of a log something is lost.
    #[test]
    fn a_cut_takes_more_than_the_mark_beside_a_log() {
        let marks = |from: u64| (from..from + 50).map(|no| write(no, 1, 0));
        let logged = |no: u64| write(no, 2, 4096 * no);
        let steps: Vec<Step> = marks(0).chain([logged(50), logged(51)]).chain(marks(52)).collect();
        for loss in [Loss::All, Loss::Subset, Loss::Suffix] {
            for seed in 0..500 {
                let kept = choose(&steps, loss, seed);
                let of_log = kept[50] != Kept::All || kept[51] != Kept::All;
                assert!(of_log, "{loss:?}, seed {seed}");
            }
        }
    }

    /// A thousand rewrites of a mark that is never synced, then what was written to a log since
    /// its last sync. A cut that nearly always takes all of the log shows no log that ends early.
    #[test]
    fn a_point_in_time_is_one_of_the_log_and_not_of_the_mark_beside_it() {
        const MARKS: u64 = 1_000;
        const LOGGED: u64 = 8;
        let marks = (0..MARKS).map(|no| write(no, 1, 0));
        let logged = (0..LOGGED).map(|no| write(MARKS + no, 2, 4096 * no));
        let steps: Vec<Step> = marks.chain(logged).collect();
        let mut ends = HashSet::new();
        for seed in 0..200 {
            let kept = choose(&steps, Loss::Suffix, seed);
            let first_lost = kept.iter().position(|kept| *kept != Kept::All).unwrap();
            assert!(kept[first_lost + 1..].iter().all(|kept| *kept == Kept::Nothing));
            ends.insert(first_lost);
        }
        let of_the_log = (MARKS as usize..steps.len()).filter(|at| ends.contains(at)).count();
        assert_eq!(of_the_log, LOGGED as usize, "{ends:?}");
    }
}
