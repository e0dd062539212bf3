use std::sync::Arc;

use super::*;
use crate::recorder::Recorder;
use crate::registry::RegistryBuilder;

fn empty() -> Arc<Capture> {
    let registry = Arc::new(RegistryBuilder::new().build());
    Arc::new(Capture::live(&registry, &Arc::new(Recorder::new())))
}

fn ask(source: &str) -> Result<Outcome, QueryError> {
    Sandbox::new(Limits::default()).run(source, empty())
}

#[test]
fn last_expression_is_the_answer() {
    assert_eq!(ask("x = 1\nx + 2").unwrap().value, 3);
}

#[test]
fn main_answers_when_no_expression_does() {
    assert_eq!(ask("def main():\n    return [1, 2]\n").unwrap().value, serde_json::json!([1, 2]));
}
