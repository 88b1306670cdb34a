//! gzip in members of a fixed input size, compressed in parallel and written in order.
//!
//! RFC 1952, section 2.2: a gzip file is a series of members. Cutting the input at fixed places makes the bytes
//! independent of write sizes and of the number of threads. Each member has time 0, no name and system 255 (unknown).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use libdeflater::{CompressionLvl, Compressor};

/// Input bytes per member. Larger ones gain less than 0.1% in size and hold up the pipeline.
const MEMBER: usize = 1024 * 1024;
/// A quarter faster than 5 and 3.5% larger, as measured in `docs/performance.md`; other tools' default is larger still.
const LEVEL: i32 = 2;

type Job = (Vec<u8>, SyncSender<io::Result<Done>>);

/// A member, and the block that it was made of, to be filled again.
struct Done {
    member: Vec<u8>,
    block: Vec<u8>,
}

/// The sink.
pub struct Members<W: Write> {
    out: W,
    block: Vec<u8>,
    jobs: usize,
    written: bool,
    /// Results in the order of their blocks.
    pending: VecDeque<Receiver<io::Result<Done>>>,
    /// Blocks to be filled again.
    spare: Vec<Vec<u8>>,
    queue: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
    take: Arc<Mutex<Receiver<Job>>>,
}

impl<W: Write> Members<W> {
    pub(super) fn new(out: W, jobs: usize) -> Self {
        let (queue, take) = channel();
        Self {
            out,
            block: Vec::with_capacity(MEMBER),
            jobs,
            written: false,
            pending: VecDeque::new(),
            spare: Vec::new(),
            queue: Some(queue),
            workers: Vec::new(),
            take: Arc::new(Mutex::new(take)),
        }
    }

    /// Hands the block on; waits for the oldest results so that at most two blocks per thread are in memory.
    fn submit(&mut self) -> io::Result<()> {
        // Small layers never start more threads than they have blocks.
        if self.workers.len() < self.jobs {
            let take = self.take.clone();
            self.workers.push(std::thread::spawn(move || work(&take)));
        }
        let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(MEMBER));
        let block = std::mem::replace(&mut self.block, next);
        let (give, receive) = sync_channel(1);
        self.queue.as_ref().expect("open until finished").send((block, give)).map_err(|_| lost())?;
        self.pending.push_back(receive);
        self.written = true;
        while self.pending.len() > 2 * self.jobs {
            self.write_oldest()?;
        }
        Ok(())
    }

    fn write_oldest(&mut self) -> io::Result<()> {
        if let Some(receive) = self.pending.pop_front() {
            let Done { member, mut block } = receive.recv().map_err(|_| lost())??;
            self.out.write_all(&member)?;
            block.clear();
            self.spare.push(block);
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() || !self.written {
            self.submit()?;
        }
        while !self.pending.is_empty() {
            self.write_oldest()?;
        }
        self.queue = None;
        for worker in self.workers.drain(..) {
            worker.join().map_err(|_| lost())?;
        }
        Ok(self.out)
    }
}

impl<W: Write> Write for Members<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(MEMBER - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == MEMBER {
            self.submit()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lost() -> io::Error {
    io::Error::other("a compressing thread ended early")
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut compressor = Compressor::new(CompressionLvl::new(LEVEL).expect("a level that libdeflate has"));
    // Members are about a third of this: the rest is never given away.
    let mut room = vec![0; compressor.gzip_compress_bound(MEMBER)];
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((block, give)) = job else { return };
        let done =
            compressor.gzip_compress(&block, &mut room).map(|size| Done { member: room[..size].to_vec(), block });
        // The receiver is gone only when writing failed already.
        let _ = give.send(done.map_err(io::Error::other));
    }
}
