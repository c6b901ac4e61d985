//! `GET /v1/instances/{id}/log`: an instance's output, followed through its rotations.

use super::Api;
use super::answer::Failure;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path as Segment, Query as Parameters, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flightdeck_model::{Refusal, RefusalKind, sanitize_line};
use futures::stream;
use serde::Deserialize;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::sync::CancellationToken;

/// How often a followed file is looked at; its shim writes whenever the instance does.
const LOOK: Duration = Duration::from_millis(200);
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// How far from its end a file is read for its last lines.
const BACK: u64 = 256 << 10;
/// A line that is longer is cut into parts.
const LONGEST: usize = 64 << 10;
/// Most lines from the past.
const LINES: usize = 10_000;

/// What stands in the request's address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default = "usual")]
    lines: usize,
    #[serde(default)]
    follow: bool,
}

const fn usual() -> usize {
    200
}

/// There is no such instance, or it has written nothing.
pub(super) fn unknown(instance: &str) -> Refusal {
    let name = sanitize_line(instance);
    Refusal::new(RefusalKind::NotFound, format!("there is no output of an instance {name:?}"))
}

/// Gives lines as text, and with `follow` goes on until the client leaves.
pub(super) async fn log(
    State(api): State<Api>,
    Segment(instance): Segment<String>,
    asked: Result<Parameters<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Parameters(asked) = asked.map_err(|error| Failure::invalid(error.body_text()))?;
    let path = api.engine.log_path(&instance).ok_or_else(|| unknown(&instance))?;
    let failed = |error: io::Error| {
        Failure::from(Refusal::new(RefusalKind::Internal, format!("the output can't be read: {error}")))
    };
    let (follower, past) = Follower::open(path, asked.lines.min(LINES)).await.map_err(failed)?;
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    let over = move || api.engine.output_is_over(&instance);
    let body = if asked.follow { following(follower, past, over, api.ending) } else { Body::from(past) };
    Ok((headers, body).into_response())
}

fn following(
    follower: Follower,
    past: Bytes,
    over: impl Fn() -> bool + Clone + Send + 'static,
    ending: CancellationToken,
) -> Body {
    let state = (follower, Some(past), over, ending);
    Body::from_stream(stream::unfold(state, |(mut follower, past, over, ending)| async move {
        if let Some(past) = past {
            return Some((Ok(past), (follower, None, over, ending)));
        }
        loop {
            // Asked first: what was written before the end is read after it.
            let over_now = over();
            match follower.more().await {
                Err(error) => return Some((Err(error), (follower, None, over, ending))),
                Ok(None) => return None,
                Ok(Some(lines)) if !lines.is_empty() => return Some((Ok(lines), (follower, None, over, ending))),
                Ok(Some(_)) if over_now => return None,
                Ok(Some(_)) => {}
            }
            tokio::select! {
                () = ending.cancelled() => return None,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }))
}

/// Reads a file that grows and is replaced by a new one when it is full.
struct Follower {
    path: PathBuf,
    file: File,
    position: u64,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Follower {
    /// At the end of what is there, with the last lines before that.
    async fn open(path: PathBuf, lines: usize) -> io::Result<(Follower, Bytes)> {
        let mut file = File::open(&path).await?;
        let size = file.metadata().await?.len();
        let from = size.saturating_sub(BACK);
        let mut bytes = Vec::new();
        // The part before this file may have the lines that this one lacks.
        if from == 0
            && let Ok(mut older) = File::open(path.with_file_name("out.1.log")).await
        {
            let skip = older.metadata().await?.len().saturating_sub(BACK);
            older.seek(io::SeekFrom::Start(skip)).await?;
            older.take(BACK).read_to_end(&mut bytes).await?;
        }
        file.seek(io::SeekFrom::Start(from)).await?;
        (&mut file).take(size - from).read_to_end(&mut bytes).await?;
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let partial = bytes.split_off(complete);
        let mut follower = Follower { path, file, position: size, partial: Vec::new() };
        let all = follower.lines(&bytes);
        let text = String::from_utf8_lossy(&all);
        let count = text.lines().count();
        let past = text.lines().skip(count.saturating_sub(lines)).fold(String::new(), |text, line| text + line + "\n");
        follower.partial = partial;
        Ok((follower, Bytes::from(past)))
    }

    /// The lines that were completed since; `None`: the instance's files are gone.
    async fn more(&mut self) -> io::Result<Option<Bytes>> {
        let mut out = Vec::new();
        loop {
            let mut bytes = vec![0; CHUNK];
            let count = self.file.read(&mut bytes).await?;
            if count == 0 {
                // All of the old file was read before a new one is looked for.
                match self.renewed().await? {
                    Some(true) => continue,
                    None if out.is_empty() => return Ok(None),
                    _ => return Ok(Some(Bytes::from(out))),
                }
            }
            bytes.truncate(count);
            self.position += count as u64;
            out.extend(self.lines(&bytes));
            if out.len() > CHUNK {
                return Ok(Some(Bytes::from(out)));
            }
        }
    }

    /// Was the file replaced (or begun anew)? Then the new one is read from its start.
    async fn renewed(&mut self) -> io::Result<Option<bool>> {
        let there = match tokio::fs::metadata(&self.path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let ours = self.file.metadata().await?;
        if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) {
            let shrunk = ours.len() < self.position;
            if shrunk {
                self.file.seek(io::SeekFrom::Start(0)).await?;
                self.position = 0;
            }
            return Ok(Some(shrunk));
        }
        self.file = File::open(&self.path).await?;
        self.position = 0;
        Ok(Some(true))
    }

    /// Complete lines, harmless for a terminal; the rest is kept for later.
    fn lines(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(part);
            if part.ends_with(b"\n") || self.partial.len() >= LONGEST {
                let line = std::mem::take(&mut self.partial);
                let text = String::from_utf8_lossy(&line);
                out.extend_from_slice(sanitize_line(text.trim_end_matches(['\n', '\r'])).as_bytes());
                out.push(b'\n');
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    async fn told(follower: &mut Follower) -> String {
        let bytes = follower.more().await.unwrap().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn output_is_followed_through_rotation_and_truncation_without_loss() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.log");
        fs::write(dir.path().join("out.1.log"), "one\ntwo\n").unwrap();
        fs::write(&path, "three\nfo").unwrap();
        let (mut follower, past) = Follower::open(path.clone(), 2).await.unwrap();
        assert_eq!(past, "two\nthree\n");
        assert_eq!(told(&mut follower).await, "");

        let append = |path: &std::path::Path, text: &str| {
            use std::io::Write as _;
            fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
        };
        append(&path, "ur\nfi\u{1b}ve\n");
        assert_eq!(told(&mut follower).await, "four\nfi\u{fffd}ve\n");

        append(&path, "six\n");
        fs::rename(&path, dir.path().join("out.1.log")).unwrap();
        fs::write(&path, "seven\n").unwrap();
        assert_eq!(told(&mut follower).await, "six\nseven\n");

        fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
        assert_eq!(told(&mut follower).await, "");
        append(&path, "8\n");
        assert_eq!(told(&mut follower).await, "8\n");

        fs::remove_file(&path).unwrap();
        assert_eq!(follower.more().await.unwrap(), None);
    }
}
