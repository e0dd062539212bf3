//! What a layer does not see, though it is there. In a file of its own, because tracing's most verbose level is the process's.

use lens_core::Skill;
use lens_skills::logs::{DEFAULT_LEVEL, Logs, LogsSkill};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

/// One test, because the levels are the process's.
#[test]
fn a_registry_that_is_not_the_default_and_a_filter_in_front_are_gaps() {
    let logs = Logs::new(|| None);
    let skill = LogsSkill::new(logs.clone());
    {
        let registry = tracing_subscriber::registry().with(logs.layer(DEFAULT_LEVEL));
        assert!(skill.sources()[0].fix().unwrap().contains("not the process's default"));
        tracing::subscriber::with_default(registry, || assert_eq!(skill.sources()[0].status(), "live"));
    }
    let filtered = tracing_subscriber::registry().with(logs.layer(DEFAULT_LEVEL)).with(LevelFilter::WARN);
    tracing::subscriber::with_default(filtered, || {
        let source = &skill.sources()[0];
        assert_eq!(source.status(), "partial");
        assert!(source.fix().unwrap().contains("lets only warn"), "{:?}", source.fix());
    });
}
