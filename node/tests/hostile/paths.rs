//! Odd ids in paths, and odd queries.

use super::scene::{Scene, raw};
use super::{DEADLINE, state};

/// What is asked, the status, and the type of problem.
type Row = (&'static str, String, u16, &'static str);

fn table() -> Vec<Row> {
    let long = "x".repeat(129);
    vec![
        ("GET", "/v1/products/%F0%9F%91%9F".into(), 422, "invalid-value"),
        ("GET", "/v1/products/%20".into(), 422, "invalid-value"),
        ("GET", "/v1/products/a%2Fb".into(), 422, "invalid-value"),
        ("GET", "/v1/products/%00".into(), 422, "invalid-value"),
        ("GET", "/v1/products/%ff".into(), 422, "invalid-value"),
        ("GET", "/v1/products/%zz".into(), 422, "invalid-value"),
        ("GET", format!("/v1/products/{long}"), 422, "invalid-value"),
        ("GET", "/v1/products/../products/sneaker".into(), 404, "not-found"),
        ("GET", "/v1/products/".into(), 404, "not-found"),
        ("PUT", "/v1/products/%2E%2E".into(), 422, "invalid-value"),
        ("PUT", "/v1/cursors/%2E".into(), 422, "invalid-value"),
        ("GET", "/v1/orders/+3".into(), 422, "invalid-value"),
        ("GET", "/v1//products".into(), 404, "not-found"),
        ("GET", "/V1/products".into(), 404, "not-found"),
        ("GET", "/v1/products/none".into(), 404, "unknown-product"),
        ("DELETE", "/v1/products/sneaker".into(), 405, "method-not-allowed"),
        ("BREW", "/v1/products/sneaker".into(), 405, "method-not-allowed"),
        ("PUT", "/v1/products/%F0%9F%91%9F".into(), 422, "invalid-value"),
        ("PUT", "/v1/products/p?name=x".into(), 400, "invalid-query"),
        ("POST", "/v1/products/none/restock?x".into(), 400, "invalid-query"),
        ("POST", "/v1/buys?product_id=sneaker".into(), 400, "invalid-query"),
        ("GET", "/v1/orders/0".into(), 404, "unknown-order"),
        ("GET", "/v1/orders/18446744073709551615".into(), 404, "unknown-order"),
        ("GET", "/v1/orders/18446744073709551616".into(), 422, "invalid-value"),
        ("GET", "/v1/orders/-1".into(), 422, "invalid-value"),
        ("GET", "/v1/orders/1.5".into(), 422, "invalid-value"),
        ("GET", "/v1/orders/first".into(), 422, "invalid-value"),
        ("GET", "/v1/orders?limit=0".into(), 422, "invalid-value"),
        ("GET", "/v1/orders?limit=-1".into(), 422, "invalid-value"),
        ("GET", "/v1/orders?after=x".into(), 400, "invalid-query"),
        ("GET", "/v1/orders?after=1&after=2".into(), 400, "invalid-query"),
        ("GET", "/v1/orders?user_id=%F0%9F%91%9F&request_id=k".into(), 422, "invalid-value"),
        ("GET", format!("/v1/orders?user_id=u&request_id={long}"), 422, "invalid-value"),
        ("GET", "/v1/orders?user_id=%20".into(), 422, "invalid-value"),
        ("GET", "/v1/orders?request_id=k".into(), 400, "invalid-query"),
        ("POST", "/v1/orders/0/cancel".into(), 404, "unknown-order"),
        ("POST", "/v1/orders/18446744073709551615/cancel".into(), 404, "unknown-order"),
        ("POST", "/v1/orders/-1/cancel".into(), 422, "invalid-value"),
        ("GET", "/v1/explain".into(), 400, "invalid-query"),
        ("GET", "/v1/explain?user_id=u".into(), 400, "invalid-query"),
        ("GET", "/v1/explain?user_id=u&request_id=%00".into(), 422, "invalid-value"),
        ("GET", "/v1/products?limit=0".into(), 422, "invalid-value"),
        ("GET", "/v1/products?after=%F0%9F%91%9F".into(), 422, "invalid-value"),
        ("GET", "/v1/holds/0".into(), 404, "unknown-hold"),
        ("GET", "/v1/holds/18446744073709551616".into(), 422, "invalid-value"),
        ("GET", "/v1/holds/first".into(), 422, "invalid-value"),
        ("GET", "/v1/holds".into(), 400, "invalid-query"),
        ("GET", "/v1/holds?user_id=%20".into(), 422, "invalid-value"),
        ("DELETE", "/v1/holds/-1".into(), 422, "invalid-value"),
        ("DELETE", "/v1/holds/1?user=ann".into(), 400, "invalid-query"),
        ("DELETE", "/v1/holds/1?user_id=".into(), 422, "invalid-value"),
        ("DELETE", "/v1/holds/1?consistency=stale".into(), 400, "invalid-query"),
        ("POST", "/v1/holds/first/confirm".into(), 422, "invalid-value"),
        ("GET", "/v1/cursors/none".into(), 404, "unknown-cursor"),
        ("GET", "/v1/cursors/%F0%9F%91%9F".into(), 422, "invalid-value"),
        ("PUT", "/v1/cursors/sink?x=1".into(), 400, "invalid-query"),
        ("DELETE", "/v1/cursors/sink".into(), 400, "invalid-query"),
        ("DELETE", "/v1/cursors/sink?expected=".into(), 400, "invalid-query"),
        ("DELETE", "/v1/cursors/sink?expected=-1".into(), 422, "invalid-value"),
        ("DELETE", "/v1/cursors/sink?expected=1&expected=1".into(), 400, "invalid-query"),
        ("DELETE", "/v1/cursors/sink?expected=1&consistency=stale".into(), 400, "invalid-query"),
        ("DELETE", "/v1/cursors/%20?expected=1".into(), 422, "invalid-value"),
        ("DELETE", "/v1/cursors/none?expected=1".into(), 404, "unknown-cursor"),
        ("DELETE", "/v1/cursors".into(), 405, "method-not-allowed"),
        ("POST", "/api/flash-sale/buy".into(), 400, "invalid-query"),
        ("POST", "/api/flash-sale/buy?userId=ann".into(), 400, "invalid-query"),
        (
            "POST",
            "/api/flash-sale/buy?userId=ann&userId=bob&productId=sneaker".into(),
            400,
            "invalid-query",
        ),
        ("POST", "/api/flash-sale/buy?userId=&productId=sneaker".into(), 422, "invalid-value"),
        (
            "POST",
            "/api/flash-sale/buy?userId=%F0%9F%91%9F&productId=sneaker".into(),
            422,
            "invalid-value",
        ),
        ("POST", "/api/flash-sale/buy?userId=ann&productId=a%2Fb".into(), 422, "invalid-value"),
        ("POST", format!("/api/flash-sale/buy?userId={long}&productId=p"), 422, "invalid-value"),
        ("POST", "/beli?quantity=2".into(), 400, "invalid-query"),
        ("GET", "/v1/products?colour=red".into(), 400, "invalid-query"),
        ("GET", "/v1/products?consistency=eventual".into(), 400, "invalid-query"),
        ("GET", "/v1/products?consistency=".into(), 400, "invalid-query"),
        ("GET", "/v1/products?min_seq=NaN".into(), 400, "invalid-query"),
        ("GET", "/v1/products?min_seq=-1".into(), 422, "invalid-value"),
        ("GET", "/v1/products?min_seq=18446744073709551616".into(), 422, "invalid-value"),
        ("GET", "/v1/products?min_seq=18446744073709551615".into(), 503, "lagging"),
        ("GET", "/v1/cluster?x=1".into(), 400, "invalid-query"),
        ("GET", "/problems/none".into(), 404, "not-found"),
        ("GET", "/problems/%F0%9F%91%9F".into(), 404, "not-found"),
        ("GET", "/v1".into(), 404, "not-found"),
        ("POST", "/".into(), 405, "method-not-allowed"),
        ("GET", "/assets/%2e%2e%2fCargo.toml".into(), 404, "not-found"),
        ("GET", "/assets/%ff".into(), 422, "invalid-value"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_ids_and_queries() {
    let scene = Scene::open(5, &DEADLINE).await;
    let before = state(&scene).await;
    let nodes = scene.cluster.addresses();
    for (row, (method, path, status, kind)) in table().iter().enumerate() {
        let answer = raw::exchange(&nodes[row % 3], &raw::request(method, path, b"")).await;
        assert_eq!((answer.status, answer.kind()), (*status, *kind), "{method} {path}: {answer:?}");
    }
    assert_eq!(state(&scene).await, before, "nothing changed");
}
