//! A strict JSON reader for one line: only what the format needs (no floats, no negative numbers, no `null`), no key twice, little
//! nesting. Texts without escapes are not copied.

use std::borrow::Cow;

use super::bounds::{Read, Refusal, malformed};

/// Nesting of lists and objects.
const MAX_NESTING: u32 = 8;

pub(super) enum Json<'l> {
    Bool(bool),
    Num(u64),
    Str(Cow<'l, str>),
    Arr(Vec<Json<'l>>),
    Obj(Vec<(Cow<'l, str>, Json<'l>)>),
}

/// The value that is all of `line`.
pub(super) fn parse(line: &str) -> Read<Json<'_>> {
    let mut p = Parser { text: line, at: 0 };
    let v = p.value(0)?;
    p.space();
    if p.at == line.len() { Ok(v) } else { malformed("text after the object") }
}

struct Parser<'l> {
    text: &'l str,
    at: usize,
}

impl<'l> Parser<'l> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, c: u8) -> Read<()> {
        self.space();
        if self.peek() == Some(c) {
            self.at += 1;
            Ok(())
        } else {
            malformed(format!("'{}' expected at byte {}", c as char, self.at))
        }
    }

    /// After an element: is there another one?
    fn more(&mut self, end: u8) -> Read<bool> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(c) if c == end => {
                self.at += 1;
                Ok(false)
            }
            _ => malformed(format!("',' or '{}' expected at byte {}", end as char, self.at)),
        }
    }

    /// Right after the opening bracket: is it closed at once?
    fn closed(&mut self, end: u8) -> bool {
        self.space();
        let closed = self.peek() == Some(end);
        self.at += usize::from(closed);
        closed
    }

    fn value(&mut self, depth: u32) -> Read<Json<'l>> {
        if depth > MAX_NESTING {
            return malformed("nested too deep");
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                let mut more = !self.closed(b']');
                while more {
                    items.push(self.value(depth + 1)?);
                    more = self.more(b']')?;
                }
                Ok(Json::Arr(items))
            }
            Some(b'"') => Ok(Json::Str(self.string()?)),
            Some(b'0'..=b'9') => self.number(),
            _ if self.text[self.at..].starts_with("true") => {
                self.at += 4;
                Ok(Json::Bool(true))
            }
            _ if self.text[self.at..].starts_with("false") => {
                self.at += 5;
                Ok(Json::Bool(false))
            }
            _ => malformed(format!("no value at byte {}", self.at)),
        }
    }

    fn object(&mut self, depth: u32) -> Read<Json<'l>> {
        self.at += 1;
        let mut fields: Vec<(Cow<'l, str>, Json<'l>)> = Vec::new();
        let mut more = !self.closed(b'}');
        while more {
            self.space();
            let key = self.string()?;
            if fields.iter().any(|f| f.0 == key) {
                return malformed(format!("the key {key} twice"));
            }
            // No object of the format has more; a hostile one must not make the search above slow.
            if fields.len() >= 32 {
                return malformed("an object with too many keys");
            }
            self.eat(b':')?;
            let value = self.value(depth + 1)?;
            fields.push((key, value));
            more = self.more(b'}')?;
        }
        Ok(Json::Obj(fields))
    }

    fn number(&mut self) -> Read<Json<'l>> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let digits = &self.text[from..self.at];
        if digits.len() > 1 && digits.starts_with('0') {
            return malformed("a number with a leading zero");
        }
        digits.parse().map(Json::Num).map_err(|_| Refusal::malformed("a number is too big"))
    }

    fn string(&mut self) -> Read<Cow<'l, str>> {
        self.eat(b'"')?;
        let mut copied: Option<String> = None;
        loop {
            let from = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=31)) {
                self.at += 1;
            }
            // Both ends are next to ASCII, so they are character boundaries.
            let plain = &self.text[from..self.at];
            let Some(c) = self.peek() else { return malformed("a string is cut short") };
            self.at += 1;
            match c {
                b'"' => {
                    return Ok(match copied {
                        None => Cow::Borrowed(plain),
                        Some(s) => Cow::Owned(s + plain),
                    });
                }
                b'\\' => {
                    let s = copied.get_or_insert_default();
                    s.push_str(plain);
                    let c = self.escape()?;
                    copied.get_or_insert_default().push(c);
                }
                _ => return malformed("a control character in a string"),
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        let e = self.peek();
        self.at += 1;
        Ok(match e {
            Some(c @ (b'"' | b'\\' | b'/')) => c as char,
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => self.unicode()?,
            _ => return malformed("a bad escape"),
        })
    }

    fn unicode(&mut self) -> Read<char> {
        let lone = || Refusal::malformed("a lone surrogate");
        let mut x = self.hex4()?;
        if (0xd800..0xdc00).contains(&x) {
            if !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                return Err(lone());
            }
            self.at += 2;
            let y = self.hex4()?;
            if !(0xdc00..0xe000).contains(&y) {
                return Err(lone());
            }
            x = 0x10000 + ((x - 0xd800) << 10) + (y - 0xdc00);
        }
        char::from_u32(x).ok_or_else(lone)
    }

    fn hex4(&mut self) -> Read<u32> {
        let bytes = self.text.as_bytes().get(self.at..self.at + 4);
        let Some(bytes) = bytes.filter(|b| b.iter().all(u8::is_ascii_hexdigit)) else {
            return malformed("a bad escape");
        };
        self.at += 4;
        Ok(bytes.iter().fold(0, |n, b| n * 16 + (*b as char).to_digit(16).unwrap_or(0)))
    }
}

impl<'l> Json<'l> {
    pub fn num(&self) -> Read<u64> {
        match self {
            Json::Num(n) => Ok(*n),
            _ => malformed("a number is expected"),
        }
    }
    /// A number of arguments or the like.
    pub fn small(&self) -> Read<u32> {
        u32::try_from(self.num()?)
            .ok()
            .filter(|n| *n < 1 << 30)
            .ok_or_else(|| Refusal::malformed("a number is too big"))
    }
    pub fn bool(&self) -> Read<bool> {
        match self {
            Json::Bool(b) => Ok(*b),
            _ => malformed("true or false is expected"),
        }
    }
    pub fn str(&self) -> Read<&str> {
        match self {
            Json::Str(s) => Ok(s),
            _ => malformed("a string is expected"),
        }
    }
    pub fn arr(&self) -> Read<&[Json<'l>]> {
        match self {
            Json::Arr(v) => Ok(v),
            _ => malformed("a list is expected"),
        }
    }
    pub fn obj(&self) -> Read<&[(Cow<'l, str>, Json<'l>)]> {
        match self {
            Json::Obj(fields) => Ok(fields),
            _ => malformed("an object is expected"),
        }
    }
    pub fn get(&self, key: &str) -> Option<&Json<'l>> {
        match self {
            Json::Obj(fields) => fields.iter().find(|f| f.0 == key).map(|f| &f.1),
            _ => None,
        }
    }
    pub fn at(&self, key: &str) -> Read<&Json<'l>> {
        self.get(key).ok_or_else(|| Refusal::malformed(format!("the key {key} is missing")))
    }
    /// Refuses keys that are not among `keys`: they may say something that matters.
    pub fn only(&self, keys: &[&str]) -> Read<()> {
        match self.obj()?.iter().find(|f| !keys.contains(&f.0.as_ref())) {
            Some((k, _)) => Err(Refusal::unsupported(format!("an unknown key {k}"))),
            None => Ok(()),
        }
    }
}
