//! An HTTP server on loopback for tests, which can also misbehave.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The first byte of its `Range`.
    pub(crate) fn start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// A response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    status: String,
    headers: Vec<String>,
    body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    cut: Option<usize>,
    /// Wait before the second half of the body.
    delay: Duration,
    /// Send the body byte by byte, with this pause before each.
    drip: Option<Duration>,
}

impl Reply {
    pub(crate) fn status(status: &str) -> Self {
        Self { status: status.to_owned(), ..Self::default() }
    }

    pub(crate) fn ok(body: &[u8]) -> Self {
        Self { body: body.to_owned(), ..Self::status("200 OK") }
    }

    /// The requested range of `body`, or all of it.
    pub(crate) fn range(request: &Request, body: &[u8]) -> Self {
        match request.start() {
            Some(start) if start >= body.len() => Self::status("416 Range Not Satisfiable"),
            Some(start) => {
                let range = format!("Content-Range: bytes {start}-{}/{}", body.len() - 1, body.len());
                Self { body: body[start..].to_owned(), ..Self::status("206 Partial Content") }.header(&range)
            }
            None => Self::ok(body),
        }
    }

    pub(crate) fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    pub(crate) fn cut(self, after: usize) -> Self {
        Self { cut: Some(after), ..self }
    }

    pub(crate) fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub(crate) fn drip(self, pause: Duration) -> Self {
        Self { drip: Some(pause), ..self }
    }
}

/// A server that runs until the tests end.
pub(crate) struct Server {
    base: String,
    log: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts the server. `answer` receives the number of the request, from 0, and the request.
    pub(crate) fn start(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (answer, own_log, count) = (Arc::new(answer), log.clone(), connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, log) = (answer.clone(), own_log.clone());
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || serve(&stream, &*answer, &log));
            }
        });
        Self { base, log, connections }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, answer: &dyn Fn(usize, &Request) -> Reply, log: &Mutex<Vec<Request>>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    loop {
        let line = lines.next()?;
        let mut words = line.split(' ');
        let is_head = words.next()? == "HEAD";
        let path = words.next()?.to_owned();
        let headers = lines.by_ref().take_while(|line| !line.is_empty());
        let headers = headers.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        let request = Request { path, headers: headers.collect() };
        let number = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        let reply = answer(number, &request);
        let mut head = format!("HTTP/1.1 {}\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
        reply.headers.iter().for_each(|line| head.extend([line.as_str(), "\r\n"]));
        head.push_str("\r\n");
        let body = &reply.body[..reply.cut.unwrap_or(reply.body.len())];
        let (first, second) = body.split_at(body.len() / 2);
        let mut stream = stream;
        stream.write_all(head.as_bytes()).ok()?;
        if is_head {
            continue;
        }
        if let Some(pause) = reply.drip {
            for byte in body {
                std::thread::sleep(pause);
                stream.write_all(&[*byte]).ok()?;
            }
            continue;
        }
        stream.write_all(first).ok()?;
        std::thread::sleep(reply.delay);
        stream.write_all(second).ok()?;
        if reply.cut.is_some() {
            stream.shutdown(std::net::Shutdown::Both).ok()?;
            return None;
        }
    }
}
