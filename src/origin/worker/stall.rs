//! A filesystem that does not answer: a network mount whose server is away. The worker waits for it,
//! and can't be woken; this says so, and lets no other part wait.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::core::alarm::{Alarm, AlarmKind};
use crate::origin::watch::inbox::Inbox;

/// A worker that did not turn for so long waits for its filesystem: else it turns every two seconds,
/// and between any two files.
const HUNG: Duration = Duration::from_secs(20);
/// How often that is looked for.
const LOOK: Duration = Duration::from_secs(5);

/// What an alarm names.
#[derive(Debug)]
pub(in crate::origin) struct Place {
    pub(in crate::origin) name: Arc<str>,
    pub(in crate::origin) root: PathBuf,
}

/// Says when the worker does not turn any more, and when it does again.
pub(in crate::origin) async fn mind(
    inbox: &Inbox,
    tell: &tokio::sync::watch::Sender<bool>,
) -> Infallible {
    loop {
        let hung = inbox.silent() >= HUNG;
        tell.send_replace(hung);
        tokio::time::sleep(LOOK).await;
    }
}

pub(in crate::origin) fn alarm(inbox: &Inbox, place: &Place) -> Alarm {
    let text = format!(
        "the filesystem of {} has not answered for {} s (a network mount whose server is away, or a very large file that is being read): nothing is noticed in origin `{}` until it does, and nothing is lost",
        place.root.display(),
        inbox.silent().as_secs(),
        place.name
    );
    Alarm::new(AlarmKind::Hung, text)
}
