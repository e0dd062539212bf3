//! The command `lens`, run as a user runs it: against a service, against a capture, in a pipe. A test of its own because
//! it needs the binary, and a lens in this process for it to ask.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;

use serde_json::{Value, json};

fn lens(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lens"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.env_remove("LENS_TOKEN").spawn().unwrap();
    // A command that needs no input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The command's exit code where nobody reads what it says.
fn unheard(arguments: &[&str], input: &str) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lens"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    // It has nothing to say before it has its input.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait().unwrap().code()
}

/// The command on a terminal, where this is typed.
fn typed(arguments: &[&str], input: &str) -> Output {
    let terminal = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&terminal).unwrap();
    rustix::pty::unlockpt(&terminal).unwrap();
    let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
    let end = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lens"));
    command.args(arguments).stdin(end).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // Ctrl-D ends a query; what is read line by line would go on.
    File::from(terminal.try_clone().unwrap()).write_all(format!("{input}\n\u{4}:quit\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(terminal);
    output
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn value(output: &Output) -> Value {
    let (code, out, err) = told(output);
    assert_eq!(code, Some(0), "{err}");
    serde_json::from_str(&out).unwrap()
}

#[tokio::test]
async fn the_command_asks_a_service_and_a_capture() {
    let service = lens::Builder::new().address(([127, 0, 0, 1], 0)).start().unwrap();
    let port = service.address().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    let path = move |name: &str| directory.path().join(name).to_str().unwrap().to_owned();

    tokio::task::spawn_blocking(move || {
        // In a pipe the value is JSON, and alone.
        let output = lens(&["query", "-e", "print(\"said\")\n[1, \"a\"]", &port], "");
        assert_eq!(value(&output), json!([1, "a"]));
        assert_eq!(told(&output).2, "said\n");
        // From the standard input, with or without the subcommand.
        assert_eq!(value(&lens(&["query", &port], "lens.cost().thread_count > 0")), true);
        assert_eq!(value(&lens(&[&port], "6 * 7")), 42);
        // From a file, as a table.
        std::fs::write(path("q.star"), "table(top(lens.stores(), 1, by=\"cap_count\"), \"skill\", \"cap_count\")")
            .unwrap();
        let (code, out, _) = told(&lens(&["query", "-f", &path("q.star"), "--format", "table", &port], ""));
        assert_eq!(code, Some(0));
        let head = out.lines().next().unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(head, ["skill", "cap_count"]);

        let (code, out, err) = told(&lens(&["query", "-e", "x = 1\nruntime.wrokers()", &port], ""));
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.contains("--> query:2:1") && err.contains("did you mean `workers`?"), "{err}");
        // What a name in the service says to the terminal stays a text.
        for script in ["fail(\"\\x1b[2J\" + chr(0x2066))", "runtime.workers(last=\"\\x1b[2J\" + chr(0x2066))"] {
            let (code, _, err) = told(&lens(&["query", "-e", script, &port], ""));
            assert_eq!(code, Some(1), "{err}");
            assert!(err.contains("\\u{1b}[2J\\u{2066}") && err.contains("\n --> query:1:1\n"), "{err}");
            assert!(!err.contains(['\u{1b}', '\u{2066}']), "{err}");
        }
        let (_, out, _) = told(&lens(&["query", "-e", "chr(0x9b) + chr(0x2066)", &port], ""));
        assert_eq!(out, "\"\\u009b\\u2066\"\n");
        let (code, _, err) = told(&lens(&["query", "--check", "-e", "prnt(1)\nlenn(2)", &port], ""));
        assert_eq!((code, err.matches("error: ").count()), (Some(1), 2), "{err}");
        assert_eq!(
            told(&lens(&["query", "--check", "-e", "fail()", &port], "")),
            (Some(0), String::new(), String::new())
        );
        let (code, _, err) = told(&lens(&["query", "-f", &path("none.star"), &port], ""));
        assert_eq!(code, Some(2));
        assert!(err.contains("none.star cannot be read"), "{err}");
        let (code, _, err) = told(&lens(&["query", "-e", "1", "127.0.0.1:1"], ""));
        assert_eq!(code, Some(3));
        assert!(err.contains("does not answer"), "{err}");
        assert_eq!(told(&lens(&["query", "-e", "1", "-f", "x", &port], "")).0, Some(2));

        for format in ["table", "json"] {
            assert_eq!(unheard(&["query", "--format", format, &port], "print(1)\n[2]"), Some(0), "{format}");
        }
        assert_eq!(unheard(&["query", &port], "lenn(2)"), Some(1));

        let mut file = File::create(path("incident.json")).unwrap();
        service.capture().save(&mut file).unwrap();
        drop(service);
        let output = lens(&["open", "-e", "len(lens.stores()) > 0", &path("incident.json")], "");
        assert_eq!(value(&output), true);
        assert_eq!(value(&lens(&["open", &path("incident.json")], "1 + 1")), 2);
        let (code, _, err) = told(&lens(&["open", "-e", "lens.stors()", &path("incident.json")], ""));
        assert_eq!(code, Some(1));
        assert!(err.contains("did you mean `stores`?"), "{err}");
        let (code, _, err) = told(&typed(&["open", "--check", &path("incident.json")], "lenn(1)"));
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains("did you mean `len`?"), "{err}");
        let (code, _, err) = told(&lens(&["open", "-e", "1", &path("q.star")], ""));
        assert_eq!(code, Some(2));
        assert!(err.contains("not a lens capture"), "{err}");
    })
    .await
    .unwrap();
}

#[cfg(feature = "console")]
#[test]
fn the_command_says_that_there_is_no_console_server() {
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().to_string();
    let (code, out, err) = told(&lens(&["console", "-e", "console.tasks()", &closed], ""));
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert!(err.contains(&closed), "{err}");
}

/// The address of a service that answers one request with `body`.
fn answering(body: &'static str) -> (String, std::thread::JoinHandle<()>) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(client.try_clone().unwrap());
        let mut line = String::new();
        let mut length = 0;
        while reader.read_line(&mut line).unwrap() > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
        write!(client, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
    });
    (address, thread)
}

#[test]
fn a_check_by_what_is_no_lens_is_no_check() {
    for body in [
        r#"{"hello":1}"#,
        "[true,[]]",
        r#"{"ok":true}"#,
        r#"{"ok":false,"errors":[]}"#,
        r#"{"ok":true,"errors":[{"rendered":"no"}]}"#,
        r#"{"ok":false,"errors":[{"message":"no"}]}"#,
    ] {
        let (address, thread) = answering(body);
        let (code, out, err) = told(&lens(&["query", "--check", "-e", "this is not starlark", &address], ""));
        thread.join().unwrap();
        assert_eq!((code, out.as_str()), (Some(3), ""), "{body}: {err}");
        assert!(err.contains("another version of lens"), "{body}: {err}");
    }
}

#[test]
fn a_command_that_asks_nothing_or_nobody_is_wrong() {
    // Nobody listens there, so what goes out ends with 3.
    let nobody = "127.0.0.1:1";
    for (arguments, input) in [
        (vec!["query", nobody], ""),
        (vec!["query", nobody], " \n"),
        (vec![nobody], ""),
        (vec!["query", "--check", nobody], ""),
        (vec!["query", "-e", "", nobody], ""),
    ] {
        let (code, out, err) = told(&lens(&arguments, input));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(err.contains("there is no query: "), "{arguments:?}: {err}");
    }
    for address in ["HTTPS://a", "ftp://x", "::1", "99999"] {
        let (code, _, err) = told(&lens(&["query", "-e", "1", address], ""));
        assert_eq!(code, Some(2), "{address}: {err}");
    }
    assert_eq!(told(&lens(&["query", "-e", "1", "HTTP://127.0.0.1:1"], "")).0, Some(3));
    let (code, _, err) = told(&lens(&["query", "-e", "1", "--token", "two\nlines", nobody], ""));
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("the token can never match"), "{err}");
}

#[cfg(unix)]
#[test]
fn a_token_of_the_environment_that_is_no_text_is_told() {
    use std::os::unix::ffi::OsStrExt;

    let mut command = Command::new(env!("CARGO_BIN_EXE_lens"));
    command.args(["query", "-e", "1", "127.0.0.1:1"]).env("LENS_TOKEN", std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    let (code, _, err) = told(&command.output().unwrap());
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("LENS_TOKEN"), "{err}");
}
