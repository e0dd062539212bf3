//! llama.cpp's server with a small model, for the tests that `tests/protocol/llama.sh` runs. Separate because a library's
//! tests and a service's both start it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The server. It ends when its input does, and so with the tests.
pub(crate) struct Llama {
    /// Where it speaks OpenAI's protocol.
    pub(crate) url: String,
    _process: Child,
}

impl Llama {
    /// Starts it by the script `llama_server.py`.
    pub(crate) fn start(script: &str) -> Self {
        let tools: PathBuf = std::env::var_os("LENS_LLAMA_TOOLS").expect("run this by tests/protocol/llama.sh").into();
        let mut process = Command::new(tools.join("venv/bin/python"))
            .arg(script)
            .arg(tools.join("model.gguf"))
            // Its one thread would spin for the next request.
            .env("OMP_WAIT_POLICY", "passive")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Python starts");
        let output = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.strip_prefix("LLAMA ")?.to_owned()));
        // Nobody must wait for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { url: format!("http://{}/v1", address.expect("the server says where it listens")), _process: process }
    }
}
