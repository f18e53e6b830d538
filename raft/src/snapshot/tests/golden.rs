//! The bytes of a manifest: a file that older builds left, and a message that peers of older builds
//! send and take.
//!
//! A failure here means that a running cluster could not be upgraded. Never change a line of hex:
//! raise `FORMAT`, read both, and add a test. What a manifest holds of the stock machine has golden
//! bytes of its own in `stock/tests/golden`.

use super::*;
use crate::snapshot::manifest::HEADER_BYTES;
use crate::types::{Incarnation, Member, SnapshotMeta, StoredMembership};
use openraft::Membership;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const UNDER_ONE: &str = "\
    464e534e415001008e861d45010101fb2c010101010101030102030301fdbc9a78563412000002fdbc9a\
    78563412000003fdbc9a785634120000000101fe6274d6f927c16732957af3e5962aaa25010374656500\
    0100010100000101fe9030c6473e2d77be7159acb22eb7801b01fc018e60300101000374656500010001\
    010000010101fb0040fc4a350900070101010003746565000100";
const UNDER_TWO: &str = "\
    464e534e4150010065faf1c7010101fb2c010101010101030102030301fdbc9a78563412000002fdbc9a\
    78563412000003fdbc9a78563412000000fdffffffffffffffff020101fe805d1279f3dd5fce4ce75eb7\
    fb552eb7010374656500010001010000010001000001fe9030c6473e2d77be7159acb22eb7801b01fc01\
    8e60300101000374656500010001010000010101fb0040fc4a350900070101010003746565000100";
const UNDER_THREE: &str = "\
    464e534e41500100bd4f1554010101fb2c010101010101030102030301fdbc9a78563412000002fdbc9a\
    78563412000003fdbc9a78563412000000fdffffffffffffffff030101fefb9d8c89070c5d5d989abbdf\
    f7d4e2ca010374656500010001010000010002000001fe9030c6473e2d77be7159acb22eb7801b01fc01\
    8e603001010003746565000100010100000100000101fb0040fc4a350900070101010003746565000100";

/// After two entries of the membership's and one of a product's.
fn meta() -> SnapshotMeta {
    let member = Member { incarnation: Incarnation(0x1234_5678_9abc) };
    let nodes: BTreeMap<NodeId, Member> = (1..=3).map(|id| (NodeId(id), member)).collect();
    let voters = vec![BTreeSet::from([1, 2, 3].map(NodeId))];
    let membership = Membership::new(voters, nodes).unwrap();
    SnapshotMeta {
        last_log_id: Some(log_id(300)),
        last_membership: StoredMembership::new(Some(log_id(1)), membership),
    }
}

fn manifest(rules: Rules) -> Manifest {
    let mut machine = Machine::new();
    machine.adopt(rules);
    let partial = machine.apply(&create("tee")).events;
    let segment = SegmentRef { first_seq: Seq(1), count: 16_384, bytes: 603_466, crc32: 7 };
    Manifest { meta: meta(), hot: machine.hot_state(), segments: vec![segment], partial }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[test]
fn the_bytes_of_a_manifest_are_golden() {
    for (rules, golden) in
        [(Rules::One, UNDER_ONE), (Rules::Two, UNDER_TWO), (Rules::Three, UNDER_THREE)]
    {
        let manifest = manifest(rules);
        assert_eq!(hex(manifest.encode().unwrap().bytes()), golden, "{rules:?}");
        let read = Manifest::from_bytes(&bytes(golden)).unwrap();
        assert_eq!(read.meta, manifest.meta);
        assert_eq!(read.hot, manifest.hot);
        assert_eq!(read.segments, manifest.segments);
        assert_eq!(read.partial, manifest.partial);
    }
}

/// Whatever is not a manifest of this format is told from one that is damaged.
#[test]
fn what_is_no_manifest_is_refused_and_says_why() {
    let whole = manifest(Rules::Two).encode().unwrap().bytes().to_vec();
    let damaged = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (bytes, says) in [
        (whole[..HEADER_BYTES - 1].to_vec(), "of 11 bytes"),
        (damaged(0), "not a snapshot manifest"),
        (damaged(6), "has format [0, 0]"),
        (damaged(8), "fails its checksum"),
        (damaged(HEADER_BYTES), "fails its checksum"),
        (damaged(whole.len() - 1), "fails its checksum"),
        (whole[..whole.len() - 1].to_vec(), "fails its checksum"),
    ] {
        let error = Manifest::from_bytes(&bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(says), "{error}");
    }
}
