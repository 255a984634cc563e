//! The styles of deploys.

use std::fs;
use std::future::Future;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use super::pages::{Change, Tree, differing, read};
use super::{GONE_AFTER, HOLE, SILENT_HOLE, World, run};
use crate::hostile::machine::{Mount, has, may_mount};
use crate::reported;

/// A part of a script.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Run(&'static str),
    /// Files are missing meanwhile.
    Hole(Duration),
}

impl Phase {
    pub(super) fn shell(&self) -> String {
        match self {
            Self::Run(script) => (*script).to_owned(),
            Self::Hole(time) => format!("sleep {}", time.as_secs_f64()),
        }
    }
}

type Deployed<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

#[derive(Clone, Copy)]
pub(super) enum Act {
    Script(&'static [Phase]),
    Special(for<'a> fn(&'a mut World, &'a Tree, &'a Tree) -> Deployed<'a>),
}

pub(super) struct Style {
    pub(super) name: &'static str,
    /// What has to be installed.
    needs: &'static [&'static str],
    mounts: bool,
    pub(super) change: Change,
    pub(super) between: Between,
    /// It must be over before the next deploy.
    pub(super) rests: bool,
    pub(super) act: Act,
}

/// What visitors get while the site is on its way to what it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    /// Of each file what it was or what it will be.
    Either,
    /// Files that end as they were are in pieces, or absent, for less than `gone_after`.
    Pieces,
    /// Everything is missing for longer than `gone_after`.
    Nothing,
}

impl Style {
    /// Whether this machine can do it.
    pub(super) fn possible(&self) -> bool {
        self.needs.iter().all(|tool| has(tool)) && (!self.mounts || may_mount())
    }

    const fn new(name: &'static str, change: Change, act: Act) -> Self {
        Self {
            name,
            needs: &[],
            mounts: false,
            change,
            between: Between::Either,
            rests: false,
            act,
        }
    }

    const fn script(name: &'static str, change: Change, phases: &'static [Phase]) -> Self {
        Self::new(name, change, Act::Script(phases))
    }

    const fn needs(mut self, needs: &'static [&'static str]) -> Self {
        self.needs = needs;
        self
    }

    const fn mounts(mut self) -> Self {
        self.mounts = true;
        self.rests()
    }

    const fn blinks(mut self) -> Self {
        self.between = Between::Pieces;
        self
    }

    const fn holes(mut self) -> Self {
        self.between = Between::Nothing;
        self
    }

    const fn rests(mut self) -> Self {
        self.rests = true;
        self
    }
}

/// The site becomes a link to a release, where it is none; all but three releases go.
macro_rules! release {
    ($script:literal) => {
        Phase::Run(concat!(
            "mkdir -p releases
             if [ ! -L site ]; then mv site releases/was-$n; ln -s releases/was-$n site; fi
             cp -r next releases/$n
             ",
            $script,
            "
             ls -dt releases/* | tail -n +4 | xargs -r rm -rf"
        ))
    };
}

/// What is in the list `gone` goes, with the directories that it leaves empty.
macro_rules! remove {
    () => {
        "(home=$PWD; cd site/; tr '\\n' '\\0' < \"$home/gone\" | xargs -0 -r rm -f
          find . -mindepth 1 -type d -empty -delete)"
    };
}

/// `-I`, since rsync takes files of one size that were written in one second for the same.
pub(super) const STYLES: &[Style] = &[
    Style::script(
        "inplace",
        Change::Any,
        &[Phase::Run(concat!(
            "(cd next; find . -type f) | while IFS= read -r f; do
               mkdir -p \"site/${f%/*}\"; cat \"next/$f\" > \"site/$f\"
             done
             ",
            remove!()
        ))],
    )
    .blinks(),
    Style::script(
        "edit",
        Change::Adds,
        &[Phase::Run(
            "while IFS= read -r f; do
               mkdir -p \"$(dirname \"site/$f\")\"; cat \"next/$f\" > \"site/$f\"
             done < differ",
        )],
    ),
    Style::script(
        "rsync",
        Change::Any,
        &[Phase::Run("rsync -aI --delete next/ site/")],
    )
    .needs(&["rsync"]),
    Style::script(
        "rsync-inplace",
        Change::Any,
        &[Phase::Run("rsync -aI --inplace --delete next/ site/")],
    )
    .needs(&["rsync"])
    .blinks(),
    Style::script(
        "hashed",
        Change::Hashes,
        &[Phase::Run("rsync -aI --delete next/ site/")],
    )
    .needs(&["rsync"]),
    Style::script(
        "fewer",
        Change::Fewer,
        &[Phase::Run("rsync -aI --delete next/ site/")],
    )
    .needs(&["rsync"]),
    Style::new("far-fewer", Change::FarFewer, Act::Special(far_fewer)).rests(),
    Style::script(
        "refill",
        Change::Any,
        &[
            Phase::Run("(cd site/; rm -rf ./*)"),
            Phase::Hole(HOLE),
            Phase::Run("cp -r next/. site/"),
        ],
    )
    .holes(),
    Style::script(
        "refill-same",
        Change::Nothing,
        &[
            Phase::Run("(cd site/; rm -rf ./*)"),
            Phase::Hole(HOLE),
            Phase::Run("cp -r next/. site/"),
        ],
    )
    .holes(),
    Style::script("link", Change::Any, &[release!("ln -sfn releases/$n site")]).blinks(),
    Style::script(
        "link-moved",
        Change::Any,
        &[release!("ln -s releases/$n link; mv -T link site")],
    )
    .blinks(),
    Style::script(
        "moved-over",
        Change::Any,
        &[Phase::Run("mv site old-$n; mv next site; rm -rf old-$n")],
    )
    .blinks(),
    Style::script(
        "away",
        Change::Nothing,
        &[
            Phase::Run("mv site away"),
            Phase::Hole(SILENT_HOLE),
            Phase::Run("mv away site"),
        ],
    )
    .holes(),
    Style::script(
        "target-away",
        Change::Nothing,
        &[
            Phase::Run("readlink -f site > where; mv \"$(cat where)\" away"),
            Phase::Hole(SILENT_HOLE),
            Phase::Run("mv away \"$(cat where)\""),
        ],
    )
    .holes(),
    Style::script(
        "tar",
        Change::Adds,
        &[Phase::Run(
            "tar -C next -cf next.tar .; tar -C site -xf next.tar",
        )],
    )
    .blinks(),
    Style::script(
        "git",
        Change::Any,
        &[Phase::Run(
            "export GIT_DIR=$PWD/repository
             [ -d repository ] || git init -q -b main
             git --work-tree=site add -A; git --work-tree=site commit -q --allow-empty -m was
             export GIT_INDEX_FILE=$PWD/index-of-next; git --work-tree=next add -A
             tree=$(git write-tree); unset GIT_INDEX_FILE
             find site/ -type f -exec touch {} +
             git --work-tree=site checkout -q -f $(git commit-tree -p HEAD -m next $tree)",
        )],
    )
    .needs(&["git"])
    .blinks(),
    Style::script(
        "fill",
        Change::Directories,
        &[Phase::Run(
            "cd next; for d in v*; do [ ! -d $d ] || [ -d ../site/$d ] || cp -r $d ../site/; done",
        )],
    ),
    Style::script(
        "same-times",
        Change::Adds,
        &[Phase::Run(
            "find next -exec touch -d @1700000000 {} +; cp -a next/. site/",
        )],
    )
    .blinks(),
    Style::script(
        "truncate",
        Change::Shorter,
        &[Phase::Run(
            "python3 -c '
import os
for path in open(\"differ\").read().splitlines():
    os.truncate(\"site/\" + path, os.path.getsize(\"next/\" + path))'",
        )],
    )
    .needs(&["python3"]),
    Style::new("held-open", Change::Longer, Act::Special(held_open)),
    Style::new("database", Change::Contents, Act::Special(database)),
    Style::new("blink", Change::Nothing, Act::Special(blink)).rests(),
    Style::new("closed", Change::Nothing, Act::Special(closed)).rests(),
    Style::new("mounted-over", Change::Any, Act::Special(mounted_over))
        .mounts()
        .blinks(),
    Style::new(
        "mounted-empty",
        Change::Nothing,
        Act::Special(mounted_empty),
    )
    .mounts()
    .holes(),
    Style::new("images", Change::Contents, Act::Special(images))
        .mounts()
        .needs(&["mkfs.erofs"]),
];

/// More goes than may be believed: then it is held until an operator says that it is right.
fn far_fewer<'a>(world: &'a mut World, before: &'a Tree, after: &'a Tree) -> Deployed<'a> {
    Box::pin(async move {
        world.ledger.changes(differing(before, after).iter(), 1);
        run(&world.bench.path(""), world.steps, remove!()).await;
        // The guard has tests of its own; here, what came a minute ago may stand for what goes.
        let waited = world.bench.run(&["wait", "www"]).await;
        if waited.status.success() {
            return;
        }
        world.bench.alarm("loss").await;
        let status = world.bench.status().await;
        assert!(!reported::fresh(&status), "a loss is held: {status}");
        let accept = ["scan", "www", "--apply", "--accept-loss"];
        let accepted = world.bench.run(&accept).await;
        assert!(accepted.status.success(), "{accepted:?}");
    })
}

/// A log: something is added, and the file stays open.
fn held_open<'a>(world: &'a mut World, before: &'a Tree, after: &'a Tree) -> Deployed<'a> {
    Box::pin(async move {
        world.ledger.changes(differing(before, after).iter(), 1);
        for path in differing(before, after) {
            let file = world.bench.site().join(&path);
            let mut file = fs::File::options().append(true).open(file).unwrap();
            let more = &after[&path][before[&path].len()..];
            file.write_all(more.as_bytes()).unwrap();
            world.open.push(file);
        }
    })
}

/// A database: written here and there, and the file stays open.
fn database<'a>(world: &'a mut World, before: &'a Tree, after: &'a Tree) -> Deployed<'a> {
    Box::pin(async move {
        world.ledger.changes(differing(before, after).iter(), 1);
        for path in differing(before, after) {
            let file = world.bench.site().join(&path);
            let file = fs::File::options().write(true).open(file).unwrap();
            file.set_len(after[&path].len() as u64).unwrap();
            file.write_all_at(after[&path].as_bytes(), 0).unwrap();
            world.open.push(file);
        }
    })
}

/// Some of the files.
fn some(world: &mut World, tree: &Tree) -> Vec<String> {
    let mut some: Vec<String> = tree.keys().cloned().collect();
    world.rng.shuffle(&mut some);
    some.truncate(5);
    some
}

/// A few files are away for a while.
fn blink<'a>(world: &'a mut World, before: &'a Tree, _: &'a Tree) -> Deployed<'a> {
    Box::pin(async move {
        let some = some(world, before);
        world.ledger.changes(some.iter(), 2);
        let at = |path: &String| world.bench.site().join(path);
        for path in &some {
            fs::remove_file(at(path)).unwrap();
        }
        tokio::time::sleep(HOLE).await;
        for path in &some {
            fs::write(at(path), &before[path]).unwrap();
        }
    })
}

/// A few files may not be read by the web server for a while.
fn closed<'a>(world: &'a mut World, before: &'a Tree, _: &'a Tree) -> Deployed<'a> {
    Box::pin(async move {
        let some = some(world, before);
        world.ledger.changes(some.iter(), 2);
        for mode in [0o600, 0o644] {
            for path in &some {
                let file = world.bench.site().join(path);
                fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
            }
            tokio::time::sleep(GONE_AFTER * 3).await;
        }
    })
}

/// Another tree is mounted over the site, and goes.
fn mounted_over<'a>(world: &'a mut World, before: &'a Tree, after: &'a Tree) -> Deployed<'a> {
    Box::pin(async move {
        world.ledger.changes(differing(before, after).iter(), 1);
        let over = Mount::bind(&world.bench.path("next"), &world.bench.site());
        assert!(differing(&read(&world.bench.site()), after).is_empty());
        world.rest().await;
        over.off().await;
        world.ledger.changes(differing(before, after).iter(), 1);
        world.rest().await;
        // It ends with the tree that was mounted.
        world.ledger.changes(differing(before, after).iter(), 1);
        run(
            &world.bench.path(""),
            world.steps,
            "mv site old-$n; mv next site; rm -rf old-$n",
        )
        .await;
    })
}

/// Nothing is mounted over the site, and goes.
fn mounted_empty<'a>(world: &'a mut World, _: &'a Tree, _: &'a Tree) -> Deployed<'a> {
    Box::pin(async move {
        let over = Mount::tmpfs(&world.bench.site());
        tokio::time::sleep(SILENT_HOLE).await;
        over.off().await;
    })
}

/// Two images of a filesystem whose times and inodes are the same.
fn images<'a>(world: &'a mut World, before: &'a Tree, after: &'a Tree) -> Deployed<'a> {
    Box::pin(async move {
        let image = |world: &World, tree: &str| -> (PathBuf, Option<Mount>) {
            let at = world.bench.path(&format!("mounted-{tree}-{}", world.steps));
            fs::create_dir(&at).unwrap();
            let file = at.with_extension("erofs");
            let made = std::process::Command::new("mkfs.erofs")
                .args(["-T1700000000", "--all-root"])
                .args([&file, &world.bench.path(tree)])
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
            let what = ["-o", "loop,ro", file.to_str().unwrap()];
            let mount = Mount::new(&what, &at).unwrap();
            (at, Some(mount))
        };
        let link = |world: &World, to: &PathBuf| {
            let next = world.bench.path("link");
            std::os::unix::fs::symlink(to, &next).unwrap();
            let site = world.bench.site();
            if !site.is_symlink() {
                fs::rename(&site, world.bench.path(&format!("was-{}", world.steps))).unwrap();
            }
            fs::rename(next, site).unwrap();
        };
        let names = || before.keys().cloned().collect::<Vec<_>>();
        let was = world.bench.path("was");
        if was.exists() {
            fs::remove_dir_all(&was).unwrap();
        }
        super::pages::write(&was, before);
        let (first, mut first_mount) = image(world, "was");
        let (second, mut second_mount) = image(world, "next");
        world.street.avoid(names()).await;
        link(world, &first);
        world.street.avoid(Vec::new()).await;
        world.rest().await;
        world.ledger.changes(differing(before, after).iter(), 1);
        link(world, &second);
        world.rest().await;
        // And back to a directory, with the same bytes.
        let home = world.bench.path("");
        run(
            &home,
            world.steps,
            "mkdir -p releases; cp -r next releases/$n",
        )
        .await;
        let release = world.bench.path(&format!("releases/{}", world.steps));
        link(world, &release);
        world.rest().await;
        for mount in [&mut first_mount, &mut second_mount] {
            mount.take().unwrap().off().await;
        }
    })
}
