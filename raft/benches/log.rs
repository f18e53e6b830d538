//! One durable append to the log, which is what a batch of buys waits for on each node.
//!
//! `cargo bench -p raft --features bench`. A figure is one append: a frame written to the journal,
//! a sync of the file, and the way there and back through the IO thread. It is the disk's more
//! than ours; `TMPDIR=/dev/shm` shows the rest.

#![allow(clippy::unwrap_used, reason = "a benchmark ends at what it cannot do without")]

use bytes::Bytes;
use divan::Bencher;
use divan::counter::BytesCount;
use raft::bench::Log;

fn main() {
    divan::main();
}

/// Bytes of an entry: a lone buy, 16 of them, and a full batch.
#[divan::bench(args = [64, 1_024, 131_072], sample_count = 200, sample_size = 1)]
fn append(bencher: Bencher, bytes: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path()).unwrap();
    let content = Bytes::from(vec![7; bytes]);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        runtime.block_on(log.append(content.clone())).unwrap();
    });
    runtime.block_on(log.close());
}
