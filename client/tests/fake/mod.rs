//! A fake node that sells from memory, and lies where it is told to: the planted bugs that
//! `flashctl storm` must catch from outside.

mod batch;
mod holds;

use std::sync::{Arc, Mutex};
use stock::api::{
    BuyAccepted, Explanation, LineView, OrderCancelled, OrderList, OrderView, PostBuy, Problem,
    ProductView, Verdict,
};
use stock::{NodeId, Receipt, RequestId, Seq, Sku, UserId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// None: an honest node.
    Nothing,
    /// The third order is missing from the ledger, and from the count of what is sold.
    LoseAnOrder,
    /// The third buyer is told the second one's order.
    TellTwice,
    /// Everyone may buy, and the counts do not show it.
    Oversell,
    /// The third buyer's request wins two orders.
    SellTwice,
    /// The first attempt of each buy is recorded, and its answer never given.
    LoseFirstAnswers,
    /// One bit of the third order's buyer is another than when its receipt was made.
    FlipABit,
    /// The first call of a batch is answered with one result less than it has buys.
    DropAResult,
    /// The first call of a batch is answered in another order.
    SwapResults,
    /// The third confirmed hold is missing from the ledger, and from the count of what is sold.
    LoseAConfirmedHold,
    /// The first hold that runs out becomes an order.
    SellAnAbandonedHold,
    /// Holds never run out.
    KeepAbandonedHolds,
    /// The units of the first hold that runs out stay held, by nobody.
    LeakUnits,
    /// No buy is ever decided.
    NeverDecide,
    /// An export ends without its last line.
    CutTheExport,
    /// An export counts its lines wrongly.
    MiscountTheExport,
}

#[derive(Debug)]
struct Shop {
    plant: Plant,
    stock: u64,
    sold: u64,
    held: u64,
    /// Changes so far.
    seq: u64,
    orders: Vec<OrderView>,
    open: Vec<holds::Open>,
    /// Calls of batches, confirmed holds, and holds that ran out, so far.
    calls: u64,
    confirms: u64,
    over: u64,
}

/// Starts a fake node; returns its address.
pub(crate) async fn start(stock: u64, plant: Plant) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let shop = Arc::new(Mutex::new(Shop {
        plant,
        stock,
        sold: 0,
        held: 0,
        seq: 0,
        orders: Vec::new(),
        open: Vec::new(),
        calls: 0,
        confirms: 0,
        over: 0,
    }));
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(socket, Arc::clone(&shop)));
        }
    });
    address
}

async fn serve(mut socket: TcpStream, shop: Arc<Mutex<Shop>>) {
    let mut bytes = Vec::new();
    loop {
        let Some((head, body)) = next_request(&mut socket, &mut bytes).await else {
            return;
        };
        let answer = shop.lock().unwrap().answer(&head, &body);
        let Some((status, body)) = answer else { return };
        let length = body.len();
        let text = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{body}");
        if socket.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn next_request(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let body_end = end + 4 + length.map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= body_end {
                let body = String::from_utf8_lossy(&bytes[end + 4..body_end]).into_owned();
                bytes.drain(..body_end);
                return Some((head, body));
            }
        }
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

impl Shop {
    /// `None` closes the connection without an answer.
    fn answer(&mut self, head: &str, body: &str) -> Option<(u16, String)> {
        let (method, path) = (head.split(' ').next()?, head.split(' ').nth(1)?);
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let request = || RequestId::new(header("idempotency-key: ")?).ok();
        self.expire();
        match (method, path) {
            ("post", "/v1/buys") => {
                return self.buy(&request()?, header("flashnode-attempt: ")?, body);
            }
            ("post", "/v1/buys/batch") => return self.batch(head, body),
            ("post", "/v1/holds") => return Some(self.hold(body)),
            ("post", path) if path.ends_with("/confirm") => {
                return Some(self.confirm(path, request()?));
            }
            ("delete", path) => return Some(self.release(path)),
            ("get", "/v1/export") => return Some(self.export()),
            ("get", "/livez") => return Some((200, "alive\n".to_owned())),
            _ => {}
        }
        if path.starts_with("/v1/products/p") {
            return Some((200, json(&self.product())));
        }
        if path.starts_with("/v1/orders?limit=1") {
            let (orders, seq) = (Vec::new(), Seq(self.seq));
            return Some((200, json(&OrderList { orders, next_after: None, seq })));
        }
        if path.starts_with("/v1/orders?after=") {
            return Some((200, json(&self.page(path))));
        }
        if let Some(of) = path.strip_prefix("/v1/explain?user_id=") {
            let (user, request) = of.split_once("&request_id=")?;
            return Some((200, json(&self.explain(user, request.split('&').next()?))));
        }
        let cancel = |path: &str| path.strip_prefix("/v1/orders/")?.split('/').next()?.parse().ok();
        if let Some(order) = cancel(path).filter(|_| method == "post") {
            return Some((200, json(&self.cancel(Seq(order)))));
        }
        let detail = "No product has this id.";
        Some((404, problem("unknown-product", "No such product", 404, detail)))
    }

    fn buy(&mut self, request: &RequestId, attempt: &str, body: &str) -> Option<(u16, String)> {
        let PostBuy { product_id, user_id, quantity } = serde_json::from_str(body).unwrap();
        if self.plant == Plant::NeverDecide {
            return Some((503, problem("no-leader", "No leader", 503, "Nobody decides.")));
        }
        if let Some(order) = self.orders.iter().find(|order| order.request_id == *request) {
            return Some((201, json(&accepted(order))));
        }
        if self.available() == 0 && self.plant != Plant::Oversell {
            return Some((410, problem("sold-out", "Sold out", 410, "Nothing is left.")));
        }
        self.sold += 1;
        self.seq += 1;
        let seq = Seq(self.seq);
        let remaining = self.available();
        let (request_id, at_ms) = (request.clone(), 0);
        let order = OrderView {
            order_id: seq,
            user_id,
            request_id,
            items: vec![LineView { product_id, quantity, remaining }],
            hold_id: None,
            cancelled: false,
            place: 0,
            receipt: Receipt::START,
            at_ms,
            seq,
        };
        let mut told = accepted(&order);
        if self.plant == Plant::LoseAnOrder && seq == Seq(3) {
            return Some((201, json(&told)));
        }
        if self.plant == Plant::TellTwice && seq == Seq(3) {
            told.order_id = Seq(2);
        }
        if self.plant == Plant::SellTwice && seq == Seq(3) {
            self.sold += 1;
            self.seq += 1;
            let mut second = OrderView { order_id: Seq(4), seq: Seq(4), ..order.clone() };
            second.items[0].remaining = remaining - 1;
            self.orders.push(second);
        }
        self.orders.push(order);
        if self.plant == Plant::LoseFirstAnswers && attempt == "1" {
            return None;
        }
        Some((201, json(&told)))
    }

    fn available(&self) -> u64 {
        self.stock.saturating_sub(self.sold + self.held)
    }

    fn product(&self) -> ProductView {
        let lost = u64::from(self.plant == Plant::LoseAnOrder && self.sold > 0);
        let sold = (self.sold - lost).min(self.stock);
        ProductView {
            id: Sku::new("p").unwrap(),
            name: "p".into(),
            stocked: self.stock,
            available: self.stock - sold - self.held,
            held: self.held,
            sold,
            price: None,
            currency: None,
            per_user_limit: None,
            starts_at: None,
            ends_at: None,
            hold_ttl_ms: stock::HoldTtl::DEFAULT,
            seq: Seq(self.seq),
        }
    }

    /// Marks an order, and leaves its units where they are: enough for who compares marks.
    fn cancel(&mut self, id: Seq) -> OrderCancelled {
        self.seq += 1;
        let order = self.orders.iter_mut().find(|order| order.order_id == id).unwrap();
        order.cancelled = true;
        OrderCancelled { order_id: id, items: order.items.clone(), seq: Seq(self.seq) }
    }

    fn explain(&self, user: &str, request: &str) -> Explanation {
        Explanation {
            user_id: UserId::new(user).unwrap(),
            request_id: RequestId::new(request).unwrap(),
            verdict: Verdict::Won,
            text: String::new(),
            order: None,
            orders: self.orders.len() as u64,
            decided_at: None,
            problem: None,
            sold_out: Vec::new(),
            seq: Seq(self.seq),
        }
    }

    /// All orders, by id, with their places and receipts.
    fn ledger(&self) -> Vec<OrderView> {
        let mut orders = self.orders.clone();
        orders.sort_by_key(|order| order.order_id);
        let mut before = Receipt::START;
        for (order, place) in orders.iter_mut().zip(1..) {
            before = order.receipt_after(before);
            (order.place, order.receipt) = (place, before);
            if self.plant == Plant::FlipABit && place == 3 {
                order.user_id = flipped(order.user_id.as_str()).parse().unwrap();
            }
        }
        orders
    }

    /// Pages of two orders, so that paging is exercised.
    fn page(&self, path: &str) -> OrderList {
        let after = path.split(['=', '&']).nth(1).unwrap().parse().unwrap();
        let mut rest = self.ledger();
        rest.retain(|order| order.order_id.0 > after);
        let more = rest.len() > 2;
        rest.truncate(2);
        let next_after = rest.last().filter(|_| more).map(|order| order.order_id);
        OrderList { orders: rest, next_after, seq: Seq(self.seq) }
    }
}

/// A text whose last letter differs in its lowest bit.
fn flipped(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    String::from_utf8(bytes).unwrap()
}

fn accepted(order: &OrderView) -> BuyAccepted {
    let LineView { product_id, quantity, remaining } = order.items[0].clone();
    BuyAccepted {
        order_id: order.order_id,
        product_id,
        user_id: order.user_id.clone(),
        quantity,
        remaining,
        seq: order.seq,
        node: NodeId(1),
        leader: Some(NodeId(1)),
    }
}

fn problem(kind: &str, title: &str, status: u16, detail: &str) -> String {
    json(&Problem {
        kind: format!("/problems/{kind}"),
        title: title.into(),
        status,
        detail: detail.into(),
        retry_after_ms: None,
        remaining: None,
        seq: None,
        position: None,
    })
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}
