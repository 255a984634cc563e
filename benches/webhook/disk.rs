//! What the disk takes to make something durable, without any program around it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

const SYNCS: usize = 500;

pub(crate) struct Sync {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Appends of 8 KiB, each synced, as a write-ahead log does it.
pub(crate) fn sync(home: &Path) -> Sync {
    let path = home.join("sync");
    let mut file = File::create(&path).unwrap();
    let page = [7_u8; 8 << 10];
    let mut times: Vec<Duration> = (0..SYNCS)
        .map(|_| {
            file.write_all(&page).unwrap();
            let began = Instant::now();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    std::fs::remove_file(path).unwrap();
    times.sort_unstable();
    Sync {
        p50: times[SYNCS / 2],
        p99: times[SYNCS * 99 / 100],
    }
}
