//! Waits until a pipeline's origins notice nothing more: what a deploy still writes is then seen by one more scan.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::StepError;
use crate::clock::Clock;
use crate::origin::OriginHandle;

/// An origin is calm when it noticed nothing for this long.
const CALM: Duration = Duration::from_secs(1);
/// How often it is looked at for that, and how long at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));

/// Waits until nothing was noticed for a while; not for ever, since a site may never rest.
pub(super) async fn calm(
    origins: &[OriginHandle],
    clock: Clock,
    stopping: &CancellationToken,
) -> Result<(), StepError> {
    let (look, at_most) = LOOK;
    let began = clock.now();
    let mut since = began;
    while clock.now().since(since) < CALM && clock.now().since(began) < at_most {
        tokio::select! {
            () = stopping.cancelled() => return Err(StepError::Stopping),
            () = tokio::time::sleep(look) => {}
        }
        let busy = origins.iter().any(|origin| {
            let status = origin.status();
            status.pending_hints > 0 || status.scanning
        });
        if busy {
            since = clock.now();
        }
    }
    Ok(())
}
