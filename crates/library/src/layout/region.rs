//! Regions: the lines between `-- begin ID` and `-- end ID`, one region a target.

use std::ops::Range;

use super::LayoutError;

/// A region of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its target's label.
    pub id: String,
    /// Bytes between the marker lines: whole lines, or empty.
    pub body: Range<usize>,
    /// 1-based line of the `-- begin` marker.
    pub begin_line: usize,
    /// 1-based line of the `-- end` marker.
    pub end_line: usize,
}

enum Marker<'a> {
    Begin(&'a str),
    End(&'a str),
}

fn marker(line: &str) -> Option<Marker<'_>> {
    let rest = line.trim().strip_prefix("-- ")?;
    let (begins, id) = match rest.strip_prefix("begin ") {
        Some(id) => (true, id.trim()),
        None => (false, rest.strip_prefix("end ")?.trim()),
    };
    // Prose comments such as `-- end of the proof` are no markers: an id is one word.
    let word = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    word.then_some(if begins { Marker::Begin(id) } else { Marker::End(id) })
}

/// All regions of a file, in its order.
///
/// # Errors
/// Markers that nest, that lack their other half, or that name a region twice.
pub fn regions(text: &str) -> Result<Vec<Region>, LayoutError> {
    let mut found: Vec<Region> = Vec::new();
    let mut open: Option<(String, usize, usize)> = None;
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let number = index + 1;
        match (marker(line), &open) {
            (Some(Marker::Begin(id)), Some((open, ..))) => {
                return Err(LayoutError::Nested { line: number, id: id.to_owned(), open: open.clone() });
            }
            (Some(Marker::Begin(id)), None) => {
                if let Some(first) = found.iter().find(|r| r.id == id) {
                    let first = first.begin_line;
                    return Err(LayoutError::Duplicate { line: number, first, id: id.to_owned() });
                }
                open = Some((id.to_owned(), number, offset + line.len()));
            }
            (Some(Marker::End(id)), Some((name, begin_line, start))) if name == id => {
                found.push(Region {
                    id: name.clone(),
                    body: *start..offset,
                    begin_line: *begin_line,
                    end_line: number,
                });
                open = None;
            }
            (Some(Marker::End(id)), _) => {
                return Err(LayoutError::EndWithoutBegin { line: number, id: id.to_owned() });
            }
            (None, _) => {}
        }
        offset += line.len();
    }
    match open {
        Some((id, line, _)) => Err(LayoutError::NeverEnded { line, id }),
        None => Ok(found),
    }
}

/// The bytes between the markers of region `id`; `None` when the file has no such region or its markers are broken.
pub fn region(text: &str, id: &str) -> Option<Range<usize>> {
    regions(text).ok()?.into_iter().find(|r| r.id == id).map(|r| r.body)
}

/// The text between the markers of region `id`.
pub fn region_text<'a>(text: &'a str, id: &str) -> Option<&'a str> {
    region(text, id).map(|body| &text[body])
}

/// The file with `content` between the markers of region `id` in place of what was there. Blank lines around
/// `content` go; content of blanks alone empties the region.
///
/// # Errors
/// [`LayoutError::NoRegion`], [`LayoutError::MarkerInContent`], or the file's markers are broken.
pub fn with_region(text: &str, id: &str, content: &str) -> Result<String, LayoutError> {
    let regions = regions(text)?;
    let Some(region) = regions.iter().find(|r| r.id == id) else {
        let known = regions.into_iter().map(|r| r.id).collect();
        return Err(LayoutError::NoRegion { id: id.to_owned(), known });
    };
    if let Some((line, marker)) = content.lines().enumerate().find(|(_, line)| marker(line).is_some()) {
        return Err(LayoutError::MarkerInContent { line: line + 1, marker: marker.trim().to_owned() });
    }
    let content = trim_blank_lines(content);
    let mut new = String::with_capacity(text.len() + content.len() + 1);
    new.push_str(&text[..region.body.start]);
    if !content.is_empty() {
        new.push_str(content);
        new.push('\n');
    }
    new.push_str(&text[region.body.end..]);
    Ok(new)
}

/// The file with an empty region for a new target right before the region of `before`; without `before`, after the last
/// region (a file without any gets it before its closing `end NAMESPACE`, else at its end).
///
/// # Errors
/// There is a region `id` already, none `before`, or the markers are broken.
pub fn with_new_region(
    text: &str,
    id: &str,
    title: &str,
    before: Option<&str>,
) -> Result<String, LayoutError> {
    let regions = regions(text)?;
    if let Some(first) = regions.iter().find(|r| r.id == id) {
        let line = first.begin_line;
        return Err(LayoutError::Duplicate { line, first: line, id: id.to_owned() });
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    // In lines from the top: where the new region's heading goes.
    let at = match before {
        Some(before) => {
            let Some(region) = regions.iter().find(|r| r.id == before) else {
                let known = regions.into_iter().map(|r| r.id).collect();
                return Err(LayoutError::NoRegion { id: before.to_owned(), known });
            };
            let marker = region.begin_line - 1;
            let headed = marker > 0 && lines[marker - 1].starts_with("/-! target: ");
            if headed { marker - 1 } else { marker }
        }
        None => match regions.last() {
            Some(last) => last.end_line,
            None => lines.iter().rposition(|l| l.starts_with("end ")).unwrap_or(lines.len()),
        },
    };
    let mut new: String = lines[..at].concat();
    if !new.is_empty() && !new.ends_with('\n') {
        new.push('\n');
    }
    let slot = super::skeleton::slot(id, title);
    if before.is_some() {
        new.push_str(&slot);
        new.push('\n');
    } else {
        if !new.ends_with("\n\n") {
            new.push('\n');
        }
        new.push_str(&slot);
        if lines.get(at).is_some_and(|l| !l.trim().is_empty()) {
            new.push('\n');
        }
    }
    new.extend(lines[at..].iter().copied());
    Ok(new)
}

/// Without the blank lines before and after; the first line's indentation stays.
fn trim_blank_lines(content: &str) -> &str {
    let content = content.trim_end();
    let mut start = 0;
    for line in content.split_inclusive('\n') {
        if !line.trim().is_empty() {
            break;
        }
        start += line.len();
    }
    &content[start..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str =
        "module\n\n/-! target: a — A -/\n-- begin a\n-- end a\n\n-- begin b-2\nx\n-- end b-2\n\nend N\n";

    #[test]
    fn regions_are_found_by_their_markers_and_prose_comments_are_not() {
        let found = regions(FILE).unwrap();
        assert_eq!(found.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["a", "b-2"]);
        assert_eq!(region_text(FILE, "a"), Some(""));
        assert_eq!(region_text(FILE, "b-2"), Some("x\n"));
        assert_eq!((found[1].begin_line, found[1].end_line), (7, 9));
        assert!(regions("-- end of the proof\n-- begin with this\n").unwrap().is_empty());
    }

    #[test]
    fn broken_markers_are_named_with_their_line() {
        let error = |text: &str| regions(text).unwrap_err().to_string();
        assert!(
            error("-- begin a\n-- begin b\n").starts_with("line 2: `-- begin b` stands inside region `a`")
        );
        assert!(error("\n-- end a\n").starts_with("line 2: `-- end a` has no"));
        assert!(error("-- begin a\n").starts_with("line 1: region `a` is never ended"));
        assert!(error("-- begin a\n-- end a\n-- begin a\n-- end a\n").contains("at line 1"));
        let missing = with_region(FILE, "c", "x").unwrap_err().to_string();
        assert_eq!(missing, "there is no region `c`; the file's regions are: a, b-2");
        assert!(with_region(FILE, "a", "x\n-- end a\n").unwrap_err().to_string().starts_with("line 2 of"));
    }

    #[test]
    fn a_new_region_goes_before_its_parent_with_its_heading() {
        let text = with_new_region(FILE, "c", "Lemma", Some("a")).unwrap();
        let order: Vec<_> = regions(&text).unwrap().into_iter().map(|r| r.id).collect();
        assert_eq!(order, ["c", "a", "b-2"]);
        assert!(text.contains("-- end c\n\n/-! target: a — A -/\n-- begin a\n"), "{text}");
        let text = with_new_region(FILE, "c", "Lemma", None).unwrap();
        assert!(
            text.ends_with("-- end b-2\n\n/-! target: c — Lemma -/\n-- begin c\n-- end c\n\nend N\n"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn writing_one_region_leaves_the_rest_as_it_was(content in "[ a-z:=\\-\n]{0,80}") {
            if let Ok(text) = with_region(FILE, "a", &content) {
                prop_assert_eq!(region_text(&text, "a").unwrap().trim(), content.trim());
                prop_assert_eq!(region_text(&text, "b-2"), Some("x\n"));
                prop_assert_eq!(with_region(&text, "a", "").unwrap(), FILE);
            }
        }
    }
}
