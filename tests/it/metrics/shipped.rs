//! The rules, the dashboard and the two documents for operators name what the binary has, and all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use edgepurge::core::alarm::AlarmKind;
use tokio::process::Command;

use super::{promtool, scrape, worked};
use crate::bench::skip;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The first cells of a document's tables that are code: "| `name` |".
fn entries(document: &str) -> BTreeSet<String> {
    let cells = document.lines().filter_map(|line| line.strip_prefix("| `"));
    cells
        .filter_map(|cell| Some(cell.split_once('`')?.0.to_owned()))
        .collect()
}

/// Every query of the dashboard.
fn queries() -> Vec<String> {
    let dashboard: serde_json::Value =
        serde_json::from_str(&file("contrib/grafana/edgepurge.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

/// Every series with its label names; those of a histogram with their suffixes.
fn series(scrape: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once('{').unwrap_or((line, ""));
        let name = name.split(' ').next().unwrap();
        series
            .entry(name.to_owned())
            .or_default()
            .extend(label_names(labels));
    }
    series
}

/// The names in `a="x",b=~"y"}`.
fn label_names(selector: &str) -> impl Iterator<Item = String> {
    let inner = selector.split('}').next().unwrap();
    let names = inner
        .split(',')
        .filter_map(|one| one.split_once(['=', '!']));
    names.map(|(name, _)| name.trim().to_owned())
}

#[test]
fn every_alarm_has_its_entry_and_every_entry_its_alarm() {
    let kinds = AlarmKind::ALL.iter().map(|kind| kind.as_str().to_owned());
    assert_eq!(entries(&file("docs/alarms.md")), kinds.collect());
}

#[test]
fn every_rule_leads_to_an_entry_that_a_link_reaches() {
    let document = file("docs/alarms.md");
    let headings = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "));
    let cells = document.split("<a id=\"").skip(1);
    let cells = cells.filter_map(|rest| rest.split('"').next());
    let anchors: BTreeSet<&str> = headings.chain(cells).collect();
    let rules = file("contrib/prometheus/edgepurge.rules.yml");
    let links = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("documentation: "));
    let alerts = rules.matches("- alert: ").count();
    assert!(alerts > 5 && links.clone().count() == alerts, "{alerts}");
    for link in links {
        let anchor = link
            .trim_matches('"')
            .strip_prefix("docs/alarms.md#")
            .expect(link);
        match anchor {
            "{{ $labels.reason }}" => {
                let kinds = AlarmKind::ALL.iter().map(|kind| kind.as_str());
                let lost: Vec<&str> = kinds.filter(|kind| !anchors.contains(kind)).collect();
                assert!(lost.is_empty(), "{lost:?}");
            }
            anchor => assert!(anchors.contains(anchor), "{anchor}: {anchors:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_dashboard_and_document_name_is_in_a_scrape() {
    let (text, _) = scrape(&worked().await, None).await;
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let families = families.map(|family| family.split(' ').next().unwrap().to_owned());
    assert_eq!(entries(&file("docs/metrics.md")), families.collect());

    let series = series(&text);
    let rules = file("contrib/prometheus/edgepurge.rules.yml").replace('\\', "");
    // Prometheus adds these.
    let added = ["job", "instance"];
    let mut found = 0;
    let exprs = rules
        .lines()
        .filter(|line| line.trim().starts_with("expr:"));
    for query in exprs.map(str::to_owned).chain(queries()) {
        let own = query.match_indices("edgepurge_");
        for (at, _) in own.chain(query.match_indices("process_start_time_seconds")) {
            let rest = &query[at..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            let labels = series
                .get(name)
                .unwrap_or_else(|| panic!("{name} of {query}"));
            for label in after.strip_prefix('{').into_iter().flat_map(label_names) {
                let known = labels.contains(&label) || added.contains(&&*label);
                assert!(known, "{label} of {name} in {query}");
            }
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}

#[tokio::test]
async fn promtool_accepts_the_rules_their_test_and_every_query_of_the_dashboard() {
    let Some(promtool) = promtool() else {
        return skip("promtool is not installed; tests/run unpacks it");
    };
    let directory = tempfile::tempdir().unwrap();
    let made = directory.path().join("dashboard.yml");
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, query) in queries().into_iter().enumerate() {
        let query = serde_json::json!(query.replace("$__rate_interval", "5m"));
        writeln!(
            rules,
            "      - record: query:{number}\n        expr: {query}"
        )
        .unwrap();
    }
    std::fs::write(&made, rules).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/prometheus");
    for (command, file) in [
        ("check", shipped.join("edgepurge.rules.yml")),
        ("test", shipped.join("edgepurge.test.yml")),
        ("check", made),
    ] {
        let output = Command::new(&promtool)
            .args([command, "rules"])
            .arg(file)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
