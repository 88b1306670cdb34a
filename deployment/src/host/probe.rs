//! Health checks that this program makes inside a container, where it is mounted
//! ([`PROBE`](crate::profile::model::PROBE)): the image needs no tool for them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::failure::Failure;

/// How long the rest of an answer is read, at most: some never end.
const REST: Duration = Duration::from_secs(1);
/// How much of it, in bytes.
const REST_LIMIT: usize = 4 << 20;
/// More than any status line of HTTP.
const LINE_LIMIT: usize = 1024;

/// Opens a connection to a port of the container itself.
///
/// # Errors
/// When neither 127.0.0.1 nor ::1 accepts it in time.
pub fn tcp(port: u16, limit: Duration) -> Result<()> {
    connect(port, Instant::now() + limit).map(drop)
}

/// Sends a `GET` request (RFC 9112) without TLS to a port of the container itself. Without a `status`, all from 200 to 399
/// count as healthy.
///
/// # Errors
/// As [`tcp`], and for another status or no answer.
pub fn http(port: u16, path: &str, status: Option<u16>, limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    let mut stream = connect(port, deadline)?;
    let url = format!("http://localhost:{port}{path}");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: sealift\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).with_context(|| url.clone())?;
    let line = first_line(&mut stream, deadline).with_context(|| url.clone())?;
    read_rest(&mut stream, deadline.min(Instant::now() + REST));
    let found: Option<u16> = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    match (found, status) {
        (Some(found), Some(status)) if found == status => Ok(()),
        (Some(found), None) if (200..400).contains(&found) => Ok(()),
        (Some(found), _) => Err(Failure::failed(format!("{url}: the status is {found}")).into()),
        (None, _) => Err(Failure::failed(format!("{url}: the answer is not HTTP")).into()),
    }
}

fn connect(port: u16, deadline: Instant) -> Result<TcpStream> {
    let mut first = None;
    for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))] {
        match TcpStream::connect_timeout(&address, left(deadline)) {
            Ok(stream) => {
                stream.set_write_timeout(Some(left(deadline)))?;
                return Ok(stream);
            }
            Err(error) => first = first.or(Some((address, error))),
        }
    }
    let (address, error) = first.expect("two addresses were tried");
    Err(Failure::failed(format!("cannot connect to {address}")).because(error).into())
}

/// The time until the deadline, but not nothing: sockets take no limit of 0.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn first_line(stream: &mut TcpStream, deadline: Instant) -> Result<String> {
    let (mut line, mut buffer) = (Vec::new(), [0; LINE_LIMIT]);
    while !line.contains(&b'\n') && line.len() < LINE_LIMIT {
        if Instant::now() >= deadline {
            return Err(Failure::failed("there is no answer in time").into());
        }
        stream.set_read_timeout(Some(left(deadline)))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => line.extend_from_slice(&buffer[..got]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(Failure::failed("there is no answer in time").into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(String::from_utf8_lossy(&line).lines().next().unwrap_or_default().to_owned())
}

/// Reads what is left of the answer, within limits. Servers log it as an error when nobody does.
fn read_rest(stream: &mut TcpStream, deadline: Instant) {
    let (mut buffer, mut left_bytes) = (vec![0; 1 << 16], REST_LIMIT);
    while left_bytes > 0 && Instant::now() < deadline {
        let limited = stream.set_read_timeout(Some(left(deadline)));
        match limited.and_then(|()| stream.read(&mut buffer)) {
            Ok(0) => break,
            Ok(got) => left_bytes = left_bytes.saturating_sub(got),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that gives one answer, and its port.
    fn server(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let got = stream.read(&mut request).unwrap();
            assert!(request[..got].starts_with(b"GET /a?b HTTP/1.1\r\nHost: localhost:"));
            stream.write_all(answer.as_bytes()).unwrap();
            // A server that says nothing keeps the connection.
            std::thread::sleep(Duration::from_secs(u64::from(answer.is_empty()) * 3));
        });
        port
    }

    fn asked(answer: &'static str, status: Option<u16>, limit: Duration) -> Result<(), String> {
        let result = http(server(answer), "/a?b", status, limit);
        result.map_err(|error| format!("{error:#}").split_once("/a?b: ").unwrap().1.to_owned())
    }

    #[test]
    fn the_status_decides() {
        let long = Duration::from_secs(60);
        assert_eq!(asked("HTTP/1.1 204 No Content\r\n\r\n", None, long), Ok(()));
        assert_eq!(asked("HTTP/1.0 302 Found\r\n\r\n", None, long), Ok(()));
        assert_eq!(asked("HTTP/1.1 401 Unauthorized\r\n\r\n", Some(401), long), Ok(()));
        assert_eq!(asked("HTTP/1.1 500 Oh\r\n\r\n", None, long).unwrap_err(), "the status is 500");
        assert_eq!(asked("HTTP/1.1 200 OK\r\n\r\n", Some(204), long).unwrap_err(), "the status is 200");
        assert_eq!(asked("SSH-2.0-x\r\n", None, long).unwrap_err(), "the answer is not HTTP");
        let silent = asked("", None, Duration::from_millis(200)).unwrap_err();
        assert_eq!(silent, "there is no answer in time");
    }

    #[test]
    fn a_port_that_accepts_connections_is_enough_for_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        tcp(port, Duration::from_secs(60)).unwrap();
        drop(listener);
        let error = tcp(port, Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot connect to 127.0.0.1:{port}"));
    }
}
