//! The session's answers: frames of a tag and fields, each field with its length in bytes.

/// One frame of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) tag: &'a str,
    pub(crate) fields: Vec<&'a str>,
}

impl Frame<'_> {
    /// The `index`th field as a number; 0 when it is none.
    pub(crate) fn number<N: std::str::FromStr + Default>(&self, index: usize) -> N {
        self.fields.get(index).and_then(|f| f.parse().ok()).unwrap_or_default()
    }

    /// The `index`th field; empty when there is none.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.fields.get(index).copied().unwrap_or_default()
    }
}

/// The frames of an answer; `None` when it is not made of frames.
pub(crate) fn frames(answer: &str) -> Option<Vec<Frame<'_>>> {
    let mut found = vec![];
    let mut rest = answer;
    while !rest.is_empty() {
        let (head, mut body) = rest.split_once('\n')?;
        let mut words = head.split(' ');
        let tag = words.next()?;
        let mut fields = vec![];
        for length in words {
            let (field, after) = body.split_at_checked(length.parse().ok()?)?;
            fields.push(field);
            body = after;
        }
        found.push(Frame { tag, fields });
        rest = body;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_any_text() {
        let found = frames("message 5 2\nerror\n1goals 0\nend 3 1\n⊢5").unwrap();
        let plain: Vec<_> = found.iter().map(|f| (f.tag, f.fields.clone())).collect();
        assert_eq!(plain, [("message", vec!["error", "\n1"]), ("goals", vec![""]), ("end", vec!["⊢", "5"])]);
        assert_eq!(frames("message 9\nerror"), None);
        assert_eq!(frames("no frame"), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_the_reader_panic(text in ".*") {
            let _ = frames(&text);
        }
    }
}
