//! gzip in members that hold a fixed number of input bytes, compressed in parallel and written in order.
//!
//! RFC 1952, section 2.2: a gzip file is a series of members. Cutting the input at fixed places makes the bytes
//! independent of write sizes and of the number of threads. Each member has time 0, no name and system 255 (unknown).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use libdeflater::{CompressionLvl, Compressor};

/// Input bytes per member. Larger members are less than 0.1% smaller and delay the next steps.
const MEMBER: usize = 1024 * 1024;
/// A quarter faster than 5 and 3.5% larger, as measured in `docs/performance.md`; other tools' default is larger still.
const LEVEL: i32 = 2;

/// A block to compress, and where the result goes.
type Job = (Vec<u8>, SyncSender<io::Result<Compressed>>);

/// A gzip member, and the block that it was made from, for reuse.
struct Compressed {
    member: Vec<u8>,
    block: Vec<u8>,
}

/// A sink that writes a gzip member per block of input.
pub struct Members<W: Write> {
    out: W,
    block: Vec<u8>,
    jobs: usize,
    written: bool,
    /// Results in the order of their blocks.
    pending: VecDeque<Receiver<io::Result<Compressed>>>,
    /// Empty blocks for reuse.
    spare: Vec<Vec<u8>>,
    queue: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
    receiver: Arc<Mutex<Receiver<Job>>>,
}

impl<W: Write> Members<W> {
    pub(super) fn new(out: W, jobs: usize) -> Self {
        let (queue, receiver) = channel();
        Self {
            out,
            block: Vec::with_capacity(MEMBER),
            jobs,
            written: false,
            pending: VecDeque::new(),
            spare: Vec::new(),
            queue: Some(queue),
            workers: Vec::new(),
            receiver: Arc::new(Mutex::new(receiver)),
        }
    }

    /// Queues the current block. Waits for the oldest results, so that there are at most two blocks per thread in memory.
    fn submit(&mut self) -> io::Result<()> {
        // One more thread per block: a small layer starts few.
        if self.workers.len() < self.jobs {
            let receiver = self.receiver.clone();
            self.workers.push(std::thread::spawn(move || work(&receiver)));
        }
        let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(MEMBER));
        let block = std::mem::replace(&mut self.block, next);
        let (sender, result) = sync_channel(1);
        self.queue.as_ref().expect("open until finished").send((block, sender)).map_err(|_| thread_ended())?;
        self.pending.push_back(result);
        self.written = true;
        while self.pending.len() > 2 * self.jobs {
            self.write_oldest()?;
        }
        Ok(())
    }

    fn write_oldest(&mut self) -> io::Result<()> {
        if let Some(result) = self.pending.pop_front() {
            let Compressed { member, mut block } = result.recv().map_err(|_| thread_ended())??;
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
            worker.join().map_err(|_| thread_ended())?;
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

fn thread_ended() -> io::Error {
    io::Error::other("a compressing thread ended early")
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut compressor = Compressor::new(CompressionLvl::new(LEVEL).expect("libdeflate has this level"));
    // Reused for all blocks: members have about a third of this size.
    let mut buffer = vec![0; compressor.gzip_compress_bound(MEMBER)];
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((block, sender)) = job else { return };
        let done = compressor
            .gzip_compress(&block, &mut buffer)
            .map(|size| Compressed { member: buffer[..size].to_vec(), block });
        // Fails only after an error of writing, when the receiver is gone.
        let _ = sender.send(done.map_err(io::Error::other));
    }
}
