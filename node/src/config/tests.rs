//! Which source wins, and every refusal with the words that say what to do.

use super::args::VARIABLES;
use super::*;
use crate::rate::Quota;
use clap::CommandFactory;
use std::io::Write;
use tempfile::NamedTempFile;

const PEERS: &str = "1=127.0.0.1:7101,2=127.0.0.1:7102,3=127.0.0.1:7103";
const NODES: &str = r#"
    [[node]]
    id = 1
    peer = "127.0.0.1:7101"
    http = "127.0.0.1:9001"
    data = "/srv/one"
    [[node]]
    id = 2
    peer = "127.0.0.1:7102"
    [[node]]
    id = 3
    peer = "127.0.0.1:7103"
"#;

fn load(line: &str) -> Result<Config, ConfigError> {
    load_with(line, &[])
}

fn load_with(line: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let args = std::iter::once("flashnode").chain(line.split_whitespace()).map(OsString::from);
    Config::load_from(args, |name| {
        let found = environment.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load_file(line: &str, text: &str) -> Result<Config, ConfigError> {
    let file = file(text);
    load(&format!("{line} --config {}", file.path().display()))
}

#[test]
fn id_and_peers_are_enough() {
    let config = load(&format!("--id 2 --peers {PEERS}")).unwrap();
    assert_eq!(config.id, NodeId(2));
    assert_eq!(config.peers.len(), 3);
    assert_eq!(config.peers[&config.id], "127.0.0.1:7102");
    assert_eq!(config.http.to_string(), "127.0.0.1:8102");
    assert_eq!(config.advertise_http, "127.0.0.1:8102");
    assert_eq!(config.data, PathBuf::from("./data/node-2"));
    assert_eq!(config.deadline, Duration::from_secs(5));
    assert_eq!(config.wait_max, Duration::from_millis(2500));
    assert_eq!(config.heartbeat, Duration::from_millis(40));
    assert_eq!(config.election_min, Duration::from_millis(120));
    assert_eq!(config.election_max, Duration::from_millis(240));
    assert_eq!((config.snapshot_entries, config.keep_entries), (10_000, 2_000));
    assert_eq!(config.log_format, LogFormat::Human);
    assert_eq!(config.log_level, "info");
}

#[test]
fn names_and_ipv6_are_addresses_too() {
    let peers = "--peers 1=node-1.shop:7101,2=[::1]:7102,3=localhost:7103";
    let config = load(&format!("--id 2 {peers} --http [::]:80 --advertise-http shop:80")).unwrap();
    assert_eq!(config.peers[&config.id], "[::1]:7102");
    assert_eq!(config.advertise_http, "shop:80");
}

#[test]
fn flags_then_variables_then_file_then_defaults() {
    let text = format!("deadline_ms = 1000\nlog_format = \"json\"\nheartbeat_ms = 40\n{NODES}");
    let file = file(&text);
    let path = file.path().display().to_string();
    let variables = [
        ("FLASHNODE_CONFIG", path.as_str()),
        ("FLASHNODE_ID", "3"),
        ("FLASHNODE_DEADLINE_MS", "2000"),
        ("FLASHNODE_HTTP", "127.0.0.1:9002"),
        ("FLASHNODE_LOG", "debug"),
        ("FLASHNODE_DATA", ""),
        ("FLASHNODE_PORT", "tcp://10.0.0.1:80"),
    ];
    let config = load_with("--id 1 --deadline-ms 3000", &variables).unwrap();
    assert_eq!(config.id, NodeId(1), "a flag before a variable");
    assert_eq!(config.deadline, Duration::from_secs(3), "a flag before a variable and the file");
    assert_eq!(config.http.to_string(), "127.0.0.1:9002", "a variable before the file");
    assert_eq!(config.log_level, "debug", "a variable before the default");
    assert_eq!(config.data, PathBuf::from("/srv/one"), "an empty variable is none");
    assert_eq!(config.heartbeat, Duration::from_millis(40), "the file before the default");
    assert_eq!(config.log_format, LogFormat::Json, "the file before the default");
    assert_eq!(config.election_min, Duration::from_millis(120), "the default");

    let config = load_with("", &variables).unwrap();
    assert_eq!(config.id, NodeId(3));
    assert_eq!(config.deadline, Duration::from_secs(2));

    let elsewhere = "--peers 1=a:1,2=b:1,3=c:1";
    let config = load_with(&format!("--id 1 {elsewhere}"), &variables).unwrap();
    assert_eq!(config.peers[&config.id], "a:1", "flags replace the file's nodes");
    assert_eq!(config.data, PathBuf::from("/srv/one"), "and keep what else it says of this one");
}

#[test]
fn every_flag_has_its_variable_and_says_so() {
    let command = Flags::command();
    let ours =
        command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"));
    let flags: Vec<String> = ours
        .map(|arg| {
            let flag = format!("--{}", arg.get_long().unwrap());
            let (variable, _) = VARIABLES.iter().find(|(_, known)| *known == flag).expect(&flag);
            let help = arg.get_help().unwrap().to_string();
            assert!(help.contains(&format!("[env: {variable}]")), "{flag}: {help}");
            flag
        })
        .collect();
    assert_eq!(flags.len(), VARIABLES.len());
}

#[test]
fn help_shows_an_example() {
    let ConfigError::Usage(usage) = load("--help").unwrap_err() else { panic!("not usage") };
    assert_eq!(usage.exit_code(), 0);
    assert!(usage.to_string().contains(&format!("flashnode --id 1 --peers {PEERS}")));
}

/// Each row: a command line, and words that the refusal must hold.
#[test]
fn command_lines_that_are_refused() {
    let good = format!("--id 1 --peers {PEERS}");
    let with = |more: &str| format!("{good} {more}");
    let table: &[(String, &str)] = &[
        (String::new(), "--id"),
        ("--id 1".into(), "--peers 1=127.0.0.1:7101,2="),
        ("--id 0 --peers 1=a:1".into(), "from 1"),
        ("--id x --peers 1=a:1".into(), "'x'"),
        ("--id 1 --peers 0=a:1".into(), "from 1"),
        ("--id 1 --peers x=a:1".into(), "\"x\""),
        ("--id 1 --peers a:1".into(), "ID=HOST:PORT"),
        ("--id 1 --peers 1=a:1,".into(), "ID=HOST:PORT"),
        ("--id 1 --peers 1=a".into(), "no address"),
        ("--id 1 --peers 1=:7101".into(), "no address"),
        ("--id 1 --peers 1=a:0".into(), "no address"),
        ("--id 1 --peers 1=a:65536".into(), "no address"),
        ("--id 1 --peers 1=http://a:1".into(), "no address"),
        ("--id 1 --peers 1=::1:7101".into(), "no address"),
        ("--id 1 --peers 1=a:1,1=b:1,3=c:1".into(), "node 1 is there twice"),
        ("--id 1 --peers 1=a:1,2=a:1,3=c:1".into(), "nodes 1 and 2 both have"),
        ("--id 1 --peers 1=a:1,2=b:1".into(), "1, 3 or 5"),
        ("--id 1 --peers 1=a:1,2=b:1,3=c:1,4=d:1".into(), "1, 3 or 5"),
        (format!("--id 4 --peers {PEERS}"), "not among the nodes 1, 2, 3"),
        ("--id 60000 --peers 60000=a:1".into(), "--http"),
        (with("--http 8101"), "IP:PORT"),
        (with("--http localhost:8101"), "IP:PORT"),
        (with("--http 127.0.0.1:0"), "IP:PORT"),
        (with("--http 127.0.0.1:7101"), "change --http"),
        (with("--http 0.0.0.0:7101 --advertise-http a:1"), "change --http"),
        (with("--http 0.0.0.0:8101"), "--advertise-http"),
        (with("--advertise-http shop"), "no address"),
        (with("--deadline-ms 99"), "100 to 60000"),
        (with("--deadline-ms soon"), "'soon'"),
        (with("--deadline-ms 240"), "must be more than --election-max-ms"),
        (with("--wait-max-ms 9"), "10 to 60000"),
        (with("--snapshot-entries 9"), "10 to 10000000"),
        (with("--keep-entries 0"), "1 to 10000000"),
        (with("--heartbeat-ms 0"), "5 to 10000"),
        (with("--heartbeat-ms 75"), "more than twice --heartbeat-ms"),
        (with("--election-min-ms 80"), "more than twice --heartbeat-ms"),
        (with("--election-max-ms 120"), "must be more than --election-min-ms"),
        (with("--rate-limit-per-user 3"), "--rate-limit-per-user: \"3\" is no limit; use a whole"),
        (with("--rate-limit-per-user 0/min"), "such as 3/min"),
        (with("--rate-limit-per-ip 3/day"), "--rate-limit-per-ip: \"3/day\""),
        (with("--rate-limit-per-ip=-3/s"), "per s, min or hour"),
        (with("--trusted-proxies 10.0.0.0/33"), "--trusted-proxies: \"10.0.0.0/33\" is neither"),
        (with("--trusted-proxies 10.0.0.1,"), "--trusted-proxies: \"\""),
        (with("--trusted-proxies proxy.shop"), "such as 192.0.2.7"),
        (with("--log-format xml"), "human, json"),
        (with("--log-level loud"), "error, warn, info"),
        (with("--otlp-endpoint 127.0.0.1:4318"), "--otlp-endpoint: "),
        (with("--colour blue"), "'--colour'"),
        (with("--id 2"), "--id"),
        (with("--config /nowhere/cluster.toml"), "check --config"),
    ];
    for (line, words) in table {
        let refusal = load(line).expect_err(line).to_string();
        assert!(refusal.contains(words), "{line}\n{refusal}");
    }
}

#[test]
fn limits_are_off_unless_they_are_set() {
    let quota = |text: &str| Some(text.parse::<Quota>().unwrap());
    let limits = |per_user, per_ip| RateLimits { per_user, per_ip };
    let none = load(&format!("--id 1 --peers {PEERS}")).unwrap();
    assert_eq!((none.limits, none.proxies), (limits(None, None), TrustedProxies::default()));

    let text = format!(
        "rate_limit = {{ per_user = \"3/min\", per_ip = \"20/s\" }}\n\
         trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n{NODES}"
    );
    let from_file = load_file("--id 1", &text).unwrap();
    assert_eq!(from_file.limits, limits(quota("3/min"), quota("20/s")));
    let nets = |texts: &[&str]| TrustedProxies(texts.iter().map(|t| t.parse().unwrap()).collect());
    assert_eq!(from_file.proxies, nets(&["10.0.0.0/8", "::1/128"]));

    let flags = "--rate-limit-per-user off --rate-limit-per-ip 5/hour --trusted-proxies ";
    let line = format!("--id 1 {flags} 192.0.2.7,10.1.0.0/16");
    let from_flags = load_file(&line, &text).unwrap();
    assert_eq!(from_flags.limits, limits(None, quota("5/hour")), "a flag goes before the file");
    assert_eq!(from_flags.proxies, nets(&["192.0.2.7/32", "10.1.0.0/16"]));
}

#[test]
fn variables_that_are_refused_are_named() {
    for (variable, value) in
        [("FLASHNODE_ID", "one"), ("FLASHNODE_DEADLINE_MS", "-1"), ("FLASHNODE_LOG_FORMAT", "xml")]
    {
        let refusal = load_with("", &[(variable, value)]).unwrap_err().to_string();
        assert!(refusal.starts_with(variable), "{refusal}");
        assert!(refusal.contains(value), "{refusal}");
    }
}

#[test]
fn files_that_are_refused() {
    for (text, words) in [
        ("", "--peers"),
        ("deadline = 5", "unknown field `deadline`"),
        ("deadline_ms = \"5\"", "line 1"),
        ("[[node]]\nid = 1\npeer = \"a:1\"\nhtpp = \"b\"", "unknown field `htpp`"),
        ("rate_limit = \"3/min\"", "line 1"),
        ("rate_limit = { per_users = \"3/min\" }", "unknown field `per_users`"),
        ("trusted_proxies = \"10.0.0.1\"", "line 1"),
        ("[[node]]\nid = 1", "missing field `peer`"),
        ("[[node]]\nid = -1\npeer = \"a:1\"", "line 2"),
        ("[[node]]\nid = 1\npeer = \"a\"", "the peer listener of node 1"),
        ("log_format = \"xml\"", "human"),
        ("nonsense", "line 1"),
        ("[[node]]\nid = 1\npeer = \"a:1\"\n[[node]]\nid = 1\npeer = \"b:1\"", "there twice"),
        (
            "[[node]]\nid = 1\npeer = \"a:1\"\nhttp = \"127.0.0.1:1\"\n\
             [[node]]\nid = 2\npeer = \"b:1\"\nhttp = \"127.0.0.1:1\"",
            "both have the public listener",
        ),
        ("[[node]]\nid = 1\npeer = \"a:1\"\nhttp = \"b:1\"", "http of node 1"),
    ] {
        let refusal = load_file("--id 1", text).expect_err(text).to_string();
        assert!(refusal.contains(words), "{text}\n{refusal}");
    }
}

#[test]
fn the_file_that_ships_says_what_the_defaults_say() {
    let shipped = include_str!("../../../cluster.toml");
    for id in 1..=3 {
        let from_file = load_file(&format!("--id {id}"), shipped).unwrap();
        assert_eq!(from_file, load(&format!("--id {id} --peers {PEERS}")).unwrap());
    }
}

fn sinks(text: &str) -> Result<Vec<crate::bridge::SinkConfig>, String> {
    let file = file(&format!("{NODES}\n{text}"));
    let line = format!("--id 1 --config {}", file.path().display());
    let environment = [("SHOP_URL", "amqp://shop:hidden-word@mq/%2f"), ("EMPTY", "")];
    load_with(&line, &environment).map(|config| config.sinks).map_err(|error| error.to_string())
}

#[test]
fn a_sink_is_of_a_kind_and_there_may_be_several() {
    use crate::bridge::SinkTo;
    assert_eq!(sinks("").unwrap(), []);
    // As it was written when PostgreSQL was the only kind.
    let older = sinks("[sink]\npostgres = \"postgres://a@b/c\"\nmax_rows_per_second = 7").unwrap();
    let now =
        sinks("[sink]\nkind = \"postgres\"\nto = \"postgres://a@b/c\"\nmax_rows_per_second = 7");
    assert_eq!(older, now.unwrap());
    assert_eq!((older[0].name.as_str(), older[0].max_rows_per_second), ("postgres", Some(7)));
    let secret = file("a secret\n");
    let several = sinks(&format!(
        "[[sink]]\nkind = \"webhook\"\nurl = \"http://a/b\"\nsecret_file = {:?}\n\
         dead_letters = \"dead\"\nbatch = 100\n\
         [[sink]]\nkind = \"webhook\"\nname = \"other\"\nurl = \"http://a/c\"\n\
         [[sink]]\nkind = \"rabbitmq\"\nto_env = \"SHOP_URL\"\n\
         [[sink]]\nkind = \"nats\"\nto = \"nats://a\"\nstream = \"S\"\n\
         [[sink]]\nkind = \"files\"\ndir = \"/srv/events\"\n",
        secret.path().display().to_string()
    ))
    .unwrap();
    let names: Vec<&str> = several.iter().map(|sink| sink.name.as_str()).collect();
    assert_eq!(names, ["webhook", "other", "rabbitmq", "nats", "files"]);
    let SinkTo::Webhook(webhook) = &several[0].to else { panic!("{several:?}") };
    assert_eq!(webhook.secret.as_ref().unwrap().reveal(), "a secret");
    assert_eq!(webhook.dead_letters, Some((PathBuf::from("dead"), 5)));
    let SinkTo::RabbitMq { to, queue } = &several[2].to else { panic!("{several:?}") };
    assert_eq!(
        (to.reveal(), queue.as_str()),
        ("amqp://shop:hidden-word@mq/%2f", "flashnode.events")
    );
    let shown = format!("{several:?}");
    assert!(!shown.contains("hidden-word") && !shown.contains("a secret"), "{shown}");
}

#[test]
fn what_is_wrong_of_a_sink_is_said_without_its_password() {
    for (text, says) in [
        ("[[sink]]\npostgres = \"host=a\"\nto = \"host=b\"", "`postgres` and `to` are the same"),
        ("[sink]\nto = \"nats://a\"", "a sink has a kind: \"postgres\", \"rabbitmq\""),
        ("[sink]\nkind = \"kafka\"", "unknown variant `kafka`, expected one of `postgres`"),
        (
            "[sink]\nkind = \"webhook\"\nqueue = \"q\"",
            "unknown field `queue`, expected one of `url`, `url_env`",
        ),
        ("[sink]\nkind = \"files\"\ndir = \"d\"\nnmae = \"n\"", "also takes name, batch, max_rows"),
        ("[sink]\npostgres = \"host=a\"\nqueue = \"q\"", "unknown field `queue`"),
        ("[sink]\nkind = \"files\"", "missing field `dir`"),
        ("[sink]\nkind = \"nats\"", "[[sink]] nats: say where to: `to`, `to_env` or `to_file`"),
        ("[sink]\nkind = \"nats\"\nto = \"nats://a\"\nto_env = \"E\"", "said more than once"),
        ("[sink]\nkind = \"nats\"\nto_env = \"UNSET\"", "the variable UNSET is not set"),
        ("[sink]\nkind = \"nats\"\nto_env = \"EMPTY\"", "`to` is empty"),
        ("[sink]\nkind = \"nats\"\nto_file = \"/nowhere/at/all\"", "to_file /nowhere/at/all: "),
        ("[sink]\nkind = \"nats\"\nto = \"http://u:hidden-word@a\"", "the URL is no NATS server"),
        (
            "[sink]\nkind = \"rabbitmq\"\nto = \"amqps://u:hidden-word@a\"",
            "amqps:// is not built in",
        ),
        (
            "[sink]\nkind = \"webhook\"\nurl = \"ftp://u:hidden-word@a\"",
            "neither http:// nor https://",
        ),
        (
            "[sink]\npostgres = \"postgress://u:hidden-word@a/b?sslmode=require\"",
            "a URL of another kind",
        ),
        ("[sink]\nkind = \"nats\"\nto = \"nats://u:hidden-word@a", ", column "),
        ("[sink]\nkind = \"nats\"\nto = \"nats://u:hidden-word@a\"\nto = \"b\"", "duplicate key"),
        (
            "sink = { kind = \"nats\", to = \"nats://u:hidden-word@a\", steam = \"s\" }",
            "unknown field",
        ),
        (
            "[[sink]]\nkind = \"files\"\ndir = \"d\"\n[[sink]]\nname = \"b\"\nkind = \"files\"\ndir = \"d\"",
            "[[sink]] b: another one writes to the same target",
        ),
        (
            "[sink]\nkind = \"nats\"\nto = \"nats://a\"\nname = \"reported.nats\"",
            "what begins with reported. is a report",
        ),
        ("[sink]\nkind = \"webhook\"\nurl = \"http://a\"\ntries = 2", "tries needs dead_letters"),
        ("[sink]\nkind = \"webhook\"\nurl = \"http://a\"\nname = \"a b\"", "its name: "),
        ("[sink]\npostgres = \"host=a\"\nmax_rows_per_second = 0", "max_rows_per_second is 0"),
        ("[sink]\npostgres = \"host=a\"\nbatch = 0", "batch is out of range"),
        ("[sink]\npostgres = \"host=a\"\nschema = \"A\"", "[[sink]] postgres: the schema \"A\""),
        (
            "[[sink]]\npostgres = \"host=a\"\n[[sink]]\npostgres = \"host=b\"",
            "two sinks are called postgres",
        ),
        (&"[[sink]]\npostgres = \"host=a\"\n".repeat(9), "there are 9 sinks; at most 8"),
    ] {
        let told = sinks(text).expect_err(text);
        assert!(told.contains(says), "{text}: {told}");
        assert!(!told.contains("hidden-word"), "{text}: {told}");
    }
    // A password in a file is not where the file's line is shown.
    let told = sinks("[sink]\nkind = \"nats\"\nto = \"nats://u:hidden-word@a\"\nsteam = \"s\"")
        .unwrap_err();
    assert!(!told.contains("hidden-word"), "{told}");
}
