//! Settings, failures and secrets, against a server that the test made.

mod answers;
mod settings;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lens_core::model::{Completion, Form, Message, Model, ModelError, Prompt, Purpose, Role};
use serde_json::json;

use super::{Client, Models, Provider, Settings};

/// A key that must be seen nowhere.
const KEY: &str = "hush-q7Rk2LmP9xZc";

fn prompt() -> Prompt {
    Prompt {
        system: "You look at a service.".to_owned(),
        messages: vec![Message { role: Role::User, text: "What is wrong?".to_owned() }],
        form: Some(Form {
            name: "verdict".to_owned(),
            schema: json!({"type": "object", "properties": {"cause": {"type": "string"}}, "required": ["cause"]}),
        }),
        max_tokens: 100,
        purpose: Purpose::Reason,
        deadline: None,
    }
}

/// What a server that hangs tells when the other end has closed.
const CLOSED: &str = "closed";

/// What a server does with a request.
#[derive(Clone)]
enum Act {
    Answer(String),
    /// Says nothing until the other end closes; the test is told that as if it were a request.
    Hang,
    /// Answers and closes before all of it is sent.
    Cut(String),
}

fn reply(status: &str, headers: &str, body: &str) -> Act {
    Act::Answer(format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}

fn said(text: &str) -> Act {
    let choice = json!({"message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
    reply(
        "200 OK",
        "",
        &json!({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}).to_string(),
    )
}

/// A server of OpenAI's protocol that does one thing after the other, then the last for ever.
struct Server {
    url: String,
    requests: Receiver<String>,
}

impl Server {
    fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for number in 0.. {
                let Ok((mut stream, _)) = listener.accept() else { return };
                // The test is over.
                if sender.send(request(&mut stream)).is_err() {
                    return;
                }
                match &acts[acts.len().min(number + 1) - 1] {
                    Act::Answer(text) => stream.write_all(text.as_bytes()).unwrap(),
                    Act::Hang => {
                        let sender = sender.clone();
                        std::thread::spawn(move || {
                            let _ = stream.read(&mut [0; 64]);
                            let _ = sender.send(CLOSED.to_owned());
                        });
                    }
                    Act::Cut(text) => {
                        stream.write_all(text.as_bytes()).unwrap();
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                }
            }
        });
        Self { url, requests }
    }

    fn client(&self, name: &str) -> Client {
        Client::new(name, Provider::OpenAiGeneric, "m").base_url(&self.url).key(KEY).timeout(Duration::from_secs(20))
    }

    fn models(&self) -> Models {
        Settings::new().client(self.client("only")).build().unwrap()
    }

    fn count(&self) -> usize {
        self.requests.try_iter().count()
    }
}

fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(count > 0, "the client ended in its head: {text}");
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if count == 0 || length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
            return text.into_owned();
        }
    }
}

fn answer(models: &Models) -> Result<Completion, ModelError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(models.answer(&prompt()))
}

fn failure(act: Act) -> ModelError {
    answer(&Server::start(vec![act]).models()).unwrap_err()
}
