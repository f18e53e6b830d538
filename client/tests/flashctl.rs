//! The built `flashctl`, as a user runs it: exit codes, messages, JSON.

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

mod fake;
mod program;

use fake::Plant;
use program::{beside, code, flashctl, json, stderr, stdout};
use serde_json::Value;
use std::net::TcpListener;
use std::process::Command;
use tempfile::NamedTempFile;

/// An address at which nothing listens.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_to_do() {
    for (args, hint) in [
        (&[][..], "Usage"),
        (&["bye"][..], "unrecognized"),
        (&["buy", "p"][..], "--user"),
        (&["buy", "no spaces", "--user", "u"][..], "A-Z a-z 0-9"),
        (&["buy", "p", "--user", "u", "--quantity", "0"][..], "1 to 1000000"),
        (&["buy", "p", "--user", "u", "--attempt", "2"][..], "--request-id"),
        (&["storm"][..], "--product"),
        (&["storm", "--product", "p", "--rate", "0"][..], "--rate"),
        (&["storm", "--product", "p", "--buyers", "0"][..], "--buyers"),
        (&["storm", "--product", "p", "--node", "4"][..], "no node 4"),
        (&["storm", "--product", "p", "--holds", "half"][..], "whole percents"),
        (&["storm", "--product", "p", "--holds", "101%"][..], "0% to 100%"),
        (&["storm", "--product", "p", "--holds=-5%"][..], "0% to 100%"),
        (&["storm", "--product", "p", "--abandon", "20%"][..], "--holds"),
        (&["storm", "--product", "p", "--hold-ttl", "5s"][..], "--holds"),
        (&["storm", "--product", "p", "--holds", "9%", "--hold-ttl", "5"][..], "unit"),
        (
            &["storm", "--product", "p", "--holds", "9%", "--abandon", "60%", "--release", "41%"],
            "more than all holds",
        ),
        (&["storm", "--product", "p", "--batch", "0"][..], "1..=10000"),
        (&["storm", "--product", "p", "--batch", "10001"][..], "1..=10000"),
        (&["storm", "--product", "p", "--batch", "5", "--rate", "9"][..], "--rate"),
        (&["storm", "--product", "p", "--batch", "5", "--holds", "9%"][..], "--holds"),
        (&["buy", "p=0", "--user", "u"][..], "1 to 1000000"),
        (&["buy", "p=2", "--user", "u", "--quantity", "3"][..], "PRODUCT=UNITS"),
        (&["buy", "p", "q", "--user", "u", "--quantity", "3"][..], "PRODUCT=UNITS"),
        (&["completions", "tcsh"][..], "possible values"),
        (&["watch", "--levels", "--after", "0"][..], "--after"),
        (&["product", "show", "p", "--stale", "0"][..], "no node 0"),
        (&["product", "restock", "p", "0"][..], "0 units"),
        (&["product", "create", "p", "--stock", "1", "--price", "5"][..], "--currency"),
        (&["product", "create", "p", "--stock", "1", "--starts-at", "noon"][..], "RFC 3339"),
        (&["product", "create", "..", "--stock", "1"][..], "cannot stand in a URL"),
        (&["product", "update", ".", "--limit", "1"][..], "cannot stand in a URL"),
        (&["product", "restock", "..", "5"][..], "cannot stand in a URL"),
        (&["product", "show", ".."][..], "cannot stand in a URL"),
        (&["cursor", "remove", ".."][..], "cannot stand in a URL"),
        (&["storm", "--product", ".."][..], "cannot stand in a URL"),
        (&["product", "update", "p"][..], "say what to change"),
        (&["product", "update", "p", "--limit", "1", "--without", "limit"][..], "take it away"),
        (&["product", "update", "p", "--without", "stock"][..], "possible values"),
        (&["hold", "--user", "u"][..], "PRODUCT"),
        (&["hold", "p=0", "--user", "u"][..], "1 to 1000000"),
        (&["hold", "p", "--user", "u", "--ttl", "90"][..], "90s"),
        (&["hold", "p", "--user", "u", "--ttl", "2d"][..], "unit"),
        (&["confirm", "1"][..], "--user"),
        (&["release", "first"][..], "whole number"),
        (&["order", "get", "first"][..], "whole number"),
        (&["order", "explain", "--user", "u"][..], "--request-id"),
        (&["order", "verify", "--node", "4"][..], "no node 4"),
        (&["order", "verify", "--file", "/nowhere/copy.json"][..], "/nowhere/copy.json"),
        (&["order", "verify", "--offline"][..], "--file"),
        (&["import", "/nowhere/products.csv"][..], "/nowhere/products.csv"),
        (&["status", "--nodes", "localhost"][..], "HOST:PORT"),
        (&["status", "--nodes", ","][..], "at least one address"),
        (&["demo", "--nodes", "4"][..], "3 or 5"),
        (&["demo", "--binary", "/nowhere/flashnode"][..], "cargo build"),
    ] {
        let output = flashctl(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(hint), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn help_shows_examples() {
    let commands = ["buy", "status", "storm", "demo", "export", "watch", "completions"];
    for command in [&[][..]].into_iter().chain(commands.iter().map(std::slice::from_ref)) {
        let output = flashctl(&[command, &["--help"]].concat());
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(code(&output), 0);
        assert!(help.contains("Example"), "{help}");
        assert!(help.contains("--nodes"), "{help}");
    }
}

#[test]
fn the_environment_names_the_nodes_but_not_the_demos() {
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flashctl"));
        command.args(args).env("FLASHCTL_NODES", "not-an-address").output().unwrap()
    };
    let output = run(&["status"]);
    assert!(stderr(&output).contains("not-an-address"), "{}", stderr(&output));
    let output = run(&["demo", "--binary", "/nowhere/flashnode"]);
    assert!(stderr(&output).contains("cargo build"), "{}", stderr(&output));
}

#[test]
fn nobody_there_ends_with_3() {
    let address = nobody();
    let buy = flashctl(&["buy", "p", "--user", "u", "--json", "--nodes", &address]);
    assert_eq!(code(&buy), 3, "{}", stderr(&buy));
    assert_eq!(json(&buy)["outcome"], "not_proposed");
    let status = flashctl(&["status", "--nodes", &address]);
    assert_eq!(code(&status), 3, "{}", stderr(&status));
}

#[tokio::test]
async fn a_refusal_ends_with_1() {
    let node = fake::start(0, Plant::Nothing).await;
    let buy = beside(&["buy", "p", "--user", "u", "--nodes", &node]).await;
    assert_eq!(code(&buy), 1);
    assert!(String::from_utf8_lossy(&buy.stdout).contains("Sold out"));
    let product = beside(&["product", "show", "q", "--json", "--nodes", &node]).await;
    assert_eq!(code(&product), 1);
    assert_eq!(json(&product)["problem"]["type"], "/problems/unknown-product");
}

#[tokio::test]
async fn receipts_are_verified_and_one_flipped_bit_is_found() {
    for (plant, exit) in [(Plant::Nothing, 0), (Plant::FlipABit, 4)] {
        let node = fake::start(100, plant).await;
        for at in 1..=5 {
            let (user, key) = (format!("user-{at}"), format!("key-{at}"));
            let args = ["buy", "p", "--user", &user, "--request-id", &key, "--nodes", &node];
            assert_eq!(code(&beside(&args).await), 0);
        }
        let verified = beside(&["order", "verify", "--json", "--nodes", &node]).await;
        assert_eq!(code(&verified), exit, "{}", stderr(&verified));
        let told = json(&verified);
        if exit == 0 {
            assert_eq!((&told["verdict"], &told["orders"]), (&"ok".into(), &5.into()));
        } else {
            let (order, place) = (&told["order_id"], &told["place"]);
            assert_eq!((order, place), (&3.into(), &3.into()), "{told}");
        }
        // The same of a copy that somebody kept, for itself and beside the cluster.
        let nodes = ["--nodes", &node];
        let list = beside(&[&["orders", "list", "--all", "--json"], &nodes[..]].concat()).await;
        let export = beside(&["export", "--nodes", &node]).await;
        for copy in [list, export] {
            let file = kept(&copy.stdout);
            let verify = ["order", "verify", "--file", file.path().to_str().unwrap()];
            assert_eq!(code(&flashctl(&[&verify[..], &["--offline"]].concat())), exit);
            assert_eq!(code(&beside(&[&verify[..], &nodes].concat()).await), exit);
            let altered = stdout(&copy).replace("\"key-4\"", "\"key-5\"");
            std::fs::write(file.path(), altered).unwrap();
            for how in [&["--offline"][..], &nodes] {
                let verified = beside(&[&verify[..], how].concat()).await;
                assert_eq!(code(&verified), 4);
                let first = if exit == 0 { "order 4, in place 4," } else { "order 3, in place 3," };
                assert!(stdout(&verified).starts_with(first), "{}", stdout(&verified));
            }
        }
    }
}

fn kept(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

/// Five orders, by users of this name.
async fn sold_to(name: &str, node: &str) {
    for at in 1..=5 {
        let (user, key) = (format!("{name}-{at}"), format!("key-{at}"));
        let args = ["buy", "p", "--user", &user, "--request-id", &key, "--nodes", node];
        assert_eq!(code(&beside(&args).await), 0);
    }
}

#[tokio::test]
async fn a_kept_copy_is_compared_with_the_cluster() {
    let [ours, foreign] =
        [fake::start(100, Plant::Nothing).await, fake::start(100, Plant::Nothing).await];
    sold_to("ann", &ours).await;
    sold_to("ben", &foreign).await;
    let list = beside(&["order", "list", "--all", "--json", "--nodes", &ours]).await;
    let export = beside(&["export", "--nodes", &ours]).await;
    let copies = [stdout(&list), stdout(&export)];
    let verify = async |copy: &str, how: &[&str]| {
        let file = kept(copy.as_bytes());
        let args = ["order", "verify", "--file", file.path().to_str().unwrap()];
        let done = beside(&[&args, how].concat()).await;
        (code(&done), stdout(&done) + &stderr(&done))
    };
    let at = |node: &str| ["--nodes".to_owned(), node.to_owned()];
    let beside_of = async |copy: &str, node: &str| {
        verify(copy, &at(node).iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    let without_last = {
        let mut list: Value = serde_json::from_str(&copies[0]).unwrap();
        list["orders"].as_array_mut().unwrap().pop();
        list.to_string()
    };
    for copy in &copies {
        let (exit, told) = beside_of(copy, &ours).await;
        assert!(exit == 0 && told.starts_with("5 orders fit;"), "{exit}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        let (exit, told) = beside_of(copy, &foreign).await;
        assert!(exit == 4 && told.contains("the cluster has order 1 there"), "{exit}: {told}");
        assert!(told.starts_with("order 1, in place 1, does not fit"), "{told}");
        assert_eq!(beside_of(copy, &nobody()).await.0, 3);
        let (exit, told) = verify(copy, &["--offline"]).await;
        assert!(exit == 0 && told.contains("not compared with the cluster"), "{exit}: {told}");
        let marked = copy.replacen("\"cancelled\":false", "\"cancelled\":true", 1);
        let marked = marked.replacen("\"cancelled\": false", "\"cancelled\": true", 1);
        let (exit, told) = beside_of(&marked, &ours).await;
        let first = "order 1, in place 1, does not fit: it is cancelled in the copy, and not";
        assert!(exit == 4 && told.starts_with(first), "{exit}: {told}");
    }
    // It says that it is of the state of all five.
    let (exit, told) = beside_of(&without_last, &ours).await;
    assert!(exit == 4 && told.starts_with("order 5, in place 5, does"), "{exit}: {told}");
    let (exit, told) = beside_of(r#"{"orders":[],"seq":5}"#, &ours).await;
    assert!(exit == 2 && told.contains("no orders"), "{exit}: {told}");
    // What has happened since is told.
    let again = ["buy", "p", "--user", "cem", "--nodes", &ours];
    assert_eq!(code(&beside(&again).await), 0);
    assert_eq!(code(&beside(&["order", "cancel", "2", "--nodes", &ours]).await), 0);
    for copy in &copies {
        let (exit, told) = beside_of(copy, &ours).await;
        assert!(exit == 0 && told.contains("a copy of the first 5 of 6 orders"), "{exit}: {told}");
        assert!(told.contains("cancelled in the cluster, and not in the copy: 1"), "{told}");
    }
}

#[tokio::test]
async fn nodes_that_have_other_orders_cancelled_are_named() {
    let [one, two] =
        [fake::start(100, Plant::Nothing).await, fake::start(100, Plant::Nothing).await];
    let nodes = format!("{one},{two}");
    for (node, order) in [(&one, "2"), (&two, "4")] {
        sold_to("ann", node).await;
        assert_eq!(code(&beside(&["order", "cancel", order, "--nodes", node]).await), 0);
    }
    let verified = beside(&["order", "verify", "--nodes", &nodes]).await;
    let told = stdout(&verified);
    let first = format!("order 2, in place 2, does not fit ({two}, {one}): ");
    assert!(code(&verified) == 4 && told.starts_with(&first), "{told}");
}

#[tokio::test]
async fn a_file_is_checked_before_anything_is_imported() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "id,stock\np,1\nno spaces,2\ncap,x\n").unwrap();
    let path = file.path().to_str().unwrap();
    let refused = flashctl(&["import", path, "--nodes", &nobody()]);
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
    for told in [":3: ", ":4: ", "nothing was imported"] {
        assert!(stderr(&refused).contains(told), "{}", stderr(&refused));
    }
    std::fs::write(file.path(), "id,stock\np,1\n").unwrap();
    let dry = flashctl(&["import", path, "--dry-run", "--nodes", &nobody()]);
    assert_eq!(code(&dry), 0, "{}", stderr(&dry));
    let unreachable = flashctl(&["import", path, "--nodes", &nobody()]);
    assert_eq!(code(&unreachable), 3, "{}", stderr(&unreachable));
}

#[test]
fn completions_are_what_each_shell_runs() {
    let commands = ["product", "buy", "storm", "export", "completions"];
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = flashctl(&["completions", shell]);
        assert_eq!(code(&script), 0, "{shell}: {}", stderr(&script));
        for command in commands {
            assert!(stdout(&script).contains(command), "{shell} does not know {command}");
        }
    }
    // As bash itself completes after a tab; it is there wherever the tests run.
    let complete = r#"source <("$0" completions bash) && COMP_WORDS=(flashctl "$@") &&
        COMP_CWORD=$(($# )) && _flashctl flashctl "${@: -1}" && printf '%s\n' "${COMPREPLY[@]}""#;
    for (typed, offered) in [
        (&["st"][..], &["status", "storm"][..]),
        (&["storm", "--ho"][..], &["--holds", "--hold-ttl"][..]),
        (&["completions", "z"][..], &["zsh"][..]),
    ] {
        let mut bash = Command::new("bash");
        bash.args(["-c", complete, env!("CARGO_BIN_EXE_flashctl")]).args(typed);
        let output = bash.output().unwrap();
        let (told, offered) = (stdout(&output), offered.to_vec());
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines, offered, "{typed:?}: {}", stderr(&output));
    }
}
