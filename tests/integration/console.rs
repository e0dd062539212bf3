//! The skill `console` where it cannot be read: it is there all the same, and says how to get it.

use crate::support::Service;

/// What a build of this flavour with these features has to be told.
const FIX: &str = if !cfg!(feature = "console") {
    "feature `console`"
} else if cfg!(tokio_unstable) {
    "with(lens::console_layer())"
} else {
    "--cfg tokio_unstable"
};

#[test]
fn without_the_layer_every_answer_says_how_to_get_it() {
    let service = Service::start();
    let refused = service.query("console.tasks()");
    assert!(refused.body.contains(FIX), "{refused:?}");
    let refused = service.get("/skills/console/lints?limit=5");
    assert_eq!(refused.status, 501, "{refused:?}");
    assert!(refused.body.contains(FIX), "{refused:?}");
    let rows = service.value("[(row.fix, row.cost) for row in lens.coverage() if row.skill == \"console\"]");
    assert!(rows[0][0].as_str().unwrap().contains(FIX), "{rows}");
}
