//! Investigations by a model, configured as a user would. Separate from the checks' findings because a model may say
//! anything: what is compared with the truth of a fault is what the report keeps whatever it said.

#[path = "../../../../../tests/protocol/llama.rs"]
mod llama;

use std::time::Duration;

use serde_json::{Value, json};

use crate::faults::start;
use crate::harness::{Service, output, program, until, within};
use llama::Llama;

/// llama.cpp's server.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/protocol/llama_server.py");

/// Lets a strategy run to its end on a service with a fault, and gives the report.
fn investigated(strategy: &str) -> Value {
    let llama = Llama::start(SCRIPT);
    let mut program = program();
    program.args(["--faults", "--load", "20"]).env("LENS_MODEL", "openai-generic/smollm2-135m");
    program.env("LENS_MODEL_URL", &llama.url);
    let service = Service::start_program(&mut program);
    start(&service, "panic_loop");
    let causes = |report: &Value| {
        report["insights"].as_array().unwrap().iter().map(|insight| insight["root_cause"].clone()).collect::<Vec<_>>()
    };
    let is_found = || causes(&service.lens("GET", "/debug/lens/findings", "").body).contains(&json!("panic_loop"));
    until("the checks find the fault", || is_found().then_some(()));

    let wanted = json!({"reason": "orders fail", "deadline_ms": 60_000, "skills": ["panics", "runtime"]}).to_string();
    let started = service.lens("POST", &format!("/debug/lens/investigations?strategy={strategy}"), &wanted);
    assert_eq!(started.status, 202, "{started:?}");
    let at = started.body["href"].as_str().unwrap().to_owned();
    let report = within(Duration::from_secs(90), "the investigation ends", || {
        let report = service.lens("GET", &at, "").body["report"].take();
        (!report.is_null()).then_some(report)
    });
    let model = &report["model"];
    // Whatever the model says, what the checks found is in the report, and nothing that is not true.
    assert!(causes(&report).contains(&json!("panic_loop")), "{report:#}");
    assert_eq!(report["strategy"], strategy);
    assert!(model["spent"]["requests"].as_u64().unwrap() >= 1, "{report:#}");
    let tokens =
        ["input_tokens", "output_tokens", "estimated_tokens"].map(|name| model["spent"][name].as_u64().unwrap());
    assert!(tokens.iter().sum::<u64>() > 0, "{report:#}");
    report
}

#[test]
#[ignore = "needs what tests/protocol/llama.sh installs"]
fn a_pipeline_with_a_real_model_ends_with_what_the_checks_found() {
    investigated("pipeline");
}

#[test]
#[ignore = "needs what tests/protocol/llama.sh installs"]
fn an_agent_loop_with_a_real_model_ends_with_what_the_checks_found() {
    investigated("agent_loop");
}

#[test]
fn a_wrong_model_keeps_the_service_from_starting_and_is_named() {
    let ended = output(program().env("LENS_MODEL", "antropic/claude"));
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("LENS_MODEL: there is no provider `antropic`; did you mean `anthropic`?"), "{said}");
}
