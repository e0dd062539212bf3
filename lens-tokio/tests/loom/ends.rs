//! Ends of tasks: what a reader sees is one end, never parts of two.

use loom::sync::Arc;
use loom::thread;

use crate::table::ends::{End, Ends};
use crate::table::entry::Origin;

#[test]
fn a_reader_sees_whole_ends() {
    loom::model(|| {
        let ends = Arc::new(Ends::new());
        let end = |id: u64| End { id, origin: Origin::new(id, 0, 0), ended_ms: id * 10, polls: id * 100 };
        let writer = {
            let ends = Arc::clone(&ends);
            thread::spawn(move || {
                ends.push(end(1), false);
                ends.push(end(2), false);
            })
        };
        for seen in ends.iter() {
            assert_eq!(seen, (end(seen.0.id), false));
        }
        writer.join().unwrap();
        assert_eq!(ends.iter().collect::<Vec<_>>(), [(end(2), false)], "there is room for one");
    });
}
