//! The bytes of an entry on disk.

use super::super::record::{BODY_BYTES_MAX, CHUNK_BYTES_MAX, Partial, Record, key, parse_key};
use super::*;
use crate::types::{Incarnation, Member};
use openraft::Membership;
use std::collections::{BTreeMap, BTreeSet};

fn chunks(entry: &Entry) -> Vec<(u16, Vec<u8>)> {
    let record = Record::of(entry).unwrap();
    record.chunks().map(|(chunk, bytes)| (chunk, bytes.to_vec())).collect()
}

fn put_together(index: u64, chunks: &[(u16, Vec<u8>)]) -> io::Result<Entry> {
    let mut partial: Option<Partial> = None;
    for (chunk, bytes) in chunks {
        match &mut partial {
            None => partial = Some(Partial::start(index, *chunk, bytes)?),
            Some(partial) => partial.push(*chunk, bytes)?,
        }
    }
    Ok(partial.unwrap().finish()?)
}

fn membership_entry() -> Entry {
    let member = Member { incarnation: Incarnation(0x1234_5678_9abc) };
    let voters = vec![BTreeSet::from([NodeId(1), NodeId(2)])];
    let nodes: BTreeMap<_, _> = (1..=3).map(|id| (NodeId(id), member)).collect();
    let membership = Membership::new(voters, nodes).unwrap();
    Entry::new(log_id(3, 9), EntryPayload::Membership(membership))
}

#[test]
fn entries_of_every_size_come_back_in_chunks_below_the_blob_threshold() {
    let first = CHUNK_BYTES_MAX - 36;
    let sizes = [0, 1, first - 1, first, first + 1, first + CHUNK_BYTES_MAX, 256 * 1024];
    for size in sizes.into_iter().chain([first + CHUNK_BYTES_MAX + 1, BODY_BYTES_MAX]) {
        let entry = entry(5, 77, size);
        let chunks = chunks(&entry);
        assert_eq!(chunks.len(), (size + 36).div_ceil(CHUNK_BYTES_MAX), "{size} bytes");
        assert!(chunks.iter().all(|(_, bytes)| bytes.len() <= CHUNK_BYTES_MAX));
        assert_eq!(put_together(77, &chunks).unwrap(), entry);
    }
    assert!(Record::of(&entry(5, 77, BODY_BYTES_MAX + 1)).is_err());
}

#[test]
fn every_flipped_bit_and_every_missing_or_moved_chunk_is_noticed() {
    let whole = chunks(&entry(5, 77, 9000));
    for (nth, (_, bytes)) in whole.iter().enumerate() {
        for at in (0..bytes.len()).step_by(if nth == 0 { 1 } else { 97 }) {
            let mut damaged = whole.clone();
            damaged[nth].1[at] ^= 1;
            assert!(put_together(77, &damaged).is_err(), "chunk {nth} byte {at}");
        }
        let mut cut = whole.clone();
        cut.remove(nth);
        assert!(put_together(77, &cut).is_err(), "without chunk {nth}");
    }
    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    assert!(put_together(77, &swapped).is_err());
    let mut longer = whole.clone();
    longer.push((3, vec![0]));
    assert!(put_together(77, &longer).is_err());
    assert!(put_together(78, &whole).is_err(), "an entry under another's key");
}

#[test]
fn keys_order_like_the_log() {
    let keys = [key(0, 0), key(1, 0), key(1, 1), key(1, 300), key(2, 0), key(256, 0)];
    assert!(keys.is_sorted());
    assert_eq!(parse_key(&key(256, 300)), Some((256, 300)));
    assert_eq!(parse_key(b"vote"), None);
}

/// Old logs must stay readable: change nothing here, add a version instead.
#[test]
fn the_bytes_of_each_kind_are_golden() {
    let blank = Entry::new(log_id(3, 9), EntryPayload::Blank);
    let normal = {
        let payload = Proposal(Bytes::from_static(b"batch"));
        Entry::new(log_id(3, 9), EntryPayload::Normal(payload))
    };
    let golden: [(Entry, &[u8]); 3] = [
        (blank, b"\x01\x00\x01\x00\x00\x00\x00\x00\t\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xfa^\xfab"),
        (normal, b"\x01\x01\x01\x00\x05\x00\x00\x00\t\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x000\x9a\x8dFbatch"),
        (membership_entry(), b"\x01\x02\x01\x00#\x00\x00\x00\t\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x12\x81\r\x90\x01\x02\x01\x02\x03\x01\xfd\xbc\x9axV4\x12\x00\x00\x02\xfd\xbc\x9axV4\x12\x00\x00\x03\xfd\xbc\x9axV4\x12\x00\x00"),
    ];
    for (entry, bytes) in golden {
        let chunks = chunks(&entry);
        assert_eq!(chunks.len(), 1);
        assert_eq!(chunks[0].1.escape_ascii().to_string(), bytes.escape_ascii().to_string());
        assert_eq!(put_together(9, &[(0, bytes.to_vec())]).unwrap(), entry);
    }
}
