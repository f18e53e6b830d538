//! `flashctl top` in a real terminal (Debian's tmux), at a real cluster of three nodes.
//!
//! Where tmux is missing the tests say aloud that they are skipped, and fail when
//! `FLASHNODE_NO_SKIPS` is set.

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

mod program;

use client::cluster::{Options, ProcessCluster};
use client::{BuyAnswer, new_request_id};
use program::{CALM, code, flashctl, flashnode, stderr, stdout};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use stock::api::{PostBuy, PutProduct};
use stock::{NodeId, Quantity, Sku, UserId};

/// Long enough for a starved machine, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal that nobody looks at. It ends with this.
struct Tmux {
    socket: String,
}

impl Tmux {
    /// A terminal of 80 by 24 with a shell in it; none, said aloud, where there is no tmux.
    fn start() -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            let why = "there is no tmux here (Debian package tmux)";
            assert!(std::env::var_os("FLASHNODE_NO_SKIPS").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let tmux = Self { socket: format!("flashctl-{}", new_request_id()) };
        let shell = "exec env -u NO_COLOR -u FLASHCTL_NODES PS1='ready$ ' bash --norc --noprofile";
        // UTF-8, whatever the environment says.
        tmux.run(&["-u", "-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", shell]);
        tmux.shows("ready$");
        Some(tmux)
    }

    fn run(&self, args: &[&str]) -> String {
        let done: Output = Command::new("tmux")
            .args(["-L", &self.socket])
            .args(args)
            .env_remove("TMUX")
            .output()
            .unwrap();
        assert!(done.status.success(), "tmux {args:?}: {}", stderr(&done));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Types a line.
    fn types(&self, line: &str) {
        self.run(&["send-keys", "-l", line]);
        self.run(&["send-keys", "Enter"]);
    }

    fn key(&self, key: &str) {
        self.run(&["send-keys", key]);
    }

    fn text(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// Waits until the terminal shows what satisfies this.
    fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let text = self.text();
            if holds(&text) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}:\n{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn shows(&self, words: &str) -> String {
        self.until(words, |text| text.contains(words))
    }

    /// Whether the terminal is as a shell wants it: its own screen, a cursor, and lines.
    fn assert_given_back(&self) {
        let flags = self.run(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(flags.trim(), "0 1", "the screen and the cursor are the shell's again");
        self.types("clear; stty -a | grep -o -w -e '-\\?icanon' -e '-\\?echo'; echo modes told");
        let text = self.until("the modes", |text| text.lines().any(|line| line == "modes told"));
        assert!(text.contains("\nicanon") || text.starts_with("icanon"), "{text}");
        assert!(text.lines().any(|line| line == "echo"), "{text}");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

/// Three nodes with ten sneakers on sale, of which one is sold.
async fn sale() -> ProcessCluster {
    let extra_args = CALM.map(str::to_owned).to_vec();
    let options = Options { binary: Some(flashnode()), extra_args, ..Options::default() };
    let mut cluster = ProcessCluster::start(options).unwrap();
    cluster.wait_ready(PATIENCE).await.unwrap();
    let client = cluster.client().unwrap();
    let sku = Sku::new("sneaker").unwrap();
    let terms = PutProduct { name: "Sneaker".into(), stock: 10, ..PutProduct::default() };
    client.create_product(&sku, &terms).await.unwrap();
    let user_id = UserId::new("ann").unwrap();
    let buy = PostBuy { product_id: sku, user_id, quantity: Quantity::ONE };
    let bought = client.buy(&buy, &new_request_id()).await;
    assert!(matches!(bought.answer, BuyAnswer::Accepted { .. }), "{bought:?}");
    cluster
}

fn top(nodes: &str) -> String {
    format!("{} top --nodes {nodes}; echo ended with $?", env!("CARGO_BIN_EXE_flashctl"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_outlives_the_leader_and_gives_the_terminal_back() {
    let Some(tmux) = Tmux::start() else { return };
    let mut cluster = sale().await;
    let leader = cluster.leader().await.unwrap();
    // One address is enough: the others are learned, so that its death is survived.
    let own = cluster.node(leader).http.clone();
    tmux.types(&format!("echo before; {}", top(&own)));
    let text = tmux.shows("3 of 3 nodes answer");
    assert!(!text.contains("before"), "it has a screen of its own:\n{text}");
    tmux.shows("9 of 10");
    let text = tmux.shows("ann 1 × sneaker");
    assert!(text.contains(&format!("node {leader} leads")), "{text}");
    assert!(text.contains("Elections") && text.contains("Latency of a buy"), "{text}");

    cluster.kill(leader).unwrap();
    let led = |text: &str| {
        let others = [1, 2, 3].map(NodeId).into_iter().filter(|id| *id != leader);
        others.into_iter().any(|id| text.contains(&format!("node {id} leads")))
    };
    let down = |text: &str| text.contains("2 of 3 nodes answer") && text.contains(" down ");
    tmux.until("the others to be shown", |text| led(text) && down(text));

    tmux.run(&["resize-window", "-x", "140", "-y", "45"]);
    tmux.until("boxes", |text| text.contains('╭') && text.contains("as node"));
    tmux.run(&["resize-window", "-x", "40", "-y", "10"]);
    tmux.shows("top needs");
    tmux.run(&["resize-window", "-x", "80", "-y", "24"]);
    tmux.shows("Last orders");

    cluster.start_node(leader).unwrap();
    tmux.shows("3 of 3 nodes answer");
    tmux.key("q");
    let text = tmux.shows("ended with 0");
    assert!(text.contains("before"), "the shell's screen is back:\n{text}");
    tmux.assert_given_back();
}

/// Whatever ends it, the terminal is a terminal again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_gives_the_terminal_back() {
    let Some(tmux) = Tmux::start() else { return };
    // Nobody answers: that is shown, not an end.
    let top = top("127.0.0.1:1");
    let open = || {
        tmux.types(&format!("clear; {top}"));
        tmux.shows("no node answers");
        let pane = tmux.run(&["display-message", "-p", "#{pane_pid}"]);
        let children = Command::new("pgrep").args(["-P", pane.trim()]).output().unwrap();
        String::from_utf8_lossy(&children.stdout).trim().to_owned()
    };
    for signal in ["TERM", "INT", "HUP"] {
        let pid = open();
        let kill = Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap();
        assert!(kill.success(), "{pid}");
        tmux.shows("ended with 0");
        tmux.assert_given_back();
    }
    for key in ["C-c", "Escape"] {
        open();
        tmux.key(key);
        tmux.shows("ended with 0");
        tmux.assert_given_back();
    }
    // Set aside and taken up again.
    open();
    tmux.key("C-z");
    tmux.shows("Stopped");
    tmux.assert_given_back();
    tmux.types("fg; echo ended with $?");
    tmux.shows("no node answers");
    tmux.key("q");
    tmux.shows("ended with 0");
    tmux.assert_given_back();
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    for (args, hint) in [
        (&["top"][..], "needs a terminal"),
        (&["top", "--json"][..], "has no JSON"),
        (&["top", "--nodes", "localhost", "--json"][..], "flashctl watch"),
    ] {
        let output = flashctl(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        // Who asks for JSON is told in JSON.
        let words = stderr(&output) + &stdout(&output);
        assert!(words.contains(hint) && words.contains("flashctl status"), "{args:?}: {words}");
    }
}
