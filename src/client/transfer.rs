//! What is too long for one answer: artifacts up, an instance's output down.

use super::client::{Client, url};
use super::error::{ClientError, SubmitError};
use flightdeck_model::{CommandId, Receipt, ServiceName, Version};
use futures::stream::{BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use reqwest::{Body, Response};
use std::path::{Path, PathBuf};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::io::{ReaderStream, StreamReader};

/// Longest line of an instance's output that is passed on whole.
const LONGEST_LOG_LINE: usize = 1 << 20;

/// The lines of an answer that may never end.
pub(super) type LineStream = BoxStream<'static, Result<String, LinesCodecError>>;

/// Splits an answer's body into lines.
pub(super) fn lines_of(response: Response, longest: usize) -> LineStream {
    let reader = StreamReader::new(response.bytes_stream().map_err(std::io::Error::other));
    FramedRead::new(reader, LinesCodec::new_with_max_length(longest)).boxed()
}

/// A release to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRelease {
    /// The command's id.
    pub id: CommandId,
    pub service: ServiceName,
    /// As its owner writes it.
    pub version: Version,
    /// Source commit, where known.
    pub commit: Option<String>,
    /// When that was made, where known.
    pub commit_at: Option<Timestamp>,
    /// Address of the pipeline's run that built it, where known.
    pub pipeline_run: Option<String>,
    /// `sha256:…` that the artifact must have.
    pub digest: Option<String>,
    /// Names of the migrations that it brings; `None`: not told.
    pub migrations: Option<Vec<String>>,
    /// The file to upload: a gzipped tar.
    pub artifact: PathBuf,
}

impl Client {
    /// Uploads an artifact and stores it as a release; the server verifies the digest first.
    pub async fn add_release(&self, release: &NewRelease) -> Result<Receipt, SubmitError> {
        let file = open(&release.artifact).await.map_err(|error| SubmitError::NotSent(error.in_full()))?;
        let commit_at = release.commit_at.map(|at| at.to_string());
        let migrations = release.migrations.as_ref().map(|names| names.join(","));
        let mut query = vec![
            ("id", release.id.as_str()),
            ("service", release.service.as_str()),
            ("version", release.version.as_str()),
        ];
        query.extend(release.commit.as_deref().map(|commit| ("commit", commit)));
        query.extend(commit_at.as_deref().map(|at| ("commit_at", at)));
        query.extend(release.pipeline_run.as_deref().map(|run| ("pipeline_run", run)));
        query.extend(release.digest.as_deref().map(|digest| ("digest", digest)));
        query.extend(migrations.as_deref().map(|names| ("migrations", names)));
        let request = self.http.post(url("/v1/releases")).query(&query);
        let request = request.body(Body::wrap_stream(ReaderStream::with_capacity(file, 64 << 10)));
        self.receipt(request.send().await).await
    }

    /// The last `lines` lines of an instance's output, and then each new one until it is dropped.
    pub async fn follow_log(
        &self,
        instance: &str,
        lines: u32,
    ) -> Result<impl Stream<Item = Result<String, ClientError>> + Send + Unpin + use<>, ClientError> {
        let mut address =
            reqwest::Url::parse(&url("/v1/instances")).map_err(|_| ClientError::Address(instance.to_owned()))?;
        address.path_segments_mut().map_err(|()| ClientError::Address(instance.to_owned()))?.push(instance).push("log");
        let query = [("lines", lines.to_string()), ("follow", "true".to_owned())];
        let response = self.http.get(address).query(&query).send().await;
        let response = self.sent("follow the instance's output", response)?;
        let response = self.checked(response).await?;
        Ok(lines_of(response, LONGEST_LOG_LINE).map_err(ClientError::Stream))
    }
}

async fn open(path: &Path) -> Result<tokio::fs::File, ClientError> {
    let wrap = |source| ClientError::Artifact { path: path.to_owned(), source };
    let file = tokio::fs::File::open(path).await.map_err(wrap)?;
    let about = file.metadata().await.map_err(wrap)?;
    if !about.is_file() {
        return Err(wrap(std::io::Error::other("it is no plain file; pack a directory with `tar -czf`")));
    }
    Ok(file)
}
