//! An HTTP server on loopback with files that a test chooses. It can interrupt responses.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
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
    /// Only this many bytes; then the connection is reset.
    Reset(Vec<u8>, usize),
    /// Completely, with a `Content-Length` of this many bytes.
    Claims(Vec<u8>, usize),
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
            Reply::Whole(bytes)
            | Reply::Cut(bytes, _)
            | Reply::Stuck(bytes)
            | Reply::Reset(bytes, _)
            | Reply::Claims(bytes, _) => bytes.clone(),
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

/// The head of a request, which stays unread. `None` if the client goes away.
fn request(stream: &TcpStream) -> Option<String> {
    let mut buffer = [0; 8192];
    loop {
        let length = stream.peek(&mut buffer).ok().filter(|length| *length > 0)?;
        let text = str::from_utf8(&buffer[..length]).ok()?;
        if text.contains("\r\n\r\n") {
            return Some(text.to_owned());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends the response to one request. If the client cannot be written to, the connection is closed.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Some(request) = request(&stream) else { return };
    let mut lines = request.lines();
    let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let start = lines
        .filter_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok())
        .next_back()
        .unwrap_or(0_usize);
    let reply = {
        let mut state = state.lock().expect("no thread of the server panics");
        state.requests.push(path.clone());
        state.files.get(&path).cloned()
    };
    // A socket that is closed with unread data resets the connection.
    if !matches!(reply, Some(Reply::Reset(..))) {
        let _ = stream.read_exact(&mut vec![0; request.len()]);
    }
    let Some(reply) = reply else {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    };
    // Where the response ends, and its claimed total length.
    let (bytes, end, claimed) = match &reply {
        Reply::Whole(bytes) => (bytes, bytes.len(), bytes.len()),
        Reply::Cut(bytes, length) | Reply::Reset(bytes, length) => (bytes, *length, bytes.len()),
        Reply::Stuck(bytes) => (bytes, bytes.len() / 2, bytes.len()),
        Reply::Claims(bytes, length) => (bytes, bytes.len(), *length),
    };
    let start = start.min(bytes.len());
    let (status, range) = match start {
        0 => ("200 OK", String::new()),
        _ => {
            ("206 Partial Content", format!("Content-Range: bytes {start}-{}/{claimed}\r\n", claimed.saturating_sub(1)))
        }
    };
    let kind =
        if path.starts_with("simple/") { "application/vnd.pypi.simple.v1+json" } else { "application/octet-stream" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{range}Content-Length: {}\r\nConnection: close\r\n\r\n",
        claimed.saturating_sub(start)
    );
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes[start..end.max(start)]));
    if sent.is_err() {
        return;
    }
    if let Reply::Stuck(_) = reply {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(600)));
        let _ = stream.read(&mut [0]);
    }
}
