//! Writes to a named pipe or a device at `path`. Never waits for a reader to open the pipe.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::{Errno, ioctl_fionread};

use crate::paths;
use crate::sinks::Item;
use crate::sinks::stream::Stream;

/// Bytes that are remembered to write unread ones again: more than the capacity of a pipe
/// (`/proc/sys/fs/pipe-max-size`) and one line.
const REMEMBERED_BYTES: usize = 4 << 20;

/// An output that cannot be synced, cut or rotated.
#[derive(Debug)]
pub(super) struct Pipe {
    open: Option<(Arc<File>, (u64, u64))>,
    stream: Stream,
}

impl Default for Pipe {
    fn default() -> Pipe {
        Pipe { open: None, stream: Stream::keeping(REMEMBERED_BYTES) }
    }
}

impl Pipe {
    /// Writes the items as lines. Returns the number of written items, and the error that kept the others.
    pub(super) async fn write(&mut self, path: &Path, items: &[Item]) -> (usize, io::Result<()>) {
        let file = match self.current(path) {
            Ok(file) => file,
            Err(error) => return (0, Err(error)),
        };
        let (written, result) = self.stream.write(&file, items).await;
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            self.close();
            return (written, Err(no_reader()));
        }
        (written, result)
    }

    /// Closes this pipe. The next reader first gets the bytes that nobody has read.
    fn close(&mut self) {
        if let Some((file, _)) = self.open.take()
            && let Ok(unread) = ioctl_fionread(&file)
        {
            self.stream.reader_left(unread as usize);
        }
    }

    fn current(&mut self, path: &Path) -> io::Result<Arc<File>> {
        let found = fs::metadata(path)?;
        let identity = paths::identity(&found);
        match &self.open {
            Some((file, known)) if *known == identity => return Ok(Arc::clone(file)),
            Some(_) => self.close(),
            None => {}
        }
        let mut options = File::options();
        options.write(true);
        if found.file_type().is_fifo() {
            options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        }
        let opened = options.open(path);
        let file = Arc::new(opened.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::NXIO) => no_reader(),
            _ => error,
        })?);
        self.open = Some((Arc::clone(&file), identity));
        Ok(file)
    }
}

fn no_reader() -> io::Error {
    io::Error::new(ErrorKind::NotConnected, "no process reads the pipe")
}
