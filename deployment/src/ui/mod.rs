//! Messages and progress, on standard error only: bars on a terminal, plain lines elsewhere.

mod units;

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealift_layers::escape;

pub use units::{bytes, count, duration, total};

use crate::finding::{Finding, Level};
use crate::machine::Machine;

/// Interval of the progress lines of a long phase, when there are no bars.
const INTERVAL: Duration = Duration::from_secs(10);

/// The output of messages and progress. Threads can share it.
pub struct Ui {
    /// Print only warnings.
    quiet: bool,
    colours: bool,
    bars: Option<MultiProgress>,
    out: Mutex<Box<dyn Write + Send>>,
}

impl Ui {
    /// Standard error: with bars if it is a terminal, and with colors unless `NO_COLOR` is set. `quiet` prints only warnings.
    #[must_use]
    pub fn stderr(machine: &Machine, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && machine.var("TERM") != Some("dumb");
        let bars = (terminal && !quiet).then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let colours = terminal && machine.var("NO_COLOR").is_none();
        Self { quiet, colours, bars, out: Mutex::new(Box::new(std::io::stderr())) }
    }

    /// Plain lines to a writer, for tests and logs.
    #[must_use]
    pub fn plain(out: impl Write + Send + 'static) -> Self {
        Self { quiet: false, colours: false, bars: None, out: Mutex::new(Box::new(out)) }
    }

    /// Starts a phase: a bar, or a line at its start and one at its end. `label` is one or two words (`Fetching`); `total`
    /// is in bytes, 0 if unknown.
    #[must_use]
    pub fn phase(&self, label: &str, total: u64) -> Phase<'_> {
        let (template, bar) = match total {
            0 => ("{prefix:>12} {spinner} {decimal_bytes} {wide_msg}", ProgressBar::no_length()),
            _ => (
                "{prefix:>12} [{bar:24}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {wide_msg}",
                ProgressBar::new(total),
            ),
        };
        self.start(label, total, bytes, template, bar)
    }

    /// Starts a phase of `total` steps.
    #[must_use]
    pub fn steps(&self, label: &str, total: u64) -> Phase<'_> {
        let template = "{prefix:>12} [{bar:24}] {pos}/{len} {wide_msg}";
        self.start(label, total, |n| n.to_string(), template, ProgressBar::new(total))
    }

    fn start(&self, label: &str, total: u64, shown: fn(u64) -> String, template: &str, bar: ProgressBar) -> Phase<'_> {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template(template).expect("the templates are valid").progress_chars("=> ");
            let bar = bars.add(bar.with_style(style).with_prefix(escape::line(label).into_owned()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        if bar.is_none() && !self.quiet {
            match total {
                0 => self.line(label),
                _ => self.line(&format!("{label} {}", shown(total))),
            }
        }
        let now = Instant::now();
        let label = label.to_owned();
        Phase { ui: self, label, total, shown, done: AtomicU64::new(0), started: now, spoke: Mutex::new(now), bar }
    }

    /// Prints a message.
    pub fn note(&self, message: &str) {
        if !self.quiet {
            self.line(message);
        }
    }

    /// Prints a warning, also with `--quiet`.
    pub fn warn(&self, message: &str) {
        let prefix = if self.colours { "\x1b[1;33mwarning:\x1b[0m" } else { "warning:" };
        self.write(&format!("{prefix} {}", escape::lines(message)));
    }

    /// Prints a finding: as a message if it is [`Level::Ok`], otherwise as a warning.
    pub fn finding(&self, finding: &Finding) {
        match finding.level {
            Level::Ok => self.note(&finding.to_string()),
            Level::Warning | Level::Error => self.warn(finding.to_string().trim_start_matches("warning: ")),
        }
    }

    /// Prints the result of a command.
    pub fn done(&self, message: &str) {
        self.note(message);
    }

    /// Prints a line, whose parts may have any origin.
    fn line(&self, line: &str) {
        self.write(&escape::lines(line));
    }

    fn write(&self, line: &str) {
        let write = || {
            let mut out = self.out.lock().expect("no thread panics while it writes");
            // Standard error may be closed: a build does not fail because of that.
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

/// A phase in progress. When it is dropped without `finish` (after an error), its bar is removed.
pub struct Phase<'ui> {
    ui: &'ui Ui,
    label: String,
    total: u64,
    /// Formats amounts.
    shown: fn(u64) -> String,
    done: AtomicU64,
    started: Instant,
    /// Time of the last line.
    spoke: Mutex<Instant>,
    bar: Option<ProgressBar>,
}

impl Phase<'_> {
    /// Adds `n` bytes or steps that are done.
    pub fn inc(&self, n: u64) {
        let done = self.done.fetch_add(n, Ordering::Relaxed) + n;
        match &self.bar {
            Some(bar) => bar.inc(n),
            None => self.speak(done, INTERVAL),
        }
    }

    /// Subtracts `n` bytes or steps that have to be repeated.
    pub fn dec(&self, n: u64) {
        self.done.fetch_sub(n, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.dec(n);
        }
    }

    /// Sets the name of the current item, shown beside the bar.
    pub fn item(&self, name: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(escape::line(name).into_owned());
        }
    }

    /// Prints a message of this phase, such as a retry.
    pub fn note(&self, message: &str) {
        self.ui.note(message);
    }

    /// Ends the phase with a summary (`69 files, 112 MB`), to which the duration is added.
    pub fn finish(self, summary: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.ui.note(&format!("{}: {summary} in {}", self.label, duration(self.started.elapsed())));
    }

    fn speak(&self, done: u64, interval: Duration) {
        if self.ui.quiet {
            return;
        }
        // Another thread is printing the line.
        let Ok(mut spoke) = self.spoke.try_lock() else { return };
        if spoke.elapsed() < interval {
            return;
        }
        *spoke = Instant::now();
        let percent = (u128::from(done) * 100).checked_div(self.total.into());
        self.ui.line(&match percent {
            Some(percent) => {
                format!("{}: {} of {} ({percent}%)", self.label, (self.shown)(done), (self.shown)(self.total))
            }
            None => format!("{}: {}", self.label, (self.shown)(done)),
        });
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn plain_lines_are_limited_by_time() {
        let lines = Lines::default();
        let ui = Ui::plain(lines.clone());
        let phase = ui.phase("Fetching", 2_000_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| phase.inc(500)));
            }
        });
        phase.speak(500_000, Duration::ZERO);
        phase.finish("1 file, 2.0 MB");
        ui.warn("look here");
        insta::assert_snapshot!(lines.text(), @r"
        Fetching 2.0 MB
        Fetching: 500.0 kB of 2.0 MB (25%)
        Fetching: 1 file, 2.0 MB in 0.0 s
        warning: look here
        ");
    }

    #[test]
    fn quiet_prints_only_warnings() {
        let lines = Lines::default();
        let ui = Ui { quiet: true, ..Ui::plain(lines.clone()) };
        let phase = ui.phase("Packing", 0);
        phase.inc(1);
        phase.speak(1, Duration::ZERO);
        phase.finish("all");
        ui.note("a note");
        ui.done("done");
        ui.warn("look here");
        assert_eq!(lines.text(), "warning: look here\n");
    }

    #[test]
    fn names_of_outside_origin_are_escaped() {
        let lines = Lines::default();
        let ui = Ui { colours: true, ..Ui::plain(lines.clone()) };
        ui.note("a\x1b[2Jb");
        ui.warn("c\u{9b}d");
        assert_eq!(lines.text(), "a\\u{1b}[2Jb\n\x1b[1;33mwarning:\x1b[0m c\\u{9b}d\n");
    }
}
