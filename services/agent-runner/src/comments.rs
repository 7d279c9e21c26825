//! Lean source without its comments: reviewers judge what Lean reads, not what authors say.

/// `source` without `--` comments, nested `/- -/` comments and docstrings. Line ends inside comments stay, so
/// that line numbers do; lines keep no trailing blanks.
pub fn strip(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        at = match (chars[at], chars.get(at + 1)) {
            ('-', Some('-')) => line_comment(&chars, at),
            ('/', Some('-')) => block_comment(&chars, at, &mut out),
            ('"', _) => string(&chars, at, &mut out),
            ('r', Some('"' | '#')) if !is_word(&out) => raw_string(&chars, at, &mut out),
            ('\'', _) if !is_word(&out) => character(&chars, at, &mut out),
            ('«', _) => quoted_name(&chars, at, &mut out),
            (other, _) => {
                out.push(other);
                at + 1
            }
        };
    }
    let mut stripped: String = out.split('\n').map(str::trim_end).collect::<Vec<_>>().join("\n");
    if source.ends_with('\n') && !stripped.ends_with('\n') {
        stripped.push('\n');
    }
    stripped
}

/// `strip`, and without the empty lines that comments leave behind at either end or more than one in a row.
pub fn strip_compact(source: &str) -> String {
    let stripped = strip(source);
    let mut out = String::with_capacity(stripped.len());
    let mut blank = false;
    for line in stripped.lines() {
        if line.is_empty() {
            blank = !out.is_empty();
            continue;
        }
        if blank {
            out.push('\n');
            blank = false;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Whether what was written last belongs to an identifier: then `'` and `r` go on with it.
fn is_word(out: &str) -> bool {
    out.chars()
        .next_back()
        .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '\'' | '!' | '?' | '»' | '₀'..='₉'))
}

fn line_comment(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '\n' {
        at += 1;
    }
    at
}

fn block_comment(chars: &[char], mut at: usize, out: &mut String) -> usize {
    let mut depth = 0_usize;
    // A comment separates tokens as a blank does.
    out.push(' ');
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('-')) => {
                depth += 1;
                at += 2;
            }
            ('-', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    break;
                }
            }
            (c, _) => {
                if c == '\n' {
                    out.push('\n');
                }
                at += 1;
            }
        }
    }
    at
}

fn string(chars: &[char], mut at: usize, out: &mut String) -> usize {
    out.push(chars[at]);
    at += 1;
    while at < chars.len() {
        out.push(chars[at]);
        match chars[at] {
            '"' => return at + 1,
            '\\' if at + 1 < chars.len() => {
                out.push(chars[at + 1]);
                at += 2;
            }
            _ => at += 1,
        }
    }
    at
}

fn raw_string(chars: &[char], start: usize, out: &mut String) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|&&c| c == '#').count();
    let open = start + 1 + hashes;
    out.push('r');
    if chars.get(open) != Some(&'"') {
        return start + 1;
    }
    let mut at = open + 1;
    while at < chars.len() {
        if chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes {
            at = at + 1 + hashes;
            break;
        }
        at += 1;
    }
    out.extend(&chars[start + 1..at.min(chars.len())]);
    at
}

/// A character literal, or a lone `'`.
fn character(chars: &[char], at: usize, out: &mut String) -> usize {
    let end = match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), Some(_)) => chars[at + 3..].iter().take(8).position(|&c| c == '\'').map(|n| at + 4 + n),
        (Some(_), Some('\'')) => Some(at + 3),
        _ => None,
    };
    let end = end.unwrap_or(at + 1);
    out.extend(&chars[at..end]);
    end
}

fn quoted_name(chars: &[char], at: usize, out: &mut String) -> usize {
    let end = chars[at..].iter().position(|&c| c == '»').map_or(chars.len(), |n| at + n + 1);
    out.extend(&chars[at..end]);
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn comments_go_and_what_looks_like_one_stays() {
        let source = "/-- Says it all. -/\ntheorem a' : f \"-- no /- \\\" -/\" = 'x' := by -- why\n  /- nested /- deep -/ still -/ simp\ndef q := r#\"a \"-- b\"# ++ «-- n»\ndef c := '\"' -- end\ndef d := '\\'' /-! doc\nmore -/\n";
        assert_eq!(
            strip(source),
            "\ntheorem a' : f \"-- no /- \\\" -/\" = 'x' := by\n    simp\ndef q := r#\"a \"-- b\"# ++ «-- n»\ndef c := '\"'\ndef d := '\\''\n\n"
        );
        assert_eq!(strip_compact("-- x\n\n-- y\na\n\n-- z\n\n\nb\n"), "a\n\nb\n");
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_lines(source in "[-/a'\"r#«»\\\\ \n]{0,60}") {
            prop_assert_eq!(strip(&source).matches('\n').count(), source.matches('\n').count());
            let once = strip(&source);
            prop_assert!(!once.lines().any(|l| l.ends_with(' ')));
        }
    }
}
