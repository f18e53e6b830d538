use super::*;
use proptest::prelude::*;
use redis_protocol::resp3;

fn encoded(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let all = arguments.iter().cloned().map(Reply::Raw).collect();
    Reply::Array(all).write(Version::Two, &mut bytes);
    bytes
}

fn words(line: &str) -> Request {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn what_is_no_request_is_told() {
    let long = format!("*1\r\n${REQUEST_BYTES_MAX}\r\n");
    let many = format!("*{}\r\n", ARGUMENTS_MAX + 1);
    for (bytes, wrong) in [
        ("PING\r\n", Malformed::NoArray),
        ("GET / HTTP/1.1\r\n", Malformed::NoArray),
        ("*-1\r\n", Malformed::Number),
        ("*+1\r\n", Malformed::Number),
        ("*1 \r\n", Malformed::Number),
        ("*\r\n", Malformed::Number),
        ("*1\rx", Malformed::Number),
        ("*99999999999999999999999999", Malformed::Number),
        (&many, Malformed::Arguments),
        ("*1\r\n*1\r\n", Malformed::NoBulk),
        ("*1\r\n:1\r\n", Malformed::NoBulk),
        ("*1\r\n$-1\r\n", Malformed::Number),
        ("*2\r\n$3\r\nGETxx", Malformed::NoEnd),
        (&long, Malformed::TooLarge),
    ] {
        // None of it is missed or called whole, wherever it is cut.
        let first = (0..=bytes.len()).find_map(|end| request(&bytes.as_bytes()[..end]).err());
        assert_eq!(first, Some(wrong), "{bytes:?}");
        assert_eq!(request(bytes.as_bytes()), Err(wrong), "{bytes:?}");
    }
}

#[test]
fn answers_are_as_their_version_says() {
    let reply = Reply::Array(vec![
        Reply::OK,
        Reply::Int(-1),
        Reply::Bulk("7".into()),
        Reply::Null,
        Reply::error("ERR a\r\n+OK"),
        Reply::Map(vec![("proto", Reply::Int(3))]),
        Reply::Push(vec![Reply::Bulk("message".into())]),
    ]);
    for (version, expected) in [
        (
            Version::Two,
            "*7\r\n+OK\r\n:-1\r\n$1\r\n7\r\n$-1\r\n-ERR a  +OK\r\n*2\r\n$5\r\nproto\r\n:3\r\n\
             *1\r\n$7\r\nmessage\r\n",
        ),
        (
            Version::Three,
            "*7\r\n+OK\r\n:-1\r\n$1\r\n7\r\n_\r\n-ERR a  +OK\r\n%1\r\n$5\r\nproto\r\n:3\r\n\
             >1\r\n$7\r\nmessage\r\n",
        ),
    ] {
        let mut bytes = Vec::new();
        reply.write(version, &mut bytes);
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
}

/// An answer as another implementation may have to read it.
fn simple_reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::OK),
        Just(Reply::Null),
        any::<i64>().prop_map(Reply::Int),
        any::<String>().prop_map(Reply::Error),
        any::<String>().prop_map(Reply::Bulk),
        prop::collection::vec(any::<u8>(), 0..50).prop_map(Reply::Raw),
    ]
}

/// Bytes that are mostly near a request.
fn near_requests() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "*1\r\n", "*2\r\n", "*3\r\n", "$3\r\n", "$4\r\n", "GET\r\n", "DECR\r\n", "\r\n", "*0\r\n",
            "*-1\r\n", "$-1\r\n", "*1\r\n*1\r\n", "$65536\r\n", "*1024\r\n", "*99999999999\r\n", ":1\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    /// Arbitrary bytes never panic, never ask for more than a request may have, and what was
    /// refused once is refused with all that follows; what was taken is taken alike.
    #[test]
    fn arbitrary_bytes_are_a_request_or_none(bytes in near_requests(), more in near_requests()) {
        let longer = [bytes.clone(), more].concat();
        match request(&bytes) {
            Ok(None) => prop_assert!(bytes.len() <= REQUEST_BYTES_MAX + SIZE_BYTES_MAX),
            Ok(Some((arguments, len))) => {
                prop_assert!(arguments.len() <= ARGUMENTS_MAX && len <= REQUEST_BYTES_MAX);
                prop_assert_eq!(request(&longer), Ok(Some((arguments, len))));
            }
            Err(wrong) => prop_assert_eq!(request(&longer), Err(wrong)),
        }
    }

    /// A pipeline comes out as it went in, wherever it is cut.
    #[test]
    fn a_pipeline_is_its_requests(
        requests in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole: Vec<u8> = requests.iter().flat_map(|arguments| encoded(arguments)).collect();
        let cut = cut.index(whole.len() + 1);
        let (mut read, mut at) = (Vec::new(), 0);
        for end in [cut, whole.len()] {
            while let Some((arguments, len)) = request(&whole[at..end]).unwrap() {
                read.push(arguments);
                at += len;
            }
        }
        prop_assert_eq!(read, requests);
        prop_assert_eq!(at, whole.len());
    }

    /// What is written is read by a decoder that is not ours.
    #[test]
    fn others_read_the_answers(replies in prop::collection::vec(simple_reply(), 0..5)) {
        let mut bytes = Vec::new();
        Reply::Array(replies.clone()).write(Version::Three, &mut bytes);
        let (frame, len) = resp3::decode::complete::decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(len, bytes.len());
        let resp3::types::OwnedFrame::Array { data, .. } = frame else { panic!("{frame:?}") };
        prop_assert_eq!(data.len(), replies.len());
        bytes.clear();
        Reply::Array(replies.clone()).write(Version::Two, &mut bytes);
        let (frame, len) = decode::decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(len, bytes.len());
        let OwnedFrame::Array(data) = frame else { panic!("{frame:?}") };
        prop_assert_eq!(data.len(), replies.len());
    }
}

#[test]
fn a_request_that_is_not_whole_is_waited_for() {
    let whole = encoded(&words("SET stok 100 NX"));
    for end in 0..whole.len() {
        assert_eq!(request(&whole[..end]), Ok(None), "{end}");
    }
    assert_eq!(request(&whole), Ok(Some((words("SET stok 100 NX"), whole.len()))));
    assert_eq!(request(b"*0\r\n"), Ok(Some((Vec::new(), 4))));
}
