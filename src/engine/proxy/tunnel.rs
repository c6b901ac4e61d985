//! After an instance agreed to another protocol: bytes both ways until both sides are done.

use super::counters::Flight;
use super::listener::User;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;

/// Carries bytes; the request counts as in flight, and the user as connected, until the end.
pub async fn run(user_side: OnUpgrade, instance_side: OnUpgrade, mut flight: Flight, _user: Arc<User>) {
    flight.time();
    let (user, instance) = match tokio::try_join!(user_side, instance_side) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "a tunnel did not open");
            return flight.failed();
        }
    };
    // Either side may end a tunnel at any time: an error here says only that it did.
    if let Err(error) = tokio::io::copy_bidirectional(&mut TokioIo::new(user), &mut TokioIo::new(instance)).await {
        tracing::debug!(%error, "a tunnel was cut");
    }
    flight.answered();
}
