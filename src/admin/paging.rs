//! How a long list is read: one way for all lists of the history.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::AdminError;
use super::api::Page;
use super::input::Query;
use crate::store::{Listed, Slice};

/// Rows on a page where the query says nothing, and at most.
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 1_000;

/// The keys of a query that say which page is wanted, and not which rows.
const KEYS: [&str; 5] = ["order_by", "page", "page_size", "limit", "cursor"];

/// Which page. The names are those of the purge API, and `cursor`: the `next` of the page before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    order_by: Option<Order>,
    page: Option<usize>,
    #[serde(alias = "limit")]
    page_size: Option<usize>,
    cursor: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    CreatedAtAsc,
    CreatedAtDesc,
}

impl Wanted {
    fn slice(&self) -> Result<Slice, AdminError> {
        let limit = self.page_size.unwrap_or(PAGE);
        if !(1..=LONGEST_PAGE).contains(&limit) {
            return Err(AdminError::Invalid(format!(
                "page_size: {limit} is not from 1 to {LONGEST_PAGE}"
            )));
        }
        let page = match (self.page, self.cursor) {
            (Some(0), _) => return Err(AdminError::Invalid("page: pages count from 1".to_owned())),
            (Some(_), Some(_)) => {
                return Err(AdminError::Invalid(
                    "page and cursor are given; say one of them".to_owned(),
                ));
            }
            (page, _) => page.unwrap_or(1),
        };
        Ok(Slice {
            ascending: self.order_by == Some(Order::CreatedAtAsc),
            cursor: self.cursor,
            offset: limit.saturating_mul(page - 1),
            limit,
        })
    }
}

/// The query of a list: what is wanted of it, and which page.
pub(crate) struct ListQuery<T> {
    /// What narrows the list.
    pub(crate) filter: T,
    /// The page.
    pub(crate) slice: Slice,
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for ListQuery<T> {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AdminError> {
        Self::of(parts.uri.query().unwrap_or_default())
    }
}

impl<T: DeserializeOwned> ListQuery<T> {
    /// Reads a query.
    pub(crate) fn of(query: &str) -> Result<Self, AdminError> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let (paging, filter): (Vec<_>, Vec<_>) = pairs.partition(|(key, _)| KEYS.contains(&&**key));
        let paging: Wanted = read(paging)?;
        let filter = read(filter).map_err(|error| match error {
            AdminError::Malformed(why) if why.contains("unknown field") => {
                AdminError::Malformed(format!("{why}; and for the page {}", KEYS.join(", ")))
            }
            error => error,
        })?;
        let slice = paging.slice()?;
        Ok(Self { filter, slice })
    }
}

fn read<T: DeserializeOwned>(
    pairs: Vec<(std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)>,
) -> Result<T, AdminError> {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    let uri = format!("/?{query}").parse::<Uri>();
    let uri = uri.map_err(|error| AdminError::Malformed(error.to_string()))?;
    let Query(read) = Query::of(&uri)?;
    Ok(read)
}

/// One row more than a page has: if it is there, there is another page.
pub(super) fn one_more(slice: Slice) -> Slice {
    Slice {
        limit: slice.limit + 1,
        ..slice
    }
}

/// The rows of a page, and where it is, from what was asked for by [`one_more`].
pub(super) fn page<T>(
    listed: Listed<T>,
    slice: Slice,
    number: impl Fn(&T) -> u64,
) -> (Vec<T>, Page) {
    let mut rows = listed.rows;
    let more = rows.len() > slice.limit;
    rows.truncate(slice.limit);
    let page = Page {
        total_count: listed.total_count,
        next: rows.last().map(number).filter(|_| more),
    };
    (rows, page)
}
