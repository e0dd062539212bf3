//! The orders themselves.

use serde_json::json;

use crate::harness::{Answer, Service, until};

const ORDER: &str = r#"{"customer":"ada","items":[{"sku":"tea","quantity":2},{"sku":"cup","quantity":1}]}"#;

fn assert_problem(answer: &Answer, status: u16, detail: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
    assert_eq!(answer.body["status"], status);
    assert!(answer.body["detail"].as_str().unwrap().contains(detail), "{}", answer.body);
}

#[test]
fn an_order_is_placed_read_paid_and_dispatched() {
    let service = Service::start(&[]);
    let placed = service.request("POST", "/orders", ORDER);
    assert_eq!(placed.status, 201);
    assert!(placed.head.contains("location: /orders/1\r\n"), "{}", placed.head);
    assert_eq!(placed.body["customer"], "ada");
    assert_eq!(placed.body["status"], "placed");

    let one = |sku: &str| {
        let body = json!({"customer": "bob", "items": [{"sku": sku, "quantity": 1}]}).to_string();
        service.request("POST", "/orders", &body).body["total_cents"].as_u64().unwrap()
    };
    assert_eq!(placed.body["total_cents"], 2 * one("tea") + one("cup"));

    assert_eq!(service.get("/orders/1").body, placed.body);
    let list = service.get("/orders?limit=2").body;
    assert_eq!(list.as_array().unwrap().iter().map(|order| &order["id"]).collect::<Vec<_>>(), [3, 2]);

    let paid = service.post("/orders/1/pay");
    assert_eq!((paid.status, &paid.body["status"]), (200, &json!("paid")));
    until("the order is dispatched", || (service.get("/orders/1").body["status"] == "dispatched").then_some(()));
    assert_eq!(service.get("/orders?status=dispatched").body.as_array().unwrap().len(), 1);
    assert_eq!(service.get("/orders?status=paid").body, json!([]));
    assert_problem(&service.post("/orders/1/pay"), 409, "order 1 cannot be paid: it is dispatched");
}

#[test]
fn a_payment_above_the_limit_is_declined() {
    let service = Service::start(&[]);
    let items = vec![json!({"sku": "organ", "quantity": 100}); 20];
    let order = json!({"customer": "ada", "items": items}).to_string();
    let placed = service.request("POST", "/orders", &order);
    assert!(placed.body["total_cents"].as_u64().unwrap() > 1_000_000, "{}", placed.body);
    assert_problem(&service.post("/orders/1/pay"), 402, "the payment was declined");
    assert_eq!(service.get("/orders/1").body["status"], "declined");
}

#[test]
fn what_cannot_be_done_is_a_problem() {
    let service = Service::start(&[]);
    assert_problem(&service.get("/orders/7"), 404, "there is no order 7");
    assert_problem(&service.post("/orders/7/pay"), 404, "there is no order 7");
    assert_problem(&service.get("/orders/seven"), 400, "seven");
    assert_problem(&service.get("/orders?limit=101"), 400, "`limit` must be at most 100");
    assert_problem(&service.get("/orders?color=red"), 400, "color");
    assert_problem(&service.get("/nowhere"), 404, "the API is below /orders");
    assert_problem(&service.request("PUT", "/orders", ""), 405, "other methods");
    assert_problem(&service.request("POST", "/orders", "{"), 400, "JSON");
    assert_problem(&service.request("POST", "/orders", r#"{"customer":"ada"}"#), 422, "items");
    assert_problem(&service.request("POST", "/orders", r#"{"customer":"ada","items":[]}"#), 422, "`items`");
    let nothing = r#"{"customer":"ada","items":[{"sku":"tea","quantity":0}]}"#;
    assert_problem(&service.request("POST", "/orders", nothing), 422, "`quantity`");
    let huge = format!(r#"{{"customer":"{}","items":[]}}"#, "a".repeat(3 << 20));
    assert_problem(&service.request("POST", "/orders", &huge), 413, "length limit");
    assert_eq!(service.get("/health").body["status"], "ok");
}

#[test]
fn load_comes_at_its_rate_and_touches_everything() {
    let service = Service::start(&["--load", "200"]);
    let health = until("many orders are placed", || {
        let health = service.get("/health").body;
        (health["orders"].as_u64()? >= 400).then_some(health)
    });
    // Two of five requests place an order. They cannot come faster; only a very slow machine could be far below.
    let due = 0.4 * 200.0 * health["uptime_ms"].as_f64().unwrap() / 1_000.0;
    assert!(health["orders"].as_f64().unwrap() <= due + 100.0, "{health}");
    assert!(health["requests_total"].as_u64().unwrap() >= 950, "{health}");
    assert_eq!(health["prices"], 200, "{health}");
    let orders = service.get("/orders?limit=100").body;
    let statuses: Vec<_> = orders.as_array().unwrap().iter().filter_map(|order| order["status"].as_str()).collect();
    assert!(statuses.contains(&"placed") && statuses.contains(&"dispatched"), "{statuses:?}");
}
