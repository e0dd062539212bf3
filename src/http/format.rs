//! Which format an answer has. Separate because it is decided before the answer is made: `?format=` first, then the
//! `Accept` header with its weights, and 406 where nothing fits.

use axum::http::{HeaderMap, StatusCode, header};
use mime::Mime;

use super::problem::Problem;

/// The formats of lens's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Html,
    /// Text for terminals and prompts.
    Text,
    /// Text with rows as a table, for terminals.
    Table,
    Pprof,
    FlameGraph,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Html => "html",
            Self::Text => "text",
            Self::Table => "table",
            Self::Pprof => "pprof",
            Self::FlameGraph => "flamegraph",
        }
    }

    fn media_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Json => ("application", "json"),
            Self::Html => ("text", "html"),
            Self::Text | Self::Table => ("text", "plain"),
            Self::Pprof => ("application", "octet-stream"),
            Self::FlameGraph => ("image", "svg+xml"),
        }
    }

    /// How well `range` fits this format: 0 not at all, 1 `*/*`, 2 `text/*`, 3 exactly.
    fn specificity(self, range: &Mime) -> u8 {
        let (kind, subkind) = self.media_type();
        // What follows a `+` belongs to the subtype here.
        match range.essence_str().split_once('/') {
            Some(("*", "*")) => 1,
            Some((wanted, "*")) if wanted == kind => 2,
            Some((wanted, subwanted)) if wanted == kind && subwanted == subkind => 3,
            _ => 0,
        }
    }
}

/// Picks one of `offered`, the first of which is the default.
///
/// # Errors
///
/// `?format=` names none of them (400), or the client accepts none of them (406).
pub(super) fn negotiate(asked: Option<&str>, headers: &HeaderMap, offered: &[Format]) -> Result<Format, Problem> {
    let names = || offered.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ");
    if let Some(asked) = asked {
        return offered.iter().copied().find(|format| format.name() == asked).ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "format",
                format!("there is no format {asked:?} here; there is {}", names()),
            )
        });
    }
    let mut ranges = Vec::new();
    for value in headers.get_all(header::ACCEPT) {
        let text = value.to_str().unwrap_or_default();
        ranges.extend(text.split(',').filter_map(|range| range.trim().parse::<Mime>().ok()));
    }
    if ranges.is_empty() {
        return Ok(offered[0]);
    }
    let weight = |format: Format| {
        let fitting = ranges.iter().filter(|range| format.specificity(range) > 0);
        fitting.max_by_key(|range| format.specificity(range)).map_or(0, quality)
    };
    // The first of the best: the order of `offered` breaks ties.
    let best = offered.iter().copied().rev().max_by_key(|format| weight(*format));
    best.filter(|format| weight(*format) > 0)
        .ok_or_else(|| Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", format!("this comes as {}", names())))
}

/// A range's weight in thousandths; one that cannot be read counts as 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
fn quality(range: &Mime) -> u16 {
    let weight = range.get_param("q").and_then(|q| q.as_str().parse::<f32>().ok()).unwrap_or(1.0);
    (weight.clamp(0.0, 1.0) * 1000.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, text.parse().unwrap());
        negotiate(None, &headers, &[Format::Json, Format::Html]).ok()
    }

    #[test]
    fn the_best_fitting_format_wins() {
        assert_eq!(accept("*/*"), Some(Format::Json));
        assert_eq!(accept("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Some(Format::Html));
        assert_eq!(accept("text/html;q=0.5, application/json"), Some(Format::Json));
        assert_eq!(accept("text/*"), Some(Format::Html));
        assert_eq!(accept("application/json;q=0, */*"), Some(Format::Html));
        assert_eq!(accept("image/png"), None);
        assert_eq!(negotiate(None, &HeaderMap::new(), &[Format::Json]).unwrap(), Format::Json);
        let drawings = [Format::Pprof, Format::FlameGraph];
        let mut image = HeaderMap::new();
        image.insert(header::ACCEPT, "image/svg+xml".parse().unwrap());
        assert_eq!(negotiate(None, &image, &drawings).unwrap(), Format::FlameGraph);
    }

    #[test]
    fn the_query_overrides_and_an_unknown_one_is_an_error() {
        let headers = HeaderMap::new();
        assert_eq!(negotiate(Some("table"), &headers, &[Format::Json, Format::Table]).unwrap(), Format::Table);
        assert_eq!(negotiate(Some("html"), &headers, &[Format::Json, Format::Html]).unwrap(), Format::Html);
        assert!(negotiate(Some("xml"), &headers, &[Format::Json]).is_err());
    }
}
