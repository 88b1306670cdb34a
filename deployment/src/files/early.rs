//! Bringing a long file to the disk while it is written, so that the sync at the end is short.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes between two syncs: less makes many, more leaves much for the end.
const STEP: usize = 16 << 20;

/// Syncs a file on a thread of its own. Files of less than [`STEP`] never have one.
#[derive(Debug, Default)]
pub(super) struct EarlySync {
    /// Bytes since a sync was asked for.
    dirty: usize,
    thread: Option<(SyncSender<()>, JoinHandle<io::Result<()>>)>,
}

impl EarlySync {
    /// To be told of every write to `file`, always the same one.
    pub(super) fn wrote(&mut self, file: &File, bytes: usize) -> io::Result<()> {
        self.dirty += bytes;
        if self.dirty < STEP {
            return Ok(());
        }
        self.dirty = 0;
        if self.thread.is_none() {
            let file = file.try_clone()?;
            let (ask, asked) = sync_channel(1);
            let thread = std::thread::spawn(move || asked.into_iter().try_for_each(|()| file.sync_data()));
            self.thread = Some((ask, thread));
        }
        // When one waits already, it will do; when the thread has gone, `wait` tells why.
        let _ = self.thread.as_ref().map(|(ask, _)| ask.try_send(()));
        Ok(())
    }

    /// Waits for the thread, and tells what went wrong there: the kernel tells each error only once.
    pub(super) fn wait(&mut self) -> io::Result<()> {
        let Some((ask, thread)) = self.thread.take() else { return Ok(()) };
        drop(ask);
        thread.join().expect("syncing does not panic")
    }
}

/// Writes to a file that is brought to the disk meanwhile. [`Write::flush`] waits for that, and tells what went wrong.
#[derive(Debug)]
pub struct Streamed<'f> {
    file: &'f mut File,
    early: EarlySync,
}

impl<'f> Streamed<'f> {
    /// Writes to `file` from where it stands.
    pub fn new(file: &'f mut File) -> Self {
        Self { file, early: EarlySync::default() }
    }
}

impl Write for Streamed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.early.wrote(self.file, written)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.early.wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut out = Streamed::new(file.as_file_mut());
        let piece = vec![7; STEP / 2 + 1];
        for _ in 0..5 {
            out.write_all(&piece).unwrap();
        }
        assert!(out.early.thread.is_some());
        out.flush().unwrap();
        assert_eq!(fs_err::metadata(file.path()).unwrap().len(), 5 * piece.len() as u64);
    }

    #[test]
    fn an_error_of_the_thread_is_told() {
        let (mut early, reader) = (EarlySync::default(), std::io::pipe().unwrap().0);
        // A pipe cannot be synced.
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        early.wrote(&file, STEP).unwrap();
        assert_eq!(early.wait().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
