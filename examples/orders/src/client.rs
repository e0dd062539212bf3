//! As much of an HTTP/1.1 client as the service needs for the payment provider and for its own load: one connection
//! that is kept, answers with a `Content-Length`. Separate because both use it, and a whole client would be a large
//! dependency for that.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The longest head and the longest body that is read.
pub const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// A connection to an HTTP server. After an error it is of no further use.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects to `address`.
    ///
    /// # Errors
    ///
    /// Nobody accepts the connection.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host: address.to_string() })
    }

    /// Sends one request, with a JSON body if there is one, and waits for its answer.
    ///
    /// # Errors
    ///
    /// The connection broke, or the answer is none that this client reads.
    pub async fn request(&mut self, method: &str, path: &str, json: Option<&str>) -> io::Result<Answer> {
        let body = json.unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.stream.get_mut().write_all((head + body).as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let mut head = (&mut self.stream).take(MAX_ANSWER_BYTES);
        let mut line = String::new();
        head.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("the answer has no status"))?;
        let mut length = None;
        loop {
            line.clear();
            head.read_line(&mut line).await?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok()
                }
                Some(_) => {}
                None if line.ends_with('\n') => break,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        // 1xx, 204 and 304 never have a body.
        let length = if matches!(status, 100..=199 | 204 | 304) { Some(0) } else { length };
        let length: u64 = length
            .filter(|length| *length <= MAX_ANSWER_BYTES)
            .ok_or_else(|| io::Error::other("the answer has no length, or is too long"))?;
        let mut body = Vec::new();
        (&mut self.stream).take(length).read_to_end(&mut body).await?;
        if body.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Answer { status, body })
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn answered(bytes: &'static str) -> io::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
            stream.write_all(bytes.as_bytes()).await.unwrap();
        });
        let answer = Connection::open(address).await?.request("GET", "/", None).await;
        server.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn status_and_body_are_read() {
        let answer = answered("HTTP/1.1 201 Created\r\nX: a:b\r\nContent-Length: 3\r\n\r\nabc").await.unwrap();
        assert_eq!(answer, Answer { status: 201, body: b"abc".to_vec() });
        assert_eq!(answered("HTTP/1.1 204 No Content\r\n\r\n").await.unwrap().status, 204);
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_or_without_length_is_an_error() {
        for bytes in
            ["", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "HTTP/1.1 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\r\nA"]
        {
            assert!(answered(bytes).await.is_err(), "{bytes:?}");
        }
    }
}
