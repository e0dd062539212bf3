//! Who waits for something that ends, or goes away while something waits for him.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lens::evidence::EndedBy;
use lens::investigation::{Order, Strategy};
use lens::model::{Answering, Completion, Model, Prompt, Stop};
use serde_json::{Value, json};

use crate::support::{Service, ask};

/// Looks into lens's own skill slowly; a question to the operator is never answered.
#[derive(Default)]
struct Slow {
    /// Questions that are being answered.
    asides: Arc<AtomicUsize>,
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Model for Slow {
    fn name(&self) -> String {
        "slow".to_owned()
    }

    fn answer<'a>(&'a self, prompt: &'a Prompt) -> Answering<'a> {
        let last = &prompt.messages.last().unwrap().text;
        let action = if last.contains("aside") {
            self.asides.fetch_add(1, Ordering::SeqCst);
            let counted = Counted(Arc::clone(&self.asides));
            return Box::pin(async move {
                let _counted = counted;
                std::future::pending().await
            });
        } else if prompt.system.contains("You sort requests") {
            json!({"intent": "investigation", "skills": ["lens"]})
        } else {
            json!({"intent": "wait", "ms": 20_000})
        };
        let text = json!({"action": action}).to_string();
        let completion = Completion { text, usage: None, stop: Stop::End, model: self.name(), unanswered: 0 };
        Box::pin(async move { Ok(completion) })
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A service whose operator of `lens` is at work, its investigation, and the body of a question to it.
fn asked() -> (Service, lens::Investigation, Arc<AtomicUsize>, String) {
    let model = Slow::default();
    let asides = Arc::clone(&model.asides);
    let service = Service::start_with(|builder| builder.model(model));
    let mut events = service.lens().events();
    let investigation = service.lens().investigate_with(Order::new("slow").strategy(Strategy::Pipeline)).unwrap();
    let begun = || std::iter::from_fn(|| events.try_next()).any(|happened| happened.event.word() == "action_chosen");
    let begun = std::cell::RefCell::new(begun);
    wait_until("the operator has begun", || (begun.borrow_mut())());
    let question = json!({"question": "so?", "investigation": investigation.id(), "operator": "lens"}).to_string();
    (service, investigation, asides, question)
}

#[test]
fn a_question_to_an_operator_ends_with_its_investigation() {
    let (service, investigation, asides, question) = asked();
    let (address, id) = (service.address(), investigation.id().to_owned());
    let asking = std::thread::spawn(move || {
        let json = &[("content-type", "application/json")];
        (ask(address, "POST", "/debug/lens/ask", json, question.as_bytes()), Instant::now())
    });
    wait_until("the question is asked", || asides.load(Ordering::SeqCst) == 1);
    let cancelled = Instant::now();
    assert_eq!(ask(address, "DELETE", &format!("/debug/lens/investigations/{id}"), &[], b"").status, 202);
    assert_eq!(investigation.wait().unwrap().ended_by, EndedBy::Cancellation);
    let (answer, at) = asking.join().unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (409, "no_answer"), "{}", answer.body);
    let detail: Value = answer.json()["detail"].clone();
    assert_eq!(detail, "the investigation has ended before its operator answered; it was ended by cancellation");
    assert!(at.duration_since(cancelled) < Duration::from_secs(5), "{:?}", at.duration_since(cancelled));
    assert_eq!(asides.load(Ordering::SeqCst), 0, "the model is not asked any more");
}

#[test]
fn a_question_to_an_operator_ends_when_its_asker_goes() {
    let (service, investigation, asides, question) = asked();
    let mut stream = TcpStream::connect(service.address()).unwrap();
    write!(
        stream,
        "POST /debug/lens/ask HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{question}",
        question.len()
    )
    .unwrap();
    wait_until("the question is asked", || asides.load(Ordering::SeqCst) == 1);
    drop(stream);
    wait_until("the model is not asked any more", || asides.load(Ordering::SeqCst) == 0);
    investigation.cancel();
    assert_eq!(investigation.wait().unwrap().ended_by, EndedBy::Cancellation);
}

/// Opens the stream of events; `None` if there is no place.
fn listen(service: &Service) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(service.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /debug/lens/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b": lens\n\n") {
        if stream.read(&mut byte).unwrap() == 0 || answer.starts_with(b"HTTP/1.1 429") {
            return None;
        }
        answer.push(byte[0]);
    }
    Some(stream)
}

#[test]
fn the_place_of_a_listener_that_has_gone_is_free_before_anything_happens() {
    const PLACES: usize = 16;
    let service = Service::start();
    let mut listeners: Vec<TcpStream> = (0..PLACES).map(|_| listen(&service).unwrap()).collect();
    assert!(listen(&service).is_none(), "all places are taken");
    // One closes, one has crashed.
    drop(listeners.pop());
    listeners.pop().unwrap().shutdown(Shutdown::Both).unwrap();
    let gone = Instant::now();
    wait_until("a place is free", || listen(&service).is_some());
    // Nothing is said to a silent stream for much longer.
    assert!(gone.elapsed() < Duration::from_secs(5), "{:?}", gone.elapsed());
}
