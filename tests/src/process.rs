//! A child process that is waited for by what it says, and that never outlives its test.
//!
//! Its standard output and its log on standard error are read line by line; both also go to a log file, which a failure shows.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// How much of a log's end a failure shows, in bytes.
const LOG_TAIL: u64 = 8 * 1024;

/// A running child; dropping it kills it.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    lines: Receiver<String>,
    logged: Receiver<String>,
    said: Vec<String>,
}

/// How a process ended, with all that it wrote.
#[derive(Debug)]
pub struct Exit {
    /// Its status.
    pub status: ExitStatus,
    /// Both of its streams.
    pub log: String,
}

impl Process {
    /// Starts a command whose log is appended to the file `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        let log_file = file.try_clone().expect("a second handle");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name} ({command:?}): {e}"));
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("a piped stream");
        thread::spawn(move || copy_lines(stdout, file, &sender));
        let (sender, logged) = channel();
        let stderr = child.stderr.take().expect("a piped stream");
        thread::spawn(move || copy_lines(stderr, log_file, &sender));
        Self { child, name: name.to_owned(), log: log.to_owned(), lines, logged, said: Vec::new() }
    }

    /// Waits for a line of standard output that `wanted` accepts, and returns what it made of it.
    pub fn wait_for<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.said.push(line);
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(_) => panic!("{} never said {what}.\n{}", self.name, self.log_tail()),
            }
        }
    }

    /// Waits for a line of the log that has all of these in it, and returns it. Those before it are passed over.
    pub fn wait_for_log(&mut self, parts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.logged.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if parts.iter().all(|part| line.contains(part)) => return line,
                Ok(_) => {}
                Err(_) => panic!("{} never logged {parts:?}.\n{}", self.name, self.log_tail()),
            }
        }
    }

    /// The lines of standard output read so far.
    pub fn said(&self) -> &[String] {
        &self.said
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_none()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) -> Exit {
        self.signal(Signal::KILL);
        self.exited()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn terminate(mut self) -> Exit {
        self.signal(Signal::TERM);
        self.exited()
    }

    /// Sends a signal to a child that has not been waited for, so that its id is still its own.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid(), signal);
    }

    /// Waits for the process to end by itself.
    pub fn exited(&mut self) -> Exit {
        assert!(self.ends_within_patience(), "{} did not end.\n{}", self.name, self.log_tail());
        let status = self.child.wait().expect("a child to wait for");
        // The rest of its log, until that is closed too.
        while self.logged.recv_timeout(PATIENCE).is_ok() {}
        Exit { status, log: std::fs::read_to_string(&self.log).unwrap_or_default() }
    }

    /// Its standard output closes when it ends, which the reader sees.
    fn ends_within_patience(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The end of the log, for a failure's message.
    pub fn log_tail(&self) -> String {
        let tail = File::open(&self.log).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        });
        format!("--- log of {}:\n{}", self.name, tail.unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
    }
}

fn copy_lines(stream: impl Read, mut log: File, sender: &Sender<String>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        let _ = sender.send(line);
    }
}
