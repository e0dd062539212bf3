//! Errors as `application/problem+json` (RFC 9457). Separate because every route fails in these words.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use lens_core::sandbox::{QueryError, QueryErrorKind};
use lens_core::{CallError, Unavailable};
use serde_json::{Map, Value};

use crate::table;

/// A request that cannot be answered: a stable `code` for programs, a `detail` for people, and what to do.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    more: Map<String, Value>,
    header: Option<(header::HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), detail: detail.into(), more: Map::new(), header: None }
    }

    /// Adds a member; `null` is left out.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.more.insert(key.to_owned(), value);
        }
        self
    }

    /// Adds what to do about it.
    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        let fix: String = fix.into();
        self.with("fix", fix)
    }

    pub(super) fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(super) fn unavailable(detail: String, reason: &Unavailable) -> Self {
        // What the build or the set-up lacks will not come by waiting; what failed or is stuck may.
        let status = match reason {
            Unavailable::Failed { .. }
            | Unavailable::Panicked { .. }
            | Unavailable::Stuck { .. }
            | Unavailable::NotYet { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::NOT_IMPLEMENTED,
        };
        Self::new(status, reason.code(), detail).fix(reason.to_string())
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let detail = error.to_string();
        match error {
            CallError::Argument { name, nearest, .. } => {
                Self::new(StatusCode::BAD_REQUEST, "argument", detail).with("argument", name).with("nearest", nearest)
            }
            CallError::NotFound { nearest, .. } => {
                Self::new(StatusCode::NOT_FOUND, "not_found", detail).with("nearest", nearest)
            }
            CallError::Unavailable { reason, .. } => Self::unavailable(detail, &reason),
            CallError::TooLarge { .. } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "limit", detail),
            CallError::Panicked { .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "panicked", detail),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let status = match error.kind {
            QueryErrorKind::Limit => StatusCode::UNPROCESSABLE_ENTITY,
            QueryErrorKind::Unavailable => StatusCode::NOT_IMPLEMENTED,
            QueryErrorKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            QueryErrorKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            QueryErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let rendered = error.to_string();
        let problem = Self::new(status, error.kind.code(), error.message)
            .with("line", error.line)
            .with("column", error.column)
            .with("nearest", error.nearest)
            .with("help", error.help)
            .with("rendered", rendered)
            .with("printed", error.printed);
        match status {
            StatusCode::TOO_MANY_REQUESTS => problem.header(header::RETRY_AFTER, HeaderValue::from_static("1")),
            _ => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut body = Map::new();
        body.insert("type".into(), "about:blank".into());
        body.insert("title".into(), self.status.canonical_reason().unwrap_or("Error").into());
        body.insert("status".into(), self.status.as_u16().into());
        body.insert("code".into(), self.code.into());
        body.insert("detail".into(), self.detail.into());
        body.extend(self.more);
        let mut response = Response::new(Body::from(table::json(&Value::Object(body))));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.header {
            headers.insert(name, value);
        }
        response
    }
}
