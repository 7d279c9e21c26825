//! Weights of tags in words.

use crate::v1::tag::Weight;

impl Weight {
    /// As reports and prompts call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Grave => "grave",
            Self::Doubt => "doubt",
            Self::Information | Self::Unspecified => "information",
        }
    }
}
