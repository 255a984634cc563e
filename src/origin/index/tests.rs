//! The rows, their order, and what belongs together.

use super::*;
use crate::core::change::FileFact;
use crate::lineage::Beginning;

pub(super) fn entry(size: u64) -> Entry {
    Entry {
        known: Confidence::Surely,
        stat: Stat {
            size,
            ..Stat::default()
        },
        readable: true,
        hash: Some([7; 32]),
        former: None,
        absent: None,
    }
}

fn queue(last: u64) -> Lineage {
    Lineage {
        epoch: "one".to_owned(),
        last: Seq(last),
        pruned: std::collections::BTreeMap::new(),
        beginning: Beginning::Continued,
    }
}

/// An index beside a queue, both new.
fn first(dir: &Path) -> Arc<Index> {
    let queue = Lineage {
        beginning: Beginning::New,
        ..queue(0)
    };
    Arc::new(Index::open(dir, &queue, &[PipelineId::new("p")]).unwrap())
}

pub(super) fn open() -> (tempfile::TempDir, OriginIndex) {
    let dir = tempfile::tempdir().unwrap();
    let index = first(dir.path());
    let origin = index.origin(&PipelineId::new("p"), "site").unwrap();
    (dir, origin)
}

#[test]
fn a_row_is_written_only_if_it_is_still_the_one_read() {
    let (_dir, index) = open();
    let add = Edit::new(b"a", None, Some(entry(1)));
    assert!(
        index
            .apply(std::slice::from_ref(&add), None)
            .unwrap()
            .is_empty()
    );
    assert_eq!(index.apply(&[add], None).unwrap(), [b"a".to_vec()]);

    let row = index.get(b"a").unwrap().unwrap();
    let second = Edit::new(b"a", Some(&row), Some(entry(2)));
    assert!(index.apply(&[second], None).unwrap().is_empty());
    let late = Edit::new(b"a", Some(&row), None);
    assert_eq!(index.apply(&[late], None).unwrap(), [b"a".to_vec()]);
    assert_eq!(index.get(b"a").unwrap().unwrap().entry, entry(2));
}

#[test]
fn rows_stream_in_path_order_whatever_the_bytes() {
    let (_dir, index) = open();
    let paths: [&[u8]; 5] = [b"a", b"a.html", b"a/b", b"a0", b"\xff\xfe"];
    for path in paths.iter().rev() {
        index
            .apply(&[Edit::new(path, None, Some(entry(1)))], None)
            .unwrap();
    }
    let all = index.briefs(b"", true, None, 3).unwrap();
    assert_eq!(all.len(), 3);
    let rest = index.briefs(&all[2].path, false, None, 10).unwrap();
    let found: Vec<_> = all
        .iter()
        .chain(&rest)
        .map(|row| row.path.as_slice())
        .collect();
    assert_eq!(found, paths);
    let below = index.briefs(b"a/", true, Some(b"a0"), 10).unwrap();
    assert_eq!(below.len(), 1);
}

#[test]
fn redo_brings_hashes_and_the_sequence_number() {
    let (_dir, index) = open();
    index
        .apply(
            &[
                Edit::new(b"a", None, Some(entry(1))),
                Edit::new(b"b", None, Some(entry(1))),
            ],
            Some(Seq(3)),
        )
        .unwrap();
    let fact = |path: &[u8], hash| FileFact {
        origin: "site".into(),
        path: path.to_vec(),
        hash,
        former: None,
    };
    index
        .redo(&[
            (Seq(4), fact(b"a", Some([9; 32]))),
            (Seq(6), fact(b"b", None)),
        ])
        .unwrap();
    let row = index.get(b"a").unwrap().unwrap().entry;
    assert_eq!((row.hash, row.former), (Some([9; 32]), Some([7; 32])));
    assert_eq!(row.known, Confidence::HashOnly);
    assert_eq!(index.get(b"b").unwrap(), None);
    assert_eq!(index.progress().unwrap(), (Seq(6), false));
}

#[test]
fn two_origins_and_a_reopened_index_keep_their_own() {
    let (dir, index) = open();
    index
        .apply(&[Edit::new(b"a", None, Some(entry(1)))], Some(Seq(2)))
        .unwrap();
    index.set_indexed("all").unwrap();
    drop(index);
    let index = Arc::new(Index::open(dir.path(), &queue(2), &[]).unwrap());
    let same = index.origin(&PipelineId::new("p"), "site").unwrap();
    let other = index.origin(&PipelineId::new("q"), "site").unwrap();
    assert_eq!(same.progress().unwrap(), (Seq(2), true));
    assert_eq!(same.counts().unwrap(), (1, 0));
    assert_eq!(other.counts().unwrap(), (0, 0));
}

#[test]
fn a_newer_index_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(first(dir.path()));
    Connection::open(dir.path().join("index.db"))
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Index::open(dir.path(), &queue(0), &[]).unwrap_err();
    assert!(
        matches!(error, IndexError::Newer { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn an_index_that_does_not_belong_to_the_queue_is_set_aside_and_each_pipeline_told() {
    let pipelines = [PipelineId::new("p"), PipelineId::new("q")];
    let reason_for = |prepare: &dyn Fn(&Path), queue: &Lineage| {
        let dir = tempfile::tempdir().unwrap();
        let index = first(dir.path());
        assert_eq!(index.losses().unwrap(), []);
        let origin = index.origin(&PipelineId::new("p"), "site").unwrap();
        let row = Edit::new(b"a", None, Some(entry(1)));
        origin.apply(&[row], Some(Seq(5))).unwrap();
        drop((origin, index));
        prepare(&dir.path().join("index.db"));
        let index = Arc::new(Index::open(dir.path(), queue, &pipelines).unwrap());
        let origin = index.origin(&PipelineId::new("p"), "site").unwrap();
        let losses = index.losses().unwrap();
        let kept = origin.counts().unwrap().0 == 1;
        assert_eq!(kept, losses.is_empty());
        let reason = losses.first().map(|(_, reason)| reason.clone());
        assert!(losses.is_empty() || losses.len() == 2);
        for pipeline in &pipelines {
            index.made_good(pipeline).unwrap();
        }
        drop((origin, index));
        // Said once, and for good.
        let index = Index::open(dir.path(), queue, &pipelines).unwrap();
        assert_eq!(index.losses().unwrap(), []);
        reason.unwrap_or_default()
    };
    let untouched = |_: &Path| ();
    let missing = |path: &Path| std::fs::remove_file(path).unwrap();
    let garbage = |path: &Path| std::fs::write(path, [b'x'; 8_192]).unwrap();
    let other = Lineage {
        epoch: "two".to_owned(),
        ..queue(9)
    };
    let anew = Lineage {
        beginning: Beginning::Anew("the disk was full of holes".to_owned()),
        ..other.clone()
    };
    assert_eq!(reason_for(&untouched, &queue(5)), "");
    assert!(reason_for(&missing, &queue(5)).contains("is missing"));
    assert!(reason_for(&garbage, &queue(5)).contains("is damaged"));
    assert!(reason_for(&untouched, &queue(4)).contains("older"));
    assert!(reason_for(&untouched, &other).contains("another queue"));
    assert!(reason_for(&untouched, &anew).contains("holes"));
}
