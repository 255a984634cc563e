//! A visitor of the demo's edge.

use std::time::Duration;

/// Visits the edge as a browser without cookies does.
pub(super) struct Edge {
    url: String,
    http: reqwest::Client,
}

impl Edge {
    pub(super) fn new(url: String) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .unwrap_or_default();
        Self { url, http }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Fetches an asset, and says what came: `GET / → 200, X-Cache: miss`.
    pub(super) async fn visit(&self, asset: &str) -> String {
        match self.http.get(format!("{}{asset}", self.url)).send().await {
            Ok(response) => {
                let cache = response
                    .headers()
                    .get("x-cache")
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or("-");
                format!(
                    "GET {asset} → {}, X-Cache: {cache}",
                    response.status().as_u16()
                )
            }
            Err(error) => format!("GET {asset} failed: {error}"),
        }
    }
}
