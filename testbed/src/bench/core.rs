//! The criterion benches of `fingerpost-core`, read back for the table: `make bench` runs them first.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;

use crate::harness::places;

const SIZES: [&str; 3] = ["1KiB", "32KiB", "400KiB"];
const NAMES: [&str; 3] = ["ignored_any", "named", "auto"];

/// A section of the report; says so where the benches have not been run.
pub(super) fn section() -> String {
    let criterion = places::root().join("target/criterion");
    let rows: Option<Vec<_>> = SIZES.iter().map(|size| row(&criterion, size)).collect();
    let mut text = String::from("## The filter's core, natively\n\n");
    let Some(rows) = rows else {
        text.push_str("Not measured in this run: `cargo bench -p fingerpost-core` comes first.\n");
        return text;
    };
    text.push_str(
        "Parse, decide, splice and write the headers, against `serde_json` reading the same bytes as `IgnoredAny` (criterion, medians).\n\n\
         | body | `IgnoredAny` us | named us | x | auto us | x |\n|---|--:|--:|--:|--:|--:|\n",
    );
    for (size, [ignored, named, auto]) in SIZES.iter().zip(rows) {
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "| {size} | {ignored:.1} | {named:.1} | {:.2} | {auto:.1} | {:.2} |",
            named / ignored,
            auto / ignored
        );
    }
    text
}

fn row(criterion: &Path, size: &str) -> Option<[f64; 3]> {
    let micros = NAMES.map(|name| {
        let file = criterion.join(size).join(name).join("new/estimates.json");
        let estimates: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        Some(estimates.get("median")?.get("point_estimate")?.as_f64()? / 1_000.0)
    });
    let [Some(ignored), Some(named), Some(auto)] = micros else { return None };
    Some([ignored, named, auto])
}
