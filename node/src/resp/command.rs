//! The commands: their names, how many arguments each takes, and what they ask for.
//!
//! Owns the whole of the subset, and the words in which Redis refuses the rest. Never asks anybody.
//! Called by the connection.

use super::wire::{Reply, Request, Version};
use stock::{DEBT_MAX, SetIf, Sku, UserId};

/// A channel's name before its product's id.
const CHANNEL: &str = "stock:";
/// The most channels of one connection.
pub(super) const CHANNELS_MAX: usize = 1_024;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing but this answer.
    Told(Reply),
    /// This version from now on, perhaps as somebody, perhaps under a name.
    Hello {
        version: Option<Version>,
        user: Option<UserId>,
        name: Option<Vec<u8>>,
    },
    Auth(UserId),
    SetName(Vec<u8>),
    GetName,
    ClientId,
    Quit,
    Read(Read),
    Write(Sku, Write),
    /// Of several keys, one after the other; the answer counts those that were there.
    Delete(Vec<Sku>),
    Subscribe(Vec<Sku>),
    /// None: from all.
    Unsubscribe(Vec<Vec<u8>>),
    Ping(Option<Vec<u8>>),
    /// What begins a transaction, of which there are none.
    Multi,
    /// What ends one.
    Exec {
        refusal: String,
    },
}

/// What is read of keys; none is a text that can be no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    Get(Option<Sku>),
    GetMany(Vec<Option<Sku>>),
    Exists(Vec<Option<Sku>>),
    Type(Option<Sku>),
}

impl Read {
    /// The keys that it looks at.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Sku> {
        let keys = match self {
            Self::Get(key) | Self::Type(key) => std::slice::from_ref(key),
            Self::GetMany(keys) | Self::Exists(keys) => keys,
        };
        keys.iter().flatten()
    }
}

/// What is changed of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Set {
        available: u64,
        only: SetIf,
    },
    /// Below zero takes units.
    Count(i64),
    Delete,
}

/// A command as COMMAND tells it: name, arity (negative: at least), first key, last key, step.
const TABLE: &[(&str, i64, [i64; 3])] = &[
    ("auth", -2, [0, 0, 0]),
    ("client", -2, [0, 0, 0]),
    ("command", -1, [0, 0, 0]),
    ("decr", 2, [1, 1, 1]),
    ("decrby", 3, [1, 1, 1]),
    ("del", -2, [1, -1, 1]),
    ("echo", 2, [0, 0, 0]),
    ("exists", -2, [1, -1, 1]),
    ("get", 2, [1, 1, 1]),
    ("hello", -1, [0, 0, 0]),
    ("incr", 2, [1, 1, 1]),
    ("incrby", 3, [1, 1, 1]),
    ("info", -1, [0, 0, 0]),
    ("mget", -2, [1, -1, 1]),
    ("ping", -1, [0, 0, 0]),
    ("quit", -1, [0, 0, 0]),
    ("select", 2, [0, 0, 0]),
    ("set", -3, [1, 1, 1]),
    ("subscribe", -2, [0, 0, 0]),
    ("type", 2, [1, 1, 1]),
    ("unsubscribe", -1, [0, 0, 0]),
];

/// To a command of the table that nobody parses.
const UNPARSED: &str = "ERR there is nothing behind the command";

/// What a request asks for; a refusal is an answer like another.
pub(super) fn asked(request: Request) -> Asked {
    let mut arguments = request.into_iter();
    let Some(name) = arguments.next() else { return told_error("ERR empty command") };
    let arguments: Vec<Vec<u8>> = arguments.collect();
    let lower = String::from_utf8_lossy(&name).to_ascii_lowercase();
    let Some((known, arity, _)) = TABLE.iter().find(|(known, ..)| **known == *lower) else {
        let refusal = unknown(&name, &arguments);
        return match &*lower {
            "multi" => Asked::Multi,
            "exec" | "discard" => Asked::Exec { refusal },
            _ => told_error(refusal),
        };
    };
    let count = integer_of(1 + arguments.len());
    if if *arity < 0 { count < -arity } else { count != *arity } {
        return told_error(wrong_number(known));
    }
    parse(known, arguments).unwrap_or_else(told_error)
}

fn told_error(text: impl Into<String>) -> Asked {
    Asked::Told(Reply::error(text))
}

fn wrong_number(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// As Redis says it, which shows the first arguments and no more than a line.
fn unknown(name: &[u8], arguments: &[Vec<u8>]) -> String {
    let shown = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        text.chars().take(128).collect::<String>()
    };
    let mut line = format!("ERR unknown command '{}', with args beginning with: ", shown(name));
    for argument in arguments.iter().take(16) {
        if line.len() > 256 {
            break;
        }
        line = format!("{line}'{}' ", shown(argument));
    }
    line
}

fn parse(name: &str, arguments: Vec<Vec<u8>>) -> Result<Asked, String> {
    let read_all = |arguments: &[Vec<u8>]| arguments.iter().map(|text| key(text).ok()).collect();
    Ok(match name {
        "ping" => match arguments.len() {
            0 | 1 => Asked::Ping(arguments.into_iter().next()),
            _ => return Err(wrong_number(name)),
        },
        "echo" => Asked::Told(Reply::Raw(arguments.into_iter().next().unwrap_or_default())),
        "hello" => hello(&arguments)?,
        "auth" => match &arguments[..] {
            // A password alone is for nobody in particular.
            [_] => Asked::Told(Reply::OK),
            // Redis's own name for nobody in particular, as in HELLO.
            [user, _] if user == b"default" => Asked::Told(Reply::OK),
            [user, _] => Asked::Auth(user_id(user)?),
            _ => return Err("ERR syntax error".to_owned()),
        },
        "select" => match integer(&arguments[0])? {
            0 => Asked::Told(Reply::OK),
            _ => return Err("ERR DB index is out of range".to_owned()),
        },
        "client" => client(&arguments)?,
        "command" => Asked::Told(command(&arguments)?),
        "info" => Asked::Told(info()),
        "quit" => Asked::Quit,
        "get" => Asked::Read(Read::Get(key(&arguments[0]).ok())),
        "mget" => Asked::Read(Read::GetMany(read_all(&arguments))),
        "exists" => Asked::Read(Read::Exists(read_all(&arguments))),
        "type" => Asked::Read(Read::Type(key(&arguments[0]).ok())),
        "set" => set(&arguments)?,
        "del" => Asked::Delete(arguments.iter().filter_map(|text| key(text).ok()).collect()),
        "incr" => Asked::Write(key(&arguments[0])?, Write::Count(1)),
        "decr" => Asked::Write(key(&arguments[0])?, Write::Count(-1)),
        "incrby" => Asked::Write(key(&arguments[0])?, Write::Count(by(&arguments[1])?)),
        "decrby" => Asked::Write(key(&arguments[0])?, Write::Count(-by(&arguments[1])?)),
        "subscribe" => {
            Asked::Subscribe(arguments.iter().map(|text| channel(text)).collect::<Result<_, _>>()?)
        }
        "unsubscribe" => Asked::Unsubscribe(arguments),
        // The test of the table finds a name that comes here.
        _ => return Err(format!("{UNPARSED} '{name}'")),
    })
}

fn hello(arguments: &[Vec<u8>]) -> Result<Asked, String> {
    let (mut version, mut user, mut name) = (None, None, None);
    let mut rest = arguments;
    if let [first, others @ ..] = rest {
        version = Some(match integer(first) {
            Ok(2) => Version::Two,
            Ok(3) => Version::Three,
            Ok(_) => return Err("NOPROTO unsupported protocol version".to_owned()),
            Err(_) => {
                return Err("ERR Protocol version is not an integer or out of range".to_owned());
            }
        });
        rest = others;
    }
    loop {
        rest = match rest {
            [] => return Ok(Asked::Hello { version, user, name }),
            [option, by, _, others @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                if by != b"default" {
                    user = Some(user_id(by)?);
                }
                others
            }
            [option, by, others @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                name = Some(client_name(by)?);
                others
            }
            [option, ..] => {
                let option = String::from_utf8_lossy(option);
                return Err(format!("ERR Syntax error in HELLO option '{option}'"));
            }
        }
    }
}

/// A name that a connection gives itself, and may ask for as often as it likes.
fn client_name(name: &[u8]) -> Result<Vec<u8>, String> {
    const BYTES_MAX: usize = 128;
    if name.len() > BYTES_MAX {
        return Err(format!("ERR a client's name has at most {BYTES_MAX} bytes"));
    }
    Ok(name.to_vec())
}

fn client(arguments: &[Vec<u8>]) -> Result<Asked, String> {
    let lower = arguments[0].to_ascii_lowercase();
    Ok(match (&lower[..], &arguments[1..]) {
        (b"setname", [name]) => Asked::SetName(client_name(name)?),
        (b"getname", []) => Asked::GetName,
        (b"id", []) => Asked::ClientId,
        // What libraries say of themselves on each connection.
        (b"setinfo", [_, _]) | (b"no-evict" | b"no-touch", [_]) => Asked::Told(Reply::OK),
        _ => {
            let name = String::from_utf8_lossy(&arguments[0]);
            return Err(format!(
                "ERR unknown subcommand '{}'. This listener knows CLIENT SETNAME, GETNAME, ID and \
                 SETINFO.",
                name.chars().take(128).collect::<String>()
            ));
        }
    })
}

fn command(arguments: &[Vec<u8>]) -> Result<Reply, String> {
    let entry = |(name, arity, keys): &(&str, i64, [i64; 3])| {
        let mut entry =
            vec![Reply::Bulk((*name).to_owned()), Reply::Int(*arity), Reply::Array(Vec::new())];
        entry.extend(keys.map(Reply::Int));
        Reply::Array(entry)
    };
    let Some((first, names)) = arguments.split_first() else {
        return Ok(Reply::Array(TABLE.iter().map(entry).collect()));
    };
    Ok(match &first.to_ascii_lowercase()[..] {
        b"count" => Reply::Int(integer_of(TABLE.len())),
        b"docs" => Reply::Map(Vec::new()),
        b"list" => {
            Reply::Array(TABLE.iter().map(|(name, ..)| Reply::Bulk((*name).into())).collect())
        }
        b"info" => {
            let found = |name: &Vec<u8>| {
                let known =
                    TABLE.iter().find(|(known, ..)| name.eq_ignore_ascii_case(known.as_bytes()));
                known.map_or(Reply::Null, entry)
            };
            Reply::Array(names.iter().map(found).collect())
        }
        other => {
            let name = String::from_utf8_lossy(other);
            return Err(format!("ERR unknown subcommand '{name}'."));
        }
    })
}

fn info() -> Reply {
    Reply::Bulk(format!(
        "# Server\r\nserver_name:flashnode\r\nflashnode_version:{}\r\nredis_mode:standalone\r\n\
         \r\n# Replication\r\nrole:master\r\n",
        env!("CARGO_PKG_VERSION")
    ))
}

fn set(arguments: &[Vec<u8>]) -> Result<Asked, String> {
    let sku = key(&arguments[0])?;
    let mut only = SetIf::Always;
    for option in &arguments[2..] {
        only = match (&option.to_ascii_lowercase()[..], only) {
            (b"nx", SetIf::Always) => SetIf::Missing,
            (b"xx", SetIf::Always) => SetIf::Present,
            (b"get", _) => {
                let why = "ERR SET option 'GET' is not supported: this listener takes NX or XX";
                return Err(why.to_owned());
            }
            (b"ex" | b"px" | b"exat" | b"pxat" | b"keepttl", _) => {
                let option = String::from_utf8_lossy(option).to_uppercase();
                return Err(format!(
                    "ERR SET option '{option}' is not supported: stock does not expire; this \
                     listener takes NX or XX"
                ));
            }
            _ => return Err("ERR syntax error".to_owned()),
        };
    }
    let available = integer(&arguments[1])?;
    let available = u64::try_from(available)
        .map_err(|_| "ERR value is out of range: stock is not negative".to_owned())?;
    Ok(Asked::Write(sku, Write::Set { available, only }))
}

/// A key is a product's id.
fn key(text: &[u8]) -> Result<Sku, String> {
    let text = std::str::from_utf8(text).map_err(|_| "ERR the key is not a product's id")?;
    Sku::new(text).map_err(|why| format!("ERR the key is not a product's id: {why}"))
}

fn channel(text: &[u8]) -> Result<Sku, String> {
    let key_text = text.strip_prefix(CHANNEL.as_bytes());
    key_text.and_then(|text| key(text).ok()).ok_or_else(|| {
        let shown: String = String::from_utf8_lossy(text).chars().take(128).collect();
        format!("ERR there is no channel '{shown}'; subscribe to {CHANNEL}<key>")
    })
}

/// The channel of a product.
pub(super) fn channel_of(sku: &Sku) -> String {
    format!("{CHANNEL}{sku}")
}

/// The product of a channel.
pub(super) fn product_of(text: &[u8]) -> Option<Sku> {
    channel(text).ok()
}

fn user_id(text: &[u8]) -> Result<UserId, String> {
    let text = String::from_utf8_lossy(text);
    UserId::new(&*text).map_err(|why| format!("ERR the user name: {why}"))
}

fn integer(text: &[u8]) -> Result<i64, String> {
    // As Redis: no sign of plus, and no zeros before it.
    let parsed = std::str::from_utf8(text).ok().and_then(|text| {
        let number: i64 = text.parse().ok()?;
        (number.to_string() == text).then_some(number)
    });
    parsed.ok_or_else(|| "ERR value is not an integer or out of range".to_owned())
}

/// A number of things as a number of the protocol.
pub(super) fn integer_of(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A number of units to add, whose negative is one, too.
fn by(text: &[u8]) -> Result<i64, String> {
    let by = integer(text)?;
    if by.unsigned_abs() > DEBT_MAX {
        return Err("ERR increment or decrement would overflow".to_owned());
    }
    Ok(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Asked {
        asked(line.split(' ').map(|word| word.as_bytes().to_vec()).collect())
    }

    fn error(line: &str) -> String {
        match of(line) {
            Asked::Told(Reply::Error(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn counts_and_sets() {
        let tee: Sku = "tee".parse().unwrap();
        let write = |write| Asked::Write(tee.clone(), write);
        assert_eq!(of("decr tee"), write(Write::Count(-1)));
        assert_eq!(of("INCRBY tee -5"), write(Write::Count(-5)));
        assert_eq!(of("DecrBy tee -5"), write(Write::Count(5)));
        let set = |only| write(Write::Set { available: 7, only });
        assert_eq!(of("SET tee 7"), set(SetIf::Always));
        assert_eq!(of("SET tee 7 nx"), set(SetIf::Missing));
        assert_eq!(of("SET tee 7 XX"), set(SetIf::Present));
        assert_eq!(of("DEL tee"), Asked::Delete(vec![tee.clone()]));
        assert_eq!(of("AUTH default secret"), Asked::Told(Reply::OK));
        assert_eq!(of("AUTH ann secret"), Asked::Auth("ann".parse().unwrap()));
        assert_eq!(of("SUBSCRIBE stock:tee"), Asked::Subscribe(vec![tee]));
    }

    #[test]
    fn what_is_refused_says_why() {
        for (line, says) in [
            ("FLUSHALL now", "ERR unknown command 'FLUSHALL', with args beginning with: 'now' "),
            ("GET", "ERR wrong number of arguments for 'get' command"),
            ("PING a b", "ERR wrong number of arguments for 'ping' command"),
            ("SET tee x", "ERR value is not an integer or out of range"),
            ("SET tee 007", "ERR value is not an integer or out of range"),
            ("INCRBY tee +7", "ERR value is not an integer or out of range"),
            (
                "SET tee 7 GET",
                "ERR SET option 'GET' is not supported: this listener takes NX or XX",
            ),
            ("SET tee 1.5", "ERR value is not an integer or out of range"),
            ("SET tee -1", "ERR value is out of range: stock is not negative"),
            ("SET tee 1 NX XX", "ERR syntax error"),
            ("INCRBY tee 9223372036854775807", "ERR increment or decrement would overflow"),
            ("DECRBY tee -9223372036854775808", "ERR increment or decrement would overflow"),
            ("SELECT 1", "ERR DB index is out of range"),
            ("HELLO 4", "NOPROTO unsupported protocol version"),
        ] {
            assert_eq!(error(line), says, "{line}");
        }
        for (line, says) in [
            ("SET tee 1 EX 10", "'EX' is not supported"),
            ("SET tee 1 px 10", "'PX' is not supported"),
            ("INCR a/b", "not a product's id"),
            ("SUBSCRIBE news", "there is no channel 'news'"),
            ("CLIENT KILL x", "unknown subcommand 'KILL'"),
        ] {
            assert!(error(line).contains(says), "{line}: {}", error(line));
        }
        assert_eq!(asked(Vec::new()), told_error("ERR empty command"));
    }

    /// What it is with as few arguments as it takes, and, where it takes no more, with one more.
    fn of_entry((name, arity, _): &(&str, i64, [i64; 3]), more: usize) -> Asked {
        let mut line = vec![name.as_bytes().to_vec()];
        line.resize(arity.unsigned_abs() as usize + more, b"7".to_vec());
        asked(line)
    }

    #[test]
    fn the_table_is_sorted_and_every_entry_is_known() {
        assert!(TABLE.is_sorted_by_key(|(name, ..)| *name));
        let mut kinds = std::collections::BTreeMap::new();
        for entry @ (name, arity, keys) in TABLE {
            let asked = of_entry(entry, 0);
            if let Asked::Told(Reply::Error(text)) = &asked {
                // These take no 7.
                let refused = ["client", "select", "subscribe"].contains(name);
                assert!(refused && !text.starts_with(UNPARSED), "{name}: {text}");
            }
            // What it asks for is about keys exactly if the table says so.
            let has_keys = matches!(asked, Asked::Read(_) | Asked::Write(..) | Asked::Delete(_));
            assert_eq!(has_keys, keys[0] > 0, "{name}");
            if *arity > 0 {
                assert_eq!(of_entry(entry, 1), told_error(wrong_number(name)), "{name}");
            }
            kinds.entry(format!("{asked:?}")).or_insert_with(Vec::new).push(*name);
        }
        // No two do the same.
        kinds.retain(|_, names| names.len() > 1);
        assert!(kinds.is_empty(), "{kinds:?}");
    }
}
