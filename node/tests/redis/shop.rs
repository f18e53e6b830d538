//! A Flask program of the usual kind (`deploy/redis-client/shop.py`) under gunicorn, hammered by
//! 500 buyers at once: it knows Redis alone, and its library's own retries are off.

use super::scene::{PATIENCE, Scene, until};
use super::{PATIENT, RESP, key, port, skipped};
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use stock::NodeId;

const BUYERS: usize = 500;
const CLICKS: usize = 3;
const UNITS: u64 = 600;

/// gunicorn with the shop in it; it ends with this.
struct Shop {
    master: Child,
    address: String,
}

impl Shop {
    /// A shop whose Redis is this node; none, said aloud, where its Python is missing.
    async fn open(scene: &Scene, node: NodeId) -> Option<Self> {
        let python = std::env::var("FLASHNODE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let has = Command::new(&python).args(["-c", "import redis, flask, gunicorn"]).output();
        if !has.is_ok_and(|output| output.status.success()) {
            skipped(&format!(
                "{python} has no redis, flask and gunicorn (deploy/redis-client/requirements.txt; \
                 FLASHNODE_PYTHON names another Python)"
            ));
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/redis-client");
        let log = std::fs::File::create(scene.cluster.dir().join("shop.log")).expect("a log");
        let master = Command::new(&python)
            .args(["-m", "gunicorn", "--workers", "2", "--threads", "16", "--bind", &address])
            .arg("shop:app")
            .current_dir(dir)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SHOP_REDIS_PORT", port(scene, node))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it runs");
        let shop = Self { master, address };
        let url = format!("http://{}/", shop.address);
        until("the shop to open", || async {
            reqwest::get(&url).await.ok().filter(|answer| answer.status() == 200).map(drop)
        })
        .await;
        Some(shop)
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // gunicorn ends its workers itself.
        if let Some(pid) = i32::try_from(self.master.id()).ok().and_then(Pid::from_raw) {
            let _gone = kill_process(pid, Signal::TERM);
        }
        let _reaped = self.master.wait();
    }
}

/// What the buyers were told.
#[derive(Debug, Default)]
struct Told {
    yes: AtomicUsize,
    sold_out: AtomicUsize,
    not_done: AtomicUsize,
    unknown: AtomicUsize,
}

impl Told {
    fn all(&self) -> [usize; 4] {
        [&self.yes, &self.sold_out, &self.not_done, &self.unknown]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

/// Lets all buyers click at once, each a few times.
fn hammer(shop: &Shop) -> (Arc<Told>, Vec<tokio::task::JoinHandle<()>>) {
    let (told, http) = (Arc::new(Told::default()), reqwest::Client::new());
    let buyers = (0..BUYERS).map(|_| {
        let (told, http) = (Arc::clone(&told), http.clone());
        let url = format!("http://{}/buy", shop.address);
        tokio::spawn(async move {
            for _ in 0..CLICKS {
                let count = match http.post(&url).send().await.map(|answer| answer.status()) {
                    Ok(status) if status == 200 => &told.yes,
                    Ok(status) if status == 410 => &told.sold_out,
                    Ok(status) if status == 503 => &told.not_done,
                    // A 504, a 500, or no answer.
                    Ok(_) | Err(_) => &told.unknown,
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let buyers = buyers.collect();
    (told, buyers)
}

/// Units of the shop's key that are sold.
async fn sold(scene: &Scene) -> usize {
    let product = scene.client.product(&key("stok")).await.expect("a read");
    assert_eq!(product.available + product.sold, product.stocked, "{product:?}");
    assert_eq!(product.stocked, UNITS);
    usize::try_from(product.sold).expect("a count")
}

async fn stock_up(scene: &Scene) {
    let put = stock::api::PutProduct { name: "stok".into(), stock: UNITS, ..Default::default() };
    scene.client.create_product(&key("stok"), &put).await.expect("it is on sale");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flask_shop_sells_exactly_what_there_is() {
    let scene = Scene::open(1, &[RESP, PATIENT].concat()).await;
    stock_up(&scene).await;
    let follower = scene.follower().await;
    let Some(shop) = Shop::open(&scene, follower).await else { return };
    let (told, buyers) = hammer(&shop);
    for buyer in buyers {
        buyer.await.expect("a buyer");
    }
    let [yes, sold_out, not_done, unknown] = told.all();
    eprintln!("{yes} yes, {sold_out} sold out, {not_done} not done, {unknown} unknown");
    assert_eq!((not_done, unknown), (0, 0), "nothing failed");
    assert_eq!((yes, sold_out), (UNITS as usize, BUYERS * CLICKS - UNITS as usize));
    assert_eq!(sold(&scene).await, yes);
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flask_shop_oversells_nothing_while_the_leader_dies() {
    let mut scene = Scene::open_for_failover(1, &RESP).await;
    stock_up(&scene).await;
    let (leader, follower) = scene.leader_and_follower().await;
    let Some(shop) = Shop::open(&scene, follower).await else { return };
    let (told, buyers) = hammer(&shop);
    until("a hundred units to be sold", || async { (told.all()[0] >= 100).then_some(()) }).await;
    scene.cluster.kill(leader).expect("it runs");
    let [before, ..] = told.all();
    assert!(before < UNITS as usize, "the kill fell after the sale");
    for buyer in buyers {
        buyer.await.expect("a buyer");
    }
    scene.cluster.start_node(leader).expect("it starts again");
    scene.cluster.wait_ready(PATIENCE).await.expect("it is back");
    let [yes, sold_out, not_done, unknown] = told.all();
    let orders = sold(&scene).await;
    eprintln!(
        "{orders} orders: {yes} yes ({before} before the kill), {sold_out} sold out, {not_done} not \
         done, {unknown} unknown"
    );
    assert!(yes <= UNITS as usize, "{yes} yeses");
    assert!(
        yes <= orders && orders <= yes + unknown,
        "{orders} orders, {yes} yes, {unknown} unknown"
    );
    assert!(yes > before, "the shop sold on after the kill");
    scene.assert_equal_states().await;
}
