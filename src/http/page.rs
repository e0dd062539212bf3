//! The same answers as pages for a browser. Separate from the routes because it is all mark-up; a page shows what the JSON
//! says and nothing else.

use axum::body::Body;
use axum::http::{Response, header};
use axum::response::IntoResponse;
use lens_core::recorder::SeriesReference;
use lens_core::signature::{Field, Returns};
use lens_core::{FunctionReference, Series, Timestamp};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use super::reply::{Doctor, FunctionReply, Overview, QuerySummary, SkillReply, SkillSummary};
use crate::own::CoverageRow;
use crate::table::value::number;
use crate::table::{self, MOST, Most, columns, ranks, text};
use lens_core::reference::{self, Reference};

/// Scripts and styles come from lens itself and nothing else is loaded; no page can be framed.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// Questions that are worth a click on any service.
const EXAMPLES: &[(&str, &str)] = &[
    ("who keeps the workers busy?", "tasks.sites(by=\"busy\", limit=5)"),
    ("does every worker make progress?", "[(w.index, w.state) for w in runtime.workers()]"),
    ("how deep has the queue been?", "series(\"runtime.global_queue_depth\", last=\"5m\").max()"),
    ("how large is the heap?", "heap.stats()"),
    ("what does lens cost?", "lens.cost()"),
];

pub(super) fn respond(page: &Markup) -> Response<Body> {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, page.0.clone()).into_response()
}

pub(super) fn frame(base: &str, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · lens" }
                link rel="stylesheet" href={ (base) "/assets/lens.css" };
                script src={ (base) "/assets/lens.js" } defer {}
            }
            body {
                header {
                    strong { a href=(home(base)) { "lens" } }
                    a href={ (base) "/findings" } { "findings" }
                    a href={ (base) "/investigations" } { "investigations" }
                    a href={ (base) "/skills" } { "skills" }
                    a href={ (base) "/reference" } { "reference" }
                    a href={ (base) "/series" } { "series" }
                    a href={ (base) "/doctor" } { "doctor" }
                    a href={ (base) "/capture" } { "save a capture" }
                }
                (body)
            }
        }
    }
}

fn home(base: &str) -> &str {
    if base.is_empty() { "/" } else { base }
}

pub(super) fn overview(overview: &Overview, base: &str) -> Markup {
    let service = &overview.service;
    let body = html! {
        h1 { (service.program) " " span.quiet { "pid " (service.pid) } }
        div class={ "health " (overview.health.status) } {
            strong class=(overview.health.status) { (overview.health.status) }
            @if overview.health.reasons.is_empty() { " – nothing that lens checks is wrong" }
            ul {
                @for reason in &overview.health.reasons {
                    li {
                        strong class=(reason.severity) { (reason.severity) } ": " (reason.title) ": " (reason.text) " "
                        @if let Some(place) = &reason.place { code { (place) } " " }
                        a href="#ask" data-script=(reason.ask) { code { (reason.ask) } }
                    }
                }
            }
        }
        p.quiet {
            "captured at " (overview.captured_at) " · lens " (service.lens_version) " since " (service.lens_started_at)
            " · sees: " (service.tier)
        }
        h2 { "Ask" }
        form #ask action={ (base) "/query" } {
            textarea name="script" rows="4" spellcheck="false" { "tasks.top(limit=5, by=\"busy\")" }
            p { button type="submit" { "ask" } " " span.quiet { "Ctrl+Enter" } }
        }
        p {
            @for (index, (question, script)) in EXAMPLES.iter().enumerate() {
                @if index > 0 { " · " }
                a href="#ask" data-script=(script) { (question) }
            }
        }
        pre #answer { "The answer comes here." }
        h2 { "Skills" }
        (skill_table(&overview.skills))
        @if !overview.queries.is_empty() {
            h2 { "Saved queries" }
            (query_table(&overview.queries))
        }
        @if !overview.coverage.is_empty() {
            h2 { "What lens cannot see" }
            (source_table(&overview.coverage))
        }
    };
    frame(base, &service.program, &body)
}

pub(super) fn doctor(doctor: &Doctor, base: &str) -> Markup {
    let body = html! {
        h1 { "Doctor" }
        p.quiet { "captured at " (doctor.captured_at) " · sees: " (doctor.service.tier) }
        (source_table(&doctor.sources))
        h2 { "What lens costs" }
        (value(&doctor.cost))
        h2 { "Limits of a query" }
        (value(&doctor.limits))
    };
    frame(base, "doctor", &body)
}

pub(super) fn skills(skills: &[SkillSummary], base: &str) -> Markup {
    frame(base, "skills", &html! { h1 { "Skills" } (skill_table(skills)) })
}

pub(super) fn skill(skill: &SkillReply, base: &str) -> Markup {
    let body = html! {
        h1 { (skill.title) " " code.quiet { (skill.name) } }
        p { (skill.description) }
        @if !skill.prompt.is_empty() { p.quiet { (skill.prompt) } }
        h2 { "Sources" }
        (source_table(&skill.sources))
        @if !skill.snapshot.is_empty() {
            h2 { "Metrics" }
            (series_table(&skill.snapshot, base))
        }
        h2 { "Functions" }
        @for function in &skill.functions { (function_reference(function)) }
    };
    frame(base, &skill.name, &body)
}

fn function_reference(function: &FunctionReply) -> Markup {
    described(&function.reference, &function.signature, Some(&function.href), &function.reference.name)
}

fn described(reference: &FunctionReference, signature: &str, href: Option<&str>, id: &str) -> Markup {
    let fields: &[Field] = match &reference.returns {
        Returns::Rows(fields) | Returns::Record(fields) => fields,
        Returns::Value(_) => &[],
    };
    html! {
        h2 id=(id) { @if let Some(href) = href { a href=(href) { code { (signature) } } } @else { code { (signature) } } }
        p { (reference.doc) }
        @if !reference.parameters.is_empty() {
            dl { @for parameter in &reference.parameters { dt { code { (parameter.name) } } dd { (parameter.doc) } } }
        }
        p.quiet { "example: " code { (reference.example) } }
        @if let Some(effect) = &reference.effect { p.quiet { "acts on the service: " (effect) } }
        @if !fields.is_empty() {
            details { summary { (fields.len()) " fields" } (field_table(fields)) }
        }
    }
}

fn field_table(fields: &[Field]) -> Markup {
    html! {
        table {
            @for field in fields {
                tr {
                    td { code { (field.name) } }
                    td { (reference::kind(field)) }
                    td {
                        (field.doc)
                        @if let Some(within) = reference::within(&field.holds) { (field_table(within)) }
                    }
                }
            }
        }
    }
}

/// Everything that can be asked.
pub(super) fn reference(reference: &Reference, base: &str) -> Markup {
    let body = html! {
        h1 { "Reference" }
        p { (reference.language) }
        p {
            @for skill in &reference.skills { a href={ "#" (skill.name) } { (skill.name) } " " }
            a href="#builtins" { "the language's own" }
        }
        @for skill in &reference.skills {
            h1 id=(skill.name) { (skill.title) " " code.quiet { (skill.name) } }
            p { (skill.description) }
            @if !skill.prompt.is_empty() { p.quiet { (skill.prompt) } }
            @if let Some(fix) = &skill.unavailable { p.quiet { "unavailable: " (fix) } }
            @for function in &skill.functions {
                @let name = format!("{}.{}", skill.name, function.reference.name);
                (described(&function.reference, &function.signature, None, &name))
            }
        }
        h1 #builtins { "The language's own" }
        @for builtin in &reference.builtins {
            h2 id=(builtin.name) { code { (builtin.signature) } }
            p { (builtin.doc) }
            p.quiet { "example: " code { (builtin.example) } }
        }
    };
    frame(base, "reference", &body)
}

pub(super) fn queries(queries: &[QuerySummary], base: &str) -> Markup {
    let body = html! {
        h1 { "Saved queries" }
        @if queries.is_empty() {
            p.quiet { "none; " code { "lens::Builder::query" } " saves one" }
        } @else {
            (query_table(queries))
        }
    };
    frame(base, "queries", &body)
}

fn query_table(queries: &[QuerySummary]) -> Markup {
    html! {
        table {
            @for query in queries {
                tr {
                    td { a href=(query.href) { code { (query.name) } } }
                    td { (query.doc) }
                    td { details { summary { "script" } pre { (query.script) } } }
                }
            }
        }
    }
}

/// A function's answer; `columns` are the fields of its rows in the order of their declaration.
pub(super) fn answer(title: &str, reply: &Value, columns: &[String], base: &str) -> Markup {
    let body = html! {
        h1 { code { (title) } }
        p.quiet { "captured at " (text(&reply["captured_at"])) }
        (ordered(&reply["value"], columns))
        @if reply["coverage"].as_array().is_some_and(|gaps| !gaps.is_empty()) {
            h2 { "What this answer lacks" }
            (value(&reply["coverage"]))
        }
    };
    frame(base, title, &body)
}

pub(super) fn series_list(list: &[SeriesReference], base: &str) -> Markup {
    frame(base, "series", &html! { h1 { "Series" } (series_table(list, base)) })
}

pub(super) fn series(series: &Series, base: &str) -> Markup {
    let body = html! {
        h1 { code { (series.name) } " " span.quiet { "in " (series.unit) } }
        (chart(series))
        dl {
            dt { "last" } dd { (number(series.last())) }
            dt { "mean" } dd { (number(series.mean())) }
            dt { "min" } dd { (number(series.min())) }
            dt { "max" } dd { (number(series.max())) }
            dt { "points" } dd { (series.points.len()) " of " (series.resolution_s) " s" }
        }
        p {
            @for last in ["1m", "10m", "2h", "24h"] {
                a href={ (base) "/series?name=" (encoded(&series.name)) "&last=" (last) } { (last) } " "
            }
        }
    };
    frame(base, &series.name, &body)
}

/// The series as a line: left is the oldest point, the bottom is the least value.
fn chart(series: &Series) -> Markup {
    let first = series.points.first().map_or_else(Timestamp::default, |point| point.at);
    let width = series.points.last().map_or(1.0, |point| point.at.since(first).as_secs_f64()).max(1.0);
    let (least, most) = (series.min(), series.max());
    let height = if most > least { most - least } else { 1.0 };
    let mut points = String::new();
    for point in &series.points {
        let x = point.at.since(first).as_secs_f64() / width * 1000.0;
        let y = 100.0 - (point.value - least) / height * 96.0 - 2.0;
        points.push_str(&format!("{x:.1},{y:.1} "));
    }
    html! {
        svg.chart viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" {
            title { (series.name) ": " (number(least)) " to " (number(most)) }
            polyline points=(points) {}
        }
    }
}

fn skill_table(skills: &[SkillSummary]) -> Markup {
    html! {
        table {
            tr { th { "skill" } th { "" } th { "" } th { "functions" } }
            @for skill in skills {
                tr {
                    td { a href=(skill.href) { code { (skill.name) } } }
                    td class=(skill.status) { (skill.status) }
                    td { (skill.description) @if let Some(fix) = &skill.fix { br; span.quiet { (fix) } } }
                    td { @for function in &skill.functions { a href={ (skill.href) "/" (function) } { code { (function) } } " " } }
                }
            }
        }
    }
}

fn source_table(sources: &[CoverageRow]) -> Markup {
    html! {
        table {
            tr { th { "skill" } th { "source" } th { "" } th { "gives" } th { "fix" } th { "cost" } }
            @for source in sources {
                tr {
                    td { code { (source.skill) } }
                    td { (source.source) }
                    td class=(source.status) { (source.status) }
                    td { (source.gives) }
                    td { @if let Some(fix) = &source.fix { (fix) } }
                    td { (source.cost) }
                }
            }
        }
    }
}

fn series_table(list: &[SeriesReference], base: &str) -> Markup {
    html! {
        table {
            tr { th { "series" } th { "latest" } th { "unit" } th { "" } }
            @for series in list {
                tr {
                    td { a href={ (base) "/series?name=" (encoded(&series.name)) } { code { (series.name) } } }
                    td.number { (number(series.latest)) }
                    td { (series.unit) }
                    td { (series.doc) }
                }
            }
        }
    }
}

fn value(value: &Value) -> Markup {
    ordered(value, &[])
}

/// A value as people read it: rows as a table, an object as a list, the rest as JSON. Fields that `first` names come
/// first, in that order.
fn ordered(value: &Value, first: &[String]) -> Markup {
    within(value, first, MOST)
}

/// As much of a value as a page holds, and what is left out.
fn within(value: &Value, first: &[String], most: Most) -> Markup {
    match value {
        Value::Array(rows) if !rows.is_empty() && rows.iter().all(Value::is_object) => {
            let columns = columns(rows, &ranks(first));
            let (columns, others) = columns.split_at(columns.len().min(most.columns));
            let row = |row: &Value| html! { tr { @for column in columns { (cell(&row[*column])) } } }.0;
            let mut body = String::new();
            let count = table::fill(&mut body, rows.iter().map(row), most.bytes);
            html! {
                table {
                    tr { @for column in columns { th { (column) } } }
                    (PreEscaped(body))
                }
                @for note in [table::rows_left_out(rows.len() - count), table::fields_left_out(others)] {
                    @if let Some(note) = note { p.quiet { (note) } }
                }
            }
        }
        Value::Array(rows) if rows.is_empty() => html! { p.quiet { "nothing" } },
        Value::Object(fields) if table::is_unavailable(fields) => html! { p { (text(value)) } },
        Value::Object(fields) => {
            let names = columns(std::slice::from_ref(value), &ranks(first));
            let field = |name: &&str| html! { dt { code { (name) } } dd { (text(&fields[*name])) } }.0;
            let mut body = String::new();
            let count = table::fill(&mut body, names.iter().map(field), most.bytes);
            html! {
                dl { (PreEscaped(body)) }
                @if let Some(note) = table::fields_left_out(&names[count..]) { p.quiet { (note) } }
            }
        }
        other => {
            let (text, is_whole) = table::start(other, most.bytes);
            html! {
                pre { (text) @if !is_whole { "…" } }
                @if !is_whole { p.quiet { "… there is more: ask for a part of it, or for JSON" } }
            }
        }
    }
}

fn cell(value: &Value) -> Markup {
    match value {
        Value::Number(_) => html! { td.number { (text(value)) } },
        _ => html! { td { (text(value)) } },
    }
}

fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~');
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The page's part for `value` where there is room for two columns and a few bytes.
    fn little(value: &Value) -> String {
        within(value, &[], Most { columns: 2, bytes: 60 }).0
    }

    #[test]
    fn a_page_says_what_it_leaves_out() {
        let rows = little(&json!([{"a": 1, "b": "<"}, {"c": 2}, {"a": 3}, {"d": 4}]));
        let shown = "<table><tr><th>a</th><th>b</th></tr><tr><td class=\"number\">1</td><td>&lt;</td></tr></table>";
        let rows_left = "<p class=\"quiet\">… 3 more rows: ask for fewer, or for JSON</p>";
        let then = "ask for the fields that you want, or for JSON";
        assert_eq!(rows, format!("{shown}{rows_left}<p class=\"quiet\">… 2 more fields, such as `c`, `d`: {then}</p>"));
        let field = |name: &str| format!("<dt><code>{name}</code></dt><dd>1</dd>");
        let record = format!("<dl>{}</dl><p class=\"quiet\">… 2 more fields, such as `b`, `c`: {then}</p>", field("a"));
        assert_eq!(little(&json!({"a": 1, "b": 1, "c": 1})), record);
        let more = "<p class=\"quiet\">… there is more: ask for a part of it, or for JSON</p>";
        assert_eq!(little(&json!("x".repeat(61))), format!("<pre>{}…</pre>{more}", "x".repeat(60)));
    }

    #[test]
    fn a_page_has_no_place_for_each_field_in_each_row() {
        let rows: Vec<Value> = (0..30_000).map(|index| json!({format!("{index:05}"): 1})).collect();
        let page = ordered(&json!(rows), &[]).0;
        assert!(page.len() < MOST.bytes + (1 << 14), "{} bytes", page.len());
        let left =
            "… 29900 more fields, such as `00100`, `00101`, `00102`: ask for the fields that you want, or for JSON";
        assert!(page.ends_with(&format!("<p class=\"quiet\">{left}</p>")), "{}", &page[page.len() - 200..]);
        // A row of empty cells has 909 bytes, the others 15 more.
        let count = (MOST.bytes - 100 * 924) / 909 + 100;
        let left = format!("… {} more rows: ask for fewer, or for JSON", 30_000 - count);
        assert!(page.contains(&format!("</table><p class=\"quiet\">{left}</p>")), "{}", &page[page.len() - 300..]);
    }
}
