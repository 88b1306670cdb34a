//! A server on the loopback that gives what it is told to give, also badly.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How a file is given.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As it should be.
    Whole(Vec<u8>),
    /// Only so many bytes of it; then the connection ends.
    Cut(Vec<u8>, usize),
    /// Half of it, and then nothing more while the client waits.
    Stuck(Vec<u8>),
}

/// What the server has, and what it was asked for.
#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Answer>,
    requests: Vec<String>,
}

/// A running server; it ends with the test.
#[derive(Debug)]
pub struct Mirror {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Mirror {
    /// Starts one that has nothing.
    ///
    /// # Panics
    /// When the loopback cannot be listened on.
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

    /// Its root.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Gives these files, and nothing else, from now on.
    pub fn publish(&self, files: BTreeMap<String, Vec<u8>>) {
        self.state().files = files.into_iter().map(|(path, bytes)| (path, Answer::Whole(bytes))).collect();
    }

    /// The file at `path`, as it is given in full.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn file(&self, path: &str) -> Vec<u8> {
        match &self.state().files[path] {
            Answer::Whole(bytes) | Answer::Cut(bytes, _) | Answer::Stuck(bytes) => bytes.clone(),
        }
    }

    /// Gives `path` in another way.
    pub fn set(&self, path: &str, answer: Answer) {
        self.state().files.insert(path.to_owned(), answer);
    }

    /// Has `path` no more.
    pub fn remove(&self, path: &str) {
        self.state().files.remove(path);
    }

    /// The paths asked for since the last call, in their order.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the server panics")
    }
}

/// Answers one request. The client's troubles are its own: errors of writing to it end the connection.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    let start = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok())
        .last()
        .unwrap_or(0_usize);
    let answer = {
        let mut state = state.lock().expect("no thread of the server panics");
        state.requests.push(path.clone());
        state.files.get(&path).cloned()
    };
    let (bytes, given) = match answer {
        None => {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        Some(Answer::Whole(bytes)) => (bytes, None),
        Some(Answer::Cut(bytes, given)) => (bytes, Some((given, false))),
        Some(Answer::Stuck(bytes)) => {
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
    let end = given.map_or(total, |(given, _)| given.max(start));
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes[start..end]));
    if sent.is_ok() && given.is_some_and(|(_, waits)| waits) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
        let _ = std::io::Read::read(&mut stream, &mut [0]);
    }
}
