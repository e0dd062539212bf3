//! The service over HTTP: orders are placed, read and paid.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::faults::truth::{Place, here};
use crate::payment::PaymentError;
use crate::problem::Problem;
use crate::store::{Item, Order, OrderId, Status};

/// The most articles in an order, and the most pieces of one.
pub const MAX_ITEMS: usize = 20;

/// The most pieces of one article in an order.
pub const MAX_QUANTITY: u32 = 100;

/// How many orders are listed unless the caller says otherwise.
pub const DEFAULT_LIMIT: usize = 20;

/// The most orders that are listed.
pub const MAX_LIMIT: usize = 100;

/// The longest name of a customer or an article, in bytes.
pub const MAX_NAME: usize = 100;

/// Where paid orders are handed to the dispatcher, for those who compare.
pub(crate) const SENDS: Place = here!("dispatch_send" in "api.rs");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    customer: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    status: Option<Status>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    uptime_ms: u64,
    requests_total: u64,
    orders: usize,
    prices: usize,
    dispatch_queue: usize,
}

/// The routes of the API, with what `more` adds to them.
pub fn router(app: Arc<App>, more: Router<Arc<App>>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/orders", post(place).get(list))
        .route("/orders/{id}", get(read))
        .route("/orders/{id}/pay", post(pay))
        .merge(more)
        .fallback(async || Problem::not_found("there is nothing here; the API is below /orders"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods; see the header `Allow`")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), count))
        .with_state(app)
}

async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    app.requests.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(%method, path, status = response.status().as_u16(), elapsed = ?started.elapsed(), "request");
    response
}

async fn health(State(app): State<Arc<App>>) -> Json<Health> {
    Json(Health {
        status: "ok",
        uptime_ms: u64::try_from(app.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        requests_total: app.requests.load(Ordering::Relaxed),
        orders: app.store.len(),
        prices: app.prices.len(),
        dispatch_queue: app.dispatch.max_capacity() - app.dispatch.capacity(),
    })
}

async fn place(
    State(app): State<Arc<App>>,
    order: Result<Json<NewOrder>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(NewOrder { customer, items }) = order?;
    validate(&customer, &items)?;
    let mut total_cents = 0;
    for item in &items {
        total_cents += app.prices.get(&item.sku).await * u64::from(item.quantity);
    }
    let order = app.store.place(customer, items, total_cents);
    let location = format!("/orders/{}", order.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(order)))
}

fn validate(customer: &str, items: &[Item]) -> Result<(), Problem> {
    let unfit = |detail: String| Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    if customer.is_empty() || customer.len() > MAX_NAME {
        return unfit(format!("`customer` must have 1 to {MAX_NAME} bytes"));
    }
    if items.is_empty() || items.len() > MAX_ITEMS {
        return unfit(format!("`items` must have 1 to {MAX_ITEMS} entries"));
    }
    for Item { sku, quantity } in items {
        if sku.is_empty() || sku.len() > MAX_NAME {
            return unfit(format!("`sku` must have 1 to {MAX_NAME} bytes"));
        }
        if *quantity == 0 || *quantity > MAX_QUANTITY {
            return unfit(format!("`quantity` must be 1 to {MAX_QUANTITY}"));
        }
    }
    Ok(())
}

async fn list(
    State(app): State<Arc<App>>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Vec<Order>>, Problem> {
    let Query(Filter { status, limit }) = filter?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if limit > MAX_LIMIT {
        return Err(Problem::bad_request(format!("`limit` must be at most {MAX_LIMIT}")));
    }
    Ok(Json(app.store.list(status, limit)))
}

async fn read(State(app): State<Arc<App>>, id: Result<Path<OrderId>, PathRejection>) -> Result<Json<Order>, Problem> {
    let Path(id) = id?;
    app.store.get(id).map(Json).ok_or_else(|| no_order(id))
}

async fn pay(State(app): State<Arc<App>>, id: Result<Path<OrderId>, PathRejection>) -> Result<Json<Order>, Problem> {
    let Path(id) = id?;
    let order = app.store.advance(id, Status::Placed, Status::Paying).map_err(|status| match status {
        Some(status) => Problem::conflict(format!("order {id} cannot be paid: it is {status:?}").to_lowercase()),
        None => no_order(id),
    })?;
    let outcome = app.payment.charge(id, order.total_cents).await;
    let status = match &outcome {
        Ok(()) => Status::Paid,
        Err(PaymentError::Declined) => Status::Declined,
        Err(_) => Status::Placed,
    };
    let order = app.store.advance(id, Status::Paying, status).map_err(|_| no_order(id))?;
    outcome.map_err(|error| refused(id, &error))?;
    // The dispatcher is gone only while the service ends.
    app.dispatch.send(id).await.map_err(|_| unavailable("the service is stopping"))?; // here: dispatch_send
    Ok(Json(order))
}

fn refused(id: OrderId, error: &PaymentError) -> Problem {
    match error {
        PaymentError::Declined => Problem::new(StatusCode::PAYMENT_REQUIRED, error.to_string()),
        PaymentError::Busy => unavailable(&error.to_string()),
        PaymentError::Unreachable(_) | PaymentError::Failed(_) => {
            tracing::warn!(order = id, %error, "payment failed");
            Problem::new(StatusCode::BAD_GATEWAY, error.to_string())
        }
    }
}

fn unavailable(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

fn no_order(id: OrderId) -> Problem {
    Problem::not_found(format!("there is no order {id}"))
}
