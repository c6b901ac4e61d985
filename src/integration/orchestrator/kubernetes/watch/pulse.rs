//! Is the API server still there? A watch may be quiet for a minute and a frozen server closes nothing, so
//! it is asked something small again and again.

use super::super::explain::sentence;
use super::super::shared::Connection;
use kube::Client;
use kube::client::Body;
use std::time::Duration;
use tokio::sync::{mpsc, watch as channel};
use tokio::time::{Instant, sleep, timeout};

/// Between two questions.
const EACH: Duration = Duration::from_secs(2);
/// The same while it does not answer.
const AGAIN: Duration = Duration::from_millis(500);
/// How long an answer may take: with the pause before, silence is said within five seconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether the server answers, as parts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub alive: bool,
    /// How often it fell silent: whoever looks late still sees that it did.
    pub silences: u64,
}

/// What came of a question.
#[derive(Debug)]
pub(super) enum Beat {
    /// It answered, whatever.
    Heard,
    /// It did not. Whatever was heard after that moment speaks against it.
    Silent { asked: Instant, why: String },
}

/// Asks on whatever connection there is, until nobody listens any more.
pub(super) async fn pulse(mut connections: channel::Receiver<Connection>, sender: mpsc::Sender<Beat>) {
    let mut pause = EACH;
    loop {
        let Ok(connection) = connections.wait_for(Result::is_ok).await.map(|connection| connection.clone()) else {
            return;
        };
        sleep(pause).await;
        let Ok(cluster) = connection else { continue };
        let asked = Instant::now();
        let beat = match timeout(PATIENCE, ask(&cluster.reader)).await {
            Ok(Ok(())) => Beat::Heard,
            Ok(Err(why)) => Beat::Silent { asked, why },
            Err(_) => Beat::Silent { asked, why: format!("no answer within {} s", PATIENCE.as_secs()) },
        };
        pause = if matches!(beat, Beat::Heard) { EACH } else { AGAIN };
        if sender.send(beat).await.is_err() {
            return;
        }
    }
}

/// Any answer is one, a refusal as well. This path is exempt from the server's limits, and open to all.
async fn ask(client: &Client) -> Result<(), String> {
    let request = hyper::http::Request::get("/livez").body(Body::empty()).map_err(|error| error.to_string())?;
    client.send(request).await.map(drop).map_err(|error| sentence(&error))
}
