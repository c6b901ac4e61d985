//! Waiting until instances have nothing in flight.

use super::pool::Instance;
use std::sync::Arc;
use std::time::Duration;

/// Waits until none of them has a request in flight, or for the bound; tells how many are left. They
/// must stand in no route, so that what is counted can only fall.
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
    match tokio::time::timeout(bound, all_quiet).await {
        Ok(()) => 0,
        Err(_elapsed) => instances.iter().map(|instance| instance.in_flight()).sum(),
    }
}
