use serde_json::json;

use super::*;
use crate::core::time::Time;

fn pipeline(name: &str, state: &str) -> serde_json::Value {
    json!({
        "name": name, "id": name, "queued_assets": 0, "queued_all": null, "oldest_queued": null,
        "in_flight": 0, "failed_assets": 0, "learned_max_assets": null, "hot": [], "paused": false,
        "pauses": [], "origins": [], "fresh": state == "fresh", "causes": [], "state": state,
    })
}

fn status(pipelines: &[serde_json::Value]) -> Status {
    serde_json::from_value(json!({
        "version": "1", "now": "2026-01-01T00:00:10Z", "started": "2025-12-26T00:00:00Z", "api_url": "a",
        "settled": true, "fresh": true, "api_rate_limit": 12.5, "api_calls_at_once": 4, "orphaned": [],
        "credentials": [], "alarms": [], "webhooks": null, "pipelines": pipelines,
    }))
    .unwrap()
}

fn view(size: Option<(usize, usize)>) -> View {
    let size = size.map(|(columns, rows)| Size { columns, rows });
    let now = "2026-01-01T00:00:10Z".parse::<jiff::Timestamp>().unwrap();
    let now = Time::from_millis(now.as_millisecond().unsigned_abs());
    View::once(Moment::new(now, true), size, false)
}

fn plain(line: &str) -> String {
    anstream::adapter::strip_str(line).to_string()
}

#[test]
fn sixty_pipelines_fit_a_screen_and_the_one_that_works_has_its_line() {
    let mut pipelines: Vec<_> = (0..60)
        .map(|at| pipeline(&format!("site-{at:02}"), "fresh"))
        .collect();
    pipelines.push(pipeline("www", "working"));
    let status = status(&pipelines);
    let shown = lines(&status, &view(Some((80, 24))));
    assert!(shown.len() < 24, "{}", shown.join("\n"));
    assert!(shown.iter().all(|line| plain(line).chars().count() <= 80));
    let shown: Vec<String> = shown.iter().map(|line| plain(line)).collect();
    assert!(shown[1].starts_with("◐ www"), "{shown:?}");
    assert!(
        shown[2].starts_with("● 60 pipelines fresh: site-00 site-01"),
        "{shown:?}"
    );
    let all = lines(&status, &view(None));
    assert_eq!(all.len(), 1 + 61 + 1, "a line each, where there is room");
}

#[test]
fn the_worst_comes_first_then_by_name() {
    let shown = lines(
        &status(&[
            pipeline("b", "fresh"),
            pipeline("a", "fresh"),
            pipeline("c", "paused"),
            pipeline("d", "trouble"),
        ]),
        &view(None),
    );
    let shapes: Vec<String> = { shown.iter() }
        .map(|line| plain(line).chars().take(3).collect())
        .collect();
    assert_eq!(shapes[1..5], ["▲ d", "‖ c", "● a", "● b"]);
}

#[test]
fn a_long_text_is_broken_at_its_spaces() {
    let lines = wrapped("one two three four five", 12, 2);
    assert_eq!(lines, ["  one two", "    three", "    four", "    five"]);
}
