//! What models use and cost.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Tokens and money of one or many model calls. Cache reads and writes are apart from fresh input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Fresh input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Input tokens read from the provider's prompt cache.
    pub cache_read_tokens: u64,
    /// Input tokens written to the provider's prompt cache.
    pub cache_write_tokens: u64,
    /// Cost in millionths of a US dollar.
    pub cost_microdollars: u64,
    /// Model calls made.
    pub model_calls: u64,
}

impl Usage {
    /// All tokens, cached or not.
    pub fn tokens(&self) -> u64 {
        self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.cost_microdollars += other.cost_microdollars;
        self.model_calls += other.model_calls;
    }
}

/// US dollars per million tokens, by class of token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Price {
    /// Fresh input.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Input read from the cache.
    pub cache_read: f64,
    /// Input written to the cache.
    pub cache_write: f64,
}

impl Price {
    /// The cost of `usage`'s tokens, in microdollars, rounded up. One dollar a million tokens is one
    /// microdollar a token.
    pub fn cost(&self, usage: &Usage) -> u64 {
        (self.input * usage.input_tokens as f64
            + self.output * usage.output_tokens as f64
            + self.cache_read * usage.cache_read_tokens as f64
            + self.cache_write * usage.cache_write_tokens as f64)
            .ceil() as u64
    }
}
