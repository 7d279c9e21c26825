//! The words of the notation.

#[derive(Clone, PartialEq, Debug)]
pub enum Token {
    Word(String),
    /// A quoted name: one part, whatever is in it.
    Quoted(String),
    Number(String),
    Text(String),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 17] =
    ["->", "=>", ":=", ".{", "(", ")", "{", "}", ":", ";", ",", "|", "#", "+", "=", "[", "]"];

pub fn tokens(script: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = script;
    loop {
        rest = rest.trim_start();
        if let Some(r) = rest.strip_prefix("--") {
            rest = r.split_once('\n').map_or("", |r| r.1);
            continue;
        }
        let Some(c) = rest.chars().next() else { return found };
        let take = |f: fn(char) -> bool| rest.find(|c| !f(c)).unwrap_or(rest.len());
        let token = if let Some(s) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            rest = &rest[s.len()..];
            Token::Symbol(s)
        } else if let Some(r) = rest.strip_prefix('"') {
            let (text, r) = r.split_once('"').expect("a closing quote");
            rest = r;
            Token::Text(text.to_owned())
        } else if let Some(r) = rest.strip_prefix('«') {
            let (text, r) = r.split_once('»').expect("a closing quote");
            rest = r;
            Token::Quoted(text.to_owned())
        } else if c.is_ascii_digit() {
            let n = take(|c| c.is_ascii_digit());
            let t = rest[..n].to_owned();
            rest = &rest[n..];
            Token::Number(t)
        } else {
            let mut n = take(|c| c.is_alphanumeric() || "_.'?!".contains(c));
            assert!(n > 0, "what is this: {rest:.40}");
            // `c.{u}`: the dot belongs to the brace.
            if rest[..n].ends_with('.') && rest[n..].starts_with('{') {
                n -= 1;
            }
            let t = rest[..n].to_owned();
            rest = &rest[n..];
            Token::Word(t)
        };
        found.push(token);
    }
}
