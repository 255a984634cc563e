//! Trees of files, made as fast as two threads can.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const WRITERS: usize = 2;
/// Directories in one directory, at most.
const FAN: u64 = 100;

/// A tree of numbered files, the same number in each of its directories.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) files: u64,
    pub(crate) per_directory: u64,
    /// Bytes of a file.
    pub(crate) size: usize,
    pub(crate) extension: &'static str,
}

impl Tree {
    fn directory(&self, number: u64) -> PathBuf {
        let (above, below) = (number / FAN, number % FAN);
        self.root.join(format!("s{above:04}/d{below:02}"))
    }

    pub(crate) fn path(&self, file: u64) -> PathBuf {
        let name = format!("f{file:07}.{}", self.extension);
        self.directory(file / self.per_directory).join(name)
    }

    /// The bytes of a file: its own, and the same every time.
    pub(crate) fn content(&self, file: u64) -> Vec<u8> {
        let line = format!("/* {file} */\n");
        line.bytes().cycle().take(self.size).collect()
    }

    /// Makes the tree, unless a run before left it whole.
    pub(crate) fn make(&self) {
        let mark = self.root.with_extension(format!("{}.made", self.files));
        if mark.exists() {
            return;
        }
        if self.root.exists() {
            fs::remove_dir_all(&self.root).unwrap();
        }
        let took = self.write(|file| self.content(file));
        // What is still on its way to the disk would be in the way of what is measured next.
        rustix::fs::sync();
        println!("  {} files made in {:.1} s", self.files, took.as_secs_f64());
        fs::write(mark, "").unwrap();
    }

    /// Writes every file, directories first where they are missing. Returns how long it took.
    pub(crate) fn write(&self, content: impl Fn(u64) -> Vec<u8> + Sync) -> Duration {
        let started = Instant::now();
        let directories = 0..self.files.div_ceil(self.per_directory);
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (content, directories) = (&content, directories.clone());
                scope.spawn(move || {
                    for directory in directories.skip(writer).step_by(WRITERS) {
                        fs::create_dir_all(self.directory(directory)).unwrap();
                        let first = directory * self.per_directory;
                        let end = (first + self.per_directory).min(self.files);
                        for file in first..end {
                            // Not cut off first: some filesystems flush a file that was, and
                            // that would be the larger part of what is measured.
                            let open = fs::File::options()
                                .write(true)
                                .create(true)
                                .truncate(false)
                                .open(self.path(file));
                            open.unwrap().write_all(&content(file)).unwrap();
                        }
                    }
                });
            }
        });
        started.elapsed()
    }

    /// The URL path of a file.
    pub(crate) fn asset(&self, file: u64) -> String {
        let path = self.path(file);
        let below: &Path = path.strip_prefix(&self.root).unwrap();
        format!("/{}", below.display())
    }
}
