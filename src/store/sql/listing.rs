//! Lists of the history: the conditions of a list are put together as it is asked for.

/// The table of a list, the number that its rows are in the order of, what is read of a row, and
/// the conditions that can narrow it, each of one value, for which `?` stands.
pub(in crate::store) struct List<const CONDITIONS: usize> {
    pub(in crate::store) table: &'static str,
    pub(in crate::store) key: &'static str,
    pub(in crate::store) columns: &'static str,
    pub(in crate::store) conditions: [&'static str; CONDITIONS],
}

/// How many of the last rows are looked at for what no index has, however long the history is.
macro_rules! searched {
    (changes) => {
        200_000
    };
    (requests) => {
        50_000
    };
}

/// Changes among which the requests of a source are looked for: the last ones.
pub const SEARCHED_CHANGES: u64 = searched!(changes);
/// Requests among which a part of an asset's name is looked for: the last ones.
pub const SEARCHED_REQUESTS: u64 = searched!(requests);

pub(in crate::store) const REQUESTS: List<8> = List {
    table: "request",
    key: "id",
    columns: "id, remote_id, pipeline, stage, reason, attempt, first_seen, opened, accepted, \
              settled, why",
    conditions: [
        "pipeline = ?",
        "stage = ?",
        "id = ?",
        "remote_id = ?",
        "id IN (SELECT request FROM request_asset WHERE asset = ?)",
        "opened >= ?",
        concat!(
            "id IN (SELECT request FROM change WHERE source = ? AND seq > (SELECT max(seq) FROM change) - ",
            searched!(changes),
            ")"
        ),
        concat!(
            "id IN (SELECT request FROM request_asset WHERE lower(asset) LIKE lower(?) ESCAPE '\\' \
             AND request > (SELECT max(id) FROM request) - ",
            searched!(requests),
            ")"
        ),
    ],
};

pub(in crate::store) const CHANGES: List<5> = List {
    table: "change",
    key: "seq",
    columns: "seq, pipeline, asset, kind, source, detail, origin, path, seen, stage, request",
    conditions: [
        "seq >= ?",
        "seq <= ?",
        "pipeline = ?",
        "stage = ?",
        "asset = ?",
    ],
};

pub(in crate::store) const DELIVERIES: List<2> = List {
    table: "delivery",
    key: "id",
    columns: "id, route, pipeline, stage, due, first, last, event, what, at, without",
    conditions: ["pipeline = ?", "route = ?"],
};

/// Which part of a list is read; its size and its offset are values, too.
#[derive(Clone, Copy)]
pub(in crate::store) struct Part {
    pub(in crate::store) ascending: bool,
    /// Whether it begins after a number, which is a value.
    pub(in crate::store) beyond: bool,
}

impl<const CONDITIONS: usize> List<CONDITIONS> {
    /// Counts the rows that meet the conditions that are wanted.
    pub(in crate::store) fn count(&self, wanted: [bool; CONDITIONS]) -> String {
        let mut values = 0;
        let conditions = self.wanted(wanted, &mut values);
        format!("SELECT count(*) FROM {} WHERE {conditions}", self.table)
    }

    /// Reads a part of them. The values: those of the conditions, the number that it begins after,
    /// the size, the offset.
    pub(in crate::store) fn rows(&self, wanted: [bool; CONDITIONS], part: Part) -> String {
        let Self {
            table,
            key,
            columns,
            ..
        } = self;
        let mut values = 0;
        let mut conditions = self.wanted(wanted, &mut values);
        let (order, after) = if part.ascending {
            ("ASC", ">")
        } else {
            ("DESC", "<")
        };
        if part.beyond {
            values += 1;
            conditions = format!("{conditions} AND {key} {after} ?{values}");
        }
        format!(
            "SELECT {columns} FROM {table} WHERE {conditions} ORDER BY {key} {order} \
             LIMIT ?{} OFFSET ?{}",
            values + 1,
            values + 2
        )
    }

    fn wanted(&self, wanted: [bool; CONDITIONS], values: &mut usize) -> String {
        let mut conditions = "true".to_owned();
        for (condition, _) in self.conditions.iter().zip(wanted).filter(|(_, on)| *on) {
            *values += 1;
            conditions.push_str(" AND ");
            conditions.push_str(&condition.replace('?', &format!("?{values}")));
        }
        conditions
    }

    /// Every form of its statements that has other columns, conditions or parameters.
    #[cfg(test)]
    fn forms(&self) -> impl Iterator<Item = String> {
        let all = [true; CONDITIONS];
        let parts = [(true, true), (true, false), (false, true), (false, false)];
        let rows = parts.map(|(ascending, beyond)| self.rows(all, Part { ascending, beyond }));
        [self.count(all), self.count([false; CONDITIONS])]
            .into_iter()
            .chain(rows)
    }
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = String> {
    REQUESTS
        .forms()
        .chain(CHANGES.forms())
        .chain(DELIVERIES.forms())
}
