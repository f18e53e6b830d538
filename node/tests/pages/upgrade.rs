//! What a browser keeps of the pages: one build's files, and the nodes that there are.

use super::Play;
use super::balanced::balance;
use super::scene::{PATIENCE, until};
use client::cluster::Launch;
use std::path::Path;
use stock::NodeId;

const KEPT: &str = "return caches.keys().then((names) => names.sort().join(' '))";
const NODES: &str = "return JSON.parse(localStorage['flashnode.nodes'] ?? '[]').sort().join(' ')";

/// Counts the workers that the browser gives up.
const NOTE: &str = "window.given_up = 0;
    const workers = ServiceWorkerContainer.prototype;
    const real = workers.register;
    workers.register = async function (...asked) {
        const kept = await real.apply(this, asked);
        kept.installing?.addEventListener('statechange', ({ target }) => {
            if (target.state === 'redundant') window.given_up += 1;
        });
        return kept;
    }";

/// The pages of another build: one text differs.
fn another_build(dir: &Path) {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/assets")).expect("assets")
    {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("it reads");
        let text = text.replace("to_control: \"Control room\"", "to_control: \"The new room\"");
        let name = path.file_name().expect("a name");
        std::fs::write(dir.join(name), text).expect("it is written");
    }
}

/// Starts a node anew, with the pages of another build in this directory.
async fn upgrade(play: &mut Play, node: NodeId, dir: &Path) {
    another_build(dir);
    play.scene.cluster.kill(node).expect("it stops");
    let new = Launch { env: vec![("FLASHNODE_ASSETS".into(), dir.into())], ..Launch::default() };
    play.scene.cluster.launch(node, &new).expect("it starts anew");
    play.scene.cluster.wait_ready(PATIENCE).await.expect("all are ready");
}

async fn kept_build(play: &Play, another_than: &str) -> String {
    until("one build's files to be kept", || async {
        let kept = play.browser.run(KEPT).await;
        let is_one = kept.starts_with("flashnode-pages-") && !kept.contains(' ');
        (is_one && kept != another_than).then_some(kept)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_replaces_what_was_kept() {
    let Some(mut play) = Play::open_for_failover(10).await else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let node = NodeId(1);
    play.enter(node).await;
    let first = kept_build(&play, "").await;
    // What a build kept that did not say which it was.
    play.browser.run("return caches.open('flashnode-pages').then(() => '')").await;

    upgrade(&mut play, node, dir.path()).await;
    play.enter(node).await;
    play.browser.says("nav", "The new room").await;
    let second = kept_build(&play, &first).await;
    until("all nodes to be known", || async {
        (play.browser.run(NODES).await.split(' ').count() == 3).then_some(())
    })
    .await;

    // It is the new page that is there while the node is not.
    play.scene.cluster.kill(node).expect("its node dies");
    play.browser.driver.refresh().await.expect("a reload");
    play.browser.says("nav", "The new room").await;
    play.browser.says("#live", "Live").await;
    assert_eq!(play.browser.run(KEPT).await, second);
}

/// In the middle of an upgrade behind a balancer no build's files are all there. A page that is open
/// all the while has them kept once they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_kept_is_kept_later() {
    let Some(mut play) = Play::open_for_failover(10).await else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let node = NodeId(1);
    upgrade(&mut play, node, dir.path()).await;
    let address = balance(play.scene.cluster.addresses()).await;
    play.browser.run_first(NOTE).await;
    play.browser.visit(&format!("http://{address}/")).await;
    play.browser.says("#live", "Live").await;
    until("a worker to be given up", || async {
        (play.browser.run("return window.given_up").await != "0").then_some(())
    })
    .await;
    assert_eq!(play.browser.run(KEPT).await, "");

    play.scene.cluster.kill(node).expect("it stops");
    play.scene.cluster.start_node(node).expect("it starts with the others' build");
    kept_build(&play, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_gone_are_forgotten() {
    let Some(play) = Play::open(10, &[]).await else { return };
    play.enter(NodeId(1)).await;
    let nodes = play.scene.cluster.addresses();
    let mut wanted: Vec<String> = nodes.iter().map(|node| format!("http://{node}")).collect();
    wanted.sort();
    let wanted = wanted.join(" ");
    until("all nodes to be known", || async {
        (play.browser.run(NODES).await == wanted).then_some(())
    })
    .await;
    // Of a cluster that was here before.
    let older = "localStorage['flashnode.nodes'] = JSON.stringify(
        ['http://127.0.0.1:9', ...JSON.parse(localStorage['flashnode.nodes'])])";
    play.browser.run(older).await;
    play.browser.driver.refresh().await.expect("a reload");
    play.browser.says("#live", "Live").await;
    until("the others to be forgotten", || async {
        (play.browser.run(NODES).await == wanted).then_some(())
    })
    .await;
}

/// All pages of a node leave it at once; one other could not take them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_a_dead_node_spread_over_the_others() {
    const PAGES: u64 = 400;
    let Some(play) = Play::open(10, &[]).await else { return };
    play.enter(NodeId(1)).await;
    let script = format!(
        "return import('/assets/nodes.js').then(({{ Nodes }}) => {{
            const went = {{ b: 0, c: 0, d: 0 }};
            for (let page = 0; page < {PAGES}; page += 1) {{
                const nodes = new Nodes();
                nodes.bases = ['a', 'b', 'c', 'd'];
                nodes.leave('a');
                went[nodes.current] += 1;
                // The next to die is not gone to again, and with all dead it is the first that was.
                const seen = [nodes.current];
                while (seen.length < 3) {{
                    nodes.leave(nodes.current);
                    seen.push(nodes.current);
                }}
                if (seen.sort().join('') !== 'bcd') return `came to ${{seen}}`;
            }}
            return `${{went.b}} ${{went.c}} ${{went.d}}`;
        }})"
    );
    let went = play.browser.run(&script).await;
    let went: Vec<u64> = went.split(' ').filter_map(|count| count.parse().ok()).collect();
    assert_eq!(went.iter().sum::<u64>(), PAGES, "{went:?}");
    // By chance 133 each; so few come once in more than 10^20 times.
    assert!(went.iter().all(|pages| *pages > PAGES / 8), "{went:?}");
}
