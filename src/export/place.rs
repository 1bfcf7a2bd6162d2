//! Where an exporter goes on, and when it must not: a place that the log does not have is told, never stepped over.

use std::path::Path;

use testudo_bus::audit::{Cursor, LogReader, ReadError};

/// What of a log can be exported.
#[derive(Clone, Copy, Debug)]
pub(super) struct There {
    /// The oldest record that is there.
    pub(super) oldest: u64,
    /// The one behind the last that is durable.
    pub(super) end: u64,
}

impl There {
    /// What is in a folder.
    pub(super) fn of(dir: &Path, end: u64) -> Result<Self, ReadError> {
        Ok(Self { oldest: LogReader::oldest(dir)?.cursor(), end })
    }

    /// Where to begin with this cursor; without one, at the oldest record.
    ///
    /// # Errors
    /// What is amiss, and what to do: `file` holds the cursor.
    pub(super) fn begin(self, cursor: Option<Cursor>, file: &Path) -> Result<Cursor, String> {
        let Some(cursor) = cursor else { return Ok(Cursor { record: self.oldest, place: 0 }) };
        let anew =
            format!("to go on from record {}, stop the node and remove {}", self.oldest, file.display());
        if let Some(gap) = self.gap(cursor.record) {
            return Err(format!("{gap}; {anew}"));
        }
        if cursor.record > self.end || (cursor.record == self.end && cursor.place > 0) {
            return Err(format!(
                "it had come to record {}, but the log ends at {}: one of them is an older copy, and what the log \
                 says since was not exported; {anew}",
                cursor.record, self.end
            ));
        }
        Ok(cursor)
    }

    /// What is missing to whoever needs this record next.
    pub(super) fn gap(self, record: u64) -> Option<String> {
        let missing = self.oldest.checked_sub(record).filter(|missing| *missing > 0)?;
        Some(format!(
            "records {record} to {} were removed from the log before they were exported ({missing} records)",
            self.oldest - 1
        ))
    }
}

/// Why the log cannot be read on, with what is missing where that is why.
pub(super) fn why(dir: &Path, end: u64, error: &ReadError) -> String {
    let gap = match error {
        ReadError::Missing { index } => There::of(dir, end).ok().and_then(|there| there.gap(*index)),
        ReadError::Damaged { .. } | ReadError::Io(_) => None,
    };
    gap.unwrap_or_else(|| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_not_there_is_told_with_its_bounds() {
        let there = There { oldest: 100, end: 200 };
        let begin = |record, place| {
            there.begin(Some(Cursor { record, place }), Path::new("exporters/out")).map(|at| at.record)
        };
        assert_eq!(there.begin(None, Path::new("x")).unwrap(), Cursor { record: 100, place: 0 });
        assert_eq!([begin(100, 3), begin(199, 9), begin(200, 0)], [Ok(100), Ok(199), Ok(200)]);
        assert_eq!(
            begin(99, 0).unwrap_err(),
            "records 99 to 99 were removed from the log before they were exported (1 records); to go on from record \
             100, stop the node and remove exporters/out"
        );
        assert!(begin(0, 7).unwrap_err().starts_with("records 0 to 99 were removed"));
        for (record, place) in [(200, 1), (201, 0), (u64::MAX, u32::MAX)] {
            let error = begin(record, place).unwrap_err();
            assert!(error.contains("the log ends at 200") && error.contains("exporters/out"), "{error}");
        }
    }
}
