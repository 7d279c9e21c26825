//! Numbers as people read them.

/// `1234567` as `1 234 567`, grouped by narrow no-break spaces.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4 {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// `1234567` as `1.23M`, for lines where room is short.
pub fn short(n: u64) -> String {
    let (value, unit) = match n {
        0..=9_999 => return n.to_string(),
        10_000..=999_999 => (n as f64 / 1e3, "k"),
        1_000_000..=999_999_999 => (n as f64 / 1e6, "M"),
        _ => (n as f64 / 1e9, "G"),
    };
    if value < 100.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// US dollars, with as many digits as the amount needs.
pub fn usd(amount: f64) -> String {
    match amount {
        0.0 => "$0".into(),
        a if a < 0.01 => format!("${a:.4}"),
        a => format!("${a:.2}"),
    }
}

/// Milliseconds as `3.2 s`, `4 min 05 s`, `2 h 03 min`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..=9 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `part` of `whole` in per cent; 0 of 0 is 0.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "0%".into() } else { format!("{:.0}%", part as f64 * 100.0 / whole as f64) }
}

/// `1 target`, `2 targets`.
pub fn plural(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// The first ten digits of a commit.
pub fn commit(id: &str) -> String {
    id.chars().take(10).collect()
}

/// A moment, e.g. `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn date(time: std::time::SystemTime) -> String {
    // That format has four digits for the year, and the crate no answer beyond them.
    let year_9999 = std::time::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799);
    if time > year_9999 { "after the year 9999".to_owned() } else { httpdate::fmt_http_date(time) }
}

/// Now, in Unix milliseconds.
pub fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1234), "1234");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            (short(950), short(12_345), short(4_500_000)),
            ("950".into(), "12.3k".into(), "4.5M".into())
        );
        assert_eq!((usd(0.0), usd(0.0042), usd(12.5)), ("$0".into(), "$0.0042".into(), "$12.50".into()));
        assert_eq!(duration(3_250), "3.2 s");
        assert_eq!(duration(245_000), "4 min 05 s");
        assert_eq!(duration(7_380_000), "2 h 03 min");
        assert_eq!((percent(1, 3), percent(0, 0)), ("33%".into(), "0%".into()));
    }
}
