//! An HTTP server on loopback with files that a test chooses. It can interrupt responses.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How a file is sent.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Completely.
    Whole(Vec<u8>),
    /// Only this many bytes; then the connection is closed.
    Cut(Vec<u8>, usize),
    /// Half of it; then the connection stays open.
    Stuck(Vec<u8>),
}

/// The files of the server, and the requests that it received.
#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Reply>,
    requests: Vec<String>,
}

/// A running server. It stops with the process of the test.
#[derive(Debug)]
pub struct Mirror {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Mirror {
    /// Starts a server without files.
    ///
    /// # Panics
    /// It cannot listen on loopback.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { port, state }
    }

    /// The root URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Replaces all files.
    pub fn publish(&self, files: BTreeMap<String, Vec<u8>>) {
        self.state().files = files.into_iter().map(|(path, bytes)| (path, Reply::Whole(bytes))).collect();
    }

    /// The complete file at `path`.
    ///
    /// # Panics
    /// There is no such file.
    #[must_use]
    pub fn file(&self, path: &str) -> Vec<u8> {
        match &self.state().files[path] {
            Reply::Whole(bytes) | Reply::Cut(bytes, _) | Reply::Stuck(bytes) => bytes.clone(),
        }
    }

    /// Replaces the file at `path`.
    pub fn set(&self, path: &str, reply: Reply) {
        self.state().files.insert(path.to_owned(), reply);
    }

    /// Removes the file at `path`.
    pub fn remove(&self, path: &str) {
        self.state().files.remove(path);
    }

    /// The requested paths since the last call, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the server panics")
    }
}

/// Sends the response to one request. If the client cannot be written to, the connection is closed.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let start = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok())
        .last()
        .unwrap_or(0_usize);
    let reply = {
        let mut state = state.lock().expect("no thread of the server panics");
        state.requests.push(path.clone());
        state.files.get(&path).cloned()
    };
    let (bytes, limit) = match reply {
        None => {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        Some(Reply::Whole(bytes)) => (bytes, None),
        Some(Reply::Cut(bytes, length)) => (bytes, Some((length, false))),
        Some(Reply::Stuck(bytes)) => {
            let half = bytes.len() / 2;
            (bytes, Some((half, true)))
        }
    };
    let total = bytes.len();
    let start = start.min(total);
    let (status, range) = match start {
        0 => ("200 OK", String::new()),
        _ => ("206 Partial Content", format!("Content-Range: bytes {start}-{}/{total}\r\n", total.saturating_sub(1))),
    };
    let kind =
        if path.starts_with("simple/") { "application/vnd.pypi.simple.v1+json" } else { "application/octet-stream" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{range}Content-Length: {}\r\nConnection: close\r\n\r\n",
        total - start
    );
    let end = limit.map_or(total, |(length, _)| length.max(start));
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes[start..end]));
    if sent.is_ok() && limit.is_some_and(|(_, waits)| waits) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
        let _ = std::io::Read::read(&mut stream, &mut [0]);
    }
}
