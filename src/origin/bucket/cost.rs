//! What the listings of a bucket cost, by the documented prices. Pure.

use std::time::Duration;

use serde::Serialize;

use super::range::ranges;
use super::walker::RANGE;

/// Objects of a page.
const PAGE: u64 = 1_000;
/// Bytes that an object takes in a page, about.
const OBJECT: u64 = 400;
/// Forms in which a page is in memory: as it came, as it was read, and with the rows of the index beside it.
const COPIES: u64 = 3;
/// Euros for a gigabyte that leaves the region, after the free ones of a month.
const EUROS_A_GIGABYTE: f64 = 0.01;
/// Gigabytes of a month that are free.
const FREE_GIGABYTES: f64 = 75.0;
const GIGABYTE: f64 = 1e9;
const DAY: Duration = Duration::from_hours(24);
const DAYS_A_MONTH: f64 = 30.0;

/// Calls and bytes of listings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Objects of the bucket.
    pub objects: u64,
    /// Calls of a listing.
    pub calls: u64,
    /// Bytes of a listing, about.
    pub bytes: u64,
    /// Bytes of memory while it is listed, at most, about.
    pub memory: u64,
    /// Calls of a day, at most.
    pub calls_a_day: u64,
    /// Bytes of a day, at most, about.
    pub bytes_a_day: u64,
}

impl Cost {
    /// Of a bucket of so many objects that is listed so often.
    #[must_use]
    pub fn new(objects: u64, poll: Duration) -> Self {
        let calls = objects.div_ceil(PAGE).max(1);
        let bytes = objects * OBJECT;
        let listings = DAY.as_secs() / poll.as_secs().max(1);
        Self {
            objects,
            calls,
            bytes,
            memory: objects.clamp(1, PAGE) * OBJECT * COPIES * ranges(objects, RANGE),
            calls_a_day: calls * listings,
            bytes_a_day: bytes.saturating_mul(listings),
        }
    }

    /// Of these listings together.
    #[must_use]
    pub fn sum(costs: impl IntoIterator<Item = Self>) -> Self {
        costs.into_iter().fold(Self::default(), |sum, one| Self {
            objects: sum.objects + one.objects,
            calls: sum.calls + one.calls,
            bytes: sum.bytes + one.bytes,
            memory: sum.memory + one.memory,
            calls_a_day: sum.calls_a_day + one.calls_a_day,
            bytes_a_day: sum.bytes_a_day.saturating_add(one.bytes_a_day),
        })
    }

    /// Euros of a day where the bytes leave the region: the free ones of a month count first.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "it is shown with four digits")]
    pub fn euros_a_day(&self) -> f64 {
        let gigabytes = self.bytes_a_day as f64 / GIGABYTE;
        (gigabytes - FREE_GIGABYTES / DAYS_A_MONTH).max(0.0) * EUROS_A_GIGABYTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_costs_a_call_for_a_thousand_objects() {
        let cost = Cost::new(100_000, Duration::from_mins(5));
        assert_eq!((cost.calls, cost.bytes), (100, 40_000_000));
        // A page of each of four ranges, three times.
        assert_eq!(cost.memory, 4_800_000);
        assert_eq!(cost.calls_a_day, 28_800);
        assert_eq!(cost.bytes_a_day, 11_520_000_000);
        // 11.52 GB, of which 2.5 are free.
        assert!((cost.euros_a_day() - 0.0902).abs() < 1e-9);
        assert_eq!(Cost::new(0, Duration::from_hours(24)).calls_a_day, 1);
        assert!(Cost::new(2_001, Duration::from_hours(1)).euros_a_day() < 1e-9);
    }

    #[test]
    fn what_is_free_of_a_month_is_free_once_for_all_buckets() {
        let one = Cost::new(20_000, Duration::from_mins(5));
        assert!(one.euros_a_day() < 1e-9);
        let all = Cost::sum([one; 10]);
        assert_eq!(all.memory, 10 * one.memory);
        assert_eq!(all.calls_a_day, 57_600);
        assert!((all.euros_a_day() - 0.2054).abs() < 1e-9);
    }
}
