//! Three-way merges of one file, in memory.
//!
//! A chapter is merged region by region: what two submissions wrote into different regions never meets, whatever lines
//! a diff would line up. Files whose regions were added or removed are merged line by line.

use git2::{MergeFileInput, MergeFileOptions};

use crate::layout;

/// A file that two sides changed in the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The file.
    pub path: String,
    /// Where the sides meet, in `main`'s version; empty when one side removed the file.
    pub places: Vec<Place>,
    /// What met, in words.
    pub what: &'static str,
    /// Titles of the landings that changed the file on the other side, latest first.
    pub other_side: Vec<String>,
}

/// Lines of a file, 1-based, both ends included. `last` before `first`: lines were removed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The first line.
    pub first: usize,
    /// The last line.
    pub last: usize,
    /// The region that they lie in.
    pub region: Option<String>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first >= self.last {
            write!(f, "line {}", self.first)?;
        } else {
            write!(f, "lines {}–{}", self.first, self.last)?;
        }
        match &self.region {
            Some(region) => write!(f, " (region `{region}`)"),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.what)?;
        for (index, place) in self.places.iter().enumerate() {
            write!(f, "{} {place}", if index == 0 { " at" } else { "," })?;
        }
        if !self.other_side.is_empty() {
            let titles: Vec<String> = self.other_side.iter().map(|title| format!("“{title}”")).collect();
            write!(f, "; the other side: {}", titles.join(", "))?;
        }
        Ok(())
    }
}

/// Merges what `ours` and `theirs` made of `base`.
///
/// # Errors
/// Where in `ours` the two changed the same lines.
pub fn merge_text(base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<Vec<u8>, Vec<Place>> {
    if let (Ok(base), Ok(ours), Ok(theirs)) =
        (std::str::from_utf8(base), std::str::from_utf8(ours), std::str::from_utf8(theirs))
        && let (Some(base), Some(ours), Some(theirs)) = (segments(base), segments(ours), segments(theirs))
        && same_regions(&base, &ours)
        && same_regions(&base, &theirs)
    {
        return merge_segments(&base, &ours, &theirs);
    }
    merge_lines(base, ours, theirs)
}

/// A stretch of a file: a region's body, or what lies between two bodies (markers included).
struct Segment<'a> {
    region: Option<String>,
    first_line: usize,
    text: &'a str,
}

fn segments(text: &str) -> Option<Vec<Segment<'_>>> {
    let mut segments = Vec::new();
    let (mut offset, mut line) = (0, 1);
    for region in layout::regions(text).ok()? {
        segments.push(Segment { region: None, first_line: line, text: &text[offset..region.body.start] });
        segments.push(Segment {
            region: Some(region.id),
            first_line: region.begin_line + 1,
            text: &text[region.body.clone()],
        });
        (offset, line) = (region.body.end, region.end_line);
    }
    segments.push(Segment { region: None, first_line: line, text: &text[offset..] });
    Some(segments)
}

fn same_regions(one: &[Segment<'_>], other: &[Segment<'_>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.region == b.region)
}

fn merge_segments(
    base: &[Segment<'_>],
    ours: &[Segment<'_>],
    theirs: &[Segment<'_>],
) -> Result<Vec<u8>, Vec<Place>> {
    let mut merged = Vec::new();
    let mut places = Vec::new();
    for ((base, ours), theirs) in base.iter().zip(ours).zip(theirs) {
        match merge_lines(base.text.as_bytes(), ours.text.as_bytes(), theirs.text.as_bytes()) {
            Ok(text) => merged.extend(text),
            Err(found) => places.extend(found.into_iter().map(|place| Place {
                first: place.first + ours.first_line - 1,
                last: place.last + ours.first_line - 1,
                region: ours.region.clone(),
            })),
        }
    }
    if places.is_empty() { Ok(merged) } else { Err(places) }
}

/// Longer than any run of `<` that a Lean file has at a line's start.
const MARKER: usize = 60;

fn merge_lines(base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<Vec<u8>, Vec<Place>> {
    if ours == theirs || theirs == base {
        return Ok(ours.to_vec());
    }
    if ours == base {
        return Ok(theirs.to_vec());
    }
    let whole = || vec![Place { first: 1, last: ours.split(|&b| b == b'\n').count(), region: None }];
    // `merge_file` alone of git2's functions does not initialize libgit2; this does.
    let _initialized = git2::Buf::new();
    let (mut one, mut two, mut three) = (MergeFileInput::new(), MergeFileInput::new(), MergeFileInput::new());
    one.content(base);
    two.content(ours);
    three.content(theirs);
    let mut options = MergeFileOptions::new();
    options.style_standard(true).marker_size(MARKER as u16);
    // libgit2 fails here on binary content only; then the whole file is in conflict.
    let result = git2::merge_file(&one, &two, &three, Some(&mut options)).map_err(|_| whole())?;
    if result.is_automergeable() {
        return Ok(result.content().to_vec());
    }
    let places = conflict_places(result.content(), ours);
    Err(if places.is_empty() { whole() } else { places })
}

/// Finds each conflict's own lines again in `ours`.
fn conflict_places(merged: &[u8], ours: &[u8]) -> Vec<Place> {
    let ours: Vec<&[u8]> = ours.split_inclusive(|&b| b == b'\n').collect();
    let mut places = Vec::new();
    let mut from = 0;
    let mut block: Option<Vec<&[u8]>> = None;
    for line in merged.split_inclusive(|&b| b == b'\n') {
        let is = |mark: u8| line.len() >= MARKER && line[..MARKER].iter().all(|&b| b == mark);
        if is(b'<') {
            block = Some(Vec::new());
        } else if is(b'=') {
            let Some(lines) = block.take() else { continue };
            let same = |at: &usize| {
                ours[*at..]
                    .iter()
                    .zip(&lines)
                    .all(|(a, b)| a.strip_suffix(b"\n").unwrap_or(a) == b.strip_suffix(b"\n").unwrap_or(b))
            };
            let at = (from..=ours.len().saturating_sub(lines.len())).find(same).unwrap_or(from);
            places.push(Place { first: at + 1, last: at + lines.len(), region: None });
            from = at + lines.len();
        } else if let Some(lines) = &mut block {
            lines.push(line);
        } else if let Some(at) = (from..ours.len()).find(|&at| ours[at] == line) {
            // A line of the clean parts moves the search on, so that repeated lines are told apart.
            if block.is_none() && at == from {
                from += 1;
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(a: &str, b: &str) -> String {
        format!("head\n-- begin a\n{a}-- end a\n-- begin b\n{b}-- end b\nend\n")
    }

    #[test]
    fn neighbouring_regions_never_conflict() {
        let base = file("", "");
        let ours = file("theorem a\n  := by\n  simp\n", "");
        let theirs = file("", "theorem b\n  := by\n  simp\n");
        let merged = merge_text(base.as_bytes(), ours.as_bytes(), theirs.as_bytes()).unwrap();
        let both = file("theorem a\n  := by\n  simp\n", "theorem b\n  := by\n  simp\n");
        assert_eq!(String::from_utf8(merged).unwrap(), both);
    }

    #[test]
    fn a_conflict_names_the_region_and_the_lines() {
        let base = file("x\ny\n", "z\n");
        let ours = file("x\ny1\n", "z\n");
        let theirs = file("x\ny2\n", "z\n");
        let places = merge_text(base.as_bytes(), ours.as_bytes(), theirs.as_bytes()).unwrap_err();
        assert_eq!(places, [Place { first: 4, last: 4, region: Some("a".to_owned()) }]);
        assert_eq!(places[0].to_string(), "line 4 (region `a`)");
    }

    #[test]
    fn files_without_common_regions_are_merged_by_lines() {
        let merged = merge_text(b"1\n2\n3\n4\n5\n", b"0\n1\n2\n3\n4\n5\n", b"1\n2\n3\n4\n5\n6\n").unwrap();
        assert_eq!(merged, b"0\n1\n2\n3\n4\n5\n6\n");
        let places = merge_text(b"1\n2\n3\n", b"1\nA\n3\n", b"1\nB\n3\n").unwrap_err();
        assert_eq!((places[0].first, places[0].last), (2, 2));
    }

    proptest! {
        #[test]
        fn one_sided_changes_always_merge_and_sides_may_be_swapped(
            base in "[ab\n]{0,20}", ours in "[abc\n]{0,20}", theirs in "[abd\n]{0,20}",
        ) {
            let (base, ours, theirs) = (base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
            prop_assert_eq!(merge_text(base, ours, base).unwrap(), ours);
            prop_assert_eq!(merge_text(base, base, theirs).unwrap(), theirs);
            let there = merge_text(base, ours, theirs);
            let back = merge_text(base, theirs, ours);
            prop_assert_eq!(there.is_ok(), back.is_ok());
            if let (Ok(there), Ok(back)) = (there, back) {
                prop_assert_eq!(there, back);
            }
        }
    }
}
