//! Tests of the segment files, on real files.

use super::*;
use stock::{Change, Order, Quantity, RequestId, Sku, Terms, UserId};

/// The events of the `nth` segment; `salt` makes another history.
fn events(nth: u64, salt: u64) -> Vec<Event> {
    let first = nth * SEGMENT_EVENTS as u64 + 1;
    (first..).take(SEGMENT_EVENTS).map(|seq| event(seq, salt)).collect()
}

fn event(seq: u64, salt: u64) -> Event {
    let change = match seq % 3 {
        0 => Change::Restocked { sku: Sku::new("sku").unwrap(), quantity: -5, available: salt },
        1 => {
            let terms = Terms::plain(Sku::new("sku").unwrap(), "Sneaker ß", seq);
            Change::ProductCreated(Box::new(terms))
        }
        _ => Change::Ordered(Order {
            sku: Sku::new("sku").unwrap(),
            user: UserId::new(format!("u{seq}")).unwrap(),
            request_id: RequestId::new(format!("r{seq}-{salt}")).unwrap(),
            quantity: Quantity::ONE,
            remaining: seq,
        }),
    };
    Event { seq: Seq(seq), at_ms: 1_700_000_000_000 + seq, change }
}

fn file_of(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(DIR).join(format!("{first_seq:020}{SUFFIX}"))
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn what_is_sealed_is_read_back_also_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    let sealed = [store.seal(&events(0, 7)).unwrap(), store.seal(&events(1, 7)).unwrap()];
    for store in [store, SegmentStore::open(dir.path()).unwrap()] {
        assert_eq!(store.list(), sealed);
        assert_eq!(store.read(Seq(1)).unwrap(), events(0, 7));
        assert_eq!(store.read(Seq(16_385)).unwrap(), events(1, 7));
        for seq in [1, 2, 3, 16_383, 16_384, 16_385, 20_000, 32_768] {
            assert_eq!(store.event(Seq(seq)).unwrap(), Some(event(seq, 7)), "event {seq}");
        }
        for seq in [0, 32_769, u64::MAX] {
            assert_eq!(store.event(Seq(seq)).unwrap(), None, "event {seq}");
        }
        assert_eq!(store.read(Seq(2)).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

#[test]
fn equal_events_give_equal_files_and_are_sealed_once() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let stores = dirs.each_ref().map(|dir| SegmentStore::open(dir.path()).unwrap());
    let sealed = stores.each_ref().map(|store| store.seal(&events(0, 1)).unwrap());
    assert_eq!(sealed[0], sealed[1]);
    assert_eq!(stores[0].raw(Seq(1)).unwrap(), stores[1].raw(Seq(1)).unwrap());
    assert_eq!(stores[0].seal(&events(0, 1)).unwrap(), sealed[0]);
    let error = stores[0].seal(&events(0, 2)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "another history: {error}");
    assert_eq!(stores[0].read(Seq(1)).unwrap(), events(0, 1));
}

/// Only its ends were looked at when the store was opened.
#[test]
fn a_damaged_file_is_sealed_anew_from_the_same_events() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    let sealed = store.seal(&events(0, 0)).unwrap();
    flip(&file_of(dir.path(), 1), sealed.bytes / 2);
    let store = SegmentStore::open(dir.path()).unwrap();
    assert_eq!(store.read(Seq(1)).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(store.seal(&events(0, 0)).unwrap(), sealed);
    assert_eq!(store.read(Seq(1)).unwrap(), events(0, 0));
}

#[test]
fn only_one_full_aligned_segment_can_be_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    let (whole, next) = (events(0, 0), events(1, 0));
    let mut doubled = whole.clone();
    doubled[9] = doubled[8].clone();
    let shifted = [&whole[1..], &next[..1]].concat();
    for bad in [&whole[1..], &whole[..SEGMENT_EVENTS - 1], &doubled, &shifted, &[]] {
        assert_eq!(store.seal(bad).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(store.list(), []);
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    let bytes = store.seal(&events(0, 0)).unwrap().bytes;
    let path = file_of(dir.path(), 1);
    let table_at = HEADER_BYTES as u64;
    for at in [0, 7, 9, 17, 21, table_at, table_at + 40, bytes / 2, bytes - 5, bytes - 1] {
        flip(&path, at);
        for error in [store.read(Seq(1)).unwrap_err(), store.raw(Seq(1)).unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}: {error}");
            assert!(error.to_string().contains("00001.segment"), "{error}");
        }
        let opened = SegmentStore::open(dir.path());
        assert_eq!(opened.is_err(), at < table_at, "a damaged header shows when opening");
        flip(&path, at);
    }
    assert_eq!(store.read(Seq(1)).unwrap().len(), SEGMENT_EVENTS);
}

#[test]
fn a_damaged_record_or_table_entry_never_yields_another_event() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    let segment = store.seal(&events(0, 0)).unwrap();
    let path = file_of(dir.path(), 1);
    let seq = Seq(777);
    let table = format::table_range(&segment, seq);
    let bytes = store.raw(Seq(1)).unwrap();
    let part = &bytes[table.start as usize..table.end as usize];
    let record = format::record_range(&segment, seq, part).unwrap();
    for at in table.chain(record) {
        flip(&path, at);
        let error = store.event(seq).unwrap_err();
        assert!(
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
            "byte {at}: {error}"
        );
        flip(&path, at);
    }
    assert_eq!(store.event(seq).unwrap(), Some(event(777, 0)));
}

#[test]
fn a_peers_segment_is_installed_only_when_it_is_the_one_that_was_asked_for() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [here, there] = dirs.each_ref().map(|dir| SegmentStore::open(dir.path()).unwrap());
    let wanted = there.seal(&events(0, 1)).unwrap();
    let second = there.seal(&events(1, 1)).unwrap();
    let bytes = there.raw(Seq(1)).unwrap();

    let mut flipped = bytes.clone();
    flipped[1000] ^= 1;
    let other_place = SegmentRef { first_seq: Seq(16_385), ..wanted.clone() };
    let other_content = SegmentRef { crc32: wanted.crc32 ^ 1, ..wanted.clone() };
    let refused = [
        here.install_raw(&wanted, &flipped),
        here.install_raw(&wanted, &bytes[..bytes.len() - 1]),
        here.install_raw(&wanted, &[]),
        here.install_raw(&other_place, &bytes),
        here.install_raw(&other_content, &bytes),
        here.install_raw(&second, &bytes),
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    assert_eq!(here.list(), [], "nothing that was refused is visible");

    here.install_raw(&wanted, &bytes).unwrap();
    here.install_raw(&wanted, &bytes).unwrap();
    assert_eq!(here.read(Seq(1)).unwrap(), events(0, 1));
}

/// Puts right checksums on changed bytes.
fn reseal(mut bytes: Vec<u8>) -> Vec<u8> {
    let header_crc_at = HEADER_BYTES - 4;
    let crc = crc32fast::hash(&bytes[..header_crc_at]).to_le_bytes();
    bytes[header_crc_at..HEADER_BYTES].copy_from_slice(&crc);
    let trailer_at = bytes.len() - TRAILER_BYTES;
    let crc = crc32fast::hash(&bytes[..trailer_at]).to_le_bytes();
    bytes[trailer_at..].copy_from_slice(&crc);
    bytes
}

#[test]
fn right_checksums_on_a_wrong_content_do_not_help() {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(dir.path()).unwrap();
    let good = format::encode(Seq(1), &events(0, 0)).unwrap();
    let name = |bytes: &[u8], first_seq| SegmentRef {
        first_seq,
        count: SEGMENT_EVENTS as u32,
        bytes: bytes.len() as u64,
        crc32: u32::from_le_bytes(*bytes.last_chunk().unwrap()),
    };
    // A format of the future, a first event within a segment, a shorter segment.
    for (at, first_seq) in [(6, 1), (8, 0), (17, 1)] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        let bytes = reseal(bytes);
        let error = store.install_raw(&name(&bytes, Seq(first_seq)), &bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}: {error}");
    }
    assert_eq!(store.list(), []);

    // Every record is whole, but one stands in another's place.
    let mut doubled = events(0, 0);
    doubled[5] = doubled[4].clone();
    let bytes = format::encode(Seq(1), &doubled).unwrap();
    store.install_raw(&name(&bytes, Seq(1)), &bytes).unwrap();
    assert_eq!(store.event(Seq(5)).unwrap(), Some(event(5, 0)));
    assert_eq!(store.event(Seq(6)).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(store.read(Seq(1)).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_snapshot_replaces_what_differs() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [here, there] = dirs.each_ref().map(|dir| SegmentStore::open(dir.path()).unwrap());
    for nth in 0..2 {
        here.seal(&events(nth, 9)).unwrap();
    }
    let wanted = there.seal(&events(0, 1)).unwrap();
    here.install_raw(&wanted, &there.raw(Seq(1)).unwrap()).unwrap();
    for store in [here, SegmentStore::open(dirs[0].path()).unwrap()] {
        assert_eq!(store.list()[0], wanted);
        assert_eq!(store.read(Seq(1)).unwrap(), events(0, 1));
        assert_eq!(store.read(Seq(16_385)).unwrap(), events(1, 9));
    }
}

#[test]
fn leftovers_and_misplaced_files_are_found_when_opening() {
    let dir = tempfile::tempdir().unwrap();
    SegmentStore::open(dir.path()).unwrap().seal(&events(0, 0)).unwrap();
    let path = file_of(dir.path(), 1);
    let leftover = dir.path().join(DIR).join("00000000000000016385.segment.tmp");
    std::fs::write(&leftover, b"half").unwrap();
    std::fs::write(dir.path().join(DIR).join("notes.txt"), b"ignored").unwrap();
    assert_eq!(SegmentStore::open(dir.path()).unwrap().list().len(), 1);
    assert!(!leftover.exists());

    let misplaced = file_of(dir.path(), 16_385);
    std::fs::rename(&path, &misplaced).unwrap();
    let error = SegmentStore::open(dir.path()).err().unwrap();
    assert!(error.to_string().contains("00016385.segment"), "{error}");

    std::fs::write(&misplaced, b"short").unwrap();
    let error = SegmentStore::open(dir.path()).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}

/// The file format is frozen: peers of other builds and old directories read it.
#[test]
fn the_bytes_of_a_segment_are_golden() {
    let bytes = format::encode(Seq(1), &events(0, 0)).unwrap();
    let header = b"FNSEG\0\x01\0\x01\0\0\0\0\0\0\0\x00\x40\0\0\xc4\x0a\x8c\x15";
    assert_eq!(&bytes[..HEADER_BYTES], header);
    // Where the first record starts and ends, and the checksum over everything.
    assert_eq!(bytes[HEADER_BYTES..][..8], [0, 0, 0, 0, 32, 0, 0, 0]);
    assert_eq!(
        format::verify(&bytes).unwrap(),
        SegmentRef { first_seq: Seq(1), count: 16_384, bytes: 603_466, crc32: 1_671_741_800 }
    );
}
