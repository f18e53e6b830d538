//! The control room as it is drawn, against pictures of text in `frames/`.
//!
//! `FLASHNODE_FRAMES=write cargo test -p client --bin flashctl top` writes them anew; look at them
//! before they are kept.

use super::draw::draw;
use super::gauges::Scrape;
use super::room::{Report, Room, Standing, Stock, Told};
use super::series::SAMPLE_MS;
use super::sheet::Sheet;
use client::ClientError;
use client::control::{Address, Control, Election, OpenHold, OpenHolds};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use std::fmt::Write as _;
use std::path::Path;
use stock::api::{ClusterView, NodeView, OrderView, ProductList, ProductView, Timestamp};
use stock::{HoldTtl, NodeId, Receipt, RequestId, Seq, Sku, UserId};

/// Noon of a day.
const NOON_MS: u64 = 1_795_348_800_000;

fn node(id: u64, role: &str, term: u64, applied: u64) -> NodeView {
    let reachable = role != "unreachable";
    NodeView {
        id: NodeId(id),
        http: Some(format!("127.0.0.1:810{id}")),
        reachable,
        role: role.into(),
        term,
        last_log: applied,
        purged: None,
        committed: 1234,
        applied,
        lag: 1234 - applied.min(1234),
        seq: Seq(applied * 30),
        state_hash: "00".into(),
        clock_off_ms: None,
    }
}

fn cluster(nodes: Vec<NodeView>, node: u64) -> ClusterView {
    let leader = nodes.iter().find(|node| node.role == "leader").map(|node| node.id);
    ClusterView { cluster_id: Some("ab".into()), node: NodeId(node), leader, nodes }
}

fn product(id: &str, (stocked, available, held): (u64, u64, u64)) -> ProductView {
    ProductView {
        id: Sku::new(id).unwrap(),
        name: id.to_uppercase(),
        stocked,
        available,
        held,
        sold: stocked - available - held,
        price: None,
        currency: None,
        per_user_limit: None,
        starts_at: None,
        ends_at: None,
        hold_ttl_ms: HoldTtl::DEFAULT,
        seq: Seq(1),
    }
}

fn order(id: u64, at_ms: u64) -> OrderView {
    OrderView {
        order_id: Seq(id),
        user_id: UserId::new(format!("storm-{id}")).unwrap(),
        request_id: RequestId::new("r").unwrap(),
        items: serde_json::from_str(r#"[{"product_id":"sneaker","quantity":2,"remaining":7}]"#)
            .unwrap(),
        hold_id: None,
        cancelled: false,
        place: id,
        receipt: Receipt::default(),
        at_ms,
        seq: Seq(id),
    }
}

fn metrics(accepted: u64, refused: u64) -> Scrape {
    let all = accepted + refused;
    let route = r#"route="/v1/buys""#;
    let bucket = "flashnode_http_request_duration_seconds_bucket";
    Scrape::read(&format!(
        "flashnode_buys_total{{outcome=\"accepted\"}} {accepted}\n\
         flashnode_buys_total{{outcome=\"sold_out\"}} {refused}\n\
         {bucket}{{{route},le=\"0.005\"}} {}\n{bucket}{{{route},le=\"0.05\"}} {}\n\
         {bucket}{{{route},le=\"+Inf\"}} {all}\n",
        all / 2,
        all * 995 / 1000,
    ))
}

/// What node `id` tells at an instant of a sale: node 1 leads and dies after twenty seconds, half a
/// second later node 2 leads.
fn told(id: u64, after_ms: u64) -> Result<Told, ClientError> {
    let now_ms = NOON_MS + after_ms;
    let dead = after_ms >= 20_000;
    if dead && id == 1 {
        return Err(ClientError::Unavailable { why: "127.0.0.1:8101: refused".into() });
    }
    let nodes = if dead {
        let follows = node(3, "follower", 4, 1231);
        vec![node(1, "unreachable", 0, 0), node(2, "leader", 4, 1234), follows]
    } else {
        vec![node(1, "leader", 3, 1234), node(2, "follower", 3, 1234), node(3, "follower", 3, 1200)]
    };
    let sold = (after_ms / 5).min(9_000);
    let mut elections =
        vec![Election { at_ms: NOON_MS - 60_000, term: 3, leader: Some(NodeId(1)) }];
    if dead {
        elections.push(Election { at_ms: NOON_MS + 20_000, term: 3, leader: None });
        elections.push(Election { at_ms: NOON_MS + 20_500, term: 4, leader: Some(NodeId(2)) });
    }
    let hold = OpenHold {
        hold_id: Seq(812),
        items: serde_json::from_str(r#"[{"product_id":"boot","quantity":1}]"#).unwrap(),
        expires_at: Timestamp::at_most(NOON_MS + 125_000),
    };
    let address = |id| Address { id: NodeId(id), http: format!("127.0.0.1:810{id}") };
    let control = Control {
        node: NodeId(id),
        now_ms,
        nodes: (1..=3).map(address).collect(),
        elections,
        holds: OpenHolds { open: 25, oldest: vec![hold] },
    };
    let products = vec![
        product("boot", (400, 100, 25)),
        product("sneaker", (10_000, 10_000 - sold - 1000, 1000)),
        product("waistcoat-of-a-long-name", (50, 0, 0)),
    ];
    let list = ProductList { products, next_after: None, seq: Seq(sold) };
    let orders = (0..9).map(|n| order(sold + n, now_ms - 1000 + n * 100)).collect();
    Ok(Told {
        cluster: cluster(nodes, id),
        control: Some((now_ms, control)),
        scrape: Some((now_ms, metrics(sold / 3, after_ms / 30))),
        stock: Some(Stock { list, orders }),
    })
}

fn address(id: u64) -> String {
    format!("127.0.0.1:810{id}")
}

/// A room that has watched that sale for so long.
fn watched(for_ms: u64) -> Room {
    let mut room = Room::new(&[1, 2, 3].map(address), NOON_MS);
    for after_ms in (0..=for_ms).step_by(SAMPLE_MS as usize) {
        for id in 1..=3 {
            let at_ms = NOON_MS + after_ms;
            room.take(Report { address: address(id), at_ms, told: told(id, after_ms) });
        }
        room.sample(NOON_MS + after_ms);
    }
    room
}

fn drawn(room: &mut Room, (width, height): (u16, u16), colors: bool, after_ms: u64) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let sheet = Sheet { colors };
    terminal.draw(|frame| draw(frame, room, sheet, NOON_MS + after_ms)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width)) {
        let row: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        writeln!(text, "{}", row.trim_end()).unwrap();
    }
    text
}

/// Compares with the picture of this name.
fn is_like(name: &str, buffer: &Buffer) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cmd/top/frames").join(name);
    let found = text(buffer);
    if std::env::var_os("FLASHNODE_FRAMES").is_some_and(|value| value == "write") {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{name} must be\n{expected}\nbut is\n{found}");
}

#[test]
fn a_small_terminal_shows_everything() {
    let mut room = watched(19_500);
    is_like("small", &drawn(&mut room, (80, 24), true, 19_500));
}

#[test]
fn a_failover_is_seen() {
    let mut room = watched(30_000);
    let buffer = drawn(&mut room, (80, 24), true, 30_000);
    is_like("failover", &buffer);
    let cluster = room.cluster(NOON_MS + 30_000);
    let led = Standing::Led { leader: NodeId(2), term: 4 };
    assert_eq!(room.standing(cluster.as_ref()), led);
    assert_eq!(room.answering(NOON_MS + 30_000), 2);
}

#[test]
fn a_large_terminal_has_boxes_and_taller_charts() {
    let mut room = watched(30_000);
    is_like("large", &drawn(&mut room, (140, 45), true, 30_000));
}

#[test]
fn without_colours_nothing_is_coloured_and_all_is_said() {
    let mut room = watched(30_000);
    let plain = drawn(&mut room, (80, 24), false, 30_000);
    for cell in &plain.content {
        assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{cell:?}");
    }
    let coloured = drawn(&mut room, (80, 24), true, 30_000);
    assert_eq!(text(&plain), text(&coloured));
    assert!(coloured.content.iter().all(|cell| !matches!(cell.fg, Color::Rgb(..))));
}

#[test]
fn no_size_is_too_odd() {
    let mut room = watched(5_000);
    for width in [1, 20, 49, 50, 61, 79, 110, 200, 500] {
        for height in [1, 10, 15, 16, 23, 34, 60, 200] {
            let buffer = drawn(&mut room, (width, height), true, 5_000);
            if width >= 20 && height >= 10 {
                let told = text(&buffer).contains("flashctl status");
                assert_eq!(told, width < 50 || height < 16, "{width}x{height}");
            }
        }
    }
}

#[test]
fn silence_and_a_lost_quorum_are_told() {
    let mut room = Room::new(&[address(1)], NOON_MS);
    assert!(text(&drawn(&mut room, (80, 24), true, 0)).contains("asking the nodes"));
    room.take(Report { address: address(1), at_ms: NOON_MS, told: told(1, 20_000) });
    is_like("silence", &drawn(&mut room, (80, 24), true, 0));

    let alone = vec![
        node(1, "leader", 3, 1234),
        node(2, "unreachable", 0, 0),
        node(3, "unreachable", 0, 0),
    ];
    let mut seen = told(1, 0).unwrap();
    seen.cluster = cluster(alone, 1);
    let mut room = Room::new(&[1, 2, 3].map(address), NOON_MS);
    room.take(Report { address: address(1), at_ms: NOON_MS, told: Ok(seen) });
    let picture = text(&drawn(&mut room, (80, 24), true, 0));
    assert!(picture.contains("no leader has a quorum: nothing is sold"), "{picture}");
    // What was heard long ago is not shown as if it were so.
    let later = text(&drawn(&mut room, (80, 24), true, 10_000));
    assert!(!later.contains("127.0.0.1:8101"), "{later}");
}

#[test]
fn a_node_that_lags_takes_nothing_back() {
    let mut room = watched(10_000);
    let sold = |room: &Room| room.products[0].sold;
    let before = sold(&room);
    let at_ms = NOON_MS + 10_000;
    room.take(Report { address: address(2), at_ms, told: told(2, 5_000) });
    assert_eq!(sold(&room), before);
}

#[test]
fn one_address_is_enough_and_no_node_counts_twice() {
    let mut room = Room::new(&["localhost:8101".into()], NOON_MS);
    assert!(room.learned().is_empty(), "nobody was heard");
    let take = |room: &mut Room, address: &str, id, after_ms| {
        let told = told(id, after_ms);
        room.take(Report { address: address.into(), at_ms: NOON_MS + after_ms, told });
    };
    take(&mut room, "localhost:8101", 1, 0);
    assert_eq!(room.learned(), [address(2), address(3)]);
    // The same node under another name, as when it is learned by its advertised address.
    for after_ms in [0, 1000] {
        for (address, id) in [("localhost:8101", 1), ("127.0.0.1:8101", 1), ("127.0.0.1:8102", 2)] {
            take(&mut room, address, id, after_ms);
        }
    }
    room.sample(NOON_MS + 1000);
    assert_eq!(room.answering(NOON_MS + 1000), 2);
    // Each of both has accepted 66 in that second.
    assert_eq!(room.rates.accepted.last(), Some(132.0));
}

#[test]
fn the_list_of_products_moves() {
    let mut room = Room::new(&[address(1)], NOON_MS);
    let mut seen = told(1, 0).unwrap();
    let products: Vec<ProductView> =
        (10..60).map(|n| product(&format!("p{n}"), (100, n, 0))).collect();
    seen.stock.as_mut().unwrap().list.products = products;
    room.take(Report { address: address(1), at_ms: NOON_MS, told: Ok(seen) });
    room.sample(NOON_MS);
    let top = text(&drawn(&mut room, (80, 24), true, 0));
    assert!(top.contains("P10") && top.contains("1 to") && !top.contains("P59"), "{top}");
    room.scroll(1);
    let next = text(&drawn(&mut room, (80, 24), true, 0));
    assert!(!next.contains("P10") && next.contains("P11"), "{next}");
    room.scroll(1000);
    let end = text(&drawn(&mut room, (80, 24), true, 0));
    assert!(end.contains("P59") && end.contains("50 of 50"), "{end}");
    room.scroll(isize::MIN);
    assert_eq!(text(&drawn(&mut room, (80, 24), true, 0)), top);
}
