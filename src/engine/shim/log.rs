//! An instance's output: `out.log` and its older parts `out.1.log`, …, bounded in size and number.

use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Name of the file that grows.
pub const CURRENT: &str = "out.log";

/// How much output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes of one file before the next is begun.
    pub bytes: u64,
    /// Files, the growing one included; at least 1.
    pub files: u32,
}

impl Default for LogLimits {
    /// 2 files of 5 MiB.
    fn default() -> Self {
        LogLimits { bytes: 5 << 20, files: 2 }
    }
}

/// The files of one instance, open for appending.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    limits: LogLimits,
    file: File,
    size: u64,
}

fn part(dir: &Path, number: u32) -> PathBuf {
    dir.join(if number == 0 { CURRENT.to_owned() } else { format!("out.{number}.log") })
}

fn append(dir: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(part(dir, 0))?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

impl Log {
    /// Opens or makes the files in `dir`.
    pub fn open(dir: &Path, limits: LogLimits) -> io::Result<Log> {
        fs::create_dir_all(dir)?;
        let (file, size) = append(dir)?;
        Ok(Log { dir: dir.to_owned(), limits, file, size })
    }

    /// Appends output, beginning a new file where the limit is reached.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + bytes.len() as u64 > self.limits.bytes {
            self.rotate()?;
        }
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Another process that writes the same log may have begun the next file already.
        let ours = self.file.metadata()?;
        let there = fs::metadata(part(&self.dir, 0)).ok();
        if there.is_none_or(|there| (there.dev(), there.ino()) != (ours.dev(), ours.ino())) {
            (self.file, self.size) = append(&self.dir)?;
            return Ok(());
        }
        if self.limits.files <= 1 {
            self.file.set_len(0)?;
            self.size = 0;
            return Ok(());
        }
        for number in (0..self.limits.files - 1).rev() {
            match fs::rename(part(&self.dir, number), part(&self.dir, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        (self.file, self.size) = append(&self.dir)?;
        Ok(())
    }
}

/// The last lines of the output in `dir`, oldest first, as they are. Reads at most 256 KiB of each
/// of the two newest files.
pub fn tail(dir: &Path, lines: usize) -> io::Result<Vec<String>> {
    const READ: u64 = 256 << 10;
    let mut bytes = Vec::new();
    for number in [1, 0] {
        let mut file = match File::open(part(dir, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let skip = file.metadata()?.len().saturating_sub(READ);
        file.seek(SeekFrom::Start(skip))?;
        file.take(READ).read_to_end(&mut bytes)?;
    }
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all.iter().skip(all.len().saturating_sub(lines)).map(|line| (*line).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_bounded_and_the_newest_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), LogLimits { bytes: 100, files: 2 }).unwrap();
        for number in 0..100 {
            log.write(format!("line {number}\n").as_bytes()).unwrap();
        }
        let total: u64 = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(total <= 200, "{total}");
        assert_eq!(tail(dir.path(), 3).unwrap(), ["line 97", "line 98", "line 99"]);
        let mut again = Log::open(dir.path(), LogLimits { bytes: 100, files: 2 }).unwrap();
        again.write(b"more\n").unwrap();
        assert_eq!(tail(dir.path(), 2).unwrap(), ["line 99", "more"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn one_file_starts_over_when_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), LogLimits { bytes: 8, files: 1 }).unwrap();
        log.write(b"aaaaaa\n").unwrap();
        log.write(b"bbbbbb\n").unwrap();
        assert_eq!(tail(dir.path(), 9).unwrap(), ["bbbbbb"]);
    }
}
