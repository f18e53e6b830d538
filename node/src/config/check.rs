//! Makes one [`Config`] of the flags and the file, and refuses what contradicts itself.

use super::args::Flags;
use super::file::{ClusterFile, NodeEntry};
use super::{Config, ConfigError, limits};
use crate::front::{Demo, DropIn};
use crate::logging::{self, LogFormat};
use crate::resp::RespSettings;
use raft::FeedLimits;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use stock::{Debt, NodeId, Sku};

/// The public listener's default port, less the node's id.
const HTTP_PORT_BASE: u64 = 8100;
const DEADLINE_MS_DEFAULT: u64 = 5000;
const DEADLINE_MS: RangeInclusive<u64> = 100..=60_000;
const WAIT_MAX_MS_DEFAULT: u64 = 2500;
const WAIT_MAX_MS: RangeInclusive<u64> = 10..=60_000;
const MAX_CONNECTIONS_DEFAULT: u64 = 20_000;
/// As Redis has it.
const RESP_MAX_CONNECTIONS_DEFAULT: u64 = 10_000;
const MAX_CONNECTIONS: RangeInclusive<u64> = 1..=1_000_000;
const WORKER_THREADS: RangeInclusive<u64> = 1..=256;
const HEARTBEAT_MS_DEFAULT: u64 = 40;
const HEARTBEAT_MS: RangeInclusive<u64> = 5..=10_000;
const ELECTION_MIN_MS_DEFAULT: u64 = 120;
const ELECTION_MAX_MS_DEFAULT: u64 = 240;
const ELECTION_MS: RangeInclusive<u64> = 10..=60_000;
const SNAPSHOT_ENTRIES_DEFAULT: u64 = 10_000;
const SNAPSHOT_ENTRIES: RangeInclusive<u64> = 10..=10_000_000;
const KEEP_ENTRIES_DEFAULT: u64 = 2_000;
const KEEP_ENTRIES: RangeInclusive<u64> = 1..=10_000_000;
/// In MiB and in hours: what a disk and a machine's life can hold, and no overflow.
const EVENTS: RangeInclusive<u64> = 1..=100_000_000;

const HOST_PORT: &str = "HOST:PORT, with a port from 1 to 65535";
const IP_PORT: &str = "IP:PORT, such as 127.0.0.1:8101 or 0.0.0.0:8101, with a port from 1";

/// See the module.
pub(super) fn check(
    given: Flags,
    file: ClusterFile,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let id = match given.id {
        Some(0) => {
            return Err(ConfigError::BadId { found: "0".to_owned() });
        }
        Some(id) => NodeId(id),
        None => return Err(ConfigError::NoId),
    };
    check_file_nodes(&file.node)?;
    let peers = peers(id, given.peers.as_deref(), &file.node)?;
    let own = file.node.into_iter().find(|entry| entry.id == id.0);
    let (own_http, own_advertise, own_resp, own_data) = match own {
        Some(own) => (own.http, own.advertise_http, own.resp, own.data),
        None => (None, None, None, None),
    };
    let peer = peers.get(&id).cloned().unwrap_or_default();
    let http = http(id, given.http.or(own_http), &peer)?;
    let advertise_http = advertise(http, given.advertise_http.or(own_advertise))?;
    let resp_connections = given.resp_max_connections.or(file.resp_max_connections);
    let resp = resp(
        given.resp.or(own_resp),
        given.resp_debt.or(file.resp_debt).unwrap_or(false),
        resp_connections.unwrap_or(RESP_MAX_CONNECTIONS_DEFAULT),
    )?;
    let times = Times {
        deadline_ms: given.deadline_ms.or(file.deadline_ms).unwrap_or(DEADLINE_MS_DEFAULT),
        heartbeat_ms: given.heartbeat_ms.or(file.heartbeat_ms).unwrap_or(HEARTBEAT_MS_DEFAULT),
        election_min_ms: given
            .election_min_ms
            .or(file.election_min_ms)
            .unwrap_or(ELECTION_MIN_MS_DEFAULT),
        election_max_ms: given
            .election_max_ms
            .or(file.election_max_ms)
            .unwrap_or(ELECTION_MAX_MS_DEFAULT),
    };
    times.check()?;
    let snapshot_entries =
        given.snapshot_entries.or(file.snapshot_entries).unwrap_or(SNAPSHOT_ENTRIES_DEFAULT);
    let keep_entries = given.keep_entries.or(file.keep_entries).unwrap_or(KEEP_ENTRIES_DEFAULT);
    within("--snapshot-entries", snapshot_entries, SNAPSHOT_ENTRIES)?;
    within("--keep-entries", keep_entries, KEEP_ENTRIES)?;
    let wait_max_ms = given.wait_max_ms.or(file.wait_max_ms).unwrap_or(WAIT_MAX_MS_DEFAULT);
    within("--wait-max-ms", wait_max_ms, WAIT_MAX_MS)?;
    let max_connections =
        given.max_connections.or(file.max_connections).unwrap_or(MAX_CONNECTIONS_DEFAULT);
    within("--max-connections", max_connections, MAX_CONNECTIONS)?;
    let worker_threads =
        given.worker_threads.or(file.worker_threads).unwrap_or_else(worker_threads_default);
    within("--worker-threads", worker_threads, WORKER_THREADS)?;
    let feed =
        feed(given.events_mib.or(file.events_mib), given.events_hours.or(file.events_hours))?;
    let drop_in = drop_in(
        given.drop_in_product.or(file.drop_in_product),
        given.drop_in_reset.or(file.drop_in_reset).unwrap_or(false),
    )?;
    let demo = if given.demo.or(file.demo).unwrap_or(false) { Demo::On } else { Demo::Off };
    let limits =
        limits::limits(given.rate_limit_per_user, given.rate_limit_per_ip, file.rate_limit)?;
    let proxies = limits::proxies(given.trusted_proxies.as_deref(), file.trusted_proxies)?;
    let sinks = file.sink.check(environment)?;
    let log_level =
        given.log_level.or(file.log_level).unwrap_or_else(|| logging::LEVEL_DEFAULT.to_owned());
    if let Err(why) = logging::filter(&log_level) {
        return Err(ConfigError::BadLogLevel { found: log_level, why });
    }
    Ok(Config {
        id,
        peers,
        http,
        advertise_http,
        resp,
        data: given.data.or(own_data).unwrap_or_else(|| PathBuf::from(format!("./data/node-{id}"))),
        deadline: Duration::from_millis(times.deadline_ms),
        wait_max: Duration::from_millis(wait_max_ms),
        max_connections: usize::try_from(max_connections).unwrap_or(usize::MAX),
        worker_threads: usize::try_from(worker_threads).unwrap_or(1),
        heartbeat: Duration::from_millis(times.heartbeat_ms),
        election_min: Duration::from_millis(times.election_min_ms),
        election_max: Duration::from_millis(times.election_max_ms),
        snapshot_entries,
        keep_entries,
        feed,
        drop_in,
        demo,
        limits,
        proxies,
        sinks,
        log_format: given.log_format.or(file.log_format).unwrap_or(LogFormat::Human),
        log_level,
        otlp_endpoint: given.otlp_endpoint.map(otlp_endpoint).transpose()?,
    })
}

/// A build that cannot export refuses, or whoever asks for spans would wait for them.
fn otlp_endpoint(url: String) -> Result<String, ConfigError> {
    let wrong = |why: &str| Err(ConfigError::OutOfRange(format!("--otlp-endpoint: {why}")));
    if !cfg!(feature = "otlp") {
        return wrong("this build exports no spans; build it with --features otlp");
    }
    let is_one =
        reqwest::Url::parse(&url).is_ok_and(|url| url.scheme() == "http" && url.has_host());
    if !is_one {
        return wrong("use the URL of a collector, such as http://127.0.0.1:4318, without TLS");
    }
    Ok(url)
}

fn feed(mib: Option<u64>, hours: Option<u64>) -> Result<FeedLimits, ConfigError> {
    mib.map_or(Ok(()), |mib| within("--events-mib", mib, EVENTS))?;
    hours.map_or(Ok(()), |hours| within("--events-hours", hours, EVENTS))?;
    let age = hours.map(|hours| Duration::from_secs(hours * 3600));
    Ok(FeedLimits { bytes: mib.map(|mib| mib * 1024 * 1024), age })
}

fn resp(
    address: Option<String>,
    debt: bool,
    connections: u64,
) -> Result<Option<RespSettings>, ConfigError> {
    within("--resp-max-connections", connections, MAX_CONNECTIONS)?;
    let debt = if debt { Debt::Allowed } else { Debt::Refused };
    let connections_max = usize::try_from(connections).unwrap_or(usize::MAX);
    let settings = |text: String| {
        let address = bind_address("--resp", &text)?;
        Ok(RespSettings { address, debt, connections_max })
    };
    address.map(settings).transpose()
}

fn drop_in(product: Option<String>, reset: bool) -> Result<DropIn, ConfigError> {
    let product = product.map(Sku::new).transpose();
    let product =
        product.map_err(|why| ConfigError::OutOfRange(format!("--drop-in-product: {why}")))?;
    if reset && product.is_none() {
        let why = "--drop-in-reset needs --drop-in-product: which product is restocked?";
        return Err(ConfigError::OutOfRange(why.to_owned()));
    }
    Ok(DropIn { product, reset })
}

/// What the file says of the other nodes is checked too: it is wrong for them, and for all.
fn check_file_nodes(nodes: &[NodeEntry]) -> Result<(), ConfigError> {
    let mut https: BTreeMap<SocketAddr, NodeId> = BTreeMap::new();
    for entry in nodes {
        if let Some(http) = &entry.http {
            let address = bind_address(&format!("http of node {}", entry.id), http)?;
            // Nodes on machines of their own may all bind 0.0.0.0:8101.
            if address.ip().is_unspecified() {
                continue;
            }
            if let Some(first) = https.insert(address, NodeId(entry.id))
                && first != NodeId(entry.id)
            {
                return Err(ConfigError::DuplicateAddress {
                    first,
                    second: NodeId(entry.id),
                    what: "the public listener",
                    address: http.clone(),
                });
            }
        }
    }
    Ok(())
}

fn peers(
    id: NodeId,
    given: Option<&str>,
    file: &[NodeEntry],
) -> Result<BTreeMap<NodeId, String>, ConfigError> {
    let entries = match given {
        Some(text) => text.split(',').map(peer_entry).collect::<Result<Vec<_>, _>>()?,
        None => file.iter().map(|entry| (entry.id, entry.peer.clone())).collect(),
    };
    if entries.is_empty() {
        return Err(ConfigError::NoPeers { id });
    }
    let mut peers: BTreeMap<NodeId, String> = BTreeMap::new();
    for (number, address) in entries {
        if number == 0 {
            return Err(ConfigError::BadId { found: "0".to_owned() });
        }
        let number = NodeId(number);
        let address = host_port(&format!("the peer listener of node {number}"), &address)?;
        if let Some((first, _)) = peers.iter().find(|(_, known)| **known == address)
            && *first != number
        {
            return Err(ConfigError::DuplicateAddress {
                first: *first,
                second: number,
                what: "the peer listener",
                address,
            });
        }
        if peers.insert(number, address).is_some() {
            return Err(ConfigError::DuplicateId { id: number });
        }
    }
    if !peers.contains_key(&id) {
        let known: Vec<String> = peers.keys().map(ToString::to_string).collect();
        return Err(ConfigError::NotAPeer { id, known: known.join(", ") });
    }
    if !matches!(peers.len(), 1 | 3 | 5) {
        return Err(ConfigError::BadCount { count: peers.len() });
    }
    Ok(peers)
}

fn peer_entry(entry: &str) -> Result<(u64, String), ConfigError> {
    let bad = || ConfigError::BadPeer { found: entry.to_owned() };
    let (id, address) = entry.split_once('=').ok_or_else(bad)?;
    let id = id.trim();
    let id = id.parse().map_err(|_| ConfigError::BadId { found: id.to_owned() })?;
    Ok((id, address.to_owned()))
}

/// An address that others may reach by name.
fn host_port(what: &str, text: &str) -> Result<String, ConfigError> {
    let bad = || ConfigError::BadAddress {
        what: what.to_owned(),
        found: text.to_owned(),
        rule: HOST_PORT,
    };
    let text = text.trim();
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let host_is_one = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(ipv6) => ipv6.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    };
    if port == 0 || !host_is_one {
        return Err(bad());
    }
    Ok(text.to_owned())
}

/// An address that this machine binds.
fn bind_address(what: &str, text: &str) -> Result<SocketAddr, ConfigError> {
    let address: Option<SocketAddr> = text.trim().parse().ok();
    address.filter(|address| address.port() != 0).ok_or_else(|| ConfigError::BadAddress {
        what: what.to_owned(),
        found: text.to_owned(),
        rule: IP_PORT,
    })
}

fn http(id: NodeId, given: Option<String>, peer: &str) -> Result<SocketAddr, ConfigError> {
    let http = match given {
        Some(text) => bind_address("--http", &text)?,
        None => default_http(id)?,
    };
    // A name is not resolved here; only what is an address in itself, and localhost, compares.
    let peer_address: Option<SocketAddr> = peer.replacen("localhost", "127.0.0.1", 1).parse().ok();
    match peer_address {
        Some(address) if address.port() == http.port() && overlap(address.ip(), http.ip()) => {
            Err(ConfigError::SamePort { http, peer: peer.to_owned() })
        }
        _ => Ok(http),
    }
}

fn default_http(id: NodeId) -> Result<SocketAddr, ConfigError> {
    let port = u16::try_from(HTTP_PORT_BASE.saturating_add(id.0))
        .map_err(|_| ConfigError::NoDefaultPort { id })?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}

fn advertise(http: SocketAddr, given: Option<String>) -> Result<String, ConfigError> {
    match given {
        Some(text) => host_port("--advertise-http", &text),
        None if http.ip().is_unspecified() => Err(ConfigError::NothingToAdvertise { http }),
        None => Ok(http.to_string()),
    }
}

/// Half of the cores: the disk's threads and the kernel need some, and a thread more than there is
/// work for costs a wake-up with every message that passes from one to the other.
fn worker_threads_default() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    (cores / 2).clamp(*WORKER_THREADS.start(), *WORKER_THREADS.end())
}

fn within(name: &str, value: u64, range: RangeInclusive<u64>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (min, max) = range.into_inner();
    Err(ConfigError::OutOfRange(format!("{name} {value} is out of range; use {min} to {max}")))
}

// Every one is in milliseconds, and says so wherever it is read.
#[allow(clippy::struct_field_names)]
struct Times {
    deadline_ms: u64,
    heartbeat_ms: u64,
    election_min_ms: u64,
    election_max_ms: u64,
}

impl Times {
    fn check(&self) -> Result<(), ConfigError> {
        let Self { deadline_ms, heartbeat_ms, election_min_ms, election_max_ms } = *self;
        within("--deadline-ms", deadline_ms, DEADLINE_MS)?;
        within("--heartbeat-ms", heartbeat_ms, HEARTBEAT_MS)?;
        within("--election-min-ms", election_min_ms, ELECTION_MS)?;
        within("--election-max-ms", election_max_ms, ELECTION_MS)?;
        if election_min_ms <= 2 * heartbeat_ms {
            return Err(ConfigError::OutOfRange(format!(
                "--election-min-ms {election_min_ms} must be more than twice --heartbeat-ms \
                 {heartbeat_ms}, or one late heartbeat is an election; raise the one or lower the \
                 other"
            )));
        }
        if election_max_ms <= election_min_ms {
            return Err(ConfigError::OutOfRange(format!(
                "--election-max-ms {election_max_ms} must be more than --election-min-ms \
                 {election_min_ms}, or nodes campaign at once and none wins; twice as much is usual"
            )));
        }
        if deadline_ms <= election_max_ms {
            return Err(ConfigError::OutOfRange(format!(
                "--deadline-ms {deadline_ms} must be more than --election-max-ms \
                 {election_max_ms}, or no request outlives an election"
            )));
        }
        Ok(())
    }
}
