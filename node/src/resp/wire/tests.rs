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

/// A word mostly, at times what looks like the protocol, a page, or nearly all that a request
/// takes.
fn bulk_string() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => prop::collection::vec(any::<u8>(), 0..40),
        5 => prop::collection::vec(prop::sample::select(&b"*$:+-_%>\r\n0123"[..]), 0..60),
        2 => prop::collection::vec(any::<u8>(), 500..5_000),
        1 => (any::<u8>(), REQUEST_BYTES_MAX - 80..REQUEST_BYTES_MAX - 20)
            .prop_map(|(byte, len)| vec![byte; len]),
    ]
}

/// A request as large as one may be at most.
fn whole_request() -> impl Strategy<Value = Request> {
    let arguments = prop_oneof![
        20 => prop::collection::vec(bulk_string(), 0..6),
        1 => prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 500..=ARGUMENTS_MAX),
    ];
    arguments.prop_map(|mut arguments| {
        while encoded(&arguments).len() > REQUEST_BYTES_MAX {
            arguments.pop();
        }
        arguments
    })
}

/// Arrays within arrays, as answers have them and requests must not.
fn nested() -> impl Strategy<Value = Vec<u8>> {
    let leaf = bulk_string().prop_map(|text| {
        let mut bytes = Vec::new();
        Reply::Raw(text).write(Version::Two, &mut bytes);
        bytes
    });
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop::collection::vec(inner, 0..5).prop_map(|items| {
            let head = format!("*{}\r\n", items.len()).into_bytes();
            [head, items.concat()].concat()
        })
    })
}

/// An answer as another implementation may have to read it.
fn reply() -> impl Strategy<Value = Reply> {
    let simple = prop_oneof![
        Just(Reply::OK),
        Just(Reply::Null),
        any::<i64>().prop_map(Reply::Int),
        any::<String>().prop_map(Reply::Error),
        any::<String>().prop_map(Reply::Bulk),
        bulk_string().prop_map(Reply::Raw),
    ];
    simple.prop_recursive(4, 30, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Reply::Array),
            prop::collection::vec(inner.prop_map(|value| ("name", value)), 0..6)
                .prop_map(Reply::Map),
        ]
    })
}

/// The same in the words of a decoder of the second version that is not ours.
fn as_others_read(reply: &Reply) -> OwnedFrame {
    let text = |text: &str| text.as_bytes().to_vec();
    match reply {
        Reply::Simple(word) => OwnedFrame::SimpleString(text(word)),
        Reply::Error(why) => {
            OwnedFrame::Error(why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
        }
        Reply::Int(number) => OwnedFrame::Integer(*number),
        Reply::Bulk(word) => OwnedFrame::BulkString(text(word)),
        Reply::Raw(bytes) => OwnedFrame::BulkString(bytes.clone()),
        Reply::Null => OwnedFrame::Null,
        Reply::Array(replies) | Reply::Push(replies) => {
            OwnedFrame::Array(replies.iter().map(as_others_read).collect())
        }
        Reply::Map(pairs) => OwnedFrame::Array(
            pairs
                .iter()
                .flat_map(|(name, reply)| {
                    [OwnedFrame::BulkString(text(name)), as_others_read(reply)]
                })
                .collect(),
        ),
        Reply::Several(_) => panic!("several are several frames"),
    }
}

/// Bytes that are mostly near a request.
fn near_requests() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "*1\r\n", "*2\r\n", "*3\r\n", "$3\r\n", "$4\r\n", "GET\r\n", "DECR\r\n", "\r\n", "*0\r\n",
            "*-1\r\n", "$-1\r\n", "*1\r\n*1\r\n", "$65536\r\n", "*1024\r\n", "*99999999999\r\n", ":1\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..20),
        2 => whole_request().prop_map(|arguments| encoded(&arguments)),
        1 => nested(),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// What comes of bytes that arrive in such pieces, up to what is no request.
fn read_in_pieces(whole: &[u8], piece: usize) -> (Vec<Request>, Option<Malformed>, usize) {
    let (mut read, mut unread, mut at) = (Vec::new(), Vec::new(), 0);
    for bytes in whole.chunks(piece) {
        unread.extend_from_slice(bytes);
        loop {
            match request(&unread) {
                Ok(Some((arguments, len))) => {
                    read.push(arguments);
                    unread.drain(..len);
                    at += len;
                }
                Ok(None) => break,
                Err(wrong) => return (read, Some(wrong), at),
            }
        }
        assert!(unread.len() <= REQUEST_BYTES_MAX + SIZE_BYTES_MAX + piece, "{}", unread.len());
    }
    (read, None, at)
}

/// Pieces: each byte by itself, unless that took minutes, some, a packet, all.
fn pieces(whole: &[u8]) -> [usize; 4] {
    let least = (whole.len() / 4_000).max(1);
    [least, least + 6, 1_460, whole.len().max(1)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

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

    /// Nor does it matter in which pieces they come.
    #[test]
    fn arbitrary_bytes_are_the_same_in_pieces(bytes in near_requests()) {
        let expected = read_in_pieces(&bytes, bytes.len().max(1));
        for piece in pieces(&bytes) {
            prop_assert_eq!(&read_in_pieces(&bytes, piece), &expected, "in pieces of {}", piece);
        }
    }

    /// A pipeline comes out as it went in, wherever it is cut.
    #[test]
    fn a_pipeline_is_its_requests(requests in prop::collection::vec(whole_request(), 0..8)) {
        let whole: Vec<u8> = requests.iter().flat_map(|arguments| encoded(arguments)).collect();
        for piece in pieces(&whole) {
            let (read, end, at) = read_in_pieces(&whole, piece);
            prop_assert_eq!((&read, end, at), (&requests, None, whole.len()), "{}", piece);
        }
    }

    /// An array within an array is refused at its first byte, whatever is around it.
    #[test]
    fn arrays_within_arrays_are_refused(
        before in prop::collection::vec(bulk_string(), 0..4), inner in nested(),
    ) {
        prop_assume!(inner.starts_with(b"*"));
        let mut head = encoded(&before)[1..].to_vec();
        let digits = head.iter().position(|byte| *byte == b'\r').unwrap();
        head.splice(..digits, (before.len() + 1).to_string().into_bytes());
        let head = [&b"*"[..], &head].concat();
        prop_assume!(head.len() < REQUEST_BYTES_MAX);
        prop_assert_eq!(request(&head), Ok(None));
        prop_assert_eq!(request(&[&head[..], b"*"].concat()), Err(Malformed::NoBulk));
        prop_assert_eq!(request(&[head, inner].concat()), Err(Malformed::NoBulk));
    }

    /// What is written is read by a decoder that is not ours, to the last leaf.
    #[test]
    fn others_read_the_answers(replies in prop::collection::vec(reply(), 0..5)) {
        let mut bytes = Vec::new();
        let all = Reply::Array(replies.clone());
        all.write(Version::Three, &mut bytes);
        let (frame, len) = resp3::decode::complete::decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(len, bytes.len());
        let resp3::types::OwnedFrame::Array { data, .. } = frame else { panic!("{frame:?}") };
        prop_assert_eq!(data.len(), replies.len());
        bytes.clear();
        all.write(Version::Two, &mut bytes);
        let (frame, len) = decode::decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(len, bytes.len());
        prop_assert_eq!(frame, as_others_read(&all));
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
