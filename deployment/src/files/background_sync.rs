//! Syncs a long file while it is being written, so that the sync at the end is short.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes between two syncs: fewer would be many syncs, more would leave a long one for the end.
const STEP: usize = 16 << 20;

/// Syncs a file in a thread of its own, which is started after the first [`STEP`] bytes.
#[derive(Debug, Default)]
pub(super) struct BackgroundSync {
    /// Bytes written since the last request.
    dirty: usize,
    thread: Option<(SyncSender<()>, JoinHandle<io::Result<()>>)>,
}

impl BackgroundSync {
    /// Call this after every write to `file`, which must always be the same file.
    pub(super) fn wrote(&mut self, file: &File, bytes: usize) -> io::Result<()> {
        self.dirty += bytes;
        if self.dirty < STEP {
            return Ok(());
        }
        self.dirty = 0;
        if self.thread.is_none() {
            let file = file.try_clone()?;
            let (request, requests) = sync_channel(1);
            let thread = std::thread::spawn(move || requests.into_iter().try_for_each(|()| file.sync_data()));
            self.thread = Some((request, thread));
        }
        // A full channel has a request already; when the thread has ended, `wait` returns its error.
        let _ = self.thread.as_ref().map(|(request, _)| request.try_send(()));
        Ok(())
    }

    /// Waits for the thread and returns its error: the kernel reports each error only once.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let Some((request, thread)) = self.thread.take() else { return Ok(()) };
        drop(request);
        thread.join().expect("syncing does not panic")
    }
}

/// Writes to a file that is synced in the background. [`Write::flush`] waits for the sync and returns its error.
#[derive(Debug)]
pub struct Streamed<'f> {
    file: &'f mut File,
    sync: BackgroundSync,
}

impl<'f> Streamed<'f> {
    /// Writes to `file` from its current position.
    pub fn new(file: &'f mut File) -> Self {
        Self { file, sync: BackgroundSync::default() }
    }
}

impl Write for Streamed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sync.wrote(self.file, written)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sync.wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_file_is_written_completely() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut out = Streamed::new(file.as_file_mut());
        let piece = vec![7; STEP / 2 + 1];
        for _ in 0..5 {
            out.write_all(&piece).unwrap();
        }
        assert!(out.sync.thread.is_some());
        out.flush().unwrap();
        assert_eq!(fs_err::metadata(file.path()).unwrap().len(), 5 * piece.len() as u64);
    }

    #[test]
    fn error_of_the_thread_is_returned() {
        let (mut sync, reader) = (BackgroundSync::default(), std::io::pipe().unwrap().0);
        // A pipe cannot be synced.
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        sync.wrote(&file, STEP).unwrap();
        assert_eq!(sync.wait().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
