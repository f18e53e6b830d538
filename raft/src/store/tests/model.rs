//! Random operations against a naive model, with kills and reopenings in between.

use super::*;
use openraft::vote::RaftVote;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const STEPS: usize = 250;

/// What the store must hold.
#[derive(Default)]
struct Model {
    term: u64,
    vote: Option<Vote>,
    purged: Option<LogId>,
    log: Vec<Entry>,
}

impl Model {
    fn last(&self) -> Option<LogId> {
        self.log.last().map(|entry| entry.log_id).or(self.purged)
    }

    fn next_index(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }
}

async fn check(model: &Model, store: &mut LogStore, step: usize) {
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_log_id, model.last(), "step {step}");
    assert_eq!(state.last_purged_log_id, model.purged, "step {step}");
    assert_eq!(store.read_vote().await.unwrap(), model.vote, "step {step}");
    assert_eq!(all(store).await, model.log, "step {step}");
}

async fn run(seed: u64) {
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let mut model = Model { term: 1, ..Model::default() };
    for step in 0..STEPS {
        match random.random_range(0..20) {
            0..10 => {
                let count = random.random_range(1..20);
                let start = model.next_index();
                let new: Vec<Entry> = (start..start + count)
                    .map(|index| entry(model.term, index, random.random_range(0..12_000)))
                    .collect();
                model.log.extend(new.iter().cloned());
                append(&mut store, new).await;
            }
            10..12 => {
                model.term += 1;
                let vote = Vote::from_leader_id(RaftLeaderId::new(model.term, NODE), true);
                model.vote = Some(vote);
                store.save_vote(&vote).await.unwrap();
            }
            12..14 => {
                // As in Raft: what replaces truncated entries has a higher term.
                model.term += 1;
                let keep = random.random_range(0..=model.log.len());
                let after = keep.checked_sub(1).map(|at| model.log[at].log_id).or(model.purged);
                model.log.truncate(keep);
                store.truncate_after(after).await.unwrap();
            }
            14..16 => {
                let count = random.random_range(0..=model.log.len());
                if let Some(upto) = model.log.drain(..count).next_back() {
                    model.purged = Some(upto.log_id);
                    store.purge(upto.log_id).await.unwrap();
                }
            }
            16 => {
                let upto = log_id(model.term, model.next_index() + random.random_range(0..50));
                model.log.clear();
                model.purged = Some(upto);
                store.purge(upto).await.unwrap();
            }
            17..19 => {
                store.close().await;
                store = open(&dir);
            }
            _ => {
                // Something durable after truncations and purges, which are not by themselves.
                let vote = Vote::from_leader_id(RaftLeaderId::new(model.term, NODE), true);
                model.vote = Some(vote);
                store.save_vote(&vote).await.unwrap();
                let copy = killed(&dir);
                store.close().await;
                dir = copy;
                store = open(&dir);
            }
        }
        check(&model, &mut store, step).await;
    }
    store.close().await;
}

#[tokio::test]
async fn random_operations_match_the_model() {
    for seed in 1..=4 {
        run(seed).await;
    }
    run(rand::random()).await;
}
