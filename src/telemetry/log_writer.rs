//! Owns the way of log lines to standard error: a bounded queue, and one thread that writes.
//!
//! A reader of the log that is gone, slow or stuck disturbs nothing else. Lines that find the queue full, and lines
//! that cannot be written, are dropped and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::time::Duration;

use crate::core::metric::Counter;

/// The largest size of the lines that wait, in bytes.
const MAX_WAITING: usize = 1 << 20;
/// The longest time that the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Log lines that were lost, since the start of the process: there is one log in it.
pub static LOST_LINES: LostLines = LostLines { full: Counter::new(), failed: Counter::new() };

/// Log lines that were lost, by reason.
#[derive(Debug)]
pub struct LostLines {
    /// The queue was full: the reader is slow or stuck.
    pub full: Counter,
    /// The write failed: the reader is gone, or the disk is full.
    pub failed: Counter,
}

/// The writing end. A clone writes to the same log.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Queue>);

#[derive(Default)]
struct Queue {
    lines: Mutex<Lines>,
    /// A line has come.
    filled: Condvar,
    /// The last line has been written.
    emptied: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: VecDeque<Box<[u8]>>,
    bytes: usize,
    is_writing: bool,
    /// Lines dropped since the last one that was taken.
    gap: u64,
}

/// Waits for the last lines when it is dropped, but not for long.
#[must_use = "dropped at once, it leaves the last lines of the log unwritten"]
pub struct LogGuard(Arc<Queue>);

impl LogWriter {
    /// Starts the thread that writes to `sink`.
    pub(super) fn start(mut sink: impl Write + Send + 'static) -> (Self, LogGuard) {
        let queue = Arc::<Queue>::default();
        let read = Arc::clone(&queue);
        #[expect(clippy::disallowed_methods, reason = "a write may block for ever: no task may wait for it")]
        drop(std::thread::spawn(move || {
            loop {
                let (line, gap) = read.next();
                // An error of the sink cannot be logged; the metric tells.
                if sink.write_all(&line).is_err() {
                    LOST_LINES.failed.add();
                }
                if gap > 0 {
                    tracing::warn!(lines = gap, "log lines were dropped: the reader of the log is too slow");
                }
            }
        }));
        (Self(Arc::clone(&queue)), LogGuard(queue))
    }
}

impl Queue {
    /// The next line, and how many were dropped since the one before.
    fn next(&self) -> (Box<[u8]>, u64) {
        let mut lines = self.lines.lock();
        loop {
            if let Some(line) = lines.waiting.pop_front() {
                lines.bytes -= line.len();
                lines.is_writing = true;
                return (line, std::mem::take(&mut lines.gap));
            }
            lines.is_writing = false;
            self.emptied.notify_all();
            self.filled.wait(&mut lines);
        }
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.lines.lock();
        if lines.bytes + line.len() > MAX_WAITING {
            lines.gap += 1;
            LOST_LINES.full.add();
            return;
        }
        lines.bytes += line.len();
        lines.waiting.push_back(line.into());
        self.filled.notify_one();
    }
}

/// Each call is one line: so the subscriber writes. It never fails and never blocks.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let mut lines = self.0.lines.lock();
        let is_busy = |lines: &mut Lines| lines.is_writing || !lines.waiting.is_empty();
        let _ = self.0.emptied.wait_while_for(&mut lines, is_busy, LAST_LINES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A sink that takes a line for each permission.
    struct Sink(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Sink {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.1.send(line.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_sink_costs_lines_and_no_time_and_the_rest_comes_in_order() {
        let ((permit, permits), (sender, written)) = (channel(), channel());
        let (mut writer, guard) = LogWriter::start(Sink(permits, sender));
        let line = |number: usize| format!("{number:0>1023}\n");
        for number in 0..2000 {
            writer.write_all(line(number).as_bytes()).unwrap();
        }
        // One may have been taken by the thread already.
        let kept = MAX_WAITING / 1024;
        for _ in 0..=kept {
            permit.send(()).unwrap();
        }
        for number in 0..kept {
            assert_eq!(written.recv().unwrap(), line(number).as_bytes());
        }
        assert!(LOST_LINES.full.get() >= 2000 - kept as u64 - 1);
        drop(permit);
        drop(guard);
    }

    #[test]
    fn the_last_lines_are_waited_for() {
        let ((permit, permits), (sender, written)) = (channel(), channel());
        let (mut writer, guard) = LogWriter::start(Sink(permits, sender));
        for number in 0..100 {
            writer.write_all(format!("{number}").as_bytes()).unwrap();
            permit.send(()).unwrap();
        }
        drop(guard);
        assert_eq!(written.try_iter().count(), 100);
    }
}
