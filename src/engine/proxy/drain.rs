//! Waiting until instances have nothing in flight.

use super::pool::Instance;
use super::wire::CLOSE_GRACE;
use std::sync::Arc;
use std::time::Duration;

/// Waits until none of them has a request in flight, or for the bound; then ends their tunnels and tells how many
/// requests are left. They must stand in no route, so that what is counted can only fall.
pub async fn wait(instances: Vec<Arc<Instance>>, bound: Duration) -> u64 {
    let all_quiet = async {
        for instance in &instances {
            loop {
                let quiet = instance.quiet.notified();
                if instance.in_flight() == 0 {
                    break;
                }
                quiet.await;
            }
        }
    };
    if tokio::time::timeout(bound, all_quiet).await.is_ok() {
        return 0;
    }
    let left = instances.iter().map(|instance| instance.in_flight()).sum();
    end_tunnels(&instances).await;
    left
}

/// Ends their tunnels; a WebSocket has its time for a close.
pub async fn end_tunnels(instances: &[Arc<Instance>]) {
    let ended = async {
        for instance in instances {
            instance.tunnels_ended().await;
        }
    };
    for instance in instances {
        instance.leave_tunnels();
    }
    // What does not end by then is cut by its own time limit, which is the same.
    let _late = tokio::time::timeout(CLOSE_GRACE, ended).await;
}
