//! What one edge remembers of its origin. Pure: time is a parameter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::origin::Page;
use crate::core::time::Time;

/// How many objects at most.
const MAX_OBJECTS: usize = 10_000;
/// How many bytes of bodies at most.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Objects by the path and query of the request line, exactly as sent.
#[derive(Debug)]
pub(super) struct Cache {
    ttl: Duration,
    objects: BTreeMap<String, Object>,
    /// The keys in the order in which they came: the oldest makes room.
    order: BTreeMap<u64, String>,
    bytes: usize,
    last: u64,
    purges: u64,
}

#[derive(Debug)]
struct Object {
    page: Arc<Page>,
    until: Time,
    number: u64,
}

/// Taken before the origin is asked: what it answers is kept only if nothing was purged between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

impl Cache {
    pub(super) const fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            objects: BTreeMap::new(),
            order: BTreeMap::new(),
            bytes: 0,
            last: 0,
            purges: 0,
        }
    }

    /// The object, while it is fresh.
    pub(super) fn get(&self, key: &str, now: Time) -> Option<Arc<Page>> {
        let object = self.objects.get(key)?;
        (now < object.until).then(|| Arc::clone(&object.page))
    }

    pub(super) const fn ticket(&self) -> Ticket {
        Ticket(self.purges)
    }

    /// Keeps what the origin said, unless a purge came between.
    pub(super) fn put(&mut self, key: &str, page: &Arc<Page>, ticket: Ticket, now: Time) {
        if ticket.0 != self.purges || page.body.len() > MAX_BYTES {
            return;
        }
        self.remove(key);
        self.last += 1;
        self.bytes += page.body.len();
        self.order.insert(self.last, key.to_owned());
        self.objects.insert(
            key.to_owned(),
            Object {
                page: Arc::clone(page),
                until: now.after(self.ttl),
                number: self.last,
            },
        );
        while self.objects.len() > MAX_OBJECTS || self.bytes > MAX_BYTES {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.remove(&oldest);
        }
    }

    /// Forgets these objects.
    pub(super) fn purge(&mut self, keys: &[String]) {
        self.purges += 1;
        for key in keys {
            self.remove(key);
        }
    }

    /// Forgets everything.
    pub(super) fn purge_all(&mut self) {
        self.purges += 1;
        self.objects.clear();
        self.order.clear();
        self.bytes = 0;
    }

    fn remove(&mut self, key: &str) {
        if let Some(object) = self.objects.remove(key) {
            self.bytes -= object.page.body.len();
            self.order.remove(&object.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(0);
    const HOUR: Duration = Duration::from_hours(1);

    fn page(bytes: usize) -> Arc<Page> {
        Arc::new(Page {
            body: vec![0; bytes].into(),
            ..Page::text(200, "")
        })
    }

    #[test]
    fn an_object_is_served_until_its_ttl_is_over() {
        let mut cache = Cache::new(HOUR);
        cache.put("/a", &page(1), cache.ticket(), NOW);
        assert!(cache.get("/a", Time::from_millis(3_599_999)).is_some());
        assert!(cache.get("/a", Time::from_millis(3_600_000)).is_none());
    }

    #[test]
    fn a_purge_hits_exactly_the_named_objects() {
        let mut cache = Cache::new(HOUR);
        for key in ["/a", "/a?v=1", "/a/", "/b"] {
            cache.put(key, &page(1), cache.ticket(), NOW);
        }
        cache.purge(&["/a".to_owned(), "/nowhere".to_owned()]);
        assert!(cache.get("/a", NOW).is_none());
        for key in ["/a?v=1", "/a/", "/b"] {
            assert!(cache.get(key, NOW).is_some(), "{key}");
        }
        cache.purge_all();
        assert!(cache.get("/b", NOW).is_none());
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn what_was_fetched_before_a_purge_is_not_kept_after_it() {
        let mut cache = Cache::new(HOUR);
        let ticket = cache.ticket();
        cache.purge_all();
        cache.put("/a", &page(1), ticket, NOW);
        assert!(cache.get("/a", NOW).is_none());
    }

    #[test]
    fn it_is_bounded_in_objects_and_bytes() {
        let mut cache = Cache::new(HOUR);
        for n in 0..MAX_OBJECTS + 5 {
            cache.put(&format!("/{n}"), &page(0), cache.ticket(), NOW);
        }
        assert_eq!(cache.objects.len(), MAX_OBJECTS);
        assert!(cache.get("/4", NOW).is_none());
        for n in 0..9 {
            cache.put(&format!("/big{n}"), &page(8 << 20), cache.ticket(), NOW);
        }
        assert!(cache.bytes <= MAX_BYTES);
        assert_eq!(cache.order.len(), cache.objects.len());
        assert!(cache.get("/big8", NOW).is_some());
    }
}
